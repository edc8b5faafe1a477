"""How frequent and how correlated action units are in drawn videos, and the thresholds that follow.

The hidden values of `drml.synth.behaviour` have the correlations `CORRELATION` and are shifted by the task
(`TASK_SHIFTS`). `thresholds` solves for the values above which an AU is present, such that the rates over all
tasks in use equal `RATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.special import ndtr

from drml.data.labels import ALL_AUS, BP4D_BASE_RATES

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
