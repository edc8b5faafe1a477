"""Facial action unit detection with DRML on Caffe: data sets, scores, reports."""

__version__ = "0.1.0"
