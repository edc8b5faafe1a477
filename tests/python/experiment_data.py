"""Drawn faces of 24 pixels and nets that learn them in a second: shared by the tests of experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny_net as tiny
from drml.labels import BP4D_AUS
from drml.prepare import prepare_bp4d
from drml.synth import write_bp4d

QUIET: dict[str, Any] = {"jobs": 1, "progress": False}


def write_data(folder: Path, names: tuple[str, ...] = ("data", "large")) -> None:
    """Draw faces of 9 subjects and prepare two folds of them, under each name."""
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=8, size=130, **QUIET)
    for name in names:
        prepare_bp4d(folder / "BP4D", folder / name, folds=(1, 2), size=tiny.IMAGE, **QUIET)


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
