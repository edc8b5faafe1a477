"""The layers that can be exported, by Caffe's name of the type."""

from __future__ import annotations

from drml.nets.onnx_export.graph import Converter
from drml.nets.onnx_export.local import locally_connected
from drml.nets.onnx_export.lrn import lrn
from drml.nets.onnx_export.plain import convolution, dropout, inner_product, relu, sigmoid
from drml.nets.onnx_export.pooling import pooling
from drml.nets.onnx_export.region import region

__all__ = ["CONVERTERS"]

CONVERTERS: dict[str, Converter] = {
    "Convolution": convolution,
    "Dropout": dropout,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "LocallyConnected": locally_connected,
    "Pooling": pooling,
    "ReLU": relu,
    "Region": region,
    "Sigmoid": sigmoid,
}
