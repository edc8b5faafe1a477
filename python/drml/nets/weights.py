"""Weights files, .caffemodel and .h5: reads their shapes and blobs, and checks that they fit a net.

Caffe aborts the whole process if weights do not fit, so they are checked here first.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import PROTO_BYTES, read_bytes
from drml.nets.prototxt import Transform, transform_of
from drml.nets.pycaffe import new_message
from drml.nets.shapes import Shape, shape_text


class _OldShape(tuple[int, ...]):
    """The four axes that old files have for every blob; smaller blobs have leading axes of length 1."""


@dataclass(frozen=True)
class WeightsFile:
    """The content of a weights file, without the values.

    Attributes
    ----------
    shapes : dict
        Name of a layer -> shapes of its blobs.
    transform : Transform or None
        The transform of the training. A .caffemodel has it, because it contains the net that was trained; an
        .h5 has not.
    """

    shapes: dict[str, list[Shape]]
    transform: Transform | None


def read_weights(path: str | Path) -> WeightsFile:
    """Read the shapes in a .caffemodel or .h5 file; like Caffe, it goes by the content, not by the name.

    Raises
    ------
    UserError
        The file is missing or damaged, or a blob has another number of values than its shape says.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"{path}: no such weights file; give a .caffemodel or .h5, or the folder of a training"
        )
    if hdf5.is_hdf5(path):
        return WeightsFile(_shapes_in_hdf5(path), None)
    net = read_caffemodel(path)
    shapes: dict[str, list[Shape]] = {}
    for layer in [*net.layers, *net.layer]:
        if layer.blobs:
            if layer.name in shapes:
                raise UserError(f"{path}: two layers are named '{layer.name}'; give whole weights")
            shapes[layer.name] = [_shape_in_proto(blob) for blob in layer.blobs]
            for index, (blob, shape) in enumerate(zip(layer.blobs, shapes[layer.name], strict=True)):
                count = len(blob.data) or len(blob.double_data)
                if math.prod(shape) != count or min(shape, default=0) < 0:
                    raise UserError(
                        f"{path}: blob {index} of layer '{layer.name}' is {shape_text(shape)}"
                        f" with {count} values; damaged; give whole weights"
                    )
    if not shapes:
        raise UserError(f"{path}: holds no weights; give the .caffemodel of a snapshot, not a .solverstate")
    return WeightsFile(shapes, transform_of(net, "TRAIN"))


def read_blob(path: str | Path, layer: str, index: int = 0) -> NDArray[np.float32]:
    """Read a blob of a layer from a .caffemodel or .h5 file.

    Parameters
    ----------
    path : path-like
    layer : str
        Name of the layer.
    index : int
        Number of the blob: 0 for the weights, 1 for the biases of most layers.

    Returns
    -------
    ndarray of float32

    Raises
    ------
    UserError
        The file is missing or damaged, or has no such blob.
    """
    import h5py

    path = Path(path)
    shapes = read_weights(path).shapes.get(layer, [])
    if index >= len(shapes):
        raise UserError(f"{path}: no blob {index} of layer '{layer}'; give the weights of this net")
    if hdf5.is_hdf5(path):
        with h5py.File(path) as file:
            return np.asarray(hdf5.read_set(hdf5.child(file, f"data/{layer}/{index}")), np.float32)
    net = read_caffemodel(path)
    (blob,) = [one.blobs[index] for one in [*net.layers, *net.layer] if one.name == layer and one.blobs]
    return np.array(blob.data or blob.double_data, np.float32).reshape(shapes[index])


def read_caffemodel(path: str | Path) -> Any:
    """Read a .caffemodel: a NetParameter with the blobs of its layers.

    Raises
    ------
    UserError
        The file is missing, cut short or not a .caffemodel.
    """
    from google.protobuf.message import DecodeError

    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights file; give a .caffemodel")
    if hdf5.is_hdf5(Path(path)):
        raise UserError(f"{path}: HDF5 weights; give a .caffemodel (snapshot_format: BINARYPROTO)")
    net = new_message("NetParameter")
    try:
        net.ParseFromString(read_bytes(path, PROTO_BYTES))
    except DecodeError:
        raise UserError(f"{path}: not a .caffemodel, or cut short; give whole weights") from None
    return net


def _shape_in_proto(blob: Any) -> Shape:
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return _OldShape((blob.num, blob.channels, blob.height, blob.width))
    return tuple(blob.shape.dim)


def _shapes_in_hdf5(path: Path) -> dict[str, list[Shape]]:
    import h5py

    try:
        with h5py.File(path) as file:
            if "data" not in file or not isinstance(group := hdf5.child(file, "data"), h5py.Group):
                raise UserError(f"{path}: no group 'data'; give weights that Caffe wrote")
            shapes = {}
            for name in group:
                layer = hdf5.child(group, name)
                blobs = sorted((key for key in layer if re.fullmatch("[0-9]{1,3}", key)), key=int)
                if blobs:
                    shapes[name] = [hdf5.shape(hdf5.child(layer, key)) for key in blobs]
            return shapes
    except UserError:
        raise
    except Exception as error:  # HDF5's library and its binding raise many types
        raise UserError(f"{path}: damaged or cut short HDF5 file ({error})") from None


def _same_shape(stored: Shape, needed: Shape) -> bool:
    if isinstance(stored, _OldShape):
        return tuple(stored) == (1,) * (4 - len(needed)) + needed
    return stored == needed


def check_weights(
    path: str | Path, stored: dict[str, list[Shape]], deploy: str | Path, needed: dict[str, list[Shape]]
) -> None:
    """Check that weights fit a net.

    Parameters
    ----------
    path, deploy : path-like
        The files of the weights and of the net, for error messages.
    stored, needed : dict
        Name of a layer -> shapes of its blobs, in the weights and in the net.

    Raises
    ------
    UserError
        A layer is missing on one side, or has other shapes.
    """
    way_out = "give the weights of this net"
    for name, shapes in needed.items():
        if name not in stored:
            raise UserError(
                f"{path}: no weights for layer '{name}' ({', '.join(map(shape_text, shapes))})"
                f" of {deploy}; it has {', '.join(stored)}; {way_out}"
            )
        if len(stored[name]) != len(shapes):
            raise UserError(
                f"{path}: layer '{name}' has {len(stored[name])} blobs"
                f" ({', '.join(map(shape_text, stored[name]))}),"
                f" {deploy} needs {len(shapes)} ({', '.join(map(shape_text, shapes))}); {way_out}"
            )
        for index, (have, need) in enumerate(zip(stored[name], shapes, strict=True)):
            if not _same_shape(have, need):
                raise UserError(
                    f"{path}: layer '{name}' has shape {shape_text(have)} in blob {index},"
                    f" {deploy} needs {shape_text(need)}; {way_out}"
                )
    for name in stored:
        if name not in needed:
            raise UserError(
                f"{path}: layer '{name}' ({', '.join(map(shape_text, stored[name]))}) is not in {deploy},"
                f" which has {', '.join(needed)}; {way_out}"
            )
