"""Caffe: with the engine, without it, and without the Region layer."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from architecture import Layer
from caffe_nets import SOLVER, patch_name, test_net, training_net

MODELS = Path(__file__).parents[2] / "models"


def build_caffe(
    args: argparse.Namespace, layers: list[Layer], weights: dict[str, np.ndarray], images: np.ndarray
) -> tuple[Callable[[], object], Callable[[], np.ndarray] | None, str]:
    """Return the step, the outputs and the version; args.system is caffe, caffe-plain or caffe-stock."""
    os.environ.setdefault("GLOG_minloglevel", "1")
    import caffe

    stock = args.system == "caffe-stock"
    folder = MODELS / args.model
    path = args.case / f"{args.system}_{args.mode}_{args.batch}.prototxt"
    if args.mode == "train":
        labels = layers[-2]["out"]
        net_param = training_net(folder / "train_val.prototxt", args.batch, layers[0]["shape"], labels, stock)
        path.write_text(str(net_param))
        solver_path = path.with_suffix(".solver")
        solver_path.write_text(SOLVER.format(net=path))
        solver = caffe.SGDSolver(str(solver_path))
        for layer in layers:
            set_weights(solver.net, layer, weights, stock)
        solver.net.blobs["data"].data[...] = images
        solver.net.blobs["label"].data[...] = 1
        return (lambda: solver.step(1)), None, f"Caffe {caffe.__version__}"
    path.write_text(str(test_net(folder / "deploy.prototxt", args.batch, stock)))
    net = caffe.Net(str(path), caffe.TEST)
    for layer in layers:
        set_weights(net, layer, weights, stock)
    net.blobs["data"].data[...] = images
    score = layers[-2]["name"]
    return net.forward, (lambda: net.blobs[score].data.copy()), f"Caffe {caffe.__version__}"


def set_weights(net: object, layer: Layer, weights: dict[str, np.ndarray], stock: bool) -> None:
    """Copy one layer's weights into the net."""
    params = net.params  # type: ignore[attr-defined]
    name = layer["name"]
    if f"{name}.0" not in weights:
        return
    if layer["type"] != "Region":
        for i in (0, 1):
            params[name][i].data[...] = weights[f"{name}.{i}"]
        return
    statistics = weights[f"{name}.mean"], weights[f"{name}.variance"]
    if not stock:
        values = [weights[f"{name}.0"], weights[f"{name}.1"], *statistics, np.ones(1)]
        for blob, value in zip(params[name], values, strict=True):
            blob.data[...] = value
        return
    for g in range(layer["grid_h"] * layer["grid_w"]):
        row, column = divmod(g, layer["grid_w"])
        norm, conv = (patch_name(name, row, column, part) for part in ("norm", "conv"))
        for i in (0, 1):
            params[conv][i].data[...] = weights[f"{name}.{i}"][g]
            params[norm][i].data[...] = statistics[i][g]
        params[norm][2].data[...] = 1
