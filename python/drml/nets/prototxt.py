"""Prototxt files: reads and writes nets and solvers as messages, and finds the settings of data layers."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import PROTOTXT_BYTES, read_text
from drml.io.shipped import find_program
from drml.nets.pycaffe import fatal_line, messages, new_message

DATA_PARAMS = (
    "data_param",
    "multi_label_data_param",
    "image_data_param",
    "hdf5_data_param",
    "window_data_param",
)
"""The layer parameters whose field `source` names the data of a layer."""

_PYTHON_LAYERS = "CAFFE_PYTHON_LAYERS"


def read_prototxt(path: str | Path, kind: str = "NetParameter") -> Any:
    """Read a prototxt file. Nets in an old form (``layers``) are upgraded, those inside a solver as well.

    Parameters
    ----------
    path : path-like
    kind : str
        Caffe's name of the message: ``NetParameter`` or ``SolverParameter``.

    Returns
    -------
    message

    Raises
    ------
    UserError
        The file is missing, or is not such a message (the error gives line and column); or the net has a
        layer that runs code or overwrites files.
    """
    from google.protobuf import text_format

    message = new_message(kind)
    try:
        text_format.Parse(read_text(path, PROTOTXT_BYTES), message)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a {kind} in prototxt form") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a folder; give the {kind} in it, a prototxt file") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a {kind} in prototxt form") from None
    except text_format.ParseError as error:
        raise UserError(f"{path}: not a {kind}: line {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a {kind} ({error})") from None
    if any(net.layers for net in _nets_in(message)):
        message = _upgrade(path, message)
    for net in _nets_in(message):
        _refuse_foreign_layers(path, net)
    return message


def _nets_in(message: Any) -> Iterator[Any]:
    """Yield a NetParameter itself, or the nets that a SolverParameter holds."""
    if message.DESCRIPTOR.name == "NetParameter":
        yield message
        return
    for field in ("net_param", "train_net_param"):
        if message.HasField(field):
            yield getattr(message, field)
    yield from message.test_net_param


def _upgrade(path: str | Path, message: Any) -> Any:
    """Bring nets in an old form to today's, by Caffe's own programs for that."""
    from google.protobuf import text_format

    kind = message.DESCRIPTOR.name
    name = "upgrade_net_proto_text" if kind == "NetParameter" else "upgrade_solver_proto_text"
    program = find_program(name)
    if program is None:
        raise UserError(
            f"{path}: an old prototxt ('layers'), and {name}, which would upgrade it, is not built"
        )
    with tempfile.TemporaryDirectory() as folder:
        old, new = Path(folder) / "old.prototxt", Path(folder) / "new.prototxt"
        old.write_text(prototxt_text(message), encoding="utf-8")
        done = subprocess.run([program, old, new], capture_output=True, text=True, check=False)
        upgraded = new_message(kind)
        if done.returncode == 0:
            text_format.Parse(read_text(new, PROTOTXT_BYTES), upgraded)
    if done.returncode != 0:
        raise UserError(
            f"{path}: an old prototxt ('layers'), which {name} cannot upgrade: {fatal_line(done.stderr)}"
        )
    return upgraded


def _refuse_foreign_layers(path: str | Path, net: Any) -> None:
    """Refuse layers that run code or write files that the prototxt names."""
    for layer in net.layer:
        if layer.type == "Python" and os.environ.get(_PYTHON_LAYERS) != "1":
            raise UserError(
                f"{path}: layer '{layer.name}' of the type Python imports and runs the module that it names;"
                f" remove it, or set {_PYTHON_LAYERS}=1 if you trust whoever wrote this net"
            )
    outputs = [layer for layer in net.layer if layer.type == "HDF5Output"]
    if outputs:
        raise UserError(
            f"{path}: layer '{outputs[0].name}' of the type HDF5Output overwrites the file that it names;"
            " remove it from the net, or run it with caffe itself"
        )


def prototxt_text(message: Any) -> str:
    """Return the text of a prototxt file with this message."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(message)
    return text


def write_prototxt(message: Any, path: str | Path) -> None:
    """Write a message as a prototxt file; it appears whole or not at all."""
    with writing(path, encoding="utf-8") as file:
        file.write(prototxt_text(message))


@dataclass
class DataPath:
    """A file or folder that a net reads.

    Attributes
    ----------
    layer : str
        Name of the layer that reads it.
    holder : message
        The layer parameter that names it.
    field : str
        The field of `holder`.
    """

    layer: str
    holder: Any
    field: str

    @property
    def path(self) -> str:
        """The path as it stands in the net."""
        return str(getattr(self.holder, self.field))

    @path.setter
    def path(self, value: str | Path) -> None:
        setattr(self.holder, self.field, str(value))


def data_paths(net: Any) -> list[DataPath]:
    """List the paths in a NetParameter: each data layer's `source` and each transform's `mean_file`."""
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
    """Return the batch size of the first data layer of a NetParameter in `phase`; None if there is none."""
    wanted = messages().Phase.Value(phase)
    for layer in net.layer:
        for name in DATA_PARAMS:
            if layer.HasField(name) and not any(
                rule.HasField("phase") and rule.phase != wanted for rule in layer.include
            ):
                return int(getattr(layer, name).batch_size)
    return None


def set_batch_size(net: Any, batch: int, phase: str = "TRAIN") -> None:
    """Give the data layers of a NetParameter in `phase` another batch size.

    Raises
    ------
    UserError
        The net has no data layer with a batch size in that phase.
    """
    wanted = messages().Phase.Value(phase)
    changed = False
    for layer in net.layer:
        for name in DATA_PARAMS:
            if layer.HasField(name) and not any(
                rule.HasField("phase") and rule.phase != wanted for rule in layer.include
            ):
                getattr(layer, name).batch_size = batch
                changed = True
    if not changed:
        raise UserError(f"net {net.name}: no data layer with a batch size in phase {phase}")


@dataclass(frozen=True)
class Transform:
    """What the data layer of a net does to an image.

    Attributes
    ----------
    scale : float
        Factor of the pixels after the mean is subtracted.
    crop_size : int
        Side of the part of the image that the net sees; 0 for the whole image.
    mean_value : tuple of float
        The mean, one value for all channels or one for each; empty if there is none.
    mean_file : str
        The mean image (.binaryproto); empty if there is none.
    """

    scale: float = 1.0
    crop_size: int = 0
    mean_value: tuple[float, ...] = ()
    mean_file: str = ""


def transform_of(net: Any, phase: str = "TEST") -> Transform | None:
    """Return the transform of the data layer of a NetParameter.

    The data layer of `phase` counts first, then any other. If it sets no transform, the result is one that
    changes nothing; if there is no data layer, None.
    """
    wanted = messages().Phase.Value(phase)
    fields = ["transform_param", *DATA_PARAMS]
    layers = [
        layer
        for layer in net.layer
        if any(name in layer.DESCRIPTOR.fields_by_name and layer.HasField(name) for name in fields)
    ]
    # A layer without a phase rule runs in both phases. Weights files name the phase in `phase`, not in a
    # rule.
    layers.sort(
        key=lambda layer: (
            any(rule.HasField("phase") and rule.phase != wanted for rule in layer.include)
            or (layer.HasField("phase") and layer.phase != wanted)
        )
    )
    if not layers:
        return None
    param = layers[0].transform_param
    # Caffe stores float32: 1/60 comes back as 0.016666668, the value that the net was trained with.
    return Transform(param.scale, param.crop_size, tuple(param.mean_value), param.mean_file)
