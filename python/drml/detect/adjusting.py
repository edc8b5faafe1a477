"""Adjusts the intensities of a video: to each person's own zero, and smoothed over time.

A net's estimates differ between people whose faces are at rest: a person with heavy brows seems to lower them
all the time. `Adjustment.neutral` subtracts what a person shows at rest, as OpenFace's dynamic calibration
does: the median of the person's estimates so far, or of a clip of the neutral face. `Adjustment.smooth`
averages over time. The estimates themselves stay as they are.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import LEVELS
from drml.detect.pipeline import DetectedFrame
from drml.detect.tracking import PATIENCE
from drml.io.errors import UserError

__all__ = ["Adjustment", "RunningMedian", "adjust_frames", "median_of_largest_face"]

_Row = NDArray[np.float64]

_SLACK = 1e-6  # seconds; times are multiples of the frame's duration, with rounding


@dataclass(frozen=True)
class Adjustment:
    """How the intensities of a video are adjusted.

    Attributes
    ----------
    neutral : "median", ndarray of shape (L,), or None
        What is subtracted: for each face, the median of its estimates up to the frame; or these intensities,
        of a clip of the neutral face; None for nothing.
    smooth : float
        Length in seconds of the window whose mean is taken; 0 for none.
    centred : bool
        Whether half of the window lies after the frame; otherwise it ends at the frame, so that the rows of a
        webcam need not wait.

    Raises
    ------
    UserError
        `smooth` is negative or not finite.
    """

    neutral: str | _Row | None = None
    smooth: float = 0.0
    centred: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.smooth < float("inf"):
            raise UserError(f"smooth {self.smooth:g}: give a length in seconds, 0 or more")
        if isinstance(self.neutral, str) and self.neutral != "median":
            raise UserError(f"neutral {self.neutral!r}: give 'median', or intensities of a neutral face")


class RunningMedian:
    """The median, column by column, of the rows so far: half of them are not larger, and half not smaller.

    Examples
    --------
    >>> median = RunningMedian(1)
    >>> [float(median.add(np.array([value]))[0]) for value in (3.0, 1.0, 8.0)]
    [3.0, 2.0, 3.0]
    """

    def __init__(self, columns: int) -> None:
        self._sorted: list[list[float]] = [[] for _ in range(columns)]

    def add(self, row: _Row) -> _Row:
        """Add a row, and return the median with it."""
        for values, value in zip(self._sorted, row, strict=True):
            bisect.insort(values, float(value))
        middle = [(values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 for values in self._sorted]
        return np.array(middle)


@dataclass(eq=False)
class _Face:
    """What is known of one face of the video: its median, and its estimates within reach of a window."""

    median: RunningMedian
    recent: deque[tuple[float, _Row]]
    last: int = 0  # number of the frame in which it was last seen


def adjust_frames(frames: Iterable[DetectedFrame], adjustment: Adjustment) -> Generator[DetectedFrame]:
    """Fill in the adjusted intensities of the frames of one video.

    Frames pass on in their order; with a centred window, half of it later. A face is known by its id; where
    it is missing or could not be registered, its window has fewer frames. First each estimate is made
    relative to the neutral face, then the results are averaged; they are clipped to 0 to 5 at the end. A face
    that has been missing for more than `PATIENCE` frames is forgotten, because it returns with another id.

    Parameters
    ----------
    frames : iterable of DetectedFrame
    adjustment : Adjustment

    Yields
    ------
    DetectedFrame
        With `adjusted`.
    """
    ahead = adjustment.smooth / 2 if adjustment.centred else 0.0
    behind = adjustment.smooth - ahead
    faces: dict[int, _Face] = {}
    waiting: deque[DetectedFrame] = deque()

    def finish(detected: DetectedFrame) -> DetectedFrame:
        now = detected.frame.seconds
        for index, (face, crop) in enumerate(zip(detected.faces, detected.crops, strict=True)):
            if crop is None:
                continue
            recent = faces[face.id].recent
            while recent[0][0] < now - behind - _SLACK:
                recent.popleft()
            rows = [row for at, row in recent if at <= now + ahead + _SLACK]
            detected.adjusted[index] = np.clip(np.mean(rows, axis=0), LEVELS[0], LEVELS[-1])
        for number in [one for one, face in faces.items() if detected.frame.number - face.last > PATIENCE]:
            del faces[number]
        return detected

    for detected in frames:
        detected.adjusted = np.zeros_like(detected.intensities)
        columns = detected.intensities.shape[1]
        for face, crop, row in zip(detected.faces, detected.crops, detected.intensities, strict=True):
            if crop is not None and face.id not in faces:
                faces[face.id] = _Face(RunningMedian(columns), deque())
            if face.id in faces:
                faces[face.id].last = detected.frame.number
            if crop is None:
                continue
            known = faces[face.id]
            if isinstance(adjustment.neutral, str):
                row = row - known.median.add(row)
            elif adjustment.neutral is not None:
                row = row - adjustment.neutral
            known.recent.append((detected.frame.seconds, row))
        waiting.append(detected)
        while waiting and (not ahead or detected.frame.seconds > waiting[0].frame.seconds + ahead + _SLACK):
            yield finish(waiting.popleft())
    while waiting:
        yield finish(waiting.popleft())


def median_of_largest_face(frames: Iterable[DetectedFrame], name: str) -> _Row:
    """Return the median intensities of the largest face of each frame of a clip of a neutral face.

    Parameters
    ----------
    frames : iterable of DetectedFrame
    name : str
        The clip, for error messages.

    Returns
    -------
    ndarray of float64, shape (L,)

    Raises
    ------
    UserError
        There is no face in it.
    """
    rows = []
    for detected in frames:
        found = [
            (face.box[2] * face.box[3], index)
            for index, (face, crop) in enumerate(zip(detected.faces, detected.crops, strict=True))
            if crop is not None
        ]
        if found:
            rows.append(detected.intensities[max(found)[1]])
    if not rows:
        raise UserError(f"{name}: no face found in it, so that it cannot show a neutral face")
    return np.asarray(np.median(rows, axis=0))
