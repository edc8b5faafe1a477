#!/usr/bin/env python
"""Train a net of models/ from one of several starts; append its losses and AUCs to a file, a line of JSON.

    .venv/bin/python tools/starts.py --start as_released --data data/drml/fold1 --out build/runs.jsonl

The solver is the paper's (models/NET/solver.prototxt) throughout. A start changes the net's fillers and the
scale of its pixels, nothing else. The AUC is the mean ROC-AUC over the AUs, on the first faces of the
validation set. A net has learned when the mean loss of 50 iterations is below 6.0 and the AUC above .7; with
--until-learned the run ends there. tools/draw_starts.py makes a table and a picture of the file, and
models/drml/readme.md tells what they show.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "1")

import caffe
import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from sklearn.metrics import roc_auc_score
from tqdm import trange

LEARNED_LOSS, LEARNED_AUC = 6.0, 0.7
WINDOW = 50


def filled_layers(net: Any) -> list[tuple[str, str, Any]]:
    """Return the layers that have weights: name, type and the parameter that holds their fillers."""
    kinds = {"Convolution": "convolution_param", "LocallyConnected": "convolution_param"}
    kinds |= {"InnerProduct": "inner_product_param", "Region": "region_param"}
    return [
        (layer.name, layer.type, getattr(layer, kinds[layer.type]))
        for layer in net.layer
        if layer.type in kinds
    ]


def set_scale(net: Any, scale: float) -> None:
    """Multiply pixels, less their mean, by `scale`."""
    for layer in net.layer:
        if layer.type == "MultiLabelData":
            layer.transform_param.scale = scale


def as_released(net: Any) -> None:
    """Fill as the authors' release does: gaussian weights, biases of 1 but in the first and last layer."""
    set_scale(net, 1)
    layers = filled_layers(net)
    for name, kind, param in layers:
        param.weight_filler.Clear()
        hidden = name not in (layers[0][0], layers[-1][0])
        param.weight_filler.type = "gaussian"
        param.weight_filler.std = 0.005 if kind == "InnerProduct" and hidden else 0.01
        param.bias_filler.value = float(hidden)


def zero_biases(net: Any) -> None:
    """Change the release's biases alone."""
    as_released(net)
    for _, _, param in filled_layers(net):
        param.bias_filler.value = 0


def fan_in(kind: str, *, edges: bool, scale: float = 1) -> Callable[[Any], None]:
    """Return a start with zero biases, weights by `kind` ("msra" or "xavier"), and pixels times `scale`.

    The region layer keeps its gaussian; with `edges` the first and the last layer do, too.
    """

    def change(net: Any) -> None:
        zero_biases(net)
        set_scale(net, scale)
        layers = filled_layers(net)
        kept = {layers[0][0], layers[-1][0]} if edges else set()
        for name, layer_type, param in layers:
            if layer_type != "Region" and name not in kept:
                param.weight_filler.Clear()
                param.weight_filler.type = kind

    return change


STARTS: dict[str, Callable[[Any], None]] = {
    "chosen": lambda net: None,
    "as_released": as_released,
    "zero_biases": zero_biases,
    "msra": fan_in("msra", edges=True),
    "msra_60": fan_in("msra", edges=False, scale=1 / 60),
    "xavier": fan_in("xavier", edges=True),
    "xavier_4": fan_in("xavier", edges=False, scale=0.25),
}


def set_up(options: argparse.Namespace, folder: Path) -> Path:
    """Write the net and the solver of a run; return the solver's file."""
    models = Path("models") / options.net
    net = text_format.Parse((models / "train_val.prototxt").read_text(), caffe_pb2.NetParameter())
    STARTS[options.start](net)
    for layer in net.layer:
        if layer.type == "MultiLabelData":
            layer.multi_label_data_param.source = str(
                options.data / Path(layer.multi_label_data_param.source).name
            )
            layer.transform_param.mean_file = str(options.data / Path(layer.transform_param.mean_file).name)
            if layer.include[0].phase == caffe.TRAIN:
                layer.multi_label_data_param.batch_size = options.batch
    solver = text_format.Parse((models / "solver.prototxt").read_text(), caffe_pb2.SolverParameter())
    solver.random_seed, solver.snapshot, solver.display = options.seed, 0, 0
    solver.net, solver.snapshot_prefix = str(folder / "net.prototxt"), str(folder / "run")
    solver.ClearField("test_interval")
    solver.ClearField("test_iter")
    solver.test_iter.append(1)
    solver.test_interval = 1 << 30
    solver.snapshot_after_train = False
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.prototxt").write_text(text_format.MessageToString(net))
    (folder / "solver.prototxt").write_text(text_format.MessageToString(solver))
    return folder / "solver.prototxt"


def mean_auc(net: Any, scores: str, batches: int) -> float:
    """Return the mean ROC-AUC over the AUs that have both classes, of so many batches of the test net."""
    found, labels = [], []
    for _ in range(batches):
        net.forward()
        found.append(net.blobs[scores].data.copy())
        labels.append(net.blobs["label"].data.copy())
    x, y = np.concatenate(found), np.concatenate(labels)
    areas = [
        roc_auc_score(y[known, k] > 0, x[known, k])
        for k in range(y.shape[1])
        if len(set(y[known := y[:, k] != 0, k])) == 2
    ]
    return float(np.mean(areas))


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train as the options say; return the run with its curve."""
    folder = options.out.with_suffix("") / f"{options.net}_{options.start}_{options.seed}_{os.getpid()}"
    caffe.set_mode_cpu()
    solver = caffe.get_solver(str(set_up(options, folder)))
    test = solver.test_nets[0]
    test.share_with(solver.net)
    scores = solver.net.bottom_names["loss"][0]
    run = {
        "net": options.net,
        "start": options.start,
        "seed": options.seed,
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "batch": options.batch,
        "loss": [],
        "auc": {},
        "learned": None,
    }
    start = time.monotonic()
    with trange(options.iterations, disable=None) as bar:
        for iteration in range(1, options.iterations + 1):
            solver.step(1)
            run["loss"].append(round(float(solver.net.blobs["loss"].data), 4))
            bar.update()
            if iteration % options.test_every:
                continue
            run["auc"][iteration] = area = round(mean_auc(test, scores, options.test_batches), 4)
            loss = float(np.mean(run["loss"][-WINDOW:]))
            bar.set_postfix(loss=f"{loss:.3f}", auc=f"{area:.3f}")
            name = f"{options.net} {options.start} seed {options.seed}"
            print(
                f"{name}: iteration {iteration} loss {loss:.3f} AUC {area:.3f}",
                file=sys.stderr,
                flush=True,
            )
            if loss < LEARNED_LOSS and area > LEARNED_AUC and run["learned"] is None:
                run["learned"] = iteration
                if options.until_learned:
                    break
            if not np.isfinite(loss):
                break
    run["seconds"] = round(time.monotonic() - start, 1)
    return run


def main() -> None:
    """Parse the options, train, append the run to the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--net", choices=("drml", "convnet", "lcn", "alexnet"), default="drml")
    parser.add_argument("--start", choices=STARTS, default="chosen", help="chosen: as train_val.prototxt is")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16, help="images of a training batch (16)")
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--test-every", type=int, default=100, help="iterations between two AUCs (100)")
    parser.add_argument("--test-batches", type=int, default=10, help="batches of 32 validation faces (10)")
    parser.add_argument("--until-learned", action="store_true", help="end when the plateau is left")
    parser.add_argument("--data", type=Path, required=True, help="a fold that drml prepare wrote")
    parser.add_argument("--out", type=Path, required=True, help="file to append a line of JSON to")
    options = parser.parse_args()
    run = train(options)
    with options.out.open("a") as file:
        file.write(json.dumps(run) + "\n")


if __name__ == "__main__":
    main()
