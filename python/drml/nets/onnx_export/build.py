"""Builds the ONNX graph of a Caffe net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.net import PROBABILITIES as CAFFE_PROBABILITIES
from drml.nets.net import CaffeNet
from drml.nets.onnx_export.graph import Graph, Layer
from drml.nets.onnx_export.layers import CONVERTERS
from drml.nets.onnx_metadata import PROBABILITIES, SCORES
from drml.nets.prototxt import read_prototxt

__all__ = ["build_graph", "refuse_unknown_layers"]


def refuse_unknown_layers(deploy: str | Path) -> None:
    """Refuse layers that cannot be exported, before Caffe builds the net."""
    net = read_prototxt(deploy)
    for param in net.layer:
        if not param.include and not param.exclude and param.type not in ("Input", *CONVERTERS):
            raise UserError(f"{deploy}: {_unknown(param)}")


def _unknown(param: Any) -> str:
    return (
        f"layer '{param.name}' is of type {param.type}, which cannot be exported; these types can:"
        f" {', '.join(CONVERTERS)}"
    )


def _read_layers(deploy: str | Path, caffe: CaffeNet) -> list[Layer]:
    """Return the layers that run in TEST, with their weights; refuse those that cannot be exported."""
    found = []
    running = set(caffe.net._layer_names)
    for param in read_prototxt(deploy).layer:
        if param.name not in running or param.type == "Input":
            continue
        if param.type not in CONVERTERS:
            raise UserError(_unknown(param))
        if len(param.bottom) != 1 or len(param.top) != 1:
            raise UserError(
                f"layer '{param.name}' of type {param.type}: has {len(param.bottom)} bottoms and"
                f" {len(param.top)} tops; only one of each can be exported"
            )
        found.append(
            Layer(
                param.name,
                param.type,
                param,
                tuple(caffe.net.blobs[param.bottom[0]].shape),
                tuple(caffe.net.blobs[param.top[0]].shape),
                [blob.data for blob in caffe.net.params.get(param.name, [])],
            )
        )
    return found


def build_graph(
    deploy: str | Path, caffe: CaffeNet, folded: tuple[NDArray[np.float32], float] | None = None
) -> tuple[Graph, str]:
    """Build the graph.

    Parameters
    ----------
    deploy : path
    caffe : CaffeNet
    folded : (ndarray, float), optional
        The mean, C x H x W as the input, and the scale, to put into the graph.

    Returns
    -------
    Graph
        With the outputs `PROBABILITIES` and `SCORES`, N x K.
    str
        The blob of the Caffe net with the scores.
    """
    layers = _read_layers(deploy, caffe)
    makers = [layer for layer in layers if layer.param.top[0] == CAFFE_PROBABILITIES]
    if not makers or makers[-1].type != "Sigmoid":
        raise UserError("no layer of type Sigmoid makes a blob 'prob'; end the net with one")
    last = makers[-1]
    graph = Graph(caffe.net.inputs[0], reserved=[PROBABILITIES, SCORES])
    x = caffe.net.inputs[0]
    if folded is not None:
        x = graph.node("Sub", [x, graph.constant("mean", folded[0])], "centred")
        if folded[1] != 1:
            x = graph.node("Mul", [x, graph.constant("scale", folded[1])], "scaled")
    tensors = {caffe.net.inputs[0]: x}
    for layer in layers:
        x = tensors[layer.param.bottom[0]]
        if layer is last:
            if len(layer.bottom) != 2:
                x = graph.node("Flatten", [x], f"{layer.name}.flat", axis=1)
            graph.rename(x, SCORES)
            x = tensors[layer.param.bottom[0]] = SCORES
        tensors[layer.param.top[0]] = CONVERTERS[layer.type](graph, layer, x)
    graph.rename(tensors[CAFFE_PROBABILITIES], PROBABILITIES)
    return graph, str(last.param.bottom[0])
