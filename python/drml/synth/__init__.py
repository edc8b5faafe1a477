"""Draws synthetic data sets: faces with known action units, in the folder layout of BP4D or DISFA.

`render` draws one frame from three things: a `Subject` (the person, determined by a seed and a name), the
intensities 0 to 5 of the 15 action units, and a `View` (pose, light, camera, noise). `write_bp4d` draws
videos of subjects whose action units are as frequent and as correlated as in BP4D, with graded intensities,
codes of a coder who can err near the border of presence, and a tracker's landmarks; `write_disfa` draws
longer videos, from two cameras, with intensities.

The modules, in the order in which a frame is made:

- `identity`: the traits of a person, and marks of the skin that belong to no action unit;
- `view`: pose and light; the transform from face millimetres to pixels;
- `geometry`: positions of the features, and how action units move them; the 49 landmarks;
- `paint`: flat colours; `relief`: soft light and shadow; `creases`: lines of the skin;
- `render`: combines these three, and adds tone, blur and noise;
- `behaviour`: when action units are present over a video; `events`: how strong they are;
- `coders`: what two coders make of a video; `tracker`: the errors of its landmarks;
- `bp4d_writer`, `disfa_writer`: write the folders, with `folder`, `mat_writer` and `video_writer`.

Each action unit has its own entry in `geometry`, `relief` and `creases`, where needed, and stays in its own
region of the face.

Examples
--------
>>> from drml.synth import Subject, View, render
>>> image, landmarks = render(Subject.draw("M003"), {1: 3.0, 2: 4.0}, View(yaw=5.0))
>>> image.shape, landmarks.shape
((348, 260, 3), (49, 2))
"""

from drml.synth.bp4d_writer import subject_names, write_bp4d
from drml.synth.disfa_writer import write_disfa
from drml.synth.folder import SynthSummary
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
    "write_disfa",
]
