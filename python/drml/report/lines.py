"""Line charts as SVG, over axes of their own or over the unit square: thinned, and described in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from drml.report.rendering import render
from drml.report.thinning import thin

__all__ = ["STYLES", "Series", "line_chart", "square_chart"]

STYLES = 6
"""How many series readers can tell apart in one chart: the styles ``s0``, ``s1``, ... of the style sheet."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes
    ----------
    name : str
    points : array_like, shape (N, 2)
    style : int
        The line's colour, dashes and shape of mark; at least 0 and below `STYLES`.
    mark : (float, float) or None
        Where the line's mark is drawn; None for no mark.
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
    """The rectangle of two axes in the picture, in pixels, and the ticks of each axis, in its own units."""

    xs: Sequence[float]
    ys: Sequence[float]
    left: float
    right: float
    top: float
    bottom: float

    def pixels(self, point: Point) -> Point:
        across = (point[0] - self.xs[0]) / (self.xs[-1] - self.xs[0])
        up = (point[1] - self.ys[0]) / (self.ys[-1] - self.ys[0])
        return self.left + (self.right - self.left) * across, self.bottom - (self.bottom - self.top) * up

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [(self.pixels((tick, self.ys[0]))[0], f"{tick:g}") for tick in self.xs]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.pixels((self.xs[0], tick))[1], f"{tick:g}") for tick in self.ys]

    def draw(self, series: Series) -> dict[str, Any]:
        """Return a line in pixels, thinned, and the position of its mark."""
        points = np.asarray(series.points, np.float64).reshape(-1, 2)
        kept = points[thin(points / [self.xs[-1] - self.xs[0], self.ys[-1] - self.ys[0]])]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self.pixels, kept.tolist()))
        mark = None if series.mark is None else self.pixels(series.mark)
        return {"style": series.style, "points": line if len(kept) > 1 else "", "mark": mark}


def line_chart(title: str, x_name: str, y_name: str, series: Sequence[Series]) -> Markup:
    """Render lines over common axes; the y axis begins at 0 or below."""
    lines = {one.name: np.asarray(one.points, np.float64).reshape(-1, 2) for one in series}
    points = np.concatenate(list(lines.values()))
    xs = _ticks(0, points[:, 0].max(), 4)
    ys = _ticks(min(0.0, points[:, 1].min()), points[:, 1].max())
    width, height = 340, 250
    left = 14 + 7.3 * max(len(f"{tick:g}") for tick in ys)
    frame = _Frame(xs, ys, round(left, 1), width - 10, 24, height - 40)
    description = "; ".join(
        f"{name} from {line[0, 1]:.3g} at {line[0, 0]:g} to {line[-1, 1]:.3g} at {line[-1, 0]:g}"
        for name, line in lines.items()
        if len(line)
    )
    return render(
        "line_chart.html",
        title=title,
        description=f"{title}: {description}",
        x_name=x_name,
        y_name=y_name,
        width=width,
        height=height,
        frame=frame,
        drawn=[frame.draw(one) for one in series],
    )


def square_chart(
    caption: str, description: str, series: Sequence[Series], chance: tuple[Point, Point]
) -> Markup:
    """Render lines over the unit square, in a small chart, with a dotted line for chance.

    Parameters
    ----------
    caption : str
        The text above the chart.
    description : str
        The chart in words.
    series : sequence of Series
    chance : pair of points
        Ends of the dotted line.
    """
    frame = _Frame((0, 0.5, 1), (0, 0.5, 1), 28, 196, 8, 160)
    return render(
        "square_chart.html",
        caption=caption,
        description=description,
        frame=frame,
        chance=[frame.pixels(point) for point in chance],
        drawn=[frame.draw(one) for one in series],
    )
