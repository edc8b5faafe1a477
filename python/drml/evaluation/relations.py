"""AU relation tables: how AUs correlate in the labels, and in a model's predictions for the same frames.

Entry (i, j) is Pearson's correlation of the values of AUs i and j over the frames in which the labels of both
are known. It is NaN where it is undefined (fewer than two such frames, or values that are all equal), and
comparisons leave such entries out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import UNKNOWN

__all__ = ["Difference", "compare", "relations", "to_text"]


def relations(labels: ArrayLike, values: ArrayLike | None = None) -> NDArray[np.float64]:
    """Compute the relation table of a model's values, or of the labels themselves.

    Parameters
    ----------
    labels : array_like of int, shape (N, K)
        1, -1, or 0 (unknown).
    values : array_like, shape (N, K), optional
        A model's probabilities for the same frames.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Symmetric, from -1 to 1, NaN where undefined.

    Raises
    ------
    ValueError
        The shapes differ, or a value is not finite.

    Examples
    --------
    >>> table = relations([[1, 1], [-1, -1], [1, -1], [0, 1]])
    >>> round(float(table[0, 1]), 2)
    0.5
    """
    truth = np.asarray(labels)
    numbers = np.asarray(truth if values is None else values, np.float64)
    if truth.ndim != 2 or truth.shape != numbers.shape:
        raise ValueError(f"expected two arrays N x K, got shapes {truth.shape} and {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not finite")
    known = truth != UNKNOWN
    count = truth.shape[1]
    table = np.full((count, count), np.nan)
    for i in range(count):
        for j in range(i, count):
            both = known[:, i] & known[:, j]
            table[i, j] = table[j, i] = _pearson(numbers[both, i], numbers[both, j])
    return table


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / math.sqrt((x @ x) * (y @ y)), -1, 1))


@dataclass(frozen=True)
class Difference:
    """The distance between two relation tables.

    Attributes
    ----------
    frobenius : float
        Frobenius norm of the difference, divided by the number of entries (144 for 12 AUs), as the paper's
        element-wise Euclidean distance; NaN if no entry is defined in both.
    mean_square : float
        Mean squared difference of an entry.
    entries : int
        Entries that are defined in both tables.
    """

    frobenius: float
    mean_square: float
    entries: int


def compare(truth: ArrayLike, other: ArrayLike) -> Difference:
    """Compare two relation tables over the entries that are defined in both.

    Parameters
    ----------
    truth, other : array_like, shape (K, K)

    Returns
    -------
    Difference

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> compare([[1, 0.5], [0.5, 1]], [[1, 0.3], [0.3, 1]]).entries
    4
    """
    one, two = np.asarray(truth, np.float64), np.asarray(other, np.float64)
    if one.shape != two.shape:
        raise ValueError(f"tables of the shapes {one.shape} and {two.shape}")
    differences = (one - two)[np.isfinite(one) & np.isfinite(two)]
    if not differences.size:
        return Difference(math.nan, math.nan, 0)
    squares = float(differences @ differences)
    return Difference(math.sqrt(squares) / differences.size, squares / differences.size, differences.size)


def to_text(table: ArrayLike, aus: Sequence[int]) -> str:
    """Format a table as aligned text, with ``-`` for undefined entries."""
    lines = ["      " + "".join(f"{au:>7}" for au in aus)]
    for au, row in zip(aus, np.asarray(table), strict=True):
        cells = ("-" if math.isnan(value) else f"{value:.2f}" for value in row)
        lines.append(f"AU{au:<4}" + "".join(f"{cell:>7}" for cell in cells))
    return "\n".join(lines) + "\n"
