"""Caffe's deploy nets as ONNX files, of standard operators alone.

`graph` holds nodes and constants as they come; `plain`, `pooling`, `lrn`, `region` and `local` add those of a
layer, and `layers` lists them by type. `files` goes from files to the file, `compare` holds it against Caffe.
What runs the files, and reads what they say of themselves, is `drml.nets.onnx_net`, which needs no Caffe.
"""

from drml.nets.onnx_export.files import Exported, export

__all__ = ["Exported", "export"]
