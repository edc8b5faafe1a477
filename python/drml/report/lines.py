"""Lines as SVG: over axes of their own, or over the unit square; thinned, and described in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from drml.report.markup import escaped
from drml.report.style import DASHES
from drml.report.thinning import thin

__all__ = ["STYLES", "Series", "legend", "line_chart", "square_chart"]

STYLES = len(DASHES)
"""Series that can be told apart in one chart."""

Point = tuple[float, float]

# Around (0, 0), for each style: circle, square, triangle, diamond, triangle on its tip, plus.
_MARKS = (
    "m-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "m-4 -4h8v8h-8z",
    "m0 -5.5l5.3 9h-10.6z",
    "m0 -5.8l5 5.8l-5 5.8l-5 -5.8z",
    "m0 5.5l5.3 -9h-10.6z",
    "m-1.8 -5.4h3.6v3.6h3.6v3.6h-3.6v3.6h-3.6v-3.6h-3.6v-3.6h3.6z",
)


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes
    ----------
    name : str
    points : array_like, shape (N, 2)
    style : int
        Of its colour, dashes and mark, below `STYLES`.
    mark : (float, float) or None
        Where its mark stands; None for none.
    """

    name: str
    points: ArrayLike
    style: int = 0
    mark: Point | None = None


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


@dataclass(frozen=True)
class _Frame:
    """Where on the picture the values of two axes lie."""

    xs: Sequence[float]
    ys: Sequence[float]
    left: float
    right: float
    top: float
    bottom: float

    def place(self, point: Point) -> Point:
        across = (point[0] - self.xs[0]) / (self.xs[-1] - self.xs[0])
        up = (point[1] - self.ys[0]) / (self.ys[-1] - self.ys[0])
        return self.left + (self.right - self.left) * across, self.bottom - (self.bottom - self.top) * up

    def axes(self) -> list[str]:
        """Return a line and a number for every tick."""
        parts = []
        for tick in self.ys:
            y = self.place((self.xs[0], tick))[1]
            parts.append(f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text x="{self.left - 6}" y="{y + 4.5:.1f}" text-anchor="end">{tick:g}</text>')
        for tick in self.xs:
            x = self.place((tick, self.ys[0]))[0]
            anchor = "end" if tick == self.xs[-1] else "middle"
            parts.append(f'<text x="{x:.1f}" y="{self.bottom + 17}" text-anchor="{anchor}">{tick:g}</text>')
        return parts

    def line(self, series: Series) -> list[str]:
        """Return a line, thinned, and its mark."""
        points = np.asarray(series.points, np.float64).reshape(-1, 2)
        kept = points[thin(points / [self.xs[-1] - self.xs[0], self.ys[-1] - self.ys[0]])]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.place, kept.tolist()))
        parts = [f'<polyline class="line s{series.style}" points="{text}"/>'] if len(kept) > 1 else []
        if series.mark is not None:
            parts.append(_mark(series.style, *self.place(series.mark)))
        return parts


def _mark(style: int, x: float, y: float) -> str:
    return f'<path class="point s{style}" d="M{x:.1f} {y:.1f}{_MARKS[style]}"/>'


def legend(names: Sequence[tuple[str, int]], *, lines: bool = True) -> str:
    """Return a list of names, each with the line and the mark of its style."""
    items = []
    for name, style in names:
        line = f'<polyline class="line s{style}" points="2,8 42,8"/>' if lines else ""
        picture = f'<svg viewBox="0 0 44 16" aria-hidden="true">{line}{_mark(style, 22, 8)}</svg>'
        items.append(f"<li>{picture}{escaped(name)}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>'


def line_chart(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> str:
    """Return lines over common axes, whose y begins at 0 or below."""
    lines = {one.name: np.asarray(one.points, np.float64).reshape(-1, 2) for one in series}
    points = np.concatenate(list(lines.values()))
    xs = _ticks(0, points[:, 0].max(), 4)
    ys = _ticks(min(0.0, points[:, 1].min()), points[:, 1].max())
    width, height = 340, 250
    left = 14 + 7.3 * max(len(f"{tick:g}") for tick in ys)
    frame = _Frame(xs, ys, left, width - 10, 24, height - 40)
    told = "; ".join(
        f"{name} from {line[0, 1]:.3g} at {line[0, 0]:g} to {line[-1, 1]:.3g} at {line[-1, 0]:g}"
        for name, line in lines.items()
        if len(line)
    )
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escaped(f"{title}: {told}")}">']
    parts += frame.axes()
    parts.append(f'<text x="{left:.1f}" y="14">{escaped(y_name)}</text>')
    parts.append(f'<text x="{width - 10}" y="{height - 5}" text-anchor="end">{escaped(x_name)}</text>')
    for one in series:
        parts += frame.line(one)
    parts.append("</svg>")
    return f"<figure><figcaption>{escaped(title)}</figcaption>{''.join(parts)}</figure>"


def square_chart(caption: str, told: str, series: Sequence[Series], chance: tuple[Point, Point]) -> str:
    """Return lines over the unit square, small, with a dotted line of what chance would give.

    Parameters
    ----------
    caption : str
        Above the chart.
    told : str
        The chart in words.
    series : sequence of Series
    chance : pair of points
    """
    frame = _Frame((0, 0.5, 1), (0, 0.5, 1), 28, 196, 8, 160)
    parts = [f'<svg viewBox="0 0 204 182" role="img" aria-label="{escaped(told)}">', *frame.axes()]
    (x1, y1), (x2, y2) = (frame.place(point) for point in chance)
    parts.append(f'<line class="chance" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')
    for one in series:
        parts += frame.line(one)
    parts.append("</svg>")
    return f"<figure><figcaption>{escaped(caption)}</figcaption>{''.join(parts)}</figure>"
