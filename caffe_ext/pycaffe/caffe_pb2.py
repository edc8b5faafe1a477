"""Caffe's protocol buffer messages, built from the descriptor that the build leaves beside this file.

A descriptor loads with every protobuf runtime since 4.21; the Python code that a distribution's protoc
generates loads only with the runtimes of its own time.
"""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import builder

_files = descriptor_pb2.FileDescriptorSet.FromString(Path(__file__).with_name("caffe.desc").read_bytes())
DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(_files.file[0].SerializeToString())
builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, "caffe.proto.caffe_pb2", globals())
