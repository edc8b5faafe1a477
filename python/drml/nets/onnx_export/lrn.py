"""LRN across channels, x / (k + alpha / size * sum of squares) ^ beta.

ONNX has a node for it: both divide alpha by the size and clip the window at the first and the last channel.
In ONNX Runtime, that node takes a fifth of DRML's time. With beta 0.75, Caffe's default, two square roots
give the power, and the sum over a window of channels is a 1 x 1 convolution with a band matrix: the same
values in a third of the time (docs/onnx.md).
"""

from __future__ import annotations

import numpy as np

from drml.nets.onnx_export.graph import Graph, Layer

__all__ = ["as_node", "by_roots", "lrn"]


def as_node(graph: Graph, layer: Layer, x: str) -> str:
    """Add an LRN node."""
    param = layer.param.lrn_param
    return graph.node(
        "LRN", [x], layer.name, size=param.local_size, alpha=param.alpha, beta=param.beta, bias=param.k
    )


def by_roots(graph: Graph, layer: Layer, x: str) -> str:
    """Add x / sqrt(s sqrt(s)), for beta 0.75; s comes from a convolution of the squares."""
    param, name = layer.param.lrn_param, layer.name
    channels = np.arange(layer.bottom[1])
    near = np.abs(channels[:, None] - channels) <= (param.local_size - 1) // 2
    band = near[:, :, None, None] * (param.alpha / param.local_size)
    s = graph.node(
        "Conv",
        [
            graph.node("Mul", [x, x], f"{name}.squares"),
            graph.constant(f"{name}.band", band),
            graph.constant(f"{name}.k", np.full(len(channels), param.k)),
        ],
        f"{name}.sums",
        kernel_shape=[1, 1],
    )
    root = graph.node("Sqrt", [s], f"{name}.root")
    power = graph.node("Sqrt", [graph.node("Mul", [s, root], f"{name}.three_halves")], f"{name}.power")
    return graph.node("Div", [x, power], name)


def lrn(graph: Graph, layer: Layer, x: str) -> str:
    """Add the layer in the fastest form: `by_roots` if beta is 0.75, else `as_node`."""
    param = layer.param.lrn_param
    if param.norm_region != param.ACROSS_CHANNELS:
        raise layer.refuse("norm_region WITHIN_CHANNEL, which ONNX does not have")
    layer.map_size()
    return (by_roots if param.beta == 0.75 else as_node)(graph, layer, x)
