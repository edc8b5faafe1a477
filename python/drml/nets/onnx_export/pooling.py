"""Pooling; in Caffe, the last window may extend beyond the border.

Caffe rounds the number of windows up, unless ``round_mode`` says down, and then leaves out a last one that
would start beyond the map and its padding. ONNX's ``ceil_mode`` has another rule, and some runtimes have
deviated from it; the padding that makes the windows fit is therefore explicit in the file, and nothing has to
be rounded.
"""

from __future__ import annotations

import numpy as np

from drml.nets.onnx_export.graph import Graph, Layer, pair

__all__ = ["pooling"]


def _windows(layer: Layer) -> tuple[list[int], list[int], list[int], list[int], list[int]]:
    """Return kernel, stride, padding before, padding after and number of windows, for both axes."""
    param = layer.param.pooling_param
    size = layer.map_size()
    if param.global_pooling:
        return list(size), [1, 1], [0, 0], [0, 0], [1, 1]
    kernel, stride, pad = pair(param, "kernel", 0), pair(param, "stride", 1), pair(param, "pad", 0)
    room = [size[i] + 2 * pad[i] - kernel[i] for i in range(2)]
    up = param.round_mode == param.CEIL
    count = [(-(-room[i] // stride[i]) if up else room[i] // stride[i]) + 1 for i in range(2)]
    if any(pad):
        count = [
            count[i] - ((count[i] - 1) * stride[i] >= size[i] + pad[i])  # starts beyond the padded map
            for i in range(2)
        ]
    behind = []
    for i in range(2):
        # Caffe refuses a last window without a pixel. A negative value: it ends before the map does.
        start = (count[i] - 1) * stride[i] - pad[i]
        behind.append(max(start + kernel[i] - size[i], 0))
    return list(kernel), list(stride), list(pad), behind, count


def _shares(kernel: int, stride: int, pad: int, size: int, count: int) -> np.ndarray:
    """Return, for each window along an axis, its length over the length that Caffe divides by.

    Caffe counts the padding that the user asked for, on both sides, but not what lies beyond that.
    """
    start = np.arange(count) * stride - pad
    return kernel / (np.minimum(start + kernel, size + pad) - start)


def pooling(graph: Graph, layer: Layer, x: str) -> str:
    """Add a MaxPool, or an AveragePool with a factor for windows that extend beyond the border."""
    param = layer.param.pooling_param
    if param.pool not in (param.MAX, param.AVE):
        raise layer.refuse("stochastic pooling cannot be exported")
    kernel, stride, front, behind, count = _windows(layer)
    if param.pool == param.MAX:
        # Padding is never the maximum, so its size does not matter.
        return graph.node(
            "MaxPool", [x], layer.name, kernel_shape=kernel, strides=stride, pads=[*front, *behind]
        )
    if any([*front, *behind]):
        ends = graph.integers(f"{layer.name}.pads", [0, 0, *front, 0, 0, *behind])
        x = graph.node("Pad", [x, ends], f"{layer.name}.padded")
    x = graph.node("AveragePool", [x], layer.name, kernel_shape=kernel, strides=stride)
    rows, columns = (_shares(kernel[i], stride[i], front[i], layer.bottom[2 + i], count[i]) for i in range(2))
    factor = np.outer(rows, columns)
    if (factor != 1).any():
        x = graph.node("Mul", [x, graph.constant(f"{layer.name}.factor", factor)], f"{layer.name}.whole")
    return x
