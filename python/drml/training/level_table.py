"""``icc.csv``: ICC(3,1), PCC and MSE of each AU in each test pass of a net that estimates intensities.

They follow from the counts of levels in caffe's log (`drml.nets.level_counts`). Estimates are taken as the
net makes them; ``drml score`` clips them to 0 to 5.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from drml.data.labels import LEVELS
from drml.io.errors import UserError
from drml.io.figures import mean_of_defined
from drml.io.limits import open_list
from drml.training.caffe_log import Counts
from drml.training.pass_table import AVERAGE, PassTable

__all__ = ["ICC_FILE", "LEARNED_ICC", "Agreement", "LevelTable", "agreement", "learned_nothing", "mean_iccs"]

ICC_FILE = "icc.csv"

LEARNED_ICC = 0.1
"""If the mean of the AUs' ICCs is below this, the net has not learned yet; a constant estimate has 0."""


class Agreement(NamedTuple):
    """How the estimates of one AU agree with its labels; what is undefined is NaN."""

    icc: float
    pcc: float
    mse: float


_NONE = Agreement(math.nan, math.nan, math.nan)


def learned_nothing(iccs: Iterable[float]) -> bool:
    """Decide from the ICC of each AU whether a net, or another method, has not learned yet.

    Examples
    --------
    >>> learned_nothing([0.02, 0.3, float("nan")]), learned_nothing([0.0, 0.1]), learned_nothing([])
    (False, True, False)
    """
    return mean_of_defined(iccs) < LEARNED_ICC  # false if none is defined, and the mean is NaN


def agreement(counts: Counts) -> list[Agreement]:
    """Compute the figures of each AU in a test pass.

    With c = k - 0.5, class k of an AU has the sums of x - c, and of its square, over the frames with a label
    y of k or more, and over those with less. The sums over all frames follow from those of k = 1. As
    y = sum over k of [y >= k], the sum of x y is the sum over k of the sums of x over the frames with y >= k.

    Returns
    -------
    list of Agreement
        One for each AU; empty if the log lacks the moments.
    """
    if counts.moments is None:
        return []
    found = []
    levels, columns = LEVELS[1:], len(counts.rows) // len(LEVELS[1:])
    for column in range(columns):
        y = yy = xy = 0.0
        n = x = xx = math.nan
        for at, level in enumerate(levels):
            tp, fp, fn, tn = counts.rows[at * columns + column]
            positive, squares, negative, rest = counts.moments.rows[at * columns + column]
            c, reached = level - 0.5, tp + fn
            y += reached
            yy += (2 * level - 1) * reached
            xy += positive + c * reached
            if not at:
                n = reached + fp + tn
                shifted = positive + negative
                x, xx = shifted + c * n, squares + rest + 2 * c * shifted + c * c * n
        found.append(_agreement(n, y, yy, x, xx, xy))
    return found


def _agreement(n: float, y: float, yy: float, x: float, xx: float, xy: float) -> Agreement:
    """Compute the figures that `drml.evaluation.intensity_metrics` defines from sums over n frames."""
    if not n > 0 or not all(map(math.isfinite, (x, xx, xy))):
        return _NONE
    of_y, of_x, both = max(0.0, yy - y * y / n), max(0.0, xx - x * x / n), xy - x * y / n
    product = math.sqrt(of_x * of_y)
    both = max(-product, min(product, both))  # rounding, as estimates that hardly differ show it
    return Agreement(
        2 * both / (of_x + of_y) if of_x + of_y else math.nan,
        both / product if product else math.nan,
        max(0.0, xx - 2 * xy + yy) / n,
    )


class LevelTable(PassTable):
    """``icc.csv``; parameters and attributes as `drml.training.pass_table.PassTable`."""

    file = ICC_FILE
    header = ("iteration", "seconds", "net", "au", "icc", "pcc", "mse")

    def add(self, counts: Counts, seconds: str) -> float:
        """Write the figures of a pass; return the mean ICC over the AUs where it is defined."""
        found = agreement(counts)
        names = [*self._names_of(len(found)), AVERAGE]
        mean = Agreement(*map(mean_of_defined, zip(*found, strict=True))) if found else _NONE
        rows = [
            [name, *("" if math.isnan(value) else f"{value:.5f}" for value in one)]
            for name, one in zip(names, [*found, mean], strict=True)
        ]
        self._append([counts.iteration, seconds, counts.net, *row] for row in rows)
        if counts.net == 0:
            self.last = dict(zip(names, (one.icc for one in [*found, mean]), strict=True))
            self.iteration = counts.iteration
        return mean.icc


def mean_iccs(folder: Path) -> dict[int, float]:
    """Read the mean ICC of the first test net's passes from ``icc.csv``, by iteration.

    Passes whose ICC is undefined are left out. The result is empty if there is no such file.

    Raises
    ------
    UserError
        The file is damaged.
    """
    table = folder / ICC_FILE
    if not table.is_file():
        return {}
    with open_list(table) as file:
        try:
            return {
                int(row["iteration"]): float(row["icc"])
                for row in csv.DictReader(file)
                if int(row["net"]) == 0 and row["au"] == AVERAGE and row["icc"]
            }
        except (KeyError, TypeError, ValueError, csv.Error):
            raise UserError(f"{table}: not what drml train writes; train again, or remove it") from None
