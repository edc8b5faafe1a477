"""An ONNX graph under construction, and a Caffe layer as the converters take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from drml.io.errors import UserError

__all__ = ["BATCH", "OPSET", "Converter", "Graph", "Layer", "pair"]

OPSET = 17
BATCH = "N"
# The first version of the format with this opset: newer runtimes can run it, older ones cannot.
_IR_VERSION = 8


@dataclass(frozen=True)
class Layer:
    """A layer of a Caffe net.

    Attributes
    ----------
    name, type : str
    param : LayerParameter
    bottom : tuple of int
        Shape of its one bottom; the first axis is the batch of the deploy net.
    top : tuple of int
        Shape of its one top.
    blobs : list of ndarray of float32
    """

    name: str
    type: str
    param: Any
    bottom: tuple[int, ...]
    top: tuple[int, ...]
    blobs: list[NDArray[np.float32]]

    def refuse(self, why: str) -> UserError:
        """Return the error for something in this layer that cannot be exported."""
        return UserError(f"layer '{self.name}' of type {self.type}: {why}")

    def map_size(self) -> tuple[int, int]:
        """Return height and width of the bottom, which must be N x C x H x W."""
        if len(self.bottom) != 4:
            raise self.refuse(f"has a bottom of {len(self.bottom)} axes; only N x C x H x W can be exported")
        return self.bottom[2], self.bottom[3]


class Graph:
    """Nodes and constants; every tensor gets a unique name.

    Parameters
    ----------
    input_name : str
    reserved : sequence of str
        Names that no tensor gets, except by `rename`.
    """

    def __init__(self, input_name: str, reserved: Sequence[str] = ()) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._taken = {input_name, *reserved}

    def _free(self, name: str) -> str:
        free, count = name, 1
        while free in self._taken:
            free, count = f"{name}_{count}", count + 1
        self._taken.add(free)
        return free

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        """Add a constant and return its name: `name`, with a number if it is taken."""
        name = self._free(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), name))
        return name

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Add a list of whole numbers, such as a shape."""
        return self.constant(name, values, np.int64)

    def nodes_of(
        self, operator: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return their names."""
        outputs = [self._free(name) for name in names]
        self.nodes.append(helper.make_node(operator, list(inputs), outputs, name=outputs[0], **attributes))
        return outputs

    def node(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Add a node with one output and return its name: `name`, with a number if it is taken."""
        return self.nodes_of(operator, inputs, [name], **attributes)[0]

    def rename(self, old: str, new: str) -> None:
        """Give the output of a node a reserved name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new

    def model(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.ModelProto:
        """Return the graph as a model.

        Parameters
        ----------
        name : str
        inputs, outputs : sequence of (name, shape, description)
            The first axis of the shape is `BATCH`.
        """

        def described(side: Sequence[Any]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(tensor, TensorProto.FLOAT, shape, doc_string=what)
                for tensor, shape, what in side
            ]

        graph = helper.make_graph(self.nodes, name, described(inputs), described(outputs))
        graph.initializer.extend(self.constants)
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION
        )


# Takes the name of the input tensor, adds the nodes of the layer, and returns the name of the output tensor.
Converter = Callable[[Graph, Layer, str], str]


def pair(param: Any, name: str, default: int) -> tuple[int, int]:
    """Return a size that Caffe's parameters give as `name`_h and `name`_w, or as `name` for both axes.

    Parameters
    ----------
    param : ConvolutionParameter or PoolingParameter
    name : str
        ``kernel``, ``stride``, ``pad``, ``dilation``.
    default : int
        The value if none is set.
    """
    fields = param.DESCRIPTOR.fields_by_name
    axes = (f"{name}_h", f"{name}_w")
    if all(axis in fields for axis in axes) and any(param.HasField(axis) for axis in axes):
        return getattr(param, axes[0]), getattr(param, axes[1])
    both = getattr(param, "kernel_size" if name == "kernel" else name)
    # Some messages have one value, others a list.
    values = [both] if isinstance(both, int) else list(both)
    if not values:
        return default, default
    return values[0], values[-1]
