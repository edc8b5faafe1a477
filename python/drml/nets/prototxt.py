"""Prototxt files: reading and writing nets and solvers as messages, and what their data layers say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.io.limits import PROTOTXT_BYTES, read_text
from drml.nets.pycaffe import messages, new_message

DATA_PARAMS = (
    "data_param",
    "multi_label_data_param",
    "image_data_param",
    "hdf5_data_param",
    "window_data_param",
)
"""Layer parameters that name the data of a layer in a field `source`."""

_PYTHON_LAYERS = "CAFFE_PYTHON_LAYERS"


def read_prototxt(path: str | Path, kind: str = "NetParameter") -> Any:
    """Read a text message of Caffe: ``NetParameter``, ``SolverParameter``.

    Raises
    ------
    UserError
        The file is missing, or is not such a text; names line and column.
    """
    from google.protobuf import text_format

    message = new_message(kind)
    try:
        text_format.Parse(read_text(path, PROTOTXT_BYTES), message)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a {kind} in prototxt form") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a {kind} in prototxt form") from None
    except text_format.ParseError as error:
        raise UserError(f"{path}: not a {kind}: line {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a {kind} ({error})") from None
    if kind == "NetParameter":
        _refuse_foreign_layers(path, message)
    return message


def _refuse_foreign_layers(path: str | Path, net: Any) -> None:
    """Refuse layers that run code, or write files, of whose names the net decides."""
    for layer in net.layer:
        if layer.type == "Python" and os.environ.get(_PYTHON_LAYERS) != "1":
            raise UserError(
                f"{path}: layer '{layer.name}' of the type Python imports and runs the module that it names;"
                f" remove it, or set {_PYTHON_LAYERS}=1 if you trust whoever wrote this net"
            )
    outputs = [layer for layer in net.layer if layer.type == "HDF5Output"]
    outputs += [layer for layer in net.layers if layer.type == layer.HDF5_OUTPUT]
    if outputs:
        raise UserError(
            f"{path}: layer '{outputs[0].name}' of the type HDF5Output overwrites the file that it names;"
            " remove it from the net, or run it with caffe itself"
        )


def prototxt_text(message: Any) -> str:
    """Return a message as the text of a prototxt file."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(message)
    return text


def write_prototxt(message: Any, path: str | Path) -> None:
    """Write a message as text."""
    Path(path).write_text(prototxt_text(message), encoding="utf-8")


@dataclass
class DataPath:
    """A file or folder that a net reads: field `field` of `holder`, in the layer named `layer`."""

    layer: str
    holder: Any
    field: str

    @property
    def path(self) -> str:
        """What the net says now."""
        return str(getattr(self.holder, self.field))

    @path.setter
    def path(self, value: str | Path) -> None:
        setattr(self.holder, self.field, str(value))


def data_paths(net: Any) -> list[DataPath]:
    """List the paths in a NetParameter: each data layer's `source`, each transform's `mean_file`."""
    found = []
    for layer in net.layer:
        holders = [(name, "source") for name in DATA_PARAMS]
        holders += [("transform_param", "mean_file"), ("data_param", "mean_file")]
        for name, field in holders:
            if name in layer.DESCRIPTOR.fields_by_name and layer.HasField(name):
                holder = getattr(layer, name)
                if getattr(holder, field, ""):
                    found.append(DataPath(layer.name, holder, field))
    return found


def batch_size(net: Any, phase: str = "TRAIN") -> int | None:
    """Return how many pictures the first data layer of a NetParameter in `phase` gives at once, if any."""
    wanted = messages().Phase.Value(phase)
    for layer in net.layer:
        for name in DATA_PARAMS:
            if layer.HasField(name) and not any(
                rule.HasField("phase") and rule.phase != wanted for rule in layer.include
            ):
                return int(getattr(layer, name).batch_size)
    return None


@dataclass(frozen=True)
class Transform:
    """What a net's data layer does to a picture before the net sees it."""

    scale: float = 1.0
    crop_size: int = 0
    mean_value: tuple[float, ...] = ()
    mean_file: str = ""


def transform_of(net: Any, phase: str = "TEST") -> Transform | None:
    """Return the transform of a NetParameter's data layer in `phase`; else of any; None without one.

    A data layer that says nothing of a transform has the one that does nothing.
    """
    wanted = messages().Phase.Value(phase)
    fields = ["transform_param", *DATA_PARAMS]
    layers = [
        layer
        for layer in net.layer
        if any(name in layer.DESCRIPTOR.fields_by_name and layer.HasField(name) for name in fields)
    ]
    # A layer without a phase rule runs in both phases. A snapshot says it in `phase`, not in a rule.
    layers.sort(
        key=lambda layer: (
            any(rule.HasField("phase") and rule.phase != wanted for rule in layer.include)
            or (layer.HasField("phase") and layer.phase != wanted)
        )
    )
    if not layers:
        return None
    param = layers[0].transform_param
    # Caffe keeps float32: 1/60 comes back as 0.016666668, which is what the net was trained with.
    return Transform(param.scale, param.crop_size, tuple(param.mean_value), param.mean_file)
