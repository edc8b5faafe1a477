"""Where a Region layer cuts its map into patches."""

from __future__ import annotations

import itertools

__all__ = ["borders", "patches"]


def borders(size: int, cells: int) -> list[int]:
    """Return where the cells of a grid begin, and where the last one ends, in pixels.

    Examples
    --------
    >>> borders(160, 7)
    [0, 22, 45, 68, 91, 114, 137, 160]
    """
    return [index * size // cells for index in range(cells + 1)]


def patches(height: int, width: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Return top, left, height and width of each patch of a grid, row by row.

    Examples
    --------
    >>> patches(4, 5, 1, 2)
    [(0, 0, 4, 2), (0, 2, 4, 3)]
    """
    return [
        (top, left, bottom - top, right - left)
        for top, bottom in itertools.pairwise(borders(height, rows))
        for left, right in itertools.pairwise(borders(width, columns))
    ]
