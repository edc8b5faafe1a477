"""Caffe's ``Datum`` and ``BlobProto`` messages, for preparing data sets where Caffe is not built.

The messages are declared in a separate descriptor pool, so they do not conflict with those that
``import caffe`` registers. A test compares the two field by field.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto

# name, number, type, repeated (and packed, if the type allows it)
_DATUM = [
    ("channels", 1, _Field.TYPE_INT32, False),
    ("height", 2, _Field.TYPE_INT32, False),
    ("width", 3, _Field.TYPE_INT32, False),
    ("data", 4, _Field.TYPE_BYTES, False),
    ("label", 5, _Field.TYPE_INT32, False),
    ("float_data", 6, _Field.TYPE_FLOAT, True),
    ("encoded", 7, _Field.TYPE_BOOL, False),
    ("labels", 1000, _Field.TYPE_SINT32, True),
]
_BLOB_PROTO = [
    ("num", 1, _Field.TYPE_INT32, False),
    ("channels", 2, _Field.TYPE_INT32, False),
    ("height", 3, _Field.TYPE_INT32, False),
    ("width", 4, _Field.TYPE_INT32, False),
    ("data", 5, _Field.TYPE_FLOAT, True),
]
# Upstream declares Datum.float_data without [packed]; the others are packed.
_UNPACKED = {("Datum", "float_data")}


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="drml_messages.proto", package="caffe", syntax="proto2")
    for name, fields in (("Datum", _DATUM), ("BlobProto", _BLOB_PROTO)):
        message = file.message_type.add(name=name)
        for field_name, number, kind, repeated in fields:
            field = message.field.add(
                name=field_name,
                number=number,
                type=kind,
                label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            )
            if repeated and (name, field_name) not in _UNPACKED:
                field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in ("Datum", "BlobProto")
    }


_messages = _declare()
Datum: Any = _messages["Datum"]
BlobProto: Any = _messages["BlobProto"]
