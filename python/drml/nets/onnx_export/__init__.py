"""Exports Caffe's deploy nets as ONNX files that use standard operators only.

`graph` collects nodes and constants; `plain`, `pooling`, `lrn`, `region` and `local` add those of a layer,
and `layers` lists them by type. `build` makes the graph of a net, `files` writes it as a file, and `compare`
compares its results with Caffe's. `drml.nets.onnx_net` runs the files without Caffe.
"""

from drml.nets.onnx_export.files import Exported, export

__all__ = ["Exported", "export"]
