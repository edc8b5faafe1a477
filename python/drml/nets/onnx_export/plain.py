"""Layers that ONNX has in much the same form as Caffe: Convolution, InnerProduct, ReLU, Sigmoid, Dropout."""

from __future__ import annotations

from drml.nets.onnx_export.graph import Graph, Layer, pair

__all__ = ["convolution", "dropout", "inner_product", "relu", "sigmoid"]


def convolution(graph: Graph, layer: Layer, x: str) -> str:
    """Add a Conv: both pad with zeros and round the size of the output down."""
    layer.map_size()
    param = layer.param.convolution_param
    if param.axis != 1:
        raise layer.refuse(f"axis {param.axis}; only axis 1 can be exported")
    weight = layer.blobs[0]
    pad = pair(param, "pad", 0)
    inputs = [x, graph.constant(f"{layer.name}.weight", weight)]
    if param.bias_term:
        inputs.append(graph.constant(f"{layer.name}.bias", layer.blobs[1].ravel()))
    return graph.node(
        "Conv",
        inputs,
        layer.name,
        kernel_shape=weight.shape[2:],
        strides=pair(param, "stride", 1),
        pads=[*pad, *pad],
        dilations=pair(param, "dilation", 1),
        group=param.group,
    )


def inner_product(graph: Graph, layer: Layer, x: str) -> str:
    """Add a Gemm, with a Flatten before it if the bottom is a map."""
    param = layer.param.inner_product_param
    if param.axis != 1:
        raise layer.refuse(f"axis {param.axis}; only axis 1 can be exported")
    if len(layer.bottom) != 2:
        x = graph.node("Flatten", [x], f"{layer.name}.flat", axis=1)
    inputs = [x, graph.constant(f"{layer.name}.weight", layer.blobs[0])]
    if param.bias_term:
        inputs.append(graph.constant(f"{layer.name}.bias", layer.blobs[1].ravel()))
    # Caffe's weight is outputs x inputs, unless `transpose` is set.
    return graph.node("Gemm", inputs, layer.name, transB=0 if param.transpose else 1)


def relu(graph: Graph, layer: Layer, x: str) -> str:
    """Add a Relu, or a LeakyRelu for a negative_slope."""
    slope = layer.param.relu_param.negative_slope
    if slope:
        return graph.node("LeakyRelu", [x], layer.name, alpha=slope)
    return graph.node("Relu", [x], layer.name)


def sigmoid(graph: Graph, layer: Layer, x: str) -> str:
    """Add a Sigmoid."""
    return graph.node("Sigmoid", [x], layer.name)


def dropout(graph: Graph, layer: Layer, x: str) -> str:
    """Add nothing: Caffe scales in TRAIN, and in TEST the layer passes its input on."""
    return x
