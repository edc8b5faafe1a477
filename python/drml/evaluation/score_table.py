"""The scores of several AUs: a row per AU, and their averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from drml.evaluation.au_score import TITLES, AuScore, score_au, with_threshold
from drml.evaluation.au_table import AuTable, Kind, count_columns, score_columns
from drml.evaluation.bootstrap import DRAWS, INTERVAL_FIGURES, find_intervals
from drml.evaluation.metrics import FIGURES, THRESHOLD

__all__ = ["AuScore", "ScoreTable", "evaluate"]

_NO_LABEL = "no frame with a known label"
_ONE_CLASS = "present and absent frames not both there"


@dataclass(frozen=True, repr=False)
class ScoreTable(AuTable):
    """The scores of a test of occurrences; see `AuTable`. Rows are `AuScore`."""

    kind: ClassVar[Kind] = Kind(
        row=AuScore,
        counts=("known", "positives"),
        lead="base_rate",
        figures=FIGURES,
        titles={"base_rate": "base rate", **TITLES},
        trivial={"trivial": "all positive (trivial)"},
        with_intervals=INTERVAL_FIGURES,
        reasons={
            "f1": _NO_LABEL,
            "auc": _ONE_CLASS,
            "ap": _ONE_CLASS,
            "accuracy": _NO_LABEL,
            "mcc": _ONE_CLASS,
        },
    )

    rows: tuple[AuScore, ...]


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
    columns = count_columns(labels, values, aus, "scores")
    thresholds = np.broadcast_to(np.asarray(threshold, np.float64), labels.shape)

    def score(au: int, column: int) -> AuScore:
        arrays = labels[:, column], values[:, column], thresholds[:, column]
        return with_threshold(known.rows[column], *arrays) if known else score_au(au, *arrays)

    rows = score_columns(columns, aus, score)
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
    return ScoreTable(rows, aus is not None, intervals)
