"""The scores of the intensities of several AUs: a row per AU, their averages, and trivial estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.evaluation.au_table import AuTable, Kind, count_columns, score_columns
from drml.evaluation.bootstrap import DRAWS, Intervals, draw_subjects, intervals_of_draws
from drml.evaluation.intensity_metrics import FIGURES, SUMS, figures_of_sums, known_levels, sums_of

__all__ = ["TITLES", "TRIVIAL", "IntensityScore", "IntensityTable", "evaluate_intensities"]

TITLES = {"icc": "ICC(3,1)", "pcc": "PCC", "mse": "MSE", "mae": "MAE"}
"""How tables name the figures."""
TRIVIAL = {"zero": "always 0 (trivial)", "mean": "training mean (trivial)"}
"""Estimates that look at no face: their names in figures, such as ``zero_mse``, and in tables."""


@dataclass(frozen=True)
class IntensityScore:
    """The figures of the intensity of one AU.

    Attributes
    ----------
    au : int
        Number of the AU, or of the column (from 0) if the AUs were not given.
    known : int
        Frames with a known label.
    level : float
        The mean of the known labels, 0 to 5; NaN without one.
    icc, pcc : float
        ICC(3,1) and Pearson's correlation, -1 to 1; NaN where undefined.
    mse, mae : float
        Mean squared and mean absolute difference, in levels; NaN where undefined.
    zero_icc, zero_pcc, zero_mse, zero_mae : float
        The same for the estimate 0 in each frame.
    mean_icc, mean_pcc, mean_mse, mean_mae : float
        The same for the mean of the training labels in each frame; NaN if it is not known.
    """

    au: int
    known: int
    level: float
    icc: float
    pcc: float
    mse: float
    mae: float
    zero_icc: float
    zero_pcc: float
    zero_mse: float
    zero_mae: float
    mean_icc: float
    mean_pcc: float
    mean_mse: float
    mean_mae: float


_NO_LABEL = "no frame with a known label"


@dataclass(frozen=True, repr=False)
class IntensityTable(AuTable):
    """The scores of a test of intensities; see `AuTable`. Rows are `IntensityScore`."""

    kind: ClassVar[Kind] = Kind(
        row=IntensityScore,
        counts=("known",),
        lead="level",
        figures=FIGURES,
        titles={"level": "level", **TITLES},
        trivial=TRIVIAL,
        with_intervals=FIGURES,
        reasons={
            "icc": "neither labels nor estimates vary",
            "pcc": "labels or estimates do not vary",
            "mse": _NO_LABEL,
            "mae": _NO_LABEL,
        },
    )

    rows: tuple[IntensityScore, ...]


def evaluate_intensities(
    y: ArrayLike,
    estimates: ArrayLike,
    *,
    aus: Sequence[int] | None = None,
    training_mean: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    bootstrap: int = DRAWS,
    seed: int = 0,
) -> IntensityTable:
    """Score estimated intensities of several AUs.

    Parameters
    ----------
    y : array_like of shape (N, K)
        Labels of N frames: intensities from 0 (absent) to 5, or 9 (unknown). Frames with an unknown label of
        an AU are left out of that AU's figures.
    estimates : array_like of shape (N, K)
        Finite numbers; those of a net are from 0 to 5.
    aus : sequence of K int, optional
        The AU of each column; without it, the rows of the table are named by their columns.
    training_mean : array_like of shape (K,) or (N, K), optional
        The mean of the known training labels of each AU, which a trivial estimate repeats in each frame; NaN
        where there is none.
    subjects : array_like of shape (N,), optional
        The subject of each frame. With it, the table has 95% confidence intervals of all figures, for each AU
        and the average, by bootstrap over subjects.
    bootstrap : int
        Number of draws; 0 for no confidence intervals.
    seed : int
        Seed of the draws.

    Returns
    -------
    IntensityTable
        ICC(3,1), PCC, MSE and MAE by AU and averaged. Figures that cannot be computed are NaN and left out of
        the averages.

    Raises
    ------
    ValueError
        The shapes do not agree, a label is no intensity, an estimate is not finite, or there are fewer than
        two subjects.

    Examples
    --------
    >>> labels, estimates = [[0, 5], [2, 9], [4, 5]], [[0.5, 4], [1.5, 1], [3, 4]]
    >>> print(evaluate_intensities(labels, estimates, aus=(6, 12), training_mean=[1.5, 1]))
    AU                       frames  level  ICC(3,1)    PCC     MSE    MAE
    ----------------------------------------------------------------------
     6  Cheek raiser              3  2.000     0.896  0.993   0.500  0.667
    12  Lip corner puller         2  5.000         -      -   1.000  1.000
    ----------------------------------------------------------------------
    Avg.                             3.500     0.896  0.993   0.750  0.833
    always 0 (trivial)               3.500     0.000      -  15.833  3.500
    training mean (trivial)          3.500     0.000      -   9.458  2.750
    - ICC(3,1) undefined for AU12 (neither labels nor estimates vary); left out of Avg.
    - PCC undefined for AU12 (labels or estimates do not vary); left out of Avg.
    """
    labels = np.asarray(y, np.float64)
    values = np.asarray(estimates, np.float64)
    columns = count_columns(labels, values, aus, "estimates")
    constant = np.nan if training_mean is None else np.asarray(training_mean, np.float64)
    means = np.broadcast_to(constant, labels.shape)

    def score(au: int, column: int) -> IntensityScore:
        return _score_au(au, labels[:, column], values[:, column], means[:, column])

    rows = score_columns(columns, aus, score)
    intervals = None
    if subjects is not None and bootstrap:
        intervals = _intervals(labels, values, subjects, bootstrap, seed)
    return IntensityTable(rows, aus is not None, intervals)


def _score_au(
    au: int, labels: NDArray[np.float64], values: NDArray[np.float64], means: NDArray[np.float64]
) -> IntensityScore:
    levels, known = known_levels(labels, values)
    mean = known_levels(labels, np.nan_to_num(means))[1] if np.isfinite(means).all() else None
    figures: dict[str, float] = {}
    for prefix, guess in (("", known), ("zero_", np.zeros(len(levels))), ("mean_", mean)):
        for name in FIGURES:
            figures[prefix + name] = math.nan
        if guess is not None and levels.size:
            about = (float(levels.mean()), float(guess.mean()))
            found = figures_of_sums(sums_of(levels, guess, about=about).sum(0), about=about)
            figures |= {prefix + name: float(value) for name, value in found.items()}
    return IntensityScore(
        au=au, known=len(levels), level=float(levels.mean()) if levels.size else math.nan, **figures
    )


def _intervals(
    labels: NDArray[np.float64], values: NDArray[np.float64], subjects: ArrayLike, draws: int, seed: int
) -> Intervals:
    """Compute the confidence intervals, from the sums of each subject."""
    subject, weights = draw_subjects(subjects, len(labels), draws, seed)
    count = weights.shape[1]
    drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FIGURES}
    for column in range(labels.shape[1]):
        levels, known = known_levels(labels[:, column], values[:, column])
        of = subject[labels[:, column] <= 5]
        about = (float(levels.mean()), float(known.mean())) if levels.size else (0.0, 0.0)
        terms = sums_of(levels, known, about=about)
        sums = np.column_stack([np.bincount(of, terms[:, at], count) for at in range(SUMS)])
        found = figures_of_sums(weights.astype(np.float64) @ sums, about=about)
        for name in FIGURES:
            drawn[name].append(found[name])
    by_au, average = intervals_of_draws({name: np.column_stack(table) for name, table in drawn.items()})
    return Intervals(by_au, average, count, draws, seed)
