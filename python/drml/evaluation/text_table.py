"""Tables of figures as aligned text."""

from __future__ import annotations

import math
from collections.abc import Sequence

from drml.evaluation.bootstrap import Interval

__all__ = ["figure_cell", "format_table", "interval_cell", "interval_text"]


def figure_cell(value: float) -> str:
    """Return a figure with three decimals; ``-`` for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def interval_cell(value: float, interval: Interval) -> str:
    """Return a figure and its interval.

    Examples
    --------
    >>> interval_cell(0.7321, Interval(0.698, 0.761, 1000))
    '0.732 (0.70-0.76)'
    """
    if math.isnan(value) or math.isnan(interval.low):
        return figure_cell(value)
    return f"{figure_cell(value)} ({interval_text(interval.low, interval.high)})"


def interval_text(low: float, high: float) -> str:
    """Return the ends of an interval with two decimals.

    Examples
    --------
    >>> interval_text(0.698, 0.761), interval_text(-0.36, 0.02)
    ('0.70-0.76', '-0.36 to 0.02')
    """
    return f"{low:.2f}{' to ' if low < 0 else '-'}{high:.2f}"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, totals: int, gap: int = 2) -> str:
    """Return a table as text, with lines below its head and above its last rows.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
        The first cell is set left, the others right.
    totals : int
        Number of rows at the end that are set off.
    gap : int
        Spaces between the columns.

    Returns
    -------
    str
        Without a line break at its end.

    Examples
    --------
    >>> print(format_table(["AU", "F1"], [["1", "0.500"], ["Avg.", "0.500"]], totals=1))
    AU       F1
    -----------
    1     0.500
    -----------
    Avg.  0.500
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        right = (" " * gap + cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return (cells[0].ljust(widths[0]) + "".join(right)).rstrip()

    rule = "-" * (sum(widths) + gap * (len(widths) - 1))
    body = len(rows) - totals
    return "\n".join(
        [line(head), rule, *map(line, rows[:body]), *([rule] if totals else []), *map(line, rows[body:])]
    )
