"""Action units over time: as frequent and as entangled as in BP4D."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from drml.data.labels import ALL_AUS, BP4D_BASE_RATES
from drml.synth.behaviour import clear_intensities, habit, smooth_noise
from drml.synth.statistics import CORRELATION, RATES, TASK_SHIFTS, thresholds


@lru_cache(maxsize=2)
def intensities(tasks: int = 8) -> np.ndarray:
    """The default data set's amount: (41, tasks, 24, 15)."""
    limits = thresholds(tasks)
    rng = np.random.default_rng(0)
    people = []
    for _ in range(41):
        habit = rng.normal(size=15)
        people.append([clear_intensities(rng, habit, task, 24, limits) for task in range(tasks)])
    return np.array(people)


def column(values: np.ndarray, au: int) -> np.ndarray:
    return values[..., ALL_AUS.index(au)].ravel()


def phi(one: int, other: int) -> float:
    present = intensities() >= 1
    return float(np.corrcoef(column(present, one), column(present, other))[0, 1])


def test_the_correlation_matrix_is_one() -> None:
    assert np.array_equal(CORRELATION, CORRELATION.T)
    assert (np.diag(CORRELATION) == 1).all()
    assert np.linalg.eigvalsh(CORRELATION).min() > 0.05


def test_rates_are_bp4ds() -> None:
    assert all(RATES[au] == rate for au, rate in BP4D_BASE_RATES.items())
    present = intensities() >= 1
    for au in ALL_AUS:
        assert column(present, au).mean() == pytest.approx(RATES[au], abs=0.045), au


@pytest.mark.parametrize("tasks", [1, 3, 8])
def test_thresholds_give_the_rates_for_any_number_of_tasks(tasks: int) -> None:
    # Independent moments: one frame a video, so that thousands of draws can be averaged.
    rng = np.random.default_rng(1)
    hidden = rng.multivariate_normal(np.zeros(15), CORRELATION, size=(40_000, tasks))
    present = hidden + TASK_SHIFTS[:tasks] > thresholds(tasks)
    for au in (23, 24):
        present[..., ALL_AUS.index(au)] &= ~present[..., ALL_AUS.index(25)]
    for au in ALL_AUS:
        assert column(present, au).mean() == pytest.approx(RATES[au], abs=0.012), au


@pytest.mark.parametrize(("one", "other"), [(6, 12), (6, 7), (6, 10), (10, 12), (1, 2), (25, 26)])
def test_what_goes_together(one: int, other: int) -> None:
    assert phi(one, other) > 0.3


@pytest.mark.parametrize(("one", "other"), [(15, 17), (17, 24), (7, 12)])
def test_what_goes_together_somewhat(one: int, other: int) -> None:
    assert phi(one, other) > 0.12


@pytest.mark.parametrize(("one", "other", "limit"), [(12, 15, -0.1), (1, 4, 0.0), (2, 4, 0.0)])
def test_what_avoids_each_other(one: int, other: int, limit: float) -> None:
    assert phi(one, other) < limit


def test_parted_lips_exclude_tight_and_pressed_ones() -> None:
    present = intensities() >= 1
    for au in (23, 24):
        assert not (column(present, au) & column(present, 25)).any()


def test_present_is_clear_and_absent_is_at_most_a_trace() -> None:
    values = intensities()
    assert values.min() >= 0 and values.max() <= 5
    assert not ((values > 0.6) & (values < 2)).any()
    assert 0.02 < ((values > 0) & (values < 1)).mean() < 0.2
    strong = values[values >= 2]
    assert strong.std() > 0.6 and (strong > 4).mean() > 0.1


def test_a_habit_belongs_to_a_person_and_a_seed() -> None:
    one = habit(1, "F001")
    np.testing.assert_array_equal(one, habit(1, "F001"))
    assert one.shape == (15,) and (one != habit(2, "F001")).all() and (one != habit(1, "F002")).all()


def test_tasks_differ() -> None:
    np.testing.assert_allclose(TASK_SHIFTS.sum(0), 0, atol=1e-12)
    rates = (intensities() >= 1).mean((0, 2))
    assert (rates.max(0) - rates.min(0)).max() > 0.3


def test_videos_are_smooth() -> None:
    present = intensities() >= 1
    changes = (present[:, :, 1:] != present[:, :, :-1]).mean()
    assert changes < 0.5 * (2 * present.mean() * (1 - present.mean()))
    noise = smooth_noise(np.random.default_rng(0), 4000, 2, 0.85)
    assert noise.std() == pytest.approx(1, abs=0.1)
    assert np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1] == pytest.approx(0.85, abs=0.05)


def test_noise_from_a_window_is_standard_and_smoother() -> None:
    noise = smooth_noise(np.random.default_rng(0), 6000, 2, window=2.0)
    assert noise.shape == (6000, 2)
    assert noise.std() == pytest.approx(1, abs=0.06)
    # The correlation of a Gaussian window's output after d frames is exp(-d^2 / (4 window^2)).
    for frames in (1, 4):
        expected = np.exp(-(frames**2) / 16)
        measured = np.corrcoef(noise[frames:, 0], noise[:-frames, 0])[0, 1]
        assert measured == pytest.approx(expected, abs=0.06)
