"""Finds constant differences between landmarks and the points that the face detector finds.

Landmarks of another image size, of a crop, or of frames that are counted from another number pass every check
of their files. Compared with detected points over many frames, they show a scale, an offset in pixels, or an
offset in frame numbers that is the same everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drml.data.registration import five_points

__all__ = ["REACH", "Coordinates", "Lag", "VideoSample", "fit_coordinates", "fit_lag", "lag_costs", "share"]

REACH = 5
"""Largest offset in frame numbers that is looked for."""

_FEWEST = 8  # frames from which an offset in frame numbers is concluded
_CERTAIN = 4.0  # standard errors by which another offset must fit better
_BETTER = 0.85  # largest share of the distance that may remain with it

Points = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class VideoSample:
    """Detected points in some frames of a video, and the landmarks of all its frames.

    Attributes
    ----------
    video : str
    frames : list of int
        The n frames in which a face was found.
    found : ndarray of float64, shape (n, P, 2)
        Its points in pixels, 49 or 5.
    given : mapping of int to ndarray of float64, shape (49, 2) or (5, 2)
        Frame -> landmarks.
    drawn : frozenset of int
        The frames that were drawn at random. Others were chosen because the face moves in them.
    """

    video: str
    frames: list[int]
    found: Points
    given: Mapping[int, Points]
    drawn: frozenset[int]

    def pairs(self) -> tuple[Points, Points]:
        """Return the five detected points and the five of the landmarks, each (m, 5, 2), of drawn frames."""
        rows = [row for row, frame in enumerate(self.frames) if frame in self.drawn]
        found = [_five(self.found[row]) for row in rows]
        given = [_five(self.given[self.frames[row]]) for row in rows]
        return np.array(found).reshape(-1, 5, 2), np.array(given).reshape(-1, 5, 2)


def _five(points: Points) -> Points:
    return points if len(points) == 5 else five_points(points)


def share(found: Points, given: Points) -> Points:
    """Return the mean distance of five points from landmarks, in shares of the eye distance.

    Parameters
    ----------
    found, given : ndarray of float64, shape (m, 5, 2)
        The first two points are the centres of the eyes.

    Returns
    -------
    ndarray of float64, shape (m,)
    """
    eyes = np.linalg.norm(given[:, 1] - given[:, 0], axis=-1)
    return np.asarray(np.linalg.norm(found - given, axis=-1).mean(axis=-1) / eyes)


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """How landmarks have to be changed to fit the detected points: first scaled, then moved.

    Attributes
    ----------
    scale : float
        Size of the detected faces over that of the landmarks; negative if they are mirrored left to right.
    offset : tuple of float
        x and y in pixels, after scaling.
    shift : float
        Length of the offset in shares of the detected distance between the eyes.
    before, after : float
        Median distance in shares of the eye distance, of the landmarks as they are and so changed.
    """

    scale: float
    offset: tuple[float, float]
    shift: float
    before: float
    after: float


def fit_coordinates(found: Points, given: Points) -> Coordinates:
    """Fit the scale and the offset between landmarks and detected points: medians over m frames.

    Parameters
    ----------
    found, given : ndarray of float64, shape (m, 5, 2)

    Examples
    --------
    >>> face = np.array([[[70.0, 80], [130, 80], [100, 115], [78, 140], [122, 140]]])
    >>> fit = fit_coordinates(2 * face + [30, 0], face)
    >>> round(fit.scale, 2), np.round(fit.offset, 1).tolist(), round(fit.after, 2)
    (2.0, [30.0, 0.0], 0.0)
    """
    centre_found, centre_given = found.mean(axis=1, keepdims=True), given.mean(axis=1, keepdims=True)
    inner_found, inner_given = found - centre_found, given - centre_given
    sizes = np.sqrt((inner_found**2).sum(axis=(1, 2)) / (inner_given**2).sum(axis=(1, 2)))
    mirrored = np.median((inner_found[..., 0] * inner_given[..., 0]).sum(axis=1)) < 0
    scale = float(np.median(sizes))
    signs = np.array([-scale if mirrored else scale, scale])
    offset = np.median((centre_found - centre_given * signs)[:, 0], axis=0)
    eyes = np.median(np.linalg.norm(found[:, 1] - found[:, 0], axis=-1))
    return Coordinates(
        scale=-scale if mirrored else scale,
        offset=(float(offset[0]), float(offset[1])),
        shift=float(np.linalg.norm(offset) / eyes),
        before=float(np.median(share(found, given))),
        after=float(np.median(share(found, given * signs + offset))),
    )


def lag_costs(sample: VideoSample) -> Points | None:
    """Return how badly the landmarks of each frame fit if the numbers are off by -`REACH` to `REACH`.

    Parameters
    ----------
    sample : VideoSample

    Returns
    -------
    ndarray of float64, shape (m, 2 * REACH + 1), or None
        The distance of detected points in frame f from the landmarks of frame f + k, in shares of the eye
        distance, for m frames and each k. Sizes and constant differences over the video do not count. None if
        fewer than eight frames have landmarks of all these numbers.
    """
    steps = range(-REACH, REACH + 1)
    rows = [
        row for row, frame in enumerate(sample.frames) if all(frame + step in sample.given for step in steps)
    ]
    if len(rows) < _FEWEST:
        return None
    found = sample.found[rows]
    like = _five if found.shape[1] == 5 else np.asarray
    five = np.array([_five(sample.given[sample.frames[row]]) for row in rows])
    eyes = float(np.median(np.linalg.norm(five[:, 1] - five[:, 0], axis=-1)))
    columns = []
    for step in steps:
        given = np.array([like(sample.given[sample.frames[row] + step]) for row in rows])
        scale = np.median(_size(found) / _size(given))
        apart = found / scale - given
        apart = apart - np.median(apart, axis=0)
        columns.append(np.linalg.norm(apart, axis=-1).mean(axis=-1) / eyes)
    return np.stack(columns, axis=1)


def _size(points: Points) -> Points:
    inner = points - points.mean(axis=1, keepdims=True)
    return np.asarray(np.sqrt((inner**2).sum(axis=(1, 2))))


@dataclasses.dataclass(frozen=True)
class Lag:
    """An offset in frame numbers: the landmarks of frame n + `frames` fit the image of frame n best.

    Attributes
    ----------
    frames : int
    certain : bool
        Whether this fits clearly better than the numbers as they are.
    """

    frames: int
    certain: bool


def fit_lag(costs: Sequence[Points], against: int = 0) -> Lag | None:
    """Find the offset in frame numbers with which landmarks fit best; None if there are too few frames.

    Parameters
    ----------
    costs : sequence of ndarray, shape (m, 2 * REACH + 1)
        Of one or several videos; see `lag_costs`.
    against : int
        The offset that another one must be better than.
    """
    if not costs or sum(map(len, costs)) < _FEWEST:
        return None
    table = np.concatenate(costs)
    mean = table.mean(axis=0)
    best = int(np.argmin(mean))
    gain = table[:, REACH + against] - table[:, best]
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    certain = (
        best != REACH + against
        and mean[best] <= _BETTER * mean[REACH + against]
        and gain.mean() >= _CERTAIN * error
    )
    return Lag(best - REACH, bool(certain))
