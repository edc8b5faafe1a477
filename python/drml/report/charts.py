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
    """A bar, and a mark to compare it with: both from 0 to 1; None or NaN if undefined."""

    name: str
    value: float | None
    mark: float | None


def bar_chart(title: str, mark_name: str, bars: Sequence[Bar], *, explain_marks: bool = True) -> Markup:
    """Render horizontal bars from 0 to 1, each with a mark to compare it with.

    Parameters
    ----------
    title : str
    mark_name : str
        What the marks stand for, such as ``chance``.
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
        return None if value is None or math.isnan(value) else left + (right - left) * value

    description = "; ".join(
        f"{bar.name} {decimals(bar.value, 2)} ({mark_name} {decimals(bar.mark, 2)})" for bar in bars
    )
    return render(
        "bar_chart.html",
        caption=f"{title}. Vertical marks: {mark_name}." if explain_marks else title,
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
            }
            for index, bar in enumerate(bars)
        ],
    )
