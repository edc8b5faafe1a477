"""Action units over a video, as frequent and as correlated as in BP4D or in DISFA.

Every action unit has a hidden standard normal value that follows a fixed correlation matrix and is smooth in
time; the unit is present while the value is above a threshold, and the further above, the stronger
(`drml.synth.statistics`).

A video in DISFA's layout goes through all tasks, as DISFA's subjects watched one clip after the other. Its
intensities rise gradually (`watching_intensities`). In BP4D's layout intensities are graded as well
(`drml.synth.events`), except in the clear-cut set, where AUs are clearly present or absent
(`clear_intensities`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from drml.data.labels import ALL_AUS
from drml.synth.statistics import CORRELATION, EXCLUDED_BY_25, MAX_TASKS, TASK_SHIFTS
from drml.synth.view import LATENT, View

# Shares of the hidden value's variance: the person's habit, the video, the moment; and the correlation of the
# moment with the next frame.
_HABIT, _VIDEO, _MOMENT = 0.05, 0.15, 0.80
_PERSISTENCE = 0.85

# In the clear-cut set, a present unit has at least this intensity; an absent one may have a trace below
# _TRACE.
_ONSET = 2.0
_TRACE = 0.6
# With gradual intensities: the intensity at the threshold, and how far below it the unit vanishes.
_MIDDLE, _FADE = 2.5, 0.6


def smooth_noise(
    rng: np.random.Generator, frames: int, size: int, persistence: float = 0.0, window: float = 0.0
) -> np.ndarray:
    """Draw standard normal values that change smoothly over time.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers.
    frames : int
        Number of frames.
    size : int
        Number of values a frame, which are independent of one another.
    persistence : float
        Correlation of a value with the next frame's, of a first-order autoregression.
    window : float
        Instead of `persistence`, the standard deviation in frames of a Gaussian window over white noise: the
        values then have no sudden turns.

    Returns
    -------
    ndarray of shape (frames, size)
    """
    if window:
        reach = int(np.ceil(4 * window))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / window) ** 2)
        weights /= np.linalg.norm(weights)
        white = rng.normal(size=(frames + 2 * reach, size))
        return np.lib.stride_tricks.sliding_window_view(white, len(weights), axis=0) @ weights
    steps = rng.normal(size=(frames, size))
    for t in range(1, frames):
        steps[t] = persistence * steps[t - 1] + np.sqrt(1 - persistence**2) * steps[t]
    return steps


def clear_intensities(
    rng: np.random.Generator, habit: np.ndarray, task: int, frames: int, limits: np.ndarray
) -> np.ndarray:
    """Draw the intensities of all action units over one video of the clear-cut set.

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
        The `thresholds`.

    Returns
    -------
    ndarray of shape (frames, 15)
        Intensities 0 to 5 in the order of `ALL_AUS`: at least `_ONSET` for present AUs, less than 1 (a trace)
        or 0 for absent AUs.
    """
    above = _above(rng, habit, TASK_SHIFTS[task], frames, limits)
    strong = _ONSET + (5 - _ONSET) * (1 - np.exp(-np.maximum(above, 0) / 0.6))
    trace = _TRACE * np.clip(1 + above / 0.3, 0, 1)
    return np.where(above > 0, strong, trace)


def watching_intensities(
    rng: np.random.Generator, habit: np.ndarray, frames: int, limits: np.ndarray
) -> np.ndarray:
    """Draw the intensities of all action units over a video that goes through all tasks.

    Parameters
    ----------
    rng, habit, limits
        As in `clear_intensities`.
    frames : int
        Length of the video.

    Returns
    -------
    ndarray of shape (frames, 15)
        Intensities 0 to 5 in the order of `ALL_AUS`: at least 2.5 for present AUs, less for absent AUs.
    """
    shifts = TASK_SHIFTS[np.arange(frames) * MAX_TASKS // frames]
    above = _above(rng, habit, shifts, frames, limits)
    strong = _MIDDLE + (5 - _MIDDLE) * (1 - np.exp(-np.maximum(above, 0) / 0.7))
    return np.where(above > 0, strong, _MIDDLE * np.clip(1 + above / _FADE, 0, 1))


def _above(
    rng: np.random.Generator, habit: np.ndarray, shifts: np.ndarray, frames: int, limits: np.ndarray
) -> np.ndarray:
    """Return how far the hidden values are above their limits, shape (frames, 15)."""
    video = rng.normal(size=len(ALL_AUS))
    moments = smooth_noise(rng, frames, len(ALL_AUS), _PERSISTENCE)
    return above_thresholds(habit, video, moments, shifts, limits)


def above_thresholds(
    habit: np.ndarray, video: np.ndarray, moments: np.ndarray, shifts: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Return how far the hidden values of all action units are above their thresholds over one video.

    Parameters
    ----------
    habit : ndarray of shape (15,)
        Standard normal values of this person, which are the same in all videos.
    video : ndarray of shape (15,)
        Standard normal values of this video.
    moments : ndarray of shape (frames, 15)
        Standard normal values that change from frame to frame.
    shifts : ndarray of shape (15,) or (frames, 15)
        What the task adds to the hidden values.
    limits : ndarray of shape (15,)
        The `thresholds`.

    Returns
    -------
    ndarray of shape (frames, 15)
        Above 0 where the AU is present.
    """
    hidden = np.sqrt(_HABIT) * habit + np.sqrt(_VIDEO) * video + np.sqrt(_MOMENT) * moments
    above = hidden @ np.linalg.cholesky(CORRELATION).T + shifts - limits
    parted = above[:, ALL_AUS.index(25)] > 0
    for au in EXCLUDED_BY_25:
        column = above[:, ALL_AUS.index(au)]
        column[parted] = np.minimum(column[parted], -1.0)
    return above


def habit(seed: int, subject: str) -> np.ndarray:
    """Draw how much more or less a person shows each AU than others: standard normal values, shape (15,)."""
    return np.random.default_rng([seed, *subject.encode(), 2]).normal(size=len(ALL_AUS))


def video_views(rng: np.random.Generator, frames: int) -> list[View]:
    """Draw the views of a video's frames: pose and light vary around values of the video."""
    place, moment = rng.normal(size=LATENT), smooth_noise(rng, frames, LATENT, 0.8)
    latent = np.sqrt(0.5) * (place + moment)
    seeds = rng.integers(2**31, size=frames)
    return [View.from_latent(latent[t], int(seeds[t])) for t in range(frames)]


def as_mapping(row: Sequence[float] | np.ndarray) -> Mapping[int, float]:
    """Return the intensities of one frame by AU number."""
    return {au: float(value) for au, value in zip(ALL_AUS, row, strict=True)}
