"""Graded intensities: action units as events that rise, hold and fall.

FACS codes an action unit that is present with one of five intensities, from A (a trace) to E (the maximum).
`graded_intensities` draws a continuous value from 0 to 5 for each frame, and `LEVELS` says where each of the
five begins. An action unit is present from `BORDER` on, which is where A begins. Values below it belong to
the frames just before and after an event, where a coder can still see, or already see, something move.

`drml.synth.behaviour` decides when action units are present; this module decides how strong they are.
"""

from __future__ import annotations

import numpy as np

from drml.data.labels import ALL_AUS
from drml.synth.behaviour import above_thresholds, smooth_noise
from drml.synth.statistics import TASK_SHIFTS

__all__ = ["BORDER", "LEVELS", "event_shape", "graded_intensities", "level_shares", "levels_of"]

# Where each of FACS's intensities begins. In the FACS manual A, B and E are narrow, and C and D are wide.
LEVELS: dict[str, float] = {"A": 1.0, "B": 1.5, "C": 2.2, "D": 3.5, "E": 4.6}
BORDER = LEVELS["A"]

# The hidden value at which an event's strongest frame comes within 1/e of 5; and how far below its threshold
# an action unit vanishes. The slope of the intensity is the same on both sides of the border.
_GROWTH = 1.6
_FADE = _GROWTH / 4
# Shares of an event that are spent on the rise and on the fall; the rest is the hold. Spontaneous
# expressions fall more slowly than they rise.
_RISE, _FALL = 0.25, 0.35
# Standard deviation, in frames, of the Gaussian window that makes the hidden values smooth in time; and the
# frames drawn before and after the video, so that events may be under way where it starts and ends.
_WINDOW = 2.0
_MARGIN = 16


def graded_intensities(
    rng: np.random.Generator, habit: np.ndarray, task: int, frames: int, limits: np.ndarray
) -> np.ndarray:
    """Draw the intensities of all action units over one video, graded from 0 to 5.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers for this video.
    habit : ndarray of shape (15,)
        Standard normal values of this person, which are the same in all videos.
    task : int
        Number of the task, from 0.
    frames : int
        Length of the video.
    limits : ndarray of shape (15,)
        The `drml.synth.statistics.thresholds`.

    Returns
    -------
    ndarray of shape (frames, 15)
        Intensities 0 to 5 in the order of `ALL_AUS`, at least `BORDER` where the AU is present.

    Examples
    --------
    >>> from drml.synth.statistics import thresholds
    >>> rng = np.random.default_rng(0)
    >>> graded_intensities(rng, np.zeros(15), 0, 24, thresholds(8)).shape
    (24, 15)
    """
    size = len(ALL_AUS)
    video = rng.normal(size=size)
    moments = smooth_noise(rng, frames + 2 * _MARGIN, size, window=_WINDOW)
    above = above_thresholds(habit, video, moments, TASK_SHIFTS[task], limits)
    values = np.stack([_one_unit(above[:, k]) for k in range(size)], axis=1)
    return values[_MARGIN : _MARGIN + frames]


def _one_unit(above: np.ndarray) -> np.ndarray:
    """Return one AU's intensities from how far its hidden value is above the threshold, shape (frames,)."""
    values = BORDER * np.clip(1 + above / _FADE, 0, 1)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above > 0, [0]])))
    for start, stop in edges.reshape(-1, 2):
        strongest = (5 - BORDER) * (1 - np.exp(-above[start:stop].max() / _GROWTH))
        values[start:stop] = BORDER + strongest * event_shape(stop - start)
    return values


def event_shape(frames: int) -> np.ndarray:
    """Return the course of an event: it rises, holds at 1 and falls, shape (frames,).

    Parameters
    ----------
    frames : int
        Length of the event, 1 or more.

    Examples
    --------
    >>> event_shape(8).round(2).tolist()
    [0.25, 0.75, 1.0, 1.0, 1.0, 0.89, 0.54, 0.18]
    """
    at = np.arange(frames) + 0.5
    rise = at / max(1.0, _RISE * frames)
    fall = (frames - at) / max(1.0, _FALL * frames)
    return np.minimum(1, np.minimum(rise, fall))


def levels_of(intensities: np.ndarray) -> np.ndarray:
    """Return the intensity that FACS codes for continuous values: 0 (absent), 1 (A) to 5 (E).

    Examples
    --------
    >>> levels_of(np.array([0.0, 0.9, 1.0, 2.2, 5.0])).tolist()
    [0, 0, 1, 3, 5]
    """
    return np.searchsorted(list(LEVELS.values()), intensities, side="right")


def level_shares(intensities: np.ndarray) -> dict[str, float]:
    """Return the share of each FACS intensity, A to E, among the values that are present.

    Parameters
    ----------
    intensities : ndarray
        Intensities 0 to 5.

    Returns
    -------
    dict of str to float
        The shares, which sum to 1; all are 0 if nothing is present.

    Examples
    --------
    >>> level_shares(np.array([0.0, 1.2, 3.0, 3.0, 4.9]))
    {'A': 0.25, 'B': 0.0, 'C': 0.5, 'D': 0.0, 'E': 0.25}
    """
    present = np.asarray(intensities)[np.asarray(intensities) >= BORDER]
    counts, _ = np.histogram(present, [*LEVELS.values(), np.inf])
    return {level: float(count) / max(1, len(present)) for level, count in zip(LEVELS, counts, strict=True)}
