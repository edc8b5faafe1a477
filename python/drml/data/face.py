"""A face in a frame, as the face detector and the landmark model find it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["Face"]


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    Attributes
    ----------
    box : tuple of float
        Left, top, width and height in pixels; the box may extend beyond the frame.
    points : ndarray of float64, shape (5, 2)
        Eye centres, nose tip and mouth corners as x, y in pixels from 0; left before right, as in the image
        turned so that the face is upright.
    score : float
        Confidence of the face detector, 0 to 1.
    id : int
        Number of the face; in a video it stays the same from frame to frame.
    landmarks : ndarray of float64, shape (49, 2), or None
        What the landmark model finds from the five points, in the order of `drml.data.registration`; None
        without that model.
    doubt : float
        How far the five points are, on average, from where the landmarks say, in distances between the eyes.
    """

    box: tuple[float, float, float, float]
    points: NDArray[np.float64]
    score: float
    id: int = 0
    landmarks: NDArray[np.float64] | None = None
    doubt: float = 0.0

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return self.box[2] * self.box[3]

    @property
    def upright(self) -> bool:
        """Whether the face lies neither sideways nor upside down: it is tilted by less than 45 degrees."""
        across, down = self.points[1] - self.points[0]
        return bool(across > abs(down))

    def numbered(self, number: int) -> Face:
        """Return the same face with this id."""
        return replace(self, id=number)

    def moved(self, x: float, y: float) -> Face:
        """Return the same face, this many pixels further to the right and down."""
        box = (self.box[0] + x, self.box[1] + y, *self.box[2:])
        shift = np.array([x, y])
        landmarks = None if self.landmarks is None else self.landmarks + shift
        return replace(self, box=box, points=self.points + shift, landmarks=landmarks)

    def marked(self, landmarks: NDArray[np.float64], doubt: float) -> Face:
        """Return the same face with these landmarks."""
        return replace(self, landmarks=landmarks, doubt=doubt)
