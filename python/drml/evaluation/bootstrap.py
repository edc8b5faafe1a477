"""Confidence intervals of F1-frame and ROC-AUC by bootstrap over subjects.

Frames of one subject resemble each other, so a test on thousands of frames of a few subjects is less certain
than its number of frames suggests. Each draw takes as many subjects as there are, with replacement, with all
their frames, and computes the figures again. The interval is that between the 2.5th and the 97.5th
percentile of the draws.

A draw is a weight for each subject: how often it was drawn. F1 needs each subject's counts only. ROC-AUC
needs, for each pair of subjects, how often a present frame of one scores higher than an absent frame of the
other; these counts are made once, and each draw weights them. If there are more subjects than draws, or more
than `PAIRS_LIMIT`, the pairs would cost more than they save, and each draw weights the frames instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.io.figures import json_value
from drml.io.text import counted

__all__ = [
    "CONFIDENCE",
    "DRAWS",
    "INTERVAL_FIGURES",
    "INTERVAL_TITLE",
    "Interval",
    "Intervals",
    "draw_subjects",
    "find_intervals",
    "intervals_of_draws",
]

DRAWS = 1000
INTERVAL_FIGURES = ("f1", "auc")
CONFIDENCE = 0.95
INTERVAL_TITLE = f" ({CONFIDENCE:.0%} CI)"
"""What the title of a table's column adds if it shows intervals."""
PAIRS_LIMIT = 2000
"""Subjects up to which ROC-AUC is computed from the pairs of subjects: 32 MB for an AU."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval.

    Attributes
    ----------
    low, high : float
        The 2.5th and the 97.5th percentile; NaN if the figure is undefined in every draw.
    draws : int
        Draws in which the figure is defined.
    """

    low: float
    high: float
    draws: int


@dataclass(frozen=True)
class Intervals:
    """The confidence intervals of a test.

    Attributes
    ----------
    by_au : dict of str to tuple of K Interval
        ``"f1"`` and ``"auc"``, for each AU; of intensities ``"icc"``, ``"pcc"``, ``"mse"`` and ``"mae"``.
    average : dict of str to Interval
        The same for the average over the AUs. In each draw, AUs without the figure are left out.
    subjects : int
        Number of subjects.
    draws : int
    seed : int
    """

    by_au: dict[str, tuple[Interval, ...]]
    average: dict[str, Interval]
    subjects: int
    draws: int
    seed: int

    def to_text(self) -> str:
        """Return a line on how the intervals were computed."""
        of = f"{counted(self.draws, 'draw')} of {counted(self.subjects, 'subject')}"
        return f"CI: {CONFIDENCE:.0%}, {of}, seed {self.seed}"

    def to_dict(self, aus: Sequence[int]) -> dict[str, Any]:
        """Return the intervals of these AUs as values that JSON can hold."""
        by_au = [
            {"au": au, **{name: asdict(some[column]) for name, some in self.by_au.items()}}
            for column, au in enumerate(aus)
        ]
        average = {name: asdict(one) for name, one in self.average.items()}
        about = {"confidence": CONFIDENCE, "draws": self.draws, "seed": self.seed, "subjects": self.subjects}
        values: dict[str, Any] = json_value({**about, "aus": by_au, "average": average})
        return values


def find_intervals(
    labels: NDArray[Any],
    scores: NDArray[Any],
    subjects: ArrayLike,
    *,
    threshold: ArrayLike,
    draws: int = DRAWS,
    seed: int = 0,
    known: Intervals | None = None,
) -> Intervals:
    """Compute the confidence intervals of F1-frame and ROC-AUC.

    Draw by draw, ``numpy.random.default_rng(seed).integers(S, size=S)`` selects from the S sorted subjects.

    Parameters
    ----------
    labels, scores : ndarray of shape (N, K)
        As in `drml.evaluation.evaluate`, which checks them.
    subjects : array_like of shape (N,)
        The subject of each frame, as strings or numbers.
    threshold : array_like
        As in `drml.evaluation.evaluate`.
    draws : int
        At least 1.
    seed : int
    known : Intervals, optional
        Those of the same labels, scores, subjects and draws with another threshold. That of ROC-AUC, which
        does not depend on the threshold, is taken from there.

    Returns
    -------
    Intervals

    Raises
    ------
    ValueError
        `subjects` has another length than `labels`, or there are fewer than two subjects.

    Examples
    --------
    >>> labels = np.array([[1], [-1], [1], [-1]])
    >>> scores = np.array([[0.6], [0.3], [0.9], [0.7]])
    >>> found = find_intervals(labels, scores, ["F001", "F001", "F002", "F002"], threshold=0.5)
    >>> found.by_au["auc"], found.subjects
    ((Interval(low=0.75, high=1.0, draws=1000),), 2)
    """
    subject, weights = draw_subjects(subjects, len(labels), draws, seed)
    values = {
        "f1": _f1_of_draws(labels, scores >= np.broadcast_to(threshold, labels.shape), subject, weights)
    }
    if known is None:
        values["auc"] = np.column_stack(
            [_auc_of_draws(*columns, subject, weights) for columns in zip(labels.T, scores.T, strict=True)]
        )
    by_au, average = intervals_of_draws(values)
    if known is not None:
        by_au["auc"], average["auc"] = known.by_au["auc"], known.average["auc"]
    return Intervals(by_au, average, weights.shape[1], draws, seed)


def draw_subjects(
    subjects: ArrayLike, frames: int, draws: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Draw subjects with replacement.

    Parameters
    ----------
    subjects : array_like of shape (N,)
    frames : int
        N.
    draws, seed : int

    Returns
    -------
    subject : ndarray of int, shape (N,)
        The number of each frame's subject among the S sorted ones.
    weights : ndarray of float32, shape (draws, S)
        How often each draw has each subject.

    Raises
    ------
    ValueError
        As `find_intervals`.
    """
    names = np.asarray(subjects)
    if names.shape != (frames,):
        raise ValueError(f"expected the subjects of {frames} frames, got shape {names.shape}")
    if draws < 1:
        raise ValueError(f"{draws} draws: give 1 or more, or 0 to evaluate for no intervals")
    different, subject = np.unique(names, return_inverse=True)
    count = len(different)
    if count < 2:
        raise ValueError(f"a bootstrap over subjects needs at least two subjects, but there are {count}")
    rng = np.random.default_rng(seed)
    weights = np.empty((draws, count), np.float32)
    for row in weights:
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return subject, weights


def intervals_of_draws(
    values: Mapping[str, _Floats],
) -> tuple[dict[str, tuple[Interval, ...]], dict[str, Interval]]:
    """Return the intervals of figures, each given as an array of shape (draws, K), by AU and on average."""
    by_au = {name: tuple(map(_interval, table.T)) for name, table in values.items()}
    return by_au, {name: _interval(_average(table)) for name, table in values.items()}


def _interval(values: _Floats) -> Interval:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(math.nan, math.nan, 0)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(defined, (tail, 100 - tail))
    return Interval(float(low), float(high), int(defined.size))


def _average(table: _Floats) -> _Floats:
    """Average each draw over the AUs in which the figure is defined."""
    defined = ~np.isnan(table)
    return _ratio(np.where(defined, table, 0).sum(1), defined.sum(1))


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> _Floats:
    """Divide; NaN where `whole` is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _f1_of_draws(
    labels: NDArray[Any], predicted: NDArray[np.bool_], subject: NDArray[np.intp], weights: NDArray[Any]
) -> _Floats:
    """Return the F1 of each draw and AU, from the counts of each subject."""
    present, absent = labels == PRESENT, labels == ABSENT

    def count(which: NDArray[np.bool_]) -> _Floats:
        of_subjects = [np.bincount(subject, column, weights.shape[1]) for column in which.T]
        return np.asarray(weights @ np.column_stack(of_subjects), np.float64)

    hits, positives, alarms = map(count, (present & predicted, present, absent & predicted))
    f1 = _ratio(2 * hits, positives + hits + alarms)
    # Neither present nor predicted: 0 if any label is known in this draw, as `f1_frame` has it.
    return np.where(np.isnan(f1) & (count(labels != UNKNOWN) > 0), 0.0, f1)


def _auc_of_draws(
    labels: NDArray[Any], scores: NDArray[Any], subject: NDArray[np.intp], weights: NDArray[Any]
) -> _Floats:
    """Return the ROC-AUC of each draw for one AU."""
    count = weights.shape[1]
    # Frames with equal scores have the same rank.
    ranks = np.unique(scores, return_inverse=True)[1].reshape(-1)
    present, absent = labels == PRESENT, labels == ABSENT
    positives = np.bincount(subject[present], minlength=count)
    negatives = np.bincount(subject[absent], minlength=count)
    pairs = (weights @ positives.astype(np.float64)) * (weights @ negatives.astype(np.float64))
    way = _wins_by_pairs if count <= min(len(weights), PAIRS_LIMIT) else _wins_by_frames
    return _ratio(way(ranks, present, absent, subject, weights), pairs)


def _wins_of(negatives: NDArray[Any]) -> NDArray[Any]:
    """Return, for each rank, the number of negatives below it and half of those at it."""
    return np.cumsum(negatives, dtype=np.float64) - negatives / 2


def _wins_by_pairs(
    ranks: NDArray[np.intp],
    present: NDArray[np.bool_],
    absent: NDArray[np.bool_],
    subject: NDArray[np.intp],
    weights: NDArray[Any],
) -> _Floats:
    """Return, for each draw, how often a present frame scores higher than an absent one; ties count half."""
    count, levels = weights.shape[1], int(ranks.max(initial=-1)) + 1
    wins = np.empty((count, count))
    rank, owner = ranks[present], subject[present]
    order = np.argsort(subject[absent], kind="stable")
    ends = np.cumsum(np.bincount(subject[absent], minlength=count))
    for other, theirs in enumerate(np.split(ranks[absent][order], ends[:-1])):
        below = _wins_of(np.bincount(theirs, minlength=levels))
        wins[:, other] = np.bincount(owner, below[rank], count)
    exact = weights.astype(np.float64)
    return np.asarray(((exact @ wins) * exact).sum(1))


def _wins_by_frames(
    ranks: NDArray[np.intp],
    present: NDArray[np.bool_],
    absent: NDArray[np.bool_],
    subject: NDArray[np.intp],
    weights: NDArray[Any],
) -> _Floats:
    """Return the same as `_wins_by_pairs`, from the weights of the frames."""
    levels = int(ranks.max(initial=-1)) + 1
    result = np.empty(len(weights))
    for draw, weight in enumerate(weights):
        of_frame = weight[subject]
        below = _wins_of(np.bincount(ranks[absent], of_frame[absent], levels))
        result[draw] = below[ranks[present]] @ of_frame[present].astype(np.float64)
    return result
