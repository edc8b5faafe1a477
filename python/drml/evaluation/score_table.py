"""The scores of several AUs: a row per AU, and their averages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from drml.data.labels import AU_NAMES
from drml.evaluation.au_score import AVERAGED, TITLES, AuScore, score_au, with_threshold
from drml.evaluation.bootstrap import DRAWS, INTERVAL_FIGURES, INTERVAL_TITLE, Intervals, find_intervals
from drml.evaluation.metrics import FIGURES, THRESHOLD
from drml.evaluation.text_table import figure_cell, format_table, interval_cell
from drml.io.figures import json_value, mean_of_defined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AuScore", "ScoreTable", "evaluate"]

_TRIVIAL = "all positive (trivial)"
_NO_LABEL = "no frame with a known label"
_ONE_CLASS = "present and absent frames not both there"
_REASONS = {"f1": _NO_LABEL, "auc": _ONE_CLASS, "ap": _ONE_CLASS, "accuracy": _NO_LABEL, "mcc": _ONE_CLASS}
"""Why a figure may be undefined."""


@dataclass(frozen=True, repr=False)
class ScoreTable:
    """The scores of a test. Printed or shown in a notebook, it is the table of ``drml score``.

    Attributes
    ----------
    rows : tuple of AuScore
        One per AU, in the order of the columns.
    named : bool
        Whether the AUs were given; otherwise rows are named by their columns.
    intervals : Intervals or None
        Confidence intervals of F1-frame and ROC-AUC, if they were asked for.
    """

    rows: tuple[AuScore, ...]
    named: bool = True
    intervals: Intervals | None = None

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs of the rows."""
        return tuple(row.au for row in self.rows)

    def average(self, figure: str) -> float:
        """Return the mean of a figure, named as in `AuScore`, over the AUs where it is defined; else NaN."""
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
                    "positives": row.positives,
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
            A row per AU (``AU1``, ...), then ``Avg.`` and ``all positive (trivial)``; columns ``frames``
            (with a known label), ``positives``, ``base_rate``, ``f1``, ``auc``, ``ap``, ``accuracy`` and
            ``mcc``; with confidence intervals also ``f1_low``, ``f1_high``, ``auc_low`` and ``auc_high``.
            What is undefined, and the counts of the last two rows, are missing values.

        Examples
        --------
        >>> table = evaluate([[1], [-1]], [[0.8], [0.3]], aus=(12,))
        >>> table.to_frame().loc["AU12", "auc"]
        np.float64(1.0)
        """
        import pandas as pd

        figures = ("base_rate", *FIGURES)
        rows: list[list[Any]] = [
            [row.known, row.positives, *(getattr(row, figure) for figure in figures)] for row in self.rows
        ]
        rows.append([None, None, *map(self.average, figures)])
        rows.append([None, None, *map(self.average, ("base_rate", *(f"trivial_{one}" for one in FIGURES)))])
        names = [*(self._name(row.au) for row in self.rows), "Avg.", _TRIVIAL]
        frame = pd.DataFrame(rows, names, ["frames", "positives", *figures])
        if self.intervals:
            for figure in INTERVAL_FIGURES:
                ends = [*self.intervals.by_au[figure], self.intervals.average[figure]]
                frame[f"{figure}_low"] = [*(one.low for one in ends), math.nan]
                frame[f"{figure}_high"] = [*(one.high for one in ends), math.nan]
        return frame.astype({"frames": "Int64", "positives": "Int64"})

    def to_text(self) -> str:
        """Return the table that ``drml score`` prints, without a line break at its end."""
        figures = ("base_rate", *FIGURES)
        head = ["AU", "frames", "base rate"]
        for figure in FIGURES:
            with_interval = self.intervals and figure in INTERVAL_FIGURES
            head.append(TITLES[figure] + (INTERVAL_TITLE if with_interval else ""))
        rows = [
            [self.title(row.au), str(row.known), *(self.cell(figure, column) for figure in figures)]
            for column, row in enumerate(self.rows)
        ]
        rows.append(["Avg.", "", *map(self.cell, figures)])
        rows.append([_TRIVIAL, "", *map(self.cell, ("base_rate", *(f"trivial_{one}" for one in FIGURES)))])
        # With intervals, the narrow gap keeps the table within 100 columns.
        lines = [format_table(head, rows, totals=2, gap=1 if self.intervals else 2)]
        grouped: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for figure, aus in self.undefined.items():
            grouped.setdefault((_REASONS[figure], tuple(aus)), []).append(TITLES[figure])
        for (reason, left_out), titles in grouped.items():
            names = ", ".join(map(self._name, left_out))
            lines.append(f"- {', '.join(titles)} undefined for {names} ({reason}); left out of Avg.")
        if self.intervals:
            lines.append(f"- {self.intervals.to_text()}")
        return "\n".join(lines)

    def cell(self, figure: str, column: int | None = None) -> str:
        """Return a figure of an AU, or of the average, as tables show it: with its interval if it has one."""
        value = self.average(figure) if column is None else getattr(self.rows[column], figure)
        if self.intervals is None or figure not in INTERVAL_FIGURES:
            return figure_cell(value)
        by_au, average = self.intervals.by_au[figure], self.intervals.average[figure]
        return interval_cell(value, average if column is None else by_au[column])

    def title(self, au: int) -> str:
        """Return how the first column of a table names an AU."""
        return f"{au:>2}  {AU_NAMES.get(au, '')}".rstrip() if self.named else self._name(au)

    def __repr__(self) -> str:
        return self.to_text()

    def _name(self, au: int) -> str:
        return f"AU{au}" if self.named else f"column {au}"


def evaluate(
    y: ArrayLike,
    scores: ArrayLike,
    *,
    aus: Sequence[int] | None = None,
    threshold: ArrayLike = THRESHOLD,
    subjects: ArrayLike | None = None,
    bootstrap: int = DRAWS,
    seed: int = 0,
    known: ScoreTable | None = None,
) -> ScoreTable:
    """Score the predictions of several AUs.

    Parameters
    ----------
    y : array_like of shape (N, K)
        Labels of N frames: 1 present, -1 absent, 0 unknown. Frames with an unknown label of an AU are left
        out of that AU's figures.
    scores : array_like of shape (N, K)
        Probabilities from 0 to 1, or any finite scores that are larger for present AUs.
    aus : sequence of K int, optional
        The AU of each column; without it, the rows of the table are named by their columns.
    threshold : float or array_like of shape (K,) or (N, K)
        A frame is predicted present if its score is at least this: one threshold for all AUs, one for each
        AU, or one for each frame and AU. F1-frame, accuracy and MCC depend on it.
    subjects : array_like of shape (N,), optional
        The subject of each frame. With it, the table has 95% confidence intervals of F1-frame and ROC-AUC,
        for each AU and the average, by bootstrap over subjects.
    bootstrap : int
        Number of draws; 0 for no confidence intervals.
    seed : int
        Seed of the draws.
    known : ScoreTable, optional
        The scores of the same input with another threshold. What does not depend on the threshold is taken
        from there, which is faster.

    Returns
    -------
    ScoreTable
        F1-frame, ROC-AUC, average precision, accuracy and MCC by AU and averaged. Figures that cannot be
        computed are NaN and left out of the averages.

    Raises
    ------
    ValueError
        The shapes do not agree, a label is none of -1, 0, 1, a score is not finite, or there are fewer than
        two subjects.

    Examples
    --------
    >>> table = evaluate([[1, 1], [-1, 1]], [[0.8, 0.8], [0.3, 0.1]], aus=(1, 2))
    >>> table.rows[0].auc, table.undefined
    (1.0, {'auc': [2], 'ap': [2], 'mcc': [2]})
    >>> print(table)
    AU                      frames  base rate  F1-frame  ROC-AUC     AP  accuracy    MCC
    ------------------------------------------------------------------------------------
     1  Inner brow raiser        2      0.500     1.000    1.000  1.000     1.000  1.000
     2  Outer brow raiser        2      1.000     0.667        -      -     0.500      -
    ------------------------------------------------------------------------------------
    Avg.                                0.750     0.833    1.000  1.000     0.750  1.000
    all positive (trivial)              0.750     0.833    0.500  0.500     0.750  0.000
    - ROC-AUC, AP, MCC undefined for AU2 (present and absent frames not both there); left out of Avg.

    With the subjects of the frames, F1-frame and ROC-AUC have confidence intervals:

    >>> labels, probabilities = [[1], [-1], [1], [-1]], [[0.8], [0.3], [0.9], [0.7]]
    >>> table = evaluate(labels, probabilities, aus=(12,), subjects=["F001", "F001", "M002", "M002"])
    >>> table.to_frame().loc["AU12", ["f1", "f1_low", "f1_high"]].round(3).tolist()
    [0.8, 0.667, 1.0]
    """
    labels, values = np.asarray(y), np.asarray(scores)
    columns = labels.shape[-1] if aus is None and labels.ndim == 2 else len(aus or ())
    if labels.ndim != 2 or labels.shape != values.shape or labels.shape[1] != columns:
        raise ValueError(
            f"expected labels and scores of shape (N, {columns if labels.ndim == 2 or aus else 'K'}),"
            f" got {labels.shape} and {values.shape}"
        )
    thresholds = np.broadcast_to(np.asarray(threshold, np.float64), labels.shape)
    table = ScoreTable((), named=aus is not None)
    rows = []
    for column, au in enumerate(range(columns) if aus is None else aus):
        try:
            arrays = labels[:, column], values[:, column], thresholds[:, column]
            rows.append(with_threshold(known.rows[column], *arrays) if known else score_au(int(au), *arrays))
        except ValueError as error:
            raise ValueError(f"{table._name(au)}: {error}") from None
    intervals = None
    if subjects is not None and bootstrap:
        intervals = find_intervals(
            labels,
            values,
            subjects,
            threshold=thresholds,
            draws=bootstrap,
            seed=seed,
            known=known.intervals if known else None,
        )
    return ScoreTable(tuple(rows), table.named, intervals)
