"""Finds faces that lie sideways or upside down, for which the face detector gives wrong points, or none.

The detector gives any face points as of an upright one, with high confidence: of a face that lies sideways
they are far off. The landmark model sees it, because it does not find its own points there. If a face looks
wrong in this way, or if none is found, the image is turned by 90, 180 and 270 degrees.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drml.data.face import Face
from drml.data.landmark_model import LandmarkModel
from drml.data.registration import five_points
from drml.io.orientation import turn, turn_points

__all__ = ["find_in_turns", "with_landmarks"]

_BACK = {6: 8, 3: 3, 8: 6}  # a turn, as EXIF numbers it, and the one that undoes it
# Of `Face.doubt`, which is .06 to .10 of most upright faces, .17 of one that is tilted by 30 degrees or
# blurred, and .15 to 1.7 of one that lies.
_TRUSTED = 0.12  # up to this, an upright face is taken as it is
_ACCEPTED = 0.2  # up to this, a face of a turned image may replace one that is less certain

Find = Callable[[NDArray[np.uint8]], list[Face]]


def with_landmarks(image: NDArray[np.uint8], face: Face, model: LandmarkModel) -> Face:
    """Return the face with its landmarks, and how far its five points are from where these say."""
    landmarks = model.find(image, face.points)
    apart = np.linalg.norm(five_points(landmarks) - face.points, axis=1).mean()
    between = np.linalg.norm(face.points[1] - face.points[0])
    return face.marked(landmarks, float(apart / max(between, 1e-6)))


def find_in_turns(image: NDArray[np.uint8], find: Find, model: LandmarkModel) -> list[Face]:
    """Find the faces of an image, also those that are not upright.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    find : callable
        Finds upright faces.
    model : LandmarkModel

    Returns
    -------
    list of Face
        A face that was found in the turned image replaces those that overlap with it, if the landmarks agree
        with its points and do less so with theirs, and its confidence is higher.
    """
    faces = [with_landmarks(image, face, model) for face in find(image)]
    if faces and all(face.doubt <= _TRUSTED for face in faces):
        return faces
    turned: list[Face] = []
    for way, back in _BACK.items():
        picture = np.ascontiguousarray(turn(image, way))
        for face in find(picture):
            marked = with_landmarks(picture, face, model)
            if marked.doubt <= _ACCEPTED:
                turned.append(_turned_back(marked, back, picture.shape[1], picture.shape[0]))
    for face in sorted(turned, key=lambda one: -one.score):
        same = [other for other in faces if _meet(face, other)]
        if not any(other.doubt <= face.doubt or other.score >= face.score for other in same):
            faces = [other for other in faces if other not in same] + [face]
    return faces


def _turned_back(face: Face, back: int, width: int, height: int) -> Face:
    """Return a face of a turned image, of this width and height, as it lies in the image itself."""
    left, top, wide, high = face.box
    corners = np.array([[left, top], [left + wide, top + high]])
    # Of a box, whole numbers are borders between pixels; of points, they are the pixels' centres.
    corners = turn_points(corners - 0.5, back, width, height) + 0.5
    low, extent = corners.min(axis=0), np.abs(corners[1] - corners[0])
    points = turn_points(face.points, back, width, height)
    assert face.landmarks is not None
    landmarks = turn_points(face.landmarks, back, width, height)
    box = (float(low[0]), float(low[1]), float(extent[0]), float(extent[1]))
    return Face(box, points, face.score, face.id, landmarks, face.doubt)


def _meet(a: Face, b: Face) -> bool:
    """Return whether the centre of one face lies in the box of the other."""
    return _holds(a, b) or _holds(b, a)


def _holds(face: Face, other: Face) -> bool:
    left, top, wide, high = face.box
    x, y = other.box[0] + other.box[2] / 2, other.box[1] + other.box[3] / 2
    return left <= x <= left + wide and top <= y <= top + high
