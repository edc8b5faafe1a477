"""Nets: prototxts, weights, running them in Caffe or ONNX Runtime, and turning them into other forms."""
