"""Removes the points of a line that hardly change its picture."""

from __future__ import annotations

import heapq
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["POINTS", "thin"]

POINTS = 200
"""The largest number of points of a line."""


def thin(points: ArrayLike, limit: int = POINTS, tolerance: float = 1e-3) -> NDArray[np.int64]:
    """Remove the points of a line that change its picture least.

    Each step keeps the point that is farthest from the line through the points kept so far. The steps end if
    no point is farther away than `tolerance`, or if `limit` points are kept.

    Parameters
    ----------
    points : array_like, shape (N, 2)
        In the unit square of the chart.
    limit : int
        At least 2.
    tolerance : float

    Returns
    -------
    ndarray of int64
        The indices of the points that are kept, ascending; the first and the last point are among them.

    Examples
    --------
    >>> thin([[0, 0], [0.5, 0.5], [1, 1], [1, 0]]).tolist()
    [0, 2, 3]
    """
    every = np.asarray(points, np.float64).reshape(-1, 2)
    if len(every) < 3:
        return np.arange(len(every), dtype=np.int64)
    # Of a hundred thousand points, most hardly move from one to the next: these are removed first.
    moves = (np.diff(np.round(2 * every / tolerance), axis=0) != 0).any(axis=1)
    numbers = np.unique(np.concatenate([[0], np.flatnonzero(moves) + 1, [len(every) - 1]]))
    line = every[numbers]
    kept = {0, len(line) - 1}
    found: list[tuple[float, int, int, int]] = []

    def look(first: int, last: int) -> None:
        """Put the point between two points that is farthest from the line through them on the heap."""
        if last - first < 2:
            return
        between, start = line[first + 1 : last] - line[first], line[last] - line[first]
        length = math.hypot(*start)
        # The distance to the segment, since a curve may return behind its ends.
        along = np.clip(between @ start / length**2, 0, 1) if length else np.zeros(len(between))
        distance = np.hypot(*(between - along[:, None] * start).T)
        at = int(np.argmax(distance))
        if distance[at] > tolerance:
            heapq.heappush(found, (-float(distance[at]), first + 1 + at, first, last))

    look(0, len(line) - 1)
    while found and len(kept) < limit:
        _, at, first, last = heapq.heappop(found)
        kept.add(at)
        look(first, at)
        look(at, last)
    return numbers[np.array(sorted(kept), np.int64)]
