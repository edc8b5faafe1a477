"""Charts as SVG, described in words for those who do not see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from drml.report.markup import cell, escaped


@dataclass(frozen=True)
class Bar:
    """A bar and a mark to compare it with, both from 0 to 1; None where undefined."""

    name: str
    value: float | None
    mark: float | None


def bar_chart(title: str, mark_name: str, bars: Sequence[Bar]) -> str:
    """Return horizontal bars from 0 to 1, each with a mark to compare with."""
    left, width, step, top = 48, 420, 24, 22
    right = width - 44
    height = top + step * len(bars) + 6

    def x(value: float) -> float:
        return left + (right - left) * value

    told = "; ".join(f"{bar.name} {cell(bar.value, 2)} ({mark_name} {cell(bar.mark, 2)})" for bar in bars)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(f"{title}: {told}")}">',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{height}"/>'
            f'<text x="{x(tick):.1f}" y="{top - 9}" text-anchor="middle">{tick:g}</text>'
        )
    for index, bar in enumerate(bars):
        y = top + step * index
        parts.append(f'<text x="{left - 6}" y="{y + 16}" text-anchor="end">{escaped(bar.name)}</text>')
        if bar.value is not None:
            parts.append(
                f'<rect class="bar" x="{left}" y="{y + 4}"'
                f' width="{x(bar.value) - left:.1f}" height="{step - 8}"/>'
            )
        if bar.mark is not None:
            parts.append(
                f'<line class="mark" x1="{x(bar.mark):.1f}" x2="{x(bar.mark):.1f}"'
                f' y1="{y + 1}" y2="{y + step - 1}"/>'
            )
        parts.append(f'<text x="{right + 6}" y="{y + 16}">{cell(bar.value, 2)}</text>')
    parts.append("</svg>")
    caption = f"{title}. The upright marks: {mark_name}."
    return f"<figure>{''.join(parts)}<figcaption>{escaped(caption)}</figcaption></figure>"


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span low to high.

    Examples
    --------
    >>> _ticks(0.3, 9.1)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not high > low:
        high = low + 1
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


Points = list[tuple[float, float]]


def curve_chart(title: str, x_name: str, y_name: str, curve: Points, other: Points, other_name: str) -> str:
    """Return a curve, and another one dashed, over common axes."""
    points = curve + other
    x_ticks = _ticks(0, max(x for x, _ in points))
    y_ticks = _ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    left, right, top, bottom, width, height = 46, 470, 24, 220, 480, 260

    def place(point: tuple[float, float]) -> str:
        x = left + (right - left) * (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = bottom - (bottom - top) * (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return f"{x:.1f},{y:.1f}"

    told = f"{title}: from {curve[0][1]:.3g} at {curve[0][0]:g} to {curve[-1][1]:.3g} at {curve[-1][0]:g}"
    if other:
        told += f"; {other_name} from {other[0][1]:.3g} to {other[-1][1]:.3g}"
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(told)}">']
    for tick in y_ticks:
        y = place((x_ticks[0], tick)).split(",")[1]
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = place((tick, y_ticks[0])).split(",")[0]
        anchor = "end" if tick == x_ticks[-1] else "middle"
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{tick:g}</text>')
    parts.append(f'<text x="{left}" y="14">{escaped(y_name)}</text>')
    parts.append(f'<text x="{right}" y="{height - 4}" text-anchor="end">{escaped(x_name)}</text>')
    for kind, line in (("curve", curve), ("other", other)):
        if line:
            parts.append(f'<polyline class="{kind}" points="{" ".join(map(place, line))}"/>')
    parts.append("</svg>")
    caption = title + (f"; dashed: {other_name}" if other else "")
    return f"<figure>{''.join(parts)}<figcaption>{escaped(caption)}.</figcaption></figure>"
