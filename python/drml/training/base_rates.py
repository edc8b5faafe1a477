"""Whether a net has learned anything: one that predicts the base rates gives every face nearly the same.

Deep nets can stay there for thousands of iterations, with a steady loss and an F1 that says little.
`predicts_base_rates` is the one rule by which a test is judged, in training, scoring and reports. Scoring has
the probabilities of each face, and so exact figures; of a test pass in training caffe's log has only sums,
from which `estimate` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from drml.data.labels import UNKNOWN
from drml.training.caffe_log import Counts

__all__ = [
    "CHANCE",
    "REMARK",
    "SPREAD",
    "Separation",
    "estimate",
    "has_not_learned",
    "largest",
    "predicts_base_rates",
    "spreads",
]

REMARK = "predicts the base rates: has not learned yet"
"""What is said of a net, or a method, of which `predicts_base_rates` holds."""

CHANCE = (0.48, 0.52)
"""ROC-AUCs from the first to the second are chance, where those of all AUs are."""

SPREAD = 0.01
"""Probabilities whose standard deviation over the faces is below this hardly differ."""

# Of a normal distribution: enough for scores with a standard deviation of 20.
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(96)


class Separation(NamedTuple):
    """How far a net's outputs tell faces apart, one value per AU; NaN where it is undefined or not known.

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
        """Whether the net predicts no more than the base rates."""
        return predicts_base_rates(self.aucs, self.spreads)

    def to_text(self, kind: str = "") -> str:
        """Return the figures that decide, in words; `kind` stands before "AUC", such as ``estimated ``."""
        spread = largest(self.spreads)
        said = "" if math.isnan(spread) else f"largest standard deviation between faces {spread:.4f}, "
        aucs = [auc for auc in self.aucs if not math.isnan(auc)]
        if not aucs:
            return f"{said}no {kind}AUC"
        return f"{said}{kind}AUC {min(aucs):.3f} to {max(aucs):.3f}"


def predicts_base_rates(aucs: Iterable[float], spreads: Iterable[float]) -> bool:
    """Decide whether a net predicts the base rates, and has not learned yet.

    It does where the ROC-AUC of every AU lies within `CHANCE`, or where the standard deviation of no output
    over the faces reaches `SPREAD`. Outputs that hardly differ may rank faces all the same, by chance or by
    differences that mean nothing yet, so their AUC does not matter.

    Parameters
    ----------
    aucs, spreads : iterable of float
        One per AU; NaN where undefined, which counts neither way.

    Returns
    -------
    bool
        False where nothing is defined.

    Examples
    --------
    >>> predicts_base_rates([0.49, 0.52], [0.2, 0.3]), predicts_base_rates([0.49, 0.53], [0.2, 0.3])
    (True, False)
    >>> predicts_base_rates([0.7, 0.3], [0.009, 0.001]), predicts_base_rates([0.7, 0.3], [0.009, 0.01])
    (True, False)
    """
    defined = [auc for auc in aucs if not math.isnan(auc)]
    by_chance = bool(defined) and all(CHANCE[0] <= auc <= CHANCE[1] for auc in defined)
    return by_chance or largest(spreads) < SPREAD


def has_not_learned(iteration: float, separation: Separation | None) -> bool:
    """Tell whether a test pass of a training found a net that predicts the base rates.

    Not before the first iteration: there is nothing to be learned of a net that was never trained. Nor where
    the figures of the pass are not known.
    """
    return iteration > 0 and separation is not None and separation.at_base_rates


def largest(spreads: Iterable[float]) -> float:
    """Return the largest of the values that are defined; NaN where there is none."""
    return max((value for value in spreads if not math.isnan(value)), default=math.nan)


def spreads(labels: ArrayLike, probabilities: ArrayLike) -> tuple[float, ...]:
    """Return each AU's standard deviation of the probabilities over the faces whose label is known.

    Parameters
    ----------
    labels, probabilities : array_like of shape (N, K)

    Returns
    -------
    tuple of K float
        NaN where no label is known.

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
    """Estimate the figures of a test pass from what a MultiLabelCounts layer sums over it.

    The scores (before the sigmoid) of the faces with an AU, and of those without it, are taken as normally
    distributed. Caffe prints means with six digits, which limits how small a variance can be seen: where both
    are smaller, there is no AUC. How good the estimates are: ``src/layers/multi_label_counts_layer.md``.

    Returns
    -------
    Separation or None
        None where the layer has no second top.
    """
    if counts.moments is None:
        return None
    # What a printed figure is off by, as a share of it: the digits, and the sum of the batches as floats.
    error = 5e-6 + (counts.moments.batches + 1) * 2.0**-24
    rows = zip(counts.rows, counts.moments.rows, strict=True)
    found = [_estimate_au(row, sums, error) for row, sums in rows]
    return Separation(tuple(auc for auc, _ in found), tuple(spread for _, spread in found))


def _estimate_au(row: Sequence[float], sums: Sequence[float], error: float) -> tuple[float, float]:
    """Return AUC and spread of one AU."""
    tp, fp, fn, tn = row
    # Of a net that has diverged, or of a log that is none of caffe's.
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
    """Return the standard deviation of sigmoid(x), x being of several normal distributions.

    Each is (how many, mean, variance).
    """
    scores = np.concatenate([mean + math.sqrt(2 * variance) * _NODES for _, mean, variance in normals])
    weights = np.concatenate([count * _WEIGHTS for count, _, _ in normals])
    values = 0.5 * (1 + np.tanh(scores / 2))
    mean = np.average(values, weights=weights)
    return float(math.sqrt(np.average((values - mean) ** 2, weights=weights)))
