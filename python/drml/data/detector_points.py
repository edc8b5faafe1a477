"""Finds the points of faces in photos, and learns where they lie in registered faces.

A net that is trained on faces registered by a data set's landmarks is used on photos, which have none. The
face detector finds five points in them, and the landmark model 49, but not quite where the data set has its
own, so that a transform to the reference shape gives faces of another size and height. Prepared data
therefore record where these points lie, on average, in the registered training faces, and photos are
registered to these places.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drml.data.face import Face
from drml.data.face_detector import MODEL_FILE, FaceDetector
from drml.data.landmark_model import LANDMARK_MODEL, LandmarkModel
from drml.data.model_files import MissingModel
from drml.data.registration import five_points
from drml.io.errors import UserError

__all__ = [
    "POINTS",
    "SAMPLE",
    "PointFinder",
    "draw_sample",
    "face_of_landmarks",
    "mean_points",
    "open_finder",
    "report_unlearned",
]

POINTS = ("given", "detector")
"""The points that faces can be registered by: the data set's landmarks, or those of `PointFinder`."""

SAMPLE = 400
"""Number of training frames on which the points are found; those of all folds are drawn together."""

_FEWEST = 10  # faces of which a mean is taken: fewer would say more about them than about the detector


def draw_sample(records: Collection[int], seed: int) -> frozenset[int]:
    """Draw up to `SAMPLE` of the records that train in some fold."""
    ordered = sorted(records)
    return frozenset(random.Random(f"{seed}/detector").sample(ordered, min(SAMPLE, len(ordered))))


class PointFinder:
    """Finds the points of the face in an image: 49 landmarks, or five points without the landmark model.

    Attributes
    ----------
    name : str
        The models that find the points, for recipes.
    count : int
        Number of points, 49 or 5.

    Raises
    ------
    UserError
        The face detector's model is not installed.
    """

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self._landmark_model: LandmarkModel | None = None
        self.name, self.count = Path(MODEL_FILE).stem, 5
        try:
            self._landmark_model = LandmarkModel()
        except MissingModel:
            return
        self.name, self.count = f"{self.name}, {Path(LANDMARK_MODEL).stem}", 49

    def faces(self, image: np.ndarray) -> list[Face]:
        """Return the faces in an image, the largest first."""
        return self._detector.find(image)

    def locate(self, image: np.ndarray, face: Face) -> np.ndarray:
        """Return the points of one of these faces, float64 (`count`, 2), in pixels."""
        if self._landmark_model is None or face.landmarks is not None:
            return face.points if face.landmarks is None else face.landmarks
        return self._landmark_model.find(image, face.points)

    def find(self, image: np.ndarray, landmarks: np.ndarray | None = None) -> np.ndarray | None:
        """Return the points of the face in an image, float64 (`count`, 2); None if no face is found.

        It is the face that the landmarks of the data set belong to (`face_of_landmarks`), or without any the
        largest.
        """
        faces = self.faces(image)
        face = next(iter(faces), None) if landmarks is None else face_of_landmarks(faces, landmarks)
        return None if face is None else self.locate(image, face)


def face_of_landmarks(faces: Sequence[Face], landmarks: np.ndarray) -> Face | None:
    """Return the face that landmarks of shape (5, 2) or (49, 2) belong to.

    The detector's five points are, on average, within half the distance between the eyes of where the
    landmarks say.
    """
    known = np.asarray(landmarks, np.float64)
    known = known if len(known) == 5 else five_points(known)
    farthest = 0.5 * np.linalg.norm(known[1] - known[0])
    apart = [float(np.linalg.norm(face.points - known, axis=1).mean()) for face in faces]
    return faces[int(np.argmin(apart))] if apart and min(apart) <= farthest else None


def open_finder(points: str) -> tuple[PointFinder | None, str | None]:
    """Open the models that find points; or say why not, and raise `UserError` if they are needed."""
    if points not in POINTS:
        raise UserError(f"points {points!r}: choose one of {', '.join(POINTS)}")
    try:
        return PointFinder(), None
    except UserError as error:
        if points == "detector":
            raise
        return None, str(error)


def report_unlearned(registered: dict[str, Any], no_detector: str | None) -> None:
    """Say on standard error that some recipe does not tell where the detector's points lie."""
    found = f"the face detector found {registered['faces']} of {registered['frames']} sampled training faces"
    print(
        f"note: {no_detector or found}. The recipe therefore does not say where the detector's points lie in"
        " these faces, and drml detect will register photos less exactly",
        file=sys.stderr,
    )


def mean_points(points: Mapping[int, np.ndarray], records: Iterable[int]) -> tuple[float, ...]:
    """Return the mean of the points that were found in some records, as fractions: x, y, x, y, ...

    It is empty if fewer than ten of their faces were found.
    """
    chosen = [points[index] for index in sorted(records) if index in points]
    return tuple(map(float, np.mean(chosen, axis=0).ravel())) if len(chosen) >= _FEWEST else ()
