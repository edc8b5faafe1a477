"""Action units over a video, as frequent and as correlated as in BP4D or in DISFA.

Every action unit has a hidden standard normal value that follows a fixed correlation matrix
(`CORRELATION`) and is smooth in time; the unit is present while the value is above a threshold,
and the further above, the stronger. Tasks shift the values (`TASK_SHIFTS`), and the thresholds are
solved such that the rates over all tasks in use equal `RATES`.

A video in DISFA's layout goes through all tasks, as DISFA's subjects watched one clip after the other. Its
intensities rise gradually (`watching_intensities`). In BP4D's layout intensities are graded as well
(`drml.synth.events`), except in the clear-cut set, where AUs are clearly present or absent
(`clear_intensities`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.special import ndtr

from drml.data.labels import ALL_AUS, BP4D_BASE_RATES
from drml.synth.view import LATENT, View

# BP4D's rates. BP4D does not code 25 and 26 and rarely shows 9, so the rates of these three are our choice.
RATES: dict[int, float] = {**BP4D_BASE_RATES, 9: 0.06, 25: 0.35, 26: 0.15}

# Our choice of rates for people who watch videos alone; present means an intensity of 3 or more in DISFA.
WATCHING_RATES: dict[int, float] = {
    **{1: 0.10, 2: 0.08, 4: 0.16, 6: 0.15, 7: 0.14, 9: 0.08, 10: 0.10, 12: 0.24, 14: 0.10, 15: 0.06},
    **{17: 0.10, 23: 0.05, 24: 0.06, 25: 0.30, 26: 0.16},
}

# Lips that are tightened or pressed are not parted: 25 excludes these.
EXCLUDED_BY_25 = (23, 24)

# Correlations of the hidden values; other pairs are uncorrelated.
_PAIRS: dict[tuple[int, int], float] = {
    (1, 2): 0.70,
    (1, 4): -0.10,
    (1, 26): 0.10,
    (2, 4): -0.15,
    (2, 26): 0.10,
    (4, 7): 0.15,
    (4, 9): 0.40,
    (4, 12): -0.15,
    (4, 15): 0.10,
    (6, 7): 0.60,
    (6, 9): 0.15,
    (6, 10): 0.50,
    (6, 12): 0.72,
    (6, 14): 0.15,
    (6, 15): -0.15,
    (6, 25): 0.20,
    (7, 9): 0.25,
    (7, 10): 0.45,
    (7, 12): 0.45,
    (9, 10): 0.25,
    (10, 12): 0.58,
    (10, 14): 0.20,
    (10, 25): 0.22,
    (12, 14): 0.20,
    (12, 15): -0.35,
    (12, 17): -0.15,
    (12, 24): -0.15,
    (12, 25): 0.28,
    (14, 23): 0.15,
    (14, 24): 0.15,
    (15, 17): 0.45,
    (15, 24): 0.15,
    (17, 23): 0.20,
    (17, 24): 0.45,
    (17, 25): -0.25,
    (23, 24): 0.25,
    (23, 25): -0.40,
    (24, 25): -0.45,
    (24, 26): -0.25,
    (25, 26): 0.60,
}

# Effect of each of BP4D's tasks: a shift of the hidden values, before centring.
_TASKS: tuple[dict[int, float], ...] = (
    {6: 0.6, 12: 0.6, 10: 0.4, 7: 0.3, 14: 0.2, 25: 0.4, 4: -0.4, 15: -0.4, 24: -0.3},  # T1 happiness
    {1: 0.3, 4: 0.3, 15: 0.5, 17: 0.5, 24: 0.2, 6: -0.5, 12: -0.6, 10: -0.4, 25: -0.3},  # T2 sadness
    {1: 0.5, 2: 0.6, 25: 0.3, 26: 0.6, 4: -0.3},  # T3 surprise
    {12: 0.4, 6: 0.3, 10: 0.2, 14: 0.3, 24: 0.2},  # T4 embarrassment
    {1: 0.3, 2: 0.2, 25: 0.2, 26: 0.2},  # T5 fear
    {4: 0.4, 6: 0.2, 7: 0.4, 9: 0.6, 10: 0.3},  # T6 pain
    {4: 0.3, 23: 0.4, 24: 0.2, 17: 0.2, 7: 0.1, 12: -0.3},  # T7 anger
    {4: 0.2, 7: 0.2, 9: 0.6, 10: 0.4, 17: 0.2},  # T8 disgust
)
MAX_TASKS = len(_TASKS)

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


def _correlation() -> np.ndarray:
    place = {au: k for k, au in enumerate(ALL_AUS)}
    matrix = np.eye(len(ALL_AUS))
    for (one, other), value in _PAIRS.items():
        matrix[place[one], place[other]] = matrix[place[other], place[one]] = value
    return matrix


def _task_shifts() -> np.ndarray:
    shifts = np.array([[task.get(au, 0.0) for au in ALL_AUS] for task in _TASKS])
    return shifts - shifts.mean(0)


CORRELATION = _correlation()
TASK_SHIFTS = _task_shifts()


def thresholds(tasks: int, rates: Mapping[int, float] = RATES) -> np.ndarray:
    """Return the thresholds of the hidden values that give `rates` over the first `tasks` tasks.

    Parameters
    ----------
    tasks : int
        Number of tasks in use.
    rates : mapping of int to float
        AU to its share of frames in which it is present.

    Returns
    -------
    ndarray of shape (15,)
        The thresholds, in the order of `ALL_AUS`.
    """
    shifts = TASK_SHIFTS[:tasks]
    out = np.empty(len(ALL_AUS))
    parted = ALL_AUS.index(25)
    for k, au in enumerate(ALL_AUS):
        if au not in EXCLUDED_BY_25:
            out[k] = _solve(lambda t, k=k: ndtr(shifts[:, k] - t).mean(), rates[au])  # type: ignore[misc]  # mypy has no type for k
    # Present and not excluded: integrate over the hidden value of 25 below its threshold.
    grid = np.linspace(-8, 8, 3201)
    density = np.exp(-0.5 * grid**2)
    density /= density.sum()
    for au in EXCLUDED_BY_25:
        k = ALL_AUS.index(au)
        rho = CORRELATION[k, parted]

        def rate(t: float, k: int = k, rho: float = rho) -> float:
            above = ndtr((rho * grid + shifts[:, k : k + 1] - t) / np.sqrt(1 - rho**2))
            closed = grid + shifts[:, parted : parted + 1] <= out[parted]
            return float((above * closed * density).sum(1).mean())

        out[k] = _solve(rate, rates[au])
    return out


def _solve(rate: Callable[[float], float], target: float) -> float:
    """Find where a falling function takes the value `target`, by bisection."""
    low, high = -8.0, 8.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rate(middle) > target else (low, middle)
    return 0.5 * (low + high)


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
