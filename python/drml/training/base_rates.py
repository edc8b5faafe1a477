"""Decides whether a net has learned anything, or predicts little more than the base rates for every face.

Deep nets can stay in that state for thousands of iterations, with a steady loss and an F1 that says little.
`predicts_base_rates` is the one rule for trainings, scores and reports. Scoring computes its figures exactly
from the probabilities of each face; for a test pass in training, caffe's log has only sums, from which
`estimate` estimates them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from drml.data.labels import UNKNOWN
from drml.io.figures import mean_of_defined
from drml.training.caffe_log import Counts

__all__ = [
    "LEARNED",
    "REMARK",
    "SPREAD",
    "Separation",
    "estimate",
    "has_not_learned",
    "largest",
    "predicts_base_rates",
    "spreads",
]

REMARK = "has not learned yet"
"""The remark about a net, or a method, for which `predicts_base_rates` is true."""

LEARNED = 0.6
"""If the mean of the AUs' ROC-AUCs is below this, the net ranks faces hardly better than chance (0.5)."""

SPREAD = 0.01
"""If the standard deviation of the probabilities over the faces is below this, they hardly differ."""

# Of a normal distribution; enough nodes for scores with a standard deviation of 20.
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(96)


class Separation(NamedTuple):
    """How well a net's outputs tell faces apart, one value per AU; NaN where undefined or not known.

    Attributes
    ----------
    aucs : tuple of float
        ROC-AUC.
    spreads : tuple of float
        Standard deviation of the probabilities over the faces whose label is known.
    """

    aucs: tuple[float, ...]
    spreads: tuple[float, ...]

    @property
    def at_base_rates(self) -> bool:
        """Whether the net predicts only the base rates."""
        return predicts_base_rates(self.aucs, self.spreads)

    def to_text(self, kind: str = "") -> str:
        """Return the figures that decide, as text; `kind`, such as ``estimated ``, is put before "AUC"."""
        spread = largest(self.spreads)
        said = "" if math.isnan(spread) else f"largest standard deviation between faces {spread:.4f}, "
        aucs = [auc for auc in self.aucs if not math.isnan(auc)]
        if not aucs:
            return f"{said}no {kind}AUC"
        return f"{said}{kind}AUC {min(aucs):.3f} to {max(aucs):.3f}"


def predicts_base_rates(aucs: Iterable[float], spreads: Iterable[float]) -> bool:
    """Decide whether a net predicts little more than the base rates, and has not learned yet.

    It does if the mean of the AUs' ROC-AUCs is below `LEARNED`, or if no output's standard deviation over the
    faces reaches `SPREAD`. Outputs that hardly differ can still rank faces, by chance or by differences that
    mean nothing yet, so their AUC does not matter.

    Parameters
    ----------
    aucs, spreads : iterable of float
        One per AU; undefined ones are NaN and do not count.

    Returns
    -------
    bool
        False if nothing is defined.

    Examples
    --------
    >>> predicts_base_rates([0.49, 0.7], [0.2, 0.3]), predicts_base_rates([0.5, 0.7], [0.2, 0.3])
    (True, False)
    >>> predicts_base_rates([0.7, 0.9], [0.009, 0.001]), predicts_base_rates([0.7, 0.9], [0.009, 0.01])
    (True, False)
    """
    by_chance = mean_of_defined(aucs) < LEARNED  # false if none is defined, and the mean is NaN
    return by_chance or largest(spreads) < SPREAD


def has_not_learned(iteration: float, separation: Separation | None) -> bool:
    """Return whether a test pass of a training shows that the net predicts the base rates.

    False before the first iteration, since a net that was not trained has learned nothing, and if the figures
    of the pass are not known.
    """
    return iteration > 0 and separation is not None and separation.at_base_rates


def largest(spreads: Iterable[float]) -> float:
    """Return the largest of the defined values; NaN if there is none."""
    return max((value for value in spreads if not math.isnan(value)), default=math.nan)


def spreads(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, ...]:
    """Compute each AU's standard deviation of the probabilities over the faces with a known label.

    Parameters
    ----------
    labels, probabilities : array_like of shape (N, K)

    Returns
    -------
    tuple of K float
        NaN if no label is known.

    Examples
    --------
    >>> spreads([[1, 0], [-1, 0], [0, 0]], [[0.2, 0.1], [0.4, 0.2], [0.9, 0.3]])
    (0.1, nan)
    """
    known = np.asarray(labels) != UNKNOWN
    values = np.asarray(probabilities, np.float64)
    columns = (values[known[:, column], column] for column in range(values.shape[1]))
    return tuple(float(np.std(column)) if column.size else math.nan for column in columns)


# --- from sums over a test pass -------------------------------------------------------------------------


def estimate(counts: Counts) -> Separation | None:
    """Estimate the figures of a test pass from the sums of a MultiLabelCounts layer.

    The scores (before the sigmoid) of the faces with an AU, and of those without it, are assumed to be
    normally distributed. Caffe prints means with six digits, which limits how small a variance can be
    resolved; if both variances are smaller, the AUC is not defined. The page
    ``src/layers/multi_label_counts_layer.md`` says how good the estimates are.

    Returns
    -------
    Separation or None
        None if the layer has no second top.
    """
    if counts.moments is None:
        return None
    # Relative error of a printed figure: its digits, and the sum over batches as floats.
    error = 5e-6 + (counts.moments.batches + 1) * 2.0**-24
    rows = zip(counts.rows, counts.moments.rows, strict=True)
    found = [_estimate_au(row, sums, error) for row, sums in rows]
    return Separation(tuple(auc for auc, _ in found), tuple(spread for _, spread in found))


def _estimate_au(row: Sequence[float], sums: Sequence[float], error: float) -> tuple[float, float]:
    """Estimate the AUC and the spread of one AU."""
    tp, fp, fn, tn = row
    # The net has diverged, or the log is damaged.
    if not all(map(math.isfinite, (*row, *sums))) or min(*row, sums[1], sums[3]) < 0:
        return math.nan, math.nan
    normals, unseen = [], 0.0
    for count, total, squares in ((tp + fn, sums[0], sums[1]), (fp + tn, sums[2], sums[3])):
        if count:
            mean = total / count
            normals.append((count, mean, max(0.0, squares / count - mean * mean)))
            unseen += 3 * error * squares / count
    if not normals:
        return math.nan, math.nan
    auc = math.nan
    if len(normals) == 2:
        (_, present, first), (_, absent, second) = normals
        if first + second > unseen:
            auc = 0.5 * (1 + math.erf((present - absent) / math.sqrt(2 * (first + second))))
    return auc, _spread(normals)


def _spread(normals: Sequence[tuple[float, float, float]]) -> float:
    """Compute the standard deviation of sigmoid(x) if x is a mixture of normal distributions.

    Each distribution is (number of values, mean, variance).
    """
    scores = np.concatenate([mean + math.sqrt(2 * variance) * _NODES for _, mean, variance in normals])
    weights = np.concatenate([count * _WEIGHTS for count, _, _ in normals])
    values = 0.5 * (1 + np.tanh(scores / 2))
    mean = np.average(values, weights=weights)
    return float(math.sqrt(np.average((values - mean) ** 2, weights=weights)))
