"""LocallyConnected: at each position, the product of its window with its own weights.

The map is transposed to H x W x N x C, so that the rows of a window are contiguous in memory. Windows are
gathered by shifted slices, first along the width, then along the height (k_w + k_h slices, where slices for
both at once would be k_w k_h); one batched MatMul then reads every weight once.
"""

from __future__ import annotations

from drml.nets.onnx_export.graph import Graph, Layer, pair

__all__ = ["locally_connected"]


def _gather(graph: Graph, x: str, axis: int, kernel: int, stride: int, count: int, name: str) -> str:
    """Concatenate `kernel` neighbours along `axis` in the last axis, at `count` positions."""
    axes, steps = graph.integers(f"{name}.axis", [axis]), graph.integers(f"{name}.stride", [stride])
    slices = []
    for tap in range(kernel):
        start = graph.integers(f"{name}.start{tap}", [tap])
        end = graph.integers(f"{name}.end{tap}", [tap + stride * (count - 1) + 1])
        slices.append(graph.node("Slice", [x, start, end, axes, steps], f"{name}.tap{tap}"))
    return graph.node("Concat", slices, f"{name}.taps", axis=-1)


def locally_connected(graph: Graph, layer: Layer, x: str) -> str:
    """Add Transpose, Pad, slices, MatMul, Add and Transpose."""
    layer.map_size()
    param, name = layer.param.convolution_param, layer.name
    weight = layer.blobs[0]  # H' x W' x C x kernel_h x kernel_w x outputs
    rows, columns, channels, kernel_h, kernel_w, outputs = weight.shape
    stride, pad = pair(param, "stride", 1), pair(param, "pad", 0)
    x = graph.node("Transpose", [x], f"{name}.last", perm=[2, 3, 0, 1])
    if any(pad):
        ends = graph.integers(f"{name}.pads", [*pad, 0, 0, *pad, 0, 0])
        x = graph.node("Pad", [x, ends], f"{name}.padded")
    x = _gather(graph, x, 1, kernel_w, stride[1], columns, f"{name}.width")
    x = _gather(graph, x, 0, kernel_h, stride[0], rows, f"{name}.height")
    # The taps are now ordered by row, column and channel.
    taps = weight.transpose(0, 1, 3, 4, 2, 5).reshape(rows, columns, kernel_h * kernel_w * channels, outputs)
    x = graph.node("MatMul", [x, graph.constant(f"{name}.weight", taps)], f"{name}.products")
    if param.bias_term:
        bias = layer.blobs[1].transpose(1, 2, 0)[:, :, None, :]  # of outputs x H' x W'
        x = graph.node("Add", [x, graph.constant(f"{name}.bias", bias)], f"{name}.sums")
    return graph.node("Transpose", [x], name, perm=[2, 3, 0, 1])
