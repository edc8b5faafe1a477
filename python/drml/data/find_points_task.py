"""What one worker process does when points are found: detects the faces in some frames of a video."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from drml.data.detector_points import PointFinder, face_of_landmarks
from drml.data.face_following import FaceFollower
from drml.data.point_cache import FOUND, NO_FACE, UNREADABLE
from drml.data.readers import images
from drml.data.readers.video import VideoFrame
from drml.io.errors import UserError

__all__ = ["CHUNK", "FramePoints", "PointTask", "find_in_frames", "reader"]

CHUNK = 32  # frames of a task: a second or two of work


@dataclasses.dataclass(frozen=True, eq=False)
class PointTask:
    """Frames of one video, in ascending order; `begin` is whether they are its first."""

    name: str
    frames: Sequence[tuple[int, Path | VideoFrame, np.ndarray | None]]
    ordered: bool
    begin: bool

    @property
    def video(self) -> str | None:
        """The video whose frames one process must read in order; None for photos."""
        return self.name if self.ordered else None


@dataclasses.dataclass(frozen=True, eq=False)
class FramePoints:
    """What was found in one frame."""

    frame: int
    state: int
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    points: np.ndarray | None = None


reader = images.ImageReader()
"""Reads the images of this process, from task to task."""

_finders: list[PointFinder] = []  # that of this process, once it was needed
_follower = [FaceFollower()]  # of the video whose frames this process reads


def find_in_frames(task: PointTask) -> tuple[str, list[FramePoints]]:
    """Find the points in the frames of a task."""
    if not _finders:
        _finders.append(PointFinder())
    if task.begin:
        _follower[0] = FaceFollower()
    return task.name, [_find_in(_finders[0], task, *frame) for frame in task.frames]


def _find_in(
    finder: PointFinder, task: PointTask, frame: int, image: Path | VideoFrame, landmarks: np.ndarray | None
) -> FramePoints:
    try:
        picture, _ = reader.load(image)
        faces = finder.faces(picture)
    except (UserError, cv2.error):
        return FramePoints(frame, UNREADABLE)
    if landmarks is not None:
        face = face_of_landmarks(faces, landmarks)
    elif task.ordered:
        face = _follower[0].follow(frame, faces)
    else:
        face = next(iter(faces), None)
    if face is None:
        return FramePoints(frame, NO_FACE)
    return FramePoints(frame, FOUND, face.box, finder.locate(picture, face))
