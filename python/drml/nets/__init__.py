"""Nets: prototxt and weights files, running nets in Caffe or ONNX Runtime, and converting them."""
