"""Bars as SVG, described in words for those who do not see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drml.report.markup import cell, escaped

__all__ = ["Bar", "bar_chart"]

_CHARACTER = 7.3  # pixels, of text of 13 pixels


@dataclass(frozen=True)
class Bar:
    """A bar and a mark to compare it with, both from 0 to 1; None where undefined."""

    name: str
    value: float | None
    mark: float | None


def bar_chart(title: str, mark_name: str, bars: Sequence[Bar], *, note: bool = True) -> str:
    """Return horizontal bars from 0 to 1, each with a mark to compare with.

    Parameters
    ----------
    title, mark_name : str
    bars : sequence of Bar
    note : bool
        Say above the chart what the marks are; else the text around it has to.

    Examples
    --------
    >>> 'aria-label="AP: AU 1 0.75 (chance 0.50)"' in bar_chart("AP", "chance", [Bar("AU 1", 0.75, 0.5)])
    True
    """
    left = max(48.0, 12 + _CHARACTER * max(len(bar.name) for bar in bars))
    width, step, top = 340, 24, 22
    right = width - 40
    height = top + step * len(bars) + 6

    def x(value: float) -> float:
        return left + (right - left) * value

    told = "; ".join(f"{bar.name} {cell(bar.value, 2)} ({mark_name} {cell(bar.mark, 2)})" for bar in bars)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(f"{title}: {told}")}">',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        line = f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{height}"/>'
        parts.append(line)
        if tick in (0, 0.5, 1):
            parts.append(f'<text x="{x(tick):.1f}" y="{top - 9}" text-anchor="middle">{tick:g}</text>')
    for index, bar in enumerate(bars):
        y = top + step * index
        parts.append(f'<text x="{left - 6:.1f}" y="{y + 16}" text-anchor="end">{escaped(bar.name)}</text>')
        if bar.value is not None:
            parts.append(
                f'<rect class="bar" x="{left:.1f}" y="{y + 4}"'
                f' width="{x(bar.value) - left:.1f}" height="{step - 8}"/>'
            )
        if bar.mark is not None:
            parts.append(
                f'<line class="mark" x1="{x(bar.mark):.1f}" x2="{x(bar.mark):.1f}"'
                f' y1="{y + 1}" y2="{y + step - 1}"/>'
            )
        parts.append(f'<text x="{right + 6}" y="{y + 16}">{cell(bar.value, 2)}</text>')
    parts.append("</svg>")
    caption = f"{title}. The upright marks: {mark_name}." if note else title
    return f"<figure><figcaption>{escaped(caption)}</figcaption>{''.join(parts)}</figure>"
