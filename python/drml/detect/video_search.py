"""Finds the faces of a video: in whole frames at intervals, and in the frames between near the same faces.

Searching a whole frame takes several times as long as searching the surroundings of a face. If the faces of
two whole frames are at the same places, each frame between is searched only around the places on the way
from the one to the other. It is searched as a whole if a face is missing there, or if the faces of the two
frames differ. Faces that are upright in both frames are not sought in turned pictures between them. A face is
missed only if it appears and disappears between two such frames while all others stay.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.face_following import Box, overlap
from drml.detect.frames import Frame
from drml.detect.tracking import Tracker

__all__ = ["find_in_video"]

_MARGIN = 1.0  # of the box of a face, on each side, that is searched around it
_MIN_OVERLAP = 0.3  # of a face with the place where it is expected


@dataclass(frozen=True, eq=False)
class _Searched:
    """A frame that was searched as a whole."""

    number: int
    shape: tuple[int, ...]
    faces: list[Face]


def find_in_video(
    frames: Iterable[Frame], detector: FaceDetector, every: int
) -> Generator[tuple[Frame, list[Face]]]:
    """Find the faces of each frame of a video.

    Parameters
    ----------
    frames : iterable of Frame
        All frames of one video, in their order.
    detector : FaceDetector
    every : int
        One of this many frames is searched as a whole, at least 1. This many frames are read before the first
        of them passes on.

    Yields
    ------
    frame : Frame
    faces : list of Face
        The largest first; empty for a damaged frame.
    """
    before: _Searched | None = None
    waiting: list[Frame] = []
    for frame in frames:
        waiting.append(frame)
        if before is None or len(waiting) >= every:
            before = yield from _find(waiting, before, detector)
            waiting = []
    yield from _find(waiting, before, detector)


def _find(
    frames: list[Frame], before: _Searched | None, detector: FaceDetector
) -> Generator[tuple[Frame, list[Face]], None, _Searched | None]:
    """Search the last frame that is not damaged as a whole, then those before it; return the former."""
    after = before
    for frame in reversed(frames):
        if frame.image is not None:
            after = _Searched(frame.number, frame.image.shape, detector.find(frame.image))
            break
    pairs = [] if before is None or after is None else _pairs(before, after)
    for frame in frames:
        if frame.image is None or after is None:
            yield frame, []
        elif frame.number == after.number:
            yield frame, after.faces
        elif before is None or not pairs or frame.image.shape != after.shape:
            yield frame, detector.find(frame.image)
        else:
            way = (frame.number - before.number) / (after.number - before.number)
            places = [(_between(a.box, b.box, way), a.upright and b.upright) for a, b in pairs]
            yield frame, _find_near(frame.image, places, detector)
    return after


def _pairs(before: _Searched, after: _Searched) -> list[tuple[Face, Face]]:
    """Pair the faces of two frames; return none if there is a face without a partner."""
    if before.shape != after.shape:
        return []
    tracker = Tracker(_MIN_OVERLAP)
    first, second = tracker.follow(before.faces), tracker.follow(after.faces)
    same = [face.id for face in first] == [face.id for face in second]
    return list(zip(first, second, strict=True)) if same else []


def _find_near(
    image: NDArray[np.uint8], places: list[tuple[Box, bool]], detector: FaceDetector
) -> list[Face]:
    """Find the face at each of these places; search the whole image if one of them is not there.

    With each place comes whether only an upright face is to be expected there.
    """
    height, width = image.shape[:2]
    parts = [_surroundings(place, width, height) for place, _ in places]
    if sum(part[2] * part[3] for part in parts) >= width * height:
        return detector.find(image)
    faces: list[Face] = []
    for (place, upright), part in zip(places, parts, strict=True):
        found = detector.find_within(image, part, upright=upright)
        nearest = max(found, key=lambda face: overlap(face.box, place), default=None)
        taken = nearest is None or any(overlap(nearest.box, face.box) >= _MIN_OVERLAP for face in faces)
        if nearest is None or taken or overlap(nearest.box, place) < _MIN_OVERLAP:
            return detector.find(image)
        faces.append(nearest)
    return sorted(faces, key=lambda face: -face.area)


def _between(a: Box, b: Box, way: float) -> Box:
    left, top, wide, high = ((1 - way) * one + way * other for one, other in zip(a, b, strict=True))
    return left, top, wide, high


def _surroundings(box: Box, width: int, height: int) -> Box:
    """Add the margin to a box, and clip it to an image of this width and height."""
    left, right = max(0.0, box[0] - _MARGIN * box[2]), min(width, box[0] + (1 + _MARGIN) * box[2])
    top, bottom = max(0.0, box[1] - _MARGIN * box[3]), min(height, box[1] + (1 + _MARGIN) * box[3])
    return left, top, max(0.0, right - left), max(0.0, bottom - top)
