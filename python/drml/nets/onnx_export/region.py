"""Region: a batch normalisation, a ReLU and a convolution for each patch of a grid.

If all patches have the same size, they become channels, and the layer becomes one grouped convolution.
Otherwise the map is split, each patch gets its own nodes, and the results are joined. Both compute the same;
docs/onnx.md has the times of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drml.nets.grid import borders
from drml.nets.onnx_export.graph import Graph, Layer

__all__ = ["grouped", "region", "split"]


@dataclass(frozen=True)
class _Region:
    """The parameters of the layer; the normalisation is factor * x + shift."""

    rows: list[int]
    columns: list[int]
    weight: NDArray[np.float32]  # G x outputs x C x k x k
    bias: NDArray[np.float32]  # G x outputs
    norm: tuple[NDArray[np.float64], NDArray[np.float64]] | None  # factor and shift, G x C each
    identity: bool

    @property
    def patches(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def channels(self) -> int:
        return self.weight.shape[2]

    @property
    def outputs(self) -> int:
        return self.weight.shape[1]


def _lengths(size: int, parts: int) -> list[int]:
    """Return the heights of the grid's rows, or the widths of its columns."""
    return np.diff(borders(size, parts)).tolist()


def _read(layer: Layer) -> _Region:
    param = layer.param.region_param
    if param.batch_norm and param.HasField("use_global_stats") and not param.use_global_stats:
        raise layer.refuse(
            "use_global_stats: false normalises by the other images of a batch, but an exported net uses the"
            " running statistics; remove the line"
        )
    height, width = layer.map_size()
    blobs = list(layer.blobs)
    weight = blobs.pop(0)
    bias = blobs.pop(0) if param.bias_term else np.zeros(weight.shape[:2], np.float32)
    norm = None
    if param.batch_norm:
        # As in BatchNorm, the blobs hold sums, and `total` is their weight; it is 0 if nothing was summed
        # yet.
        mean, variance, total = (blobs.pop(0).astype(np.float64) for _ in range(3))
        count = 1 / total.item() if total.item() else 0.0
        scale, shift = blobs if param.affine else (1.0, 0.0)
        factor = scale / np.sqrt(variance * count + param.eps)
        norm = factor, shift - mean * count * factor
    return _Region(
        _lengths(height, param.grid_h),
        _lengths(width, param.grid_w),
        weight,
        bias,
        norm,
        param.identity,
    )


def _network(graph: Graph, layer: Layer, region: _Region, x: str, name: str, patches: slice) -> str:
    """Add the layers of some patches, which are channels of `x`."""
    weight = region.weight[patches].reshape(-1, *region.weight.shape[2:])
    kernel = weight.shape[-1]
    h = x
    if region.norm is not None:
        factor, shift = (values[patches].ravel() for values in region.norm)
        # A 1 x 1 convolution: runtimes fuse it with the ReLU and can keep their own memory layout.
        h = graph.node(
            "Conv",
            [
                h,
                graph.constant(f"{name}.factor", factor[:, None, None, None]),
                graph.constant(f"{name}.shift", shift),
            ],
            f"{name}.norm",
            kernel_shape=[1, 1],
            group=len(factor),
        )
    h = graph.node("Relu", [h], f"{name}.relu")
    constants = [
        graph.constant(f"{name}.weight", weight),
        graph.constant(f"{name}.bias", region.bias[patches].ravel()),
    ]
    h = graph.node(
        "Conv",
        [h, *constants],
        f"{name}.conv",
        kernel_shape=[kernel, kernel],
        pads=[kernel // 2] * 4,
        group=weight.shape[0] // region.outputs,
    )
    return graph.node("Add", [h, x], f"{name}.sum") if region.identity else h


def grouped(graph: Graph, layer: Layer, x: str) -> str:
    """Add the layer with its patches as channels; all patches must have the same size."""
    region = _read(layer)
    name = layer.name
    rows, columns = len(region.rows), len(region.columns)
    height, width = region.rows[0], region.columns[0]

    def reshape(x: str, what: str, *axes: int) -> str:
        # 0 stands for the batch, whatever its size.
        return graph.node(
            "Reshape", [x, graph.integers(f"{name}.{what}.shape", [0, *axes])], f"{name}.{what}"
        )

    def transpose(x: str, what: str, *axes: int) -> str:
        return graph.node("Transpose", [x], f"{name}.{what}", perm=axes)

    # From C, rows, height, columns, width to rows, columns, C, height, width. One axis at a time: two copies
    # of long runs are faster than one of short runs.
    inputs, outputs = region.channels, region.outputs
    x = reshape(x, "bands", inputs, rows, height * columns * width)
    x = transpose(x, "bands_first", 0, 2, 1, 3)
    x = reshape(x, "cells", rows, inputs * height, columns, width)
    x = transpose(x, "cells_first", 0, 1, 3, 2, 4)
    x = reshape(x, "patches", region.patches * inputs, height, width)
    x = _network(graph, layer, region, x, f"{name}.patch", slice(None))
    # And back.
    x = reshape(x, "results", rows, columns, outputs * height, width)
    x = transpose(x, "results_in_bands", 0, 1, 3, 2, 4)
    x = reshape(x, "result_bands", rows, outputs, height * columns * width)
    x = transpose(x, "together", 0, 2, 1, 3)
    return reshape(x, "map", outputs, rows * height, columns * width)


def split(graph: Graph, layer: Layer, x: str) -> str:
    """Add the layer patch by patch."""
    region = _read(layer)
    name = layer.name
    row_sizes = graph.integers(f"{name}.rows", region.rows)
    column_sizes = graph.integers(f"{name}.columns", region.columns)
    cut = [f"{name}.row{i}" for i in range(len(region.rows))]
    joined = []
    for i, row in enumerate(graph.nodes_of("Split", [x, row_sizes], cut, axis=2)):
        cells = [f"{cut[i]}.patch{j}" for j in range(len(region.columns))]
        patches = graph.nodes_of("Split", [row, column_sizes], cells, axis=3)
        first = i * len(region.columns)
        results = [
            _network(graph, layer, region, patch, cells[j], slice(first + j, first + j + 1))
            for j, patch in enumerate(patches)
        ]
        joined.append(graph.node("Concat", results, f"{cut[i]}.joined", axis=3))
    return graph.node("Concat", joined, name, axis=2)


def region(graph: Graph, layer: Layer, x: str) -> str:
    """Add the layer in the fastest form: `grouped` if all patches have the same size, else `split`."""
    param = layer.param.region_param
    height, width = layer.map_size()
    equal = height % param.grid_h == 0 and width % param.grid_w == 0
    return (grouped if equal else split)(graph, layer, x)
