"""Caffe's protocol buffer messages, built from the descriptor that the build leaves beside this file.

A descriptor loads with every protobuf runtime since 4.21; the Python code that a distribution's protoc
generates loads only with the runtimes of its own time.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import builder


def _load(path):
    """Add the descriptors of a file to the pool, and their messages to this module."""
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        added = descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
        builder.BuildMessageAndEnumDescriptors(added, globals())
        builder.BuildTopDescriptorsAndMessages(added, "caffe.proto.caffe_pb2", globals())
    return added


def _field(extension):
    """Let `layer.NAME_param` stand for the extension of that name, as it does for Caffe's own fields."""
    return property(lambda message: message.Extensions[extension])


DESCRIPTOR = _load(Path(__file__).with_name("caffe.desc"))
# The messages of layers in EXTRA_LAYERS: docs/own_layers.md.
for _path in sorted(Path(__file__).with_name("extra").glob("*.desc")):
    for _name, _extension in _load(_path).extensions_by_name.items():
        setattr(globals()[_extension.containing_type.name], _name, _field(_extension))
