"""Caffe's ``Datum`` and ``BlobProto`` and our ``Recipe``, for programs that run where Caffe is not built.

The messages are declared in a separate descriptor pool, so they do not conflict with those that
``import caffe`` registers. A test compares the two field by field.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from numpy.typing import NDArray

__all__ = ["BlobProto", "Datum", "Recipe", "array_of_blob", "blob_of_array"]

_Field = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED

# Message -> name, number and label of each field, and its type or the message that it holds.
_MESSAGES: dict[str, list[tuple[str, int, int, int | str]]] = {
    "Datum": [
        ("channels", 1, _ONE, _Field.TYPE_INT32),
        ("height", 2, _ONE, _Field.TYPE_INT32),
        ("width", 3, _ONE, _Field.TYPE_INT32),
        ("data", 4, _ONE, _Field.TYPE_BYTES),
        ("label", 5, _ONE, _Field.TYPE_INT32),
        ("float_data", 6, _MANY, _Field.TYPE_FLOAT),
        ("encoded", 7, _ONE, _Field.TYPE_BOOL),
        ("labels", 1000, _MANY, _Field.TYPE_SINT32),
    ],
    "BlobProto": [
        ("num", 1, _ONE, _Field.TYPE_INT32),
        ("channels", 2, _ONE, _Field.TYPE_INT32),
        ("height", 3, _ONE, _Field.TYPE_INT32),
        ("width", 4, _ONE, _Field.TYPE_INT32),
        ("data", 5, _MANY, _Field.TYPE_FLOAT),
        ("shape", 7, _ONE, "BlobShape"),
    ],
    "BlobShape": [
        ("dim", 1, _MANY, _Field.TYPE_INT64),
    ],
    "Recipe": [
        ("au", 1, _MANY, _Field.TYPE_UINT32),
        ("labels", 2, _ONE, _Field.TYPE_STRING),
        ("threshold", 3, _MANY, _Field.TYPE_FLOAT),
        ("threshold_data", 4, _ONE, _Field.TYPE_STRING),
        ("input", 5, _ONE, "InputRecipe"),
        ("registration", 6, _ONE, "RegistrationRecipe"),
        ("data", 7, _ONE, "DataRecipe"),
        ("training", 8, _ONE, "TrainingRecipe"),
        ("program", 9, _MANY, _Field.TYPE_STRING),
        ("intensity_au", 10, _MANY, _Field.TYPE_UINT32),
    ],
    "InputRecipe": [
        ("channels", 1, _ONE, _Field.TYPE_STRING),
        ("face_size", 2, _ONE, _Field.TYPE_UINT32),
        ("crop_size", 3, _ONE, _Field.TYPE_UINT32),
        ("scale", 4, _ONE, _Field.TYPE_FLOAT),
        ("mean_value", 5, _MANY, _Field.TYPE_FLOAT),
        ("mean", 6, _ONE, "BlobProto"),
    ],
    "RegistrationRecipe": [
        ("points", 1, _ONE, _Field.TYPE_STRING),
        ("detector", 2, _ONE, _Field.TYPE_STRING),
        ("target", 3, _MANY, _Field.TYPE_FLOAT),
        ("detector_target", 4, _MANY, _Field.TYPE_FLOAT),
    ],
    "DataRecipe": [
        ("name", 1, _ONE, _Field.TYPE_STRING),
        ("split", 2, _ONE, _Field.TYPE_STRING),
        ("digest", 3, _ONE, _Field.TYPE_STRING),
        ("records", 4, _ONE, _Field.TYPE_UINT64),
        ("sampling", 5, _ONE, _Field.TYPE_STRING),
    ],
    "TrainingRecipe": [
        ("iterations", 1, _ONE, _Field.TYPE_UINT32),
        ("images", 2, _ONE, _Field.TYPE_UINT64),
        ("solver", 3, _ONE, _Field.TYPE_STRING),
        ("start", 4, _ONE, _Field.TYPE_STRING),
    ],
}
_DEFAULTS = {("InputRecipe", "channels"): "BGR", ("InputRecipe", "scale"): "1"}
# Upstream declares Datum.float_data without [packed]; all other lists of numbers are packed.
_UNPACKED = {("Datum", "float_data"), ("Recipe", "program")}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="drml_messages.proto", package="caffe", syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, label, kind in fields:
            field = message.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                field.type = kind
            if label == _MANY and (name, field_name) not in _UNPACKED:
                field.options.packed = True
            if (name, field_name) in _DEFAULTS:
                field.default_value = _DEFAULTS[name, field_name]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in _MESSAGES
    }


_messages = _declare()
Datum: Any = _messages["Datum"]
BlobProto: Any = _messages["BlobProto"]
Recipe: Any = _messages["Recipe"]


def blob_of_array(array: NDArray[np.float32]) -> Any:
    """Return an array, C x H x W, as the ``BlobProto`` of a mean image."""
    channels, height, width = array.shape
    blob = BlobProto(num=1, channels=channels, height=height, width=width)
    blob.data.extend(np.asarray(array, np.float32).ravel().tolist())
    return blob


def array_of_blob(blob: Any) -> NDArray[np.float32]:
    """Return the ``BlobProto`` of a mean image as an array of float32, C x H x W.

    Raises
    ------
    ValueError
        The number of values is not that of the shape, or there are several images.
    """
    whole = (blob.num, blob.channels, blob.height, blob.width)
    if blob.HasField("shape"):
        dim = tuple(blob.shape.dim)
        whole = dim if len(dim) == 4 else (1, *dim)
    count = len(blob.data)
    if len(whole) != 4 or whole[0] != 1 or min(whole) < 1 or count != math.prod(whole):
        raise ValueError(f"{count} values for {' x '.join(map(str, whole))}")
    return np.array(blob.data, np.float32).reshape(whole[1:])
