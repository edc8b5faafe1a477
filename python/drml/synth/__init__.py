"""A procedural data set: coloured faces whose action units are known, in BP4D's folder layout.

>>> from drml.synth import Subject, View, render
>>> image, landmarks = render(Subject.draw("M003"), {1: 3.0, 2: 4.0}, View(yaw=5.0))
"""

from drml.synth.bp4d_writer import SynthSummary, subject_names, write_bp4d
from drml.synth.geometry import face_shape, strengths
from drml.synth.identity import Subject
from drml.synth.render import render
from drml.synth.view import View

__all__ = [
    "Subject",
    "SynthSummary",
    "View",
    "face_shape",
    "render",
    "strengths",
    "subject_names",
    "write_bp4d",
]
