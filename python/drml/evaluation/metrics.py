"""Scores of action unit detection: F1-frame, ROC-AUC and average precision, per AU and averaged.

Labels are 1 (present), -1 (absent) and 0 (unknown); frames with an unknown label are left out of that
AU's figures. What cannot be computed is NaN, never a made-up number:

* ROC-AUC and average precision need a present and an absent frame;
* F1 needs a frame with a known label. It is 0 where nothing was found (no true positive), also where
  there was nothing to find, as scikit-learn's ``zero_division=0`` has it.

An average leaves out the AUs whose figure is undefined; `Scores.undefined` names them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.io.figures import json_value, mean_of_defined
from drml.training.caffe_log import f1_of_counts

__all__ = [
    "ABSENT",
    "FIGURES",
    "PRESENT",
    "THRESHOLD",
    "UNKNOWN",
    "AuScore",
    "Scores",
    "average_precision",
    "evaluate",
    "f1_frame",
    "mean_of_folds",
    "pool",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
]

THRESHOLD = 0.5
FIGURES = ("f1", "auc", "ap")


def _known(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return, for the frames with a known label, whether the AU is present, and the scores."""
    labels = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ValueError(f"expected two vectors of one length, got shapes {labels.shape} and {values.shape}")
    wrong = ~np.isin(labels, (PRESENT, ABSENT, UNKNOWN))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"label {labels[at]} at index {at} is none of -1, 0, 1")
    # Checked over all frames: a network that puts out NaN is broken, whichever labels are known.
    broken = ~np.isfinite(values)
    if broken.any():
        at = int(np.argmax(broken))
        raise ValueError(f"score {values[at]} at index {at} is not finite")
    known = labels != UNKNOWN
    return labels[known] == PRESENT, values[known]


def f1_frame(labels: ArrayLike, probabilities: ArrayLike, threshold: float = THRESHOLD) -> float:
    """Harmonic mean of precision and recall over the frames with a known label.

    Parameters
    ----------
    labels : array_like of shape (N,)
        1 present, -1 absent, 0 unknown.
    probabilities : array_like of shape (N,)
        A frame counts as predicted present where its probability is at least `threshold`.
    threshold : float

    Returns
    -------
    float
        0 without a true positive, NaN without a known label.

    Examples
    --------
    >>> f1_frame([1, 1, -1, 0], [0.9, 0.2, 0.6, 0.9])
    0.5
    """
    present, values = _known(labels, probabilities)
    if not present.size:
        return math.nan
    predicted = values >= threshold
    return f1_of_counts(
        int(np.count_nonzero(predicted & present)),
        int(np.count_nonzero(predicted & ~present)),
        int(np.count_nonzero(~predicted & present)),
        int(np.count_nonzero(~predicted & ~present)),
    )


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: how often a present frame scores above an absent one, ties half.

    Computed from the mid-ranks of the scores (Mann-Whitney). NaN unless both classes are there.

    Examples
    --------
    >>> roc_auc([1, -1, 1, -1], [0.9, 0.1, 0.4, 0.4])
    0.875
    """
    present, values = _known(labels, scores)
    positives = int(np.count_nonzero(present))
    negatives = present.size - positives
    if not positives or not negatives:
        return math.nan
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mid_ranks = (last - (counts - 1) / 2)[inverse]
    wins = mid_ranks[present].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the precision-recall curve as a sum of steps, one for every distinct score.

    The sum of (recall gained) x (precision there), without interpolation, as scikit-learn has it.
    NaN unless both classes are there.

    Examples
    --------
    >>> round(average_precision([1, -1, 1], [0.9, 0.5, 0.1]), 4)
    0.8333
    """
    recall, precision = precision_recall_curve(labels, scores)
    return float((precision[1:] * np.diff(recall)).sum()) if recall.size else math.nan


def _steps(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return hits and frames predicted present, for every distinct score as threshold, from the highest.

    Empty without both classes.
    """
    present, values = _known(labels, scores)
    if not present.any() or present.all():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    # Frames of one score are taken together: only the last of them is a point of the curve.
    ends = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    return np.cumsum(present[order])[ends], ends + 1


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ROC curve: false and true positive rates, from (0, 0) to (1, 1).

    A point for every distinct score. The area under the straight lines between them is `roc_auc`. Empty
    unless both classes are there.

    Examples
    --------
    >>> across, up = roc_curve([1, -1, 1, -1], [0.9, 0.1, 0.4, 0.4])
    >>> across.tolist(), up.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    hits, predicted = _steps(labels, scores)
    if not hits.size:
        return np.zeros(0), np.zeros(0)
    alarms = predicted - hits
    return np.append(0.0, alarms / alarms[-1]), np.append(0.0, hits / hits[-1])


def precision_recall_curve(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return recall and precision, one for every distinct score, after the point (0, 1).

    A precision holds from the recall before its own up to its own: the area under these steps is
    `average_precision`. Empty unless both classes are there.

    Examples
    --------
    >>> recall, precision = precision_recall_curve([1, -1, 1], [0.9, 0.5, 0.1])
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.0, 0.5, 0.5, 1.0], [1.0, 1.0, 0.5, 0.67])
    """
    hits, predicted = _steps(labels, scores)
    if not hits.size:
        return np.zeros(0), np.zeros(0)
    return np.append(0.0, hits / hits[-1]), np.append(1.0, hits / predicted)


@dataclass(frozen=True)
class AuScore:
    """The figures of one AU.

    Attributes
    ----------
    au : int
    known : int
        Frames with a known label.
    positives : int
        Those in which the AU is present.
    base_rate : float
        Share of `positives` in `known`; NaN without a known label.
    f1, auc, ap : float
        F1-frame, area under the ROC curve, average precision; NaN where undefined.
    trivial_f1, trivial_auc, trivial_ap : float
        The same for predicting "present" with equal confidence everywhere; undefined where the figure is.
    """

    au: int
    known: int
    positives: int
    base_rate: float
    f1: float
    auc: float
    ap: float
    trivial_f1: float
    trivial_auc: float
    trivial_ap: float


_AVERAGED = ("base_rate", "f1", "auc", "ap", "trivial_f1", "trivial_auc", "trivial_ap")


@dataclass(frozen=True)
class Scores:
    """The figures of a test: one `AuScore` per AU, in order, and their averages."""

    rows: tuple[AuScore, ...]

    def average(self, figure: str) -> float:
        """Mean over the AUs where `figure` (an `AuScore` attribute) is defined; NaN where none is."""
        return mean_of_defined([getattr(row, figure) for row in self.rows])

    @property
    def undefined(self) -> dict[str, list[int]]:
        """The AUs left out of an average, per figure; figures defined everywhere do not appear."""
        left_out = {
            figure: [row.au for row in self.rows if math.isnan(getattr(row, figure))] for figure in FIGURES
        }
        return {figure: aus for figure, aus in left_out.items() if aus}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; undefined figures are None."""
        return {
            "aus": [
                {
                    "au": row.au,
                    "known": row.known,
                    "positives": row.positives,
                    **{name: json_value(getattr(row, name)) for name in _AVERAGED},
                }
                for row in self.rows
            ],
            "average": {name: json_value(self.average(name)) for name in _AVERAGED},
            "left_out_of_average": self.undefined,
        }


def evaluate(
    labels: ArrayLike, probabilities: ArrayLike, aus: Sequence[int], *, threshold: float = THRESHOLD
) -> Scores:
    """Score the predictions of several AUs.

    Parameters
    ----------
    labels, probabilities : array_like of shape (N, K)
    aus : sequence of K int
        The AU of each column.
    threshold : float
        For F1-frame.

    Returns
    -------
    Scores

    Raises
    ------
    ValueError
        Shapes that do not agree, a label outside {-1, 0, 1}, or a probability that is not finite.

    Examples
    --------
    >>> scores = evaluate([[1, 1], [-1, 1]], [[0.8, 0.8], [0.3, 0.1]], aus=(1, 2))
    >>> scores.rows[0].auc, scores.undefined
    (1.0, {'auc': [2], 'ap': [2]})
    """
    labels = np.asarray(labels)
    probabilities = np.asarray(probabilities)
    if labels.ndim != 2 or labels.shape != probabilities.shape or labels.shape[1] != len(aus):
        raise ValueError(
            f"expected labels and probabilities of shape (N, {len(aus)}),"
            f" got {labels.shape} and {probabilities.shape}"
        )
    rows = []
    for column, au in enumerate(aus):
        try:
            rows.append(_score_au(int(au), labels[:, column], probabilities[:, column], threshold))
        except ValueError as error:
            raise ValueError(f"AU{au}: {error}") from None
    return Scores(tuple(rows))


def _score_au(au: int, labels: NDArray[Any], probabilities: NDArray[Any], threshold: float) -> AuScore:
    known = int(np.count_nonzero(labels != UNKNOWN))
    positives = int(np.count_nonzero(labels == PRESENT))
    base_rate = positives / known if known else math.nan
    auc = roc_auc(labels, probabilities)
    ap = average_precision(labels, probabilities)
    return AuScore(
        au=au,
        known=known,
        positives=positives,
        base_rate=base_rate,
        f1=f1_frame(labels, probabilities, threshold),
        auc=auc,
        ap=ap,
        trivial_f1=2 * base_rate / (1 + base_rate),
        trivial_auc=math.nan if math.isnan(auc) else 0.5,
        trivial_ap=math.nan if math.isnan(ap) else base_rate,
    )


def pool(
    folds: Sequence[tuple[ArrayLike, ArrayLike]], aus: Sequence[int], *, threshold: float = THRESHOLD
) -> Scores:
    """Score the test frames of all folds as if they were one test.

    Parameters
    ----------
    folds : sequence of (labels, probabilities)
        As `evaluate` takes them, one pair per fold.
    aus : sequence of int
    threshold : float
    """
    labels = np.concatenate([np.asarray(fold[0]) for fold in folds])
    probabilities = np.concatenate([np.asarray(fold[1]) for fold in folds])
    return evaluate(labels, probabilities, aus, threshold=threshold)


def mean_of_folds(folds: Sequence[Scores]) -> Scores:
    """Average each AU's figures over the folds in which they are defined; counts are added up.

    Examples
    --------
    >>> one = evaluate([[1], [-1]], [[0.8], [0.3]], aus=(1,))
    >>> two = evaluate([[1], [-1]], [[0.3], [0.8]], aus=(1,))
    >>> mean_of_folds([one, two]).rows[0].auc
    0.5
    """
    if not folds:
        raise ValueError("no fold to average")
    aus = [row.au for row in folds[0].rows]
    if any([row.au for row in fold.rows] != aus for fold in folds):
        raise ValueError("the folds do not score the same AUs")
    return Scores(
        tuple(
            AuScore(
                au=rows[0].au,
                known=sum(row.known for row in rows),
                positives=sum(row.positives for row in rows),
                **{name: mean_of_defined([getattr(row, name) for row in rows]) for name in _AVERAGED},
            )
            for rows in zip(*(fold.rows for fold in folds), strict=True)
        )
    )
