"""The scores of the intensities of several AUs: a row per AU, their averages, and trivial estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import AU_NAMES
from drml.evaluation.bootstrap import DRAWS, INTERVAL_TITLE, Intervals, draw_subjects, intervals_of_draws
from drml.evaluation.intensity_metrics import FIGURES, SUMS, figures_of_sums, known_levels, sums_of
from drml.evaluation.text_table import figure_cell, format_table, interval_cell
from drml.io.figures import json_value, mean_of_defined

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "AVERAGED",
    "TITLES",
    "TRIVIAL",
    "IntensityScore",
    "IntensityTable",
    "evaluate_intensities",
    "mean_of_intensity_folds",
]

TITLES = {"icc": "ICC(3,1)", "pcc": "PCC", "mse": "MSE", "mae": "MAE"}
"""How tables name the figures."""
TRIVIAL = {"zero": "always 0 (trivial)", "mean": "training mean (trivial)"}
"""Estimates that look at no face: their names in figures, such as ``zero_mse``, and in tables."""

AVERAGED = ("level", *FIGURES, *(f"{trivial}_{figure}" for trivial in TRIVIAL for figure in FIGURES))
"""The figures of an AU that are averaged over AUs and folds."""

_REASONS = {
    "icc": "neither labels nor estimates vary",
    "pcc": "labels or estimates do not vary",
    "mse": "no frame with a known label",
    "mae": "no frame with a known label",
}
"""Why a figure may be undefined."""


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


@dataclass(frozen=True, repr=False)
class IntensityTable:
    """The scores of a test of intensities. Printed, it is the table of ``drml score``.

    Attributes
    ----------
    rows : tuple of IntensityScore
        One per AU, in the order of the columns.
    named : bool
        Whether the AUs were given; otherwise rows are named by their columns.
    intervals : Intervals or None
        Confidence intervals of all figures, if they were asked for.
    """

    rows: tuple[IntensityScore, ...]
    named: bool = True
    intervals: Intervals | None = None

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs of the rows."""
        return tuple(row.au for row in self.rows)

    def average(self, figure: str) -> float:
        """Return the mean of a figure, named as in `IntensityScore`, over the AUs that have it; else NaN."""
        return mean_of_defined([getattr(row, figure) for row in self.rows])

    @property
    def undefined(self) -> dict[str, list[int]]:
        """The AUs left out of an average, by figure; figures that are defined everywhere do not appear."""
        left_out = {
            figure: [row.au for row in self.rows if math.isnan(getattr(row, figure))] for figure in FIGURES
        }
        return {figure: aus for figure, aus in left_out.items() if aus}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold; undefined figures are None."""
        return {
            "aus": [
                {
                    "au": row.au,
                    "known": row.known,
                    **{name: json_value(getattr(row, name)) for name in AVERAGED},
                }
                for row in self.rows
            ],
            "average": {name: json_value(self.average(name)) for name in AVERAGED},
            "left_out_of_average": self.undefined,
            **({"intervals": self.intervals.to_dict(self.aus)} if self.intervals else {}),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            A row per AU (``AU1``, ...), then ``Avg.`` and the trivial estimates; columns ``frames`` (with a
            known label), ``level`` (the labels' mean), ``icc``, ``pcc``, ``mse`` and ``mae``. What is
            undefined is a missing value.
        """
        import pandas as pd

        figures = ("level", *FIGURES)
        rows: list[list[Any]] = [[row.known, *(getattr(row, one) for one in figures)] for row in self.rows]
        rows.append([None, *map(self.average, figures)])
        names = [*(self._name(row.au) for row in self.rows), "Avg."]
        for trivial, title in self._trivial():
            rows.append([None, *map(self.average, self._trivial_figures(trivial))])
            names.append(title)
        return pd.DataFrame(rows, names, ["frames", *figures]).astype({"frames": "Int64"})

    def to_text(self) -> str:
        """Return the table that ``drml score`` prints, without a line break at its end."""
        figures = ("level", *FIGURES)
        head = ["AU", "frames", "level"]
        head += [TITLES[figure] + (INTERVAL_TITLE if self.intervals else "") for figure in FIGURES]
        rows = [
            [self.title(row.au), str(row.known), *(self.cell(figure, column) for figure in figures)]
            for column, row in enumerate(self.rows)
        ]
        rows.append(["Avg.", "", *map(self.cell, figures)])
        trivial = self._trivial()
        rows += [[title, "", *map(self.cell, self._trivial_figures(name))] for name, title in trivial]
        lines = [format_table(head, rows, totals=1 + len(trivial), gap=1 if self.intervals else 2)]
        for figure, aus in self.undefined.items():
            names = ", ".join(map(self._name, aus))
            lines.append(f"- {TITLES[figure]} undefined for {names} ({_REASONS[figure]}); left out of Avg.")
        if self.intervals:
            lines.append(f"- {self.intervals.to_text()}")
        return "\n".join(lines)

    def cell(self, figure: str, column: int | None = None) -> str:
        """Return a figure of an AU, or of the average, as tables show it: with its interval if it has one."""
        value = self.average(figure) if column is None else getattr(self.rows[column], figure)
        if self.intervals is None or figure not in FIGURES:
            return figure_cell(value)
        by_au, average = self.intervals.by_au[figure], self.intervals.average[figure]
        return interval_cell(value, average if column is None else by_au[column])

    def title(self, au: int) -> str:
        """Return how the first column of a table names an AU."""
        return f"{au:>2}  {AU_NAMES.get(au, '')}".rstrip() if self.named else self._name(au)

    def __repr__(self) -> str:
        return self.to_text()

    def _trivial(self) -> list[tuple[str, str]]:
        """Return the trivial estimates that are known: their names and titles."""
        return [
            (name, title) for name, title in TRIVIAL.items() if not math.isnan(self.average(f"{name}_mse"))
        ]

    @staticmethod
    def _trivial_figures(name: str) -> tuple[str, ...]:
        return ("level", *(f"{name}_{figure}" for figure in FIGURES))

    def _name(self, au: int) -> str:
        return f"AU{au}" if self.named else f"column {au}"


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
    columns = labels.shape[-1] if aus is None and labels.ndim == 2 else len(aus or ())
    if labels.ndim != 2 or labels.shape != values.shape or labels.shape[1] != columns:
        raise ValueError(
            f"expected labels and estimates of shape (N, {columns if labels.ndim == 2 or aus else 'K'}),"
            f" got {labels.shape} and {values.shape}"
        )
    constant = np.nan if training_mean is None else np.asarray(training_mean, np.float64)
    means = np.broadcast_to(constant, labels.shape)
    table = IntensityTable((), named=aus is not None)
    rows = []
    for column, au in enumerate(range(columns) if aus is None else aus):
        try:
            rows.append(_score_au(int(au), labels[:, column], values[:, column], means[:, column]))
        except ValueError as error:
            raise ValueError(f"{table._name(au)}: {error}") from None
    intervals = None
    if subjects is not None and bootstrap:
        intervals = _intervals(labels, values, subjects, bootstrap, seed)
    return IntensityTable(tuple(rows), table.named, intervals)


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


def mean_of_intensity_folds(folds: Sequence[IntensityTable]) -> IntensityTable:
    """Average each AU's figures over the folds in which they are defined; counts are added up.

    Parameters
    ----------
    folds : sequence of IntensityTable
        At least one, of the same AUs.

    Returns
    -------
    IntensityTable

    Raises
    ------
    ValueError
        There is no fold, or the folds do not score the same AUs.
    """
    if not folds:
        raise ValueError("no fold to average")
    if any(fold.aus != folds[0].aus for fold in folds):
        raise ValueError("the folds do not score the same AUs")
    return IntensityTable(
        tuple(
            IntensityScore(
                au=rows[0].au,
                known=sum(row.known for row in rows),
                **{name: mean_of_defined([getattr(row, name) for row in rows]) for name in AVERAGED},
            )
            for rows in zip(*(fold.rows for fold in folds), strict=True)
        ),
        named=folds[0].named,
    )
