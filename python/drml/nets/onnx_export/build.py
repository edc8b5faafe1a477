"""Builds the ONNX graph of a Caffe net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.intensity_head import INTENSITIES as CAFFE_INTENSITIES
from drml.nets.net import PROBABILITIES as CAFFE_PROBABILITIES
from drml.nets.net import CaffeNet
from drml.nets.onnx_export.graph import Graph, Layer
from drml.nets.onnx_export.layers import CONVERTERS
from drml.nets.onnx_metadata import INTENSITIES, PROBABILITIES, SCORES
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
) -> tuple[Graph, dict[str, str]]:
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
        With the outputs `PROBABILITIES` and `SCORES`, N x K, if the net detects occurrences, and
        `INTENSITIES`, N x L, if it estimates intensities.
    dict
        The blob of the Caffe net for each of these outputs.
    """
    layers = _read_layers(deploy, caffe)
    has_levels = CAFFE_INTENSITIES in caffe.net.blobs
    makers = [layer for layer in layers if layer.param.top[0] == CAFFE_PROBABILITIES]
    last = makers[-1] if makers else None
    if (last is None and not has_levels) or (last is not None and last.type != "Sigmoid"):
        raise UserError("no layer of type Sigmoid makes a blob 'prob'; end the net with one")
    graph = Graph(caffe.net.inputs[0], reserved=[PROBABILITIES, SCORES, INTENSITIES])
    x = caffe.net.inputs[0]
    if folded is not None:
        x = graph.node("Sub", [x, graph.constant("mean", folded[0])], "centred")
        if folded[1] != 1:
            x = graph.node("Mul", [x, graph.constant("scale", folded[1])], "scaled")
    tensors = {caffe.net.inputs[0]: x}
    for layer in layers:
        x = tensors[layer.param.bottom[0]]
        if layer is last:
            tensors[layer.param.bottom[0]] = _finish(graph, x, layer.bottom, SCORES)
            x = SCORES
        tensors[layer.param.top[0]] = CONVERTERS[layer.type](graph, layer, x)
    blobs = {}
    if last is not None:
        graph.rename(tensors[CAFFE_PROBABILITIES], PROBABILITIES)
        blobs = {PROBABILITIES: CAFFE_PROBABILITIES, SCORES: str(last.param.bottom[0])}
    if has_levels:
        shape = tuple(caffe.net.blobs[CAFFE_INTENSITIES].shape)
        _finish(graph, tensors[CAFFE_INTENSITIES], shape, INTENSITIES)
        blobs[INTENSITIES] = CAFFE_INTENSITIES
    return graph, blobs


def _finish(graph: Graph, x: str, shape: tuple[int, ...], output: str) -> str:
    """Make a tensor of a shape an output of two axes, under the output's name, which is returned."""
    if len(shape) != 2:
        x = graph.node("Flatten", [x], f"{output}.flat", axis=1)
    graph.rename(x, output)
    return output
