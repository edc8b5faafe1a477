"""Numbers and AUs as the page shows them: plain text, without any HTML."""

from __future__ import annotations

import math
from typing import Any

from drml.data.labels import AU_NAMES
from drml.evaluation.text_table import interval_text

__all__ = ["UNDEFINED", "au_name", "decimals", "duration", "figure_text", "interval_of"]

UNDEFINED = "-"
"""Stands for an undefined figure."""


def decimals(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed count of decimals; a dash for None and NaN, which are undefined figures.

    Examples
    --------
    >>> decimals(0.75, 2), decimals(None), decimals(float("nan"))
    ('0.75', '-', '-')
    """
    return UNDEFINED if value is None or math.isnan(value) else f"{value:.{digits}f}"


def figure_text(value: float | None, scores: dict[str, Any], figure: str, au: int | None = None) -> str:
    """Return a figure with its confidence interval, or its standard deviation over seeds.

    Parameters
    ----------
    value : float or None
        The figure.
    scores : dict
        The scores of a method as ``to_dict`` of `drml.evaluation.ScoreTable` gives them.
    figure : str
    au : int, optional
        By default, the average over the AUs.

    Returns
    -------
    str
        The figure alone if the scores have neither; a dash if it is undefined.

    Examples
    --------
    >>> figure_text(0.5, {"standard_deviation": {"aus": [], "average": {"f1": 0.01149}}}, "f1")
    '0.500 ± 0.011'
    """
    text = decimals(value)
    return text if text == UNDEFINED else text + _spread(scores, figure, au)


def _spread(scores: dict[str, Any], figure: str, au: int | None) -> str:
    for name in ("standard_deviation", "intervals"):
        if not (around := scores.get(name)):
            continue
        if name == "intervals":
            ends = interval_of(scores, figure, au)
            return "" if ends is None else f" ({interval_text(*ends)})"
        found = _row(around, au).get(figure)
        return "" if found is None else f" ± {found:.3f}"
    return ""


def interval_of(scores: dict[str, Any], figure: str, au: int | None = None) -> tuple[float, float] | None:
    """Return the ends of a figure's confidence interval; None if it has none. Parameters as `figure_text`."""
    found = _row(scores["intervals"], au).get(figure) if scores.get("intervals") else None
    if not found or found["low"] is None or found["high"] is None:
        return None
    return float(found["low"]), float(found["high"])


def _row(around: dict[str, Any], au: int | None) -> dict[str, Any]:
    """Return the row of an AU, or of the average, among intervals or standard deviations."""
    rows = [around["average"]] if au is None else [row for row in around["aus"] if row["au"] == au]
    return rows[0] if rows else {}


def au_name(au: int) -> str:
    """Return the number and the name of an AU.

    Examples
    --------
    >>> au_name(12)
    'AU 12 Lip corner puller'
    """
    return f"AU {au} {AU_NAMES.get(au, '')}".strip()


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes or hours, whichever reads best.

    Examples
    --------
    >>> duration(61.5), duration(7260)
    ('1 min 2 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
