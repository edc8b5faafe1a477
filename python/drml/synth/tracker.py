"""The errors of a face tracker, whose landmarks BP4D's files hold.

Landmarks of BP4D come from a tracker, not from people who click points. On average a tracker's points are
off by 2 to 3% of the distance between the eyes. The errors last for a while, and a part of the face, such as
a brow or the mouth, is off as a whole; in addition, each of its points is.
"""

from __future__ import annotations

import numpy as np

from drml.synth.behaviour import smooth_noise

__all__ = ["EYE_DISTANCE", "TRACKER_ERROR", "landmark_errors"]

# Distance between the centres of the average face's eyes, in face millimetres, and the mean distance of a
# landmark from its true position as a share of it.
EYE_DISTANCE = 64.0
TRACKER_ERROR = 0.025

# The 49 points by parts that a tracker moves as a whole: brows, nose, eyes and mouth.
_PARTS = np.repeat(np.arange(7), (5, 5, 4, 5, 6, 6, 18))
# Shares of the variance: errors of a part and errors of a point; errors that stay the same over a video, and
# errors that change over time.
_PART, _POINT = 0.5, 0.5
_VIDEO, _MOMENT = 0.4, 0.6
_WINDOW = 2.0
# The mean length of a two-dimensional normal vector whose coordinates have a standard deviation of 1.
_MEAN_LENGTH = np.sqrt(np.pi / 2)


def landmark_errors(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Draw a tracker's errors over one video.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers for this video.
    frames : int
        Length of the video.

    Returns
    -------
    ndarray of shape (frames, 49, 2)
        Offsets of the landmarks in face millimetres.

    Examples
    --------
    >>> errors = landmark_errors(np.random.default_rng(0), 24)
    >>> errors.shape
    (24, 49, 2)
    """
    parts = _over_time(rng, frames, int(_PARTS.max()) + 1)[:, _PARTS]
    points = _over_time(rng, frames, len(_PARTS))
    deviation = TRACKER_ERROR * EYE_DISTANCE / _MEAN_LENGTH
    return deviation * (np.sqrt(_PART) * parts + np.sqrt(_POINT) * points)


def _over_time(rng: np.random.Generator, frames: int, count: int) -> np.ndarray:
    """Draw standard normal offsets of `count` things, smooth in time, shape (frames, count, 2)."""
    video = rng.normal(size=(1, 2 * count))
    moment = smooth_noise(rng, frames, 2 * count, window=_WINDOW)
    return (np.sqrt(_VIDEO) * video + np.sqrt(_MOMENT) * moment).reshape(frames, count, 2)
