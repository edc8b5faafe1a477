"""Detects faces and their AUs in photos, videos and webcams: tables with OpenFace's columns, and pictures.

`Detector` joins the steps: `sources` lists the inputs, `frames` reads them, `video_search` finds the faces of
videos, `tracking` gives them ids, `pipeline` runs these steps and the net as a stream, and `table` makes rows
of the result.
`writing` writes them to files for ``drml detect``, with `csv_file`, `drawing`, `pictures` and `outputs`.
"""

from drml.detect.detector import Detector
from drml.detect.outputs import DetectionSummary, Outputs
from drml.detect.writing import write_detections

__all__ = ["DetectionSummary", "Detector", "Outputs", "write_detections"]
