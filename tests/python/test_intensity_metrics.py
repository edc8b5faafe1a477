"""Figures of intensities, held to scipy, to an analysis of variance in loops, and to a published table."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from drml.evaluation.folds import mean_of_folds
from drml.evaluation.intensity_metrics import FIGURES, figures_of_sums, icc, mae, mse, pcc, sums_of
from drml.evaluation.intensity_table import TRIVIAL, evaluate_intensities

# Table 2 of Shrout & Fleiss (1979): four judges rate six targets. Table 4: ICC(3,1) is .71.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)


def anova(table: np.ndarray) -> tuple[float, float, float]:
    """Mean squares between targets and of the error, and ICC(3,1), as a two-way layout is worked by hand."""
    n, k = table.shape
    grand = sum(float(value) for value in table.flat) / (n * k)
    rows = [sum(float(value) for value in table[i]) / k for i in range(n)]
    columns = [sum(float(value) for value in table[:, j]) / n for j in range(k)]
    between = k * sum((mean - grand) ** 2 for mean in rows) / (n - 1)
    error = sum(
        (float(table[i, j]) - rows[i] - columns[j] + grand) ** 2 for i in range(n) for j in range(k)
    ) / ((n - 1) * (k - 1))
    return between, error, (between - error) / (between + (k - 1) * error)


def draw(frames: int = 240, aus: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with unknown ones, estimates, and subjects of uneven numbers of frames."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 0, 0, 1, 2, 3, 4, 5, 9], size=(frames, aus)).astype(float)
    clean = np.where(labels == 9, 2, labels)
    estimates = np.clip(0.6 * clean + 0.5 + rng.normal(0, 1.1, labels.shape), 0, 5)
    subjects = rng.choice(["F001", "F002", "M003", "M004"], p=[0.5, 0.3, 0.15, 0.05], size=frames)
    return labels, estimates, subjects


def expected(y: np.ndarray, x: np.ndarray) -> dict[str, float]:
    known = y != 9
    y, x = y[known], x[known]
    distance = [abs(float(a) - float(b)) for a, b in zip(y, x, strict=True)]
    return {
        "icc": anova(np.stack([y, x], 1))[2],
        "pcc": float(scipy.stats.pearsonr(y, x).statistic),
        "mse": sum(d * d for d in distance) / len(y),
        "mae": sum(distance) / len(y),
    }


def test_the_oracle_gives_the_published_figures() -> None:
    between, error, value = anova(SHROUT_FLEISS)
    assert between == pytest.approx(11.24, abs=0.005) and error == pytest.approx(1.02, abs=0.005)
    assert value == pytest.approx(0.71, abs=0.005)


@pytest.mark.parametrize("judges", [(0, 1), (1, 3), (2, 0)])
def test_icc_of_two_of_the_published_judges(judges: tuple[int, int]) -> None:
    one, other = SHROUT_FLEISS[:, judges[0]] / 2, SHROUT_FLEISS[:, judges[1]] / 2
    assert icc(one, other) == pytest.approx(anova(np.stack([one, other], 1))[2], rel=1e-12)
    # Consistency: a judge who is always higher by the same amount agrees as well.
    assert icc(one, other + 7) == pytest.approx(icc(one, other), rel=1e-12)
    assert icc(one, 2 * other) != pytest.approx(icc(one, other), rel=1e-3)


def test_figures_are_those_of_the_oracles() -> None:
    labels, estimates, _ = draw()
    table = evaluate_intensities(labels, estimates, aus=(1, 6, 12))
    for column, row in enumerate(table.rows):
        wanted = expected(labels[:, column], estimates[:, column])
        for name in FIGURES:
            assert getattr(row, name) == pytest.approx(wanted[name], rel=1e-10), name
        assert row.known == (labels[:, column] != 9).sum()
    for name in FIGURES:
        mean = np.mean([getattr(row, name) for row in table.rows])
        assert table.average(name) == pytest.approx(mean)


def test_figures_keep_their_digits_far_from_zero() -> None:
    rng = np.random.default_rng(4)
    y = np.clip(4.9 + 1e-4 * rng.normal(size=400), 0, 5)
    x = y + 1e-5 * rng.normal(size=400) + 1e3
    wanted = expected(y, x)
    for name, figure in (("icc", icc), ("pcc", pcc), ("mse", mse), ("mae", mae)):
        assert figure(y, x) == pytest.approx(wanted[name], rel=1e-6), name


@pytest.mark.parametrize(
    ("y", "x", "figures"),
    [
        ([], [], (math.nan,) * 4),
        ([9, 9], [1, 2], (math.nan,) * 4),
        ([3], [2], (math.nan, math.nan, 1, 1)),
        ([2, 2], [2, 2], (math.nan, math.nan, 0, 0)),
        ([0.1, 0.1, 0.1], [0.7, 0.7, 0.7], (math.nan, math.nan, 0.36, 0.6)),
        ([0, 4], [1, 1], (0, math.nan, 5, 2)),
        ([2, 2], [1, 4], (0, math.nan, 2.5, 1.5)),
        ([0, 5, 9], [5, 0, 3], (-1, -1, 25, 5)),
    ],
)
def test_figures_that_are_undefined(y: list[float], x: list[float], figures: tuple[float, ...]) -> None:
    for figure, value in zip((icc, pcc, mse, mae), figures, strict=True):
        assert figure(y, x) == pytest.approx(value, nan_ok=True), figure.__name__


@pytest.mark.parametrize(
    ("y", "x", "fault"),
    [
        ([0, -1], [0, 0], "label -1 at index 1 is no intensity"),
        ([6], [0], "label 6 at index 0"),
        ([math.nan], [0], "label nan"),
        ([5.5], [0], "label 5.5"),
        ([9, 0], [math.nan, 0], "estimate nan at index 0 is not finite"),
        ([0], [math.inf], "estimate inf"),
        ([0, 1], [0], r"got shapes \(2,\) and \(1,\)"),
        ([[0]], [[1]], "two vectors"),
    ],
)
def test_input_is_checked(y: list[float], x: list[float], fault: str) -> None:
    for figure in (icc, pcc, mse, mae):
        with pytest.raises(ValueError, match=fault):
            figure(y, x)


def test_trivial_estimates() -> None:
    labels, estimates, _ = draw(seed=5)
    means = np.array([0.5, 1.5, 2.5])
    table = evaluate_intensities(labels, estimates, aus=(1, 6, 12), training_mean=means)
    for column, row in enumerate(table.rows):
        known = labels[labels[:, column] != 9, column]
        assert row.zero_mse == pytest.approx((known**2).mean())
        assert row.zero_mae == pytest.approx(known.mean()) == row.level
        assert row.mean_mae == pytest.approx(np.abs(known - means[column]).mean())
        assert row.mean_mse == pytest.approx(((known - means[column]) ** 2).mean())
        assert row.zero_icc == row.mean_icc == 0
        assert math.isnan(row.zero_pcc) and math.isnan(row.mean_pcc)
    assert all(title in str(table) for title in TRIVIAL.values())
    without = evaluate_intensities(labels, estimates, aus=(1, 6, 12))
    assert TRIVIAL["mean"] not in str(without) and TRIVIAL["zero"] in str(without)
    assert without.to_dict()["average"]["mean_mse"] is None
    assert list(table.to_frame().index) == ["AU1", "AU6", "AU12", "Avg.", *TRIVIAL.values()]
    assert list(table.to_frame()) == ["frames", "level", "icc", "pcc", "mse", "mae"]


def test_intervals_are_those_of_drawn_subjects_frame_by_frame() -> None:
    labels, estimates, subjects = draw(frames=60)
    labels[subjects == "M004", 1] = 9
    table = evaluate_intensities(labels, estimates, aus=(1, 6, 12), subjects=subjects, bootstrap=40, seed=3)
    names = sorted(set(subjects))
    rng = np.random.default_rng(3)
    drawn: dict[str, list[list[float]]] = {name: [] for name in FIGURES}
    for _ in range(40):
        chosen = [names[index] for index in rng.integers(len(names), size=len(names))]
        frames = np.concatenate([np.flatnonzero(subjects == name) for name in chosen])
        rows = [expected(labels[frames, column], estimates[frames, column]) for column in range(3)]
        for name in FIGURES:
            drawn[name].append([row[name] for row in rows])
    assert table.intervals is not None and table.intervals.subjects == len(names) == 4
    for name in FIGURES:
        values = np.array(drawn[name])
        for column in range(3):
            interval = table.intervals.by_au[name][column]
            wanted = np.percentile(values[:, column], (2.5, 97.5))
            assert (interval.low, interval.high) == pytest.approx(tuple(wanted), rel=1e-9)
        wanted = np.percentile(values.mean(1), (2.5, 97.5))
        average = table.intervals.average[name]
        assert (average.low, average.high) == pytest.approx(tuple(wanted), rel=1e-9)
    shown = table.to_frame()
    assert shown.loc["AU6", "icc_low"] == table.intervals.by_au["icc"][1].low
    assert shown.loc["Avg.", "mae_high"] == table.intervals.average["mae"].high
    assert "95% CI" in str(table) and "40 draws of 4 subjects, seed 3" in str(table)
    with pytest.raises(ValueError, match="at least two subjects"):
        evaluate_intensities(labels, estimates, subjects=["F001"] * 60)


def test_the_mean_of_folds() -> None:
    one = evaluate_intensities([[0], [4]], [[0], [4]], aus=(6,))
    two = evaluate_intensities([[0], [4], [9]], [[4], [0], [1]], aus=(6,))
    mean = mean_of_folds([one, two])
    assert (mean.rows[0].icc, mean.rows[0].mse, mean.rows[0].known) == (0, 8, 4)
    flat = evaluate_intensities([[3], [3]], [[3], [3]], aus=(6,))
    assert mean_of_folds([one, flat]).rows[0].icc == 1  # undefined in the second
    with pytest.raises(ValueError, match="same AUs"):
        mean_of_folds([one, evaluate_intensities([[0]], [[0]], aus=(12,))])
    with pytest.raises(ValueError, match="no fold"):
        mean_of_folds([])


def test_shapes_are_checked() -> None:
    for labels, estimates, aus in (
        ([[0, 1]], [[0]], None),
        ([0, 1], [0, 1], None),
        ([[0, 1]], [[0, 1]], (6,)),
    ):
        with pytest.raises(ValueError, match="expected labels and estimates"):
            evaluate_intensities(labels, estimates, aus=aus)
    with pytest.raises(ValueError, match="AU12: label 7"):
        evaluate_intensities([[0, 7]], [[0, 1]], aus=(6, 12))
    with pytest.raises(ValueError, match="column 1: label 7"):
        evaluate_intensities([[0, 7]], [[0, 1]])


@pytest.mark.parametrize("count", [2, 3, 7, 10])
def test_what_rounding_leaves_of_constants_is_no_variance(count: int) -> None:
    varied = np.arange(count, dtype=np.float64) % 6
    for constant in np.random.default_rng(count).uniform(0.01, 5, 50):
        same = np.full(count, constant)
        for levels, values in ((varied, same), (same, varied)):
            found = figures_of_sums(sums_of(levels, values, about=(0, 0)).sum(0), about=(0, 0))
            assert found["icc"] == 0 and np.isnan(found["pcc"])
        found = figures_of_sums(sums_of(same, same + 1, about=(0, 0)).sum(0), about=(0, 0))
        assert np.isnan(found["icc"]) and np.isnan(found["pcc"])
        assert found["mse"] == pytest.approx(1) and found["mae"] == pytest.approx(1)
