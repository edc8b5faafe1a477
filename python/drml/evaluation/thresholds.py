"""Thresholds for each AU, chosen for the best F1 on a validation split, and the scores with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.evaluation.bootstrap import INTERVAL_TITLE
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.score_table import ScoreTable
from drml.evaluation.text_table import figure_cell, format_table

__all__ = ["RECIPE", "VALIDATION", "ChosenThresholds", "choose_thresholds"]

VALIDATION = "validation"
"""The value of a threshold parameter that has the thresholds chosen on the validation split."""

RECIPE = "recipe"
"""The value of a threshold parameter that takes the thresholds in the recipe of the weights."""


def choose_thresholds(y: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Choose the threshold with the best F1-frame for each AU.

    The candidates are the scores of the frames with a known label, and 0.5. Of thresholds with equal F1, the
    one nearest to 0.5 is chosen; of two that are equally near, the lower.

    Parameters
    ----------
    y : array_like of shape (N, K)
        Labels of validation frames: 1 present, -1 absent, 0 unknown.
    scores : array_like of shape (N, K)
        Probabilities.

    Returns
    -------
    ndarray of float64, shape (K,)
        An AU without a present frame gets 0.5.

    Raises
    ------
    ValueError
        The shapes are not those above, a label is none of -1, 0, 1, or a score is not finite.

    Examples
    --------
    >>> choose_thresholds([[1], [1], [-1], [-1]], [[0.9], [0.4], [0.3], [0.1]]).tolist()
    [0.4]
    """
    labels, values = np.asarray(y), np.asarray(scores, np.float64)
    if labels.ndim != 2 or labels.shape != values.shape:
        raise ValueError(f"expected two arrays N x K, got shapes {labels.shape} and {values.shape}")
    if not np.isin(labels, (PRESENT, ABSENT, UNKNOWN)).all():
        raise ValueError("a label is none of -1, 0, 1")
    if not np.isfinite(values).all():
        raise ValueError("a score is not finite")
    return np.array([_choose(*columns) for columns in zip(labels.T, values.T, strict=True)], np.float64)


def _choose(labels: NDArray[Any], scores: NDArray[np.float64]) -> float:
    known = labels != UNKNOWN
    present, values = labels[known] == PRESENT, scores[known]
    candidates = np.unique(np.append(values, THRESHOLD))
    order = np.argsort(values)
    positives = np.count_nonzero(present)
    if not positives:
        return THRESHOLD
    # For each candidate: the frames that it predicts present, and how many of them are.
    start = np.searchsorted(values[order], candidates)
    predicted = len(values) - start
    hits = np.append(np.cumsum(present[order][::-1])[::-1], 0)[start]
    # Equal fractions are equal as floats, since a division rounds correctly.
    f1 = 2 * hits / (predicted + positives)
    best = candidates[f1 == f1.max()]
    return float(best[np.argmin(np.abs(best - THRESHOLD))])


@dataclass(frozen=True)
class ChosenThresholds:
    """The scores of a test with thresholds that were chosen on validation data.

    Attributes
    ----------
    by_fold : tuple of tuple of K float
        The thresholds of each fold.
    fold_scores : list of ScoreTable
        With the thresholds of each fold.
    pooled : ScoreTable
        All test frames as one test, each with the thresholds of its fold.
    mean : ScoreTable or None
        Mean of the folds' figures; None with one fold.
    source : str
        `VALIDATION` if they were chosen on the validation split of each fold; `RECIPE` if they are those that
        the weights carry.
    """

    by_fold: tuple[tuple[float, ...], ...]
    fold_scores: list[ScoreTable]
    pooled: ScoreTable
    mean: ScoreTable | None
    source: str = VALIDATION

    @property
    def title(self) -> str:
        """Where the thresholds come from, for the title of a table."""
        if self.source == RECIPE:
            return "with the thresholds that the weights carry"
        return "with thresholds chosen for the best F1 on validation"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        aus = self.pooled.aus
        return {
            "chosen_on": self.source,
            "folds": [
                {
                    "thresholds": {str(au): value for au, value in zip(aus, thresholds, strict=True)},
                    "scores": scores.to_dict(),
                }
                for thresholds, scores in zip(self.by_fold, self.fold_scores, strict=True)
            ],
            "pooled": self.pooled.to_dict(),
            "mean_of_folds": self.mean.to_dict() if self.mean else None,
        }

    def to_text(self, fixed: ScoreTable, chosen: ScoreTable) -> str:
        """Return a table with F1-frame at 0.5 and at the chosen thresholds side by side.

        Parameters
        ----------
        fixed : ScoreTable
            The scores at 0.5: pooled, or the mean of the folds.
        chosen : ScoreTable
            The same part of the scores at the chosen thresholds.
        """
        tables = (fixed, chosen)
        head = ["AU", "threshold"]
        for table, where in zip(tables, (f"F1 at {THRESHOLD}", "F1 at threshold"), strict=True):
            head.append(where + (INTERVAL_TITLE if table.intervals else ""))
        head += ["accuracy", "MCC"]
        rows = []
        for column, row in enumerate(chosen.rows):
            values = [thresholds[column] for thresholds in self.by_fold]
            span = f"{min(values):.3f}" + (f"-{max(values):.3f}" if len(values) > 1 else "")
            f1 = [table.cell("f1", column) for table in tables]
            rows.append([chosen.title(row.au), span, *f1, figure_cell(row.accuracy), figure_cell(row.mcc)])
        averages = [figure_cell(chosen.average(figure)) for figure in ("accuracy", "mcc")]
        rows.append(["Avg.", "", *(table.cell("f1") for table in tables), *averages])
        return format_table(head, rows, totals=1, gap=1 if chosen.intervals else 2)
