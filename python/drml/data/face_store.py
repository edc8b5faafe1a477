"""Registered faces, encoded, in one scratch file, until the folds are written from them."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np

__all__ = ["BrokenImage", "FaceStore"]


@dataclasses.dataclass(frozen=True, order=True)
class BrokenImage:
    """An image that could not be used: the number of its record, its name, and its fault."""

    index: int
    image: str
    fault: str


class FaceStore:
    """The registered faces, encoded, in one scratch file, with statistics of their registration.

    Attributes
    ----------
    sums : dict of str to ndarray of int64, shape (size, size, 3)
        Subject -> sum of the sampled faces, BGR. The mean image of a fold follows from the sums of its
        training subjects, exactly and independently of the order in which processes finish.
    broken : list of BrokenImage
        Images that could not be used, in the order of the records.
    converted : Counter
        Conversion (``"greyscale"``, ``"CMYK"``, ...) -> number of images.
    converted_examples : dict
        Conversion -> names of a few of these images.
    detector_points : dict of int to ndarray of float64, shape (N, 2)
        Record -> the points that `drml.data.detector_points.PointFinder` finds, in the registered face, as
        fractions of its side; for the records that were drawn for it and whose face was found.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("w+b")
        self._position: dict[int, tuple[int, int]] = {}
        self._landmarks: dict[int, np.ndarray | None] = {}
        self._end = 0
        self.sums: dict[str, np.ndarray] = {}
        self.broken: list[BrokenImage] = []
        self.converted: Counter[str] = Counter()
        self.converted_examples: dict[str, list[str]] = {}
        self.detector_points: dict[int, np.ndarray] = {}

    def __enter__(self) -> FaceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, index: int) -> bool:
        return index in self._position

    @property
    def count(self) -> int:
        """Number of faces."""
        return len(self._position)

    def add(self, index: int, data: bytes, landmarks: np.ndarray | None) -> None:
        """Append the encoded face of record `index`, with its landmarks, float32 (N, 2), if it has any."""
        self._file.write(data)
        self._position[index] = (self._end, len(data))
        self._landmarks[index] = landmarks
        self._end += len(data)

    def get(self, index: int) -> bytes:
        """Read the encoded face of record `index`; raise `OSError` if the file is truncated."""
        at, length = self._position[index]
        data = os.pread(self._file.fileno(), length, at)
        if len(data) != length:
            raise OSError("the scratch file was truncated")
        return data

    def landmarks(self, index: int) -> np.ndarray | None:
        """Return the landmarks of record `index` in pixels of its face; None if it has none."""
        return self._landmarks[index]

    def flush(self) -> None:
        """Write buffered faces to the file, so that `get` can read them."""
        self._file.flush()
