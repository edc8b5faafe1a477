"""F1-frame, ROC-AUC, average precision, accuracy and MCC of one AU, where some labels are unknown.

scikit-learn computes them. Labels are 1 (present), -1 (absent) and 0 (unknown). Frames with an unknown label
are left out. A figure that cannot be computed is NaN:

* ROC-AUC, average precision and MCC need a present and an absent frame. MCC is 0 if all frames are predicted
  alike.
* F1 and accuracy need a frame with a known label. F1 is 0 if nothing was found (no true positive), even if
  there was nothing to find, as with scikit-learn's ``zero_division=0``.
"""

from __future__ import annotations

import functools
import math
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.evaluation.known_frames import known_frames

__all__ = [
    "ABSENT",
    "FIGURES",
    "PRESENT",
    "THRESHOLD",
    "UNKNOWN",
    "accuracy",
    "average_precision",
    "f1_frame",
    "mcc",
    "precision_recall_curve",
    "roc_auc",
    "roc_curve",
]

THRESHOLD = 0.5
FIGURES = ("f1", "auc", "ap", "accuracy", "mcc")

_Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@functools.cache
def _sklearn() -> ModuleType:
    """Import scikit-learn's metrics when a figure is first computed, because the import takes a second."""
    import sklearn.metrics

    return sklearn.metrics


def _known(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return, for the frames with a known label, whether the AU is present, and the scores."""
    known, values = known_frames(
        labels,
        scores,
        is_label=lambda given: np.isin(given, (PRESENT, ABSENT, UNKNOWN)),
        no_label="is none of -1, 0, 1",
        unknown=UNKNOWN,
        value_name="score",
    )
    return known == PRESENT, values


def _both_classes(present: NDArray[np.bool_]) -> bool:
    return bool(present.any() and not present.all())


def _predicted(
    labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return, for the frames with a known label, whether the AU is present, and whether it is predicted."""
    present, values = _known(labels, probabilities)
    limits = np.broadcast_to(np.asarray(threshold, np.float64), np.shape(labels))
    return present, values >= limits[np.asarray(labels) != UNKNOWN]


def f1_frame(labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike = THRESHOLD) -> float:
    """Compute the harmonic mean of precision and recall over the frames with a known label.

    Parameters
    ----------
    labels : array_like of shape (N,)
        1 present, -1 absent, 0 unknown.
    probabilities : array_like of shape (N,)
        A frame is predicted present if its probability is at least `threshold`.
    threshold : float or array_like of shape (N,)
        One for all frames, or one for each frame.

    Returns
    -------
    float
        0 without a true positive, NaN without a known label.

    Raises
    ------
    ValueError
        The shapes differ, a label is none of -1, 0, 1, or a probability is not finite. All functions of this
        module check their input in this way.

    Examples
    --------
    >>> f1_frame([1, 1, -1, 0], [0.9, 0.2, 0.6, 0.9])
    0.5
    """
    present, predicted = _predicted(labels, probabilities, threshold)
    if not present.size:
        return math.nan
    return float(_sklearn().f1_score(present, predicted, zero_division=0))


def accuracy(labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike = THRESHOLD) -> float:
    """Compute the share of the frames with a known label that are predicted correctly.

    Parameters
    ----------
    labels, probabilities, threshold
        As in `f1_frame`.

    Returns
    -------
    float
        NaN without a known label.

    Examples
    --------
    >>> accuracy([1, 1, -1, -1, 0], [0.9, 0.2, 0.1, 0.3, 0.9])
    0.75
    """
    present, predicted = _predicted(labels, probabilities, threshold)
    return float(_sklearn().accuracy_score(present, predicted)) if present.size else math.nan


def mcc(labels: ArrayLike, probabilities: ArrayLike, threshold: ArrayLike = THRESHOLD) -> float:
    """Compute the Matthews correlation coefficient of labels and predictions.

    Parameters
    ----------
    labels, probabilities, threshold
        As in `f1_frame`.

    Returns
    -------
    float
        1 if all predictions are correct, -1 if all are wrong, 0 if they are all alike; NaN unless both
        classes are present.

    Examples
    --------
    >>> round(mcc([1, 1, -1, -1, 0], [0.9, 0.2, 0.1, 0.3, 0.9]), 3)
    0.577
    """
    present, predicted = _predicted(labels, probabilities, threshold)
    if not _both_classes(present):
        return math.nan
    return float(_sklearn().matthews_corrcoef(present, predicted))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the ROC curve.

    It is the probability that a present frame scores higher than an absent one; a tie counts half.

    Parameters
    ----------
    labels, scores : array_like of shape (N,)

    Returns
    -------
    float
        NaN unless both classes are present.

    Examples
    --------
    >>> roc_auc([1, -1, 1, -1], [0.9, 0.1, 0.4, 0.4])
    0.875
    """
    present, values = _known(labels, scores)
    return float(_sklearn().roc_auc_score(present, values)) if _both_classes(present) else math.nan


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the precision-recall curve: the sum of (recall gained) x (precision there).

    Each distinct score is a step; nothing is interpolated.

    Parameters
    ----------
    labels, scores : array_like of shape (N,)

    Returns
    -------
    float
        NaN unless both classes are present.

    Examples
    --------
    >>> round(average_precision([1, -1, 1], [0.9, 0.5, 0.1]), 4)
    0.8333
    """
    present, values = _known(labels, scores)
    if not _both_classes(present):
        return math.nan
    return float(_sklearn().average_precision_score(present, values))


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> _Curve:
    """Return the ROC curve: false and true positive rates, from (0, 0) to (1, 1).

    The curve has a point for every distinct score. The area under the straight lines between the points is
    `roc_auc`.

    Parameters
    ----------
    labels, scores : array_like of shape (N,)

    Returns
    -------
    tuple of two ndarray of float64
        Empty unless both classes are present.

    Examples
    --------
    >>> across, up = roc_curve([1, -1, 1, -1], [0.9, 0.1, 0.4, 0.4])
    >>> across.tolist(), up.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    present, values = _known(labels, scores)
    if not _both_classes(present):
        return np.zeros(0), np.zeros(0)
    across, up, _ = _sklearn().roc_curve(present, values, drop_intermediate=False)
    return across, up


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> _Curve:
    """Return recall and precision, one for every distinct score, after the point (0, 1).

    A precision holds from the previous recall up to its own: the area under these steps is
    `average_precision`.

    Parameters
    ----------
    labels, scores : array_like of shape (N,)

    Returns
    -------
    tuple of two ndarray of float64
        Empty unless both classes are present.

    Examples
    --------
    >>> recall, precision = precision_recall_curve([1, -1, 1], [0.9, 0.5, 0.1])
    >>> recall.tolist(), precision.round(2).tolist()
    ([0.0, 0.5, 0.5, 1.0], [1.0, 1.0, 0.5, 0.67])
    """
    present, values = _known(labels, scores)
    if not _both_classes(present):
        return np.zeros(0), np.zeros(0)
    precision, recall, _ = _sklearn().precision_recall_curve(present, values)
    return recall[::-1], precision[::-1]
