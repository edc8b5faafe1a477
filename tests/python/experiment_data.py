"""Drawn faces of 24 pixels and nets that learn them in a second: shared by the tests of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_net as tiny
from drml.data.labels import BP4D_AUS
from drml.data.prepare import Encoding, prepare
from drml.synth import write_bp4d

QUIET: dict[str, Any] = {"jobs": 1, "progress": False}


def write_data(folder: Path, names: tuple[str, ...] = ("data", "large")) -> None:
    """Draw faces of 9 subjects and prepare two folds of them, under each name."""
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=8, size=130, **QUIET)
    for name in names:
        prepare(
            "bp4d", folder / "BP4D", folder / name, folds=(1, 2), encoding=Encoding(size=tiny.IMAGE), **QUIET
        )


def write_models(folder: Path, names: tuple[str, ...] = ("drml", "convnet", "alexnet")) -> Path:
    """Write the tiny net under the models' names, with its blobs called as theirs are."""
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        outputs = len(BP4D_AUS)
        tiny.write_deploy(place, outputs=outputs)
        text = tiny.TRAIN_VAL.format(layers=tiny._LAYERS.format(outputs=outputs))
        text = text.replace("num_labels: 3", f"num_labels: {outputs}").replace("/test_lmdb", "/val_lmdb")
        for prefix in ("", "quick_"):
            (place / f"{prefix}train_val.prototxt").write_text(text)
            solver = tiny.SOLVER.format(net=f"models/{name}/{prefix}train_val.prototxt")
            (place / f"{prefix}solver.prototxt").write_text(solver)
        if name == "alexnet":
            for path in place.glob("*.prototxt"):
                path.write_text(path.read_text().replace('"fc10"', '"fc8"').replace('"fc9"', '"fc7"'))
    return folder


def add_region(model: Path) -> None:
    """Put a region layer of 8x8 patches between conv1, now of 16x16, and fc9 in a tiny net's prototxts."""
    region = (
        'layer { name: "region2" type: "Region" bottom: "conv1" top: "region2"'
        " region_param { grid_h: 8 grid_w: 8 num_output: 4 kernel_size: 3"
        ' weight_filler { type: "gaussian" std: 0.01 } } }\n'
    )
    for path in model.glob("*.prototxt"):
        text = path.read_text().replace("kernel_size: 5 stride: 5", "kernel_size: 5")
        text = text.replace('"InnerProduct" bottom: "conv1"', '"InnerProduct" bottom: "region2"')
        path.write_text(text.replace('layer { name: "fc9"', region + 'layer { name: "fc9"'))
