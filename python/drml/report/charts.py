"""Bar charts as SVG, each with a description in words for screen readers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from drml.report.formatting import decimals
from drml.report.rendering import render

__all__ = ["Bar", "bar_chart"]

_CHARACTER = 7.3  # pixels, of text of 13 pixels


@dataclass(frozen=True)
class Bar:
    """A bar from 0, a mark to compare it with, and a confidence interval; None or NaN if undefined.

    The chart goes from 0 to 1. What lies outside, such as a negative correlation, is told by number alone.
    """

    name: str
    value: float | None
    mark: float | None = None
    interval: tuple[float, float] | None = None


def bar_chart(title: str, mark_name: str, bars: Sequence[Bar], *, explain_marks: bool = True) -> Markup:
    """Render horizontal bars from 0 to 1, each with a mark to compare it with, or with an interval.

    Parameters
    ----------
    title : str
    mark_name : str
        What the marks stand for, such as ``chance``; "" if there are none.
    bars : sequence of Bar
    explain_marks : bool
        Say above the chart what the marks stand for. Without it the surrounding text has to.

    Examples
    --------
    >>> 'aria-label="AP: AU 1 0.75 (chance 0.50)"' in bar_chart("AP", "chance", [Bar("AU 1", 0.75, 0.5)])
    True
    """
    left = max(48.0, 12 + _CHARACTER * max(len(bar.name) for bar in bars))
    width, step, top = 340, 24, 22
    right = width - 40

    def x(value: float | None) -> float | None:
        within = None if value is None or math.isnan(value) else min(max(value, 0.0), 1.0)
        return None if within is None else left + (right - left) * within

    def words(bar: Bar) -> str:
        beside = [f"{mark_name} {decimals(bar.mark, 2)}"] if mark_name else []
        beside += [f"{bar.interval[0]:.2f} to {bar.interval[1]:.2f}"] if bar.interval else []
        return f"{bar.name} {decimals(bar.value, 2)}" + (f" ({', '.join(beside)})" if beside else "")

    description = "; ".join(map(words, bars))
    return render(
        "bar_chart.html",
        caption=f"{title}. Vertical marks: {mark_name}." if explain_marks and mark_name else title,
        description=f"{title}: {description}",
        width=width,
        height=top + step * len(bars) + 6,
        left=left,
        right=right,
        top=top,
        step=step,
        ticks=[
            {"x": x(tick), "text": f"{tick:g}" if tick % 0.5 == 0 else ""} for tick in (0, 0.25, 0.5, 0.75, 1)
        ],
        bars=[
            {
                "name": bar.name,
                "text": decimals(bar.value, 2),
                "y": top + step * index,
                "end": x(bar.value),
                "mark": x(bar.mark),
                "interval": [x(end) for end in bar.interval] if bar.interval else None,
            }
            for index, bar in enumerate(bars)
        ],
    )
