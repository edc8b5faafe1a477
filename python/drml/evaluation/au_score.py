"""The figures of one AU: those of the predictions, and those of predicting it in every frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import PRESENT, UNKNOWN
from drml.evaluation import metrics

__all__ = ["TITLES", "AuScore", "score_au", "with_threshold"]

TITLES = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP", "accuracy": "accuracy", "mcc": "MCC"}
"""How tables and messages name the figures."""


@dataclass(frozen=True)
class AuScore:
    """The figures of one AU.

    Attributes
    ----------
    au : int
        Number of the AU, or of the column (from 0) if the AUs were not given.
    known : int
        Frames with a known label.
    positives : int
        Frames in which the AU is present.
    base_rate : float
        `positives` / `known`; NaN without a known label.
    f1, auc, ap, accuracy : float
        F1-frame, area under the ROC curve, average precision, share of frames that are predicted correctly:
        0 to 1; NaN where undefined.
    mcc : float
        Matthews correlation coefficient: -1 to 1; NaN where undefined.
    trivial_f1, trivial_auc, trivial_ap, trivial_accuracy, trivial_mcc : float
        The same for predicting "present" with equal confidence everywhere; undefined where the figure is.
    """

    au: int
    known: int
    positives: int
    base_rate: float
    f1: float
    auc: float
    ap: float
    accuracy: float
    mcc: float
    trivial_f1: float
    trivial_auc: float
    trivial_ap: float
    trivial_accuracy: float
    trivial_mcc: float


def with_threshold(
    score: AuScore, labels: NDArray[Any], scores: NDArray[Any], threshold: ArrayLike
) -> AuScore:
    """Return the figures of an AU with another threshold: F1-frame, accuracy and MCC are computed again.

    Parameters
    ----------
    score : AuScore
        Of the same labels and scores.
    labels, scores, threshold
        As in `score_au`.

    Returns
    -------
    AuScore

    Examples
    --------
    >>> labels, values = np.array([1, -1]), np.array([0.8, 0.6])
    >>> with_threshold(score_au(12, labels, values, 0.5), labels, values, 0.7).accuracy
    1.0
    """
    return replace(
        score,
        f1=metrics.f1_frame(labels, scores, threshold),
        accuracy=metrics.accuracy(labels, scores, threshold),
        mcc=metrics.mcc(labels, scores, threshold),
    )


def score_au(au: int, labels: NDArray[Any], scores: NDArray[Any], threshold: ArrayLike) -> AuScore:
    """Compute the figures of one AU.

    Parameters
    ----------
    au : int
    labels, scores : ndarray of shape (N,)
        As in `drml.evaluation.metrics`.
    threshold : float or array_like of shape (N,)

    Returns
    -------
    AuScore

    Raises
    ------
    ValueError
        As in `drml.evaluation.metrics`.

    Examples
    --------
    >>> score_au(12, np.array([1, -1]), np.array([0.8, 0.3]), 0.5).accuracy
    1.0
    """
    known = int(np.count_nonzero(labels != UNKNOWN))
    positives = int(np.count_nonzero(labels == PRESENT))
    base_rate = positives / known if known else math.nan
    auc = metrics.roc_auc(labels, scores)
    both_classes = not math.isnan(auc)
    return AuScore(
        au=au,
        known=known,
        positives=positives,
        base_rate=base_rate,
        f1=metrics.f1_frame(labels, scores, threshold),
        auc=auc,
        ap=metrics.average_precision(labels, scores),
        accuracy=metrics.accuracy(labels, scores, threshold),
        mcc=metrics.mcc(labels, scores, threshold),
        trivial_f1=2 * base_rate / (1 + base_rate),
        trivial_auc=0.5 if both_classes else math.nan,
        trivial_ap=base_rate if both_classes else math.nan,
        trivial_accuracy=base_rate,
        trivial_mcc=0.0 if both_classes else math.nan,
    )
