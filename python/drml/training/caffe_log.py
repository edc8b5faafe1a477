"""Parses the log of ``caffe train``: losses, figures of test nets, counts and moments, snapshots."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from drml.nets.level_counts import LEVEL_COUNTS

__all__ = [
    "EXACT",
    "MOMENTS",
    "OUTCOMES",
    "PREFIX",
    "Counts",
    "Figure",
    "LogReader",
    "Moments",
    "f1_of_counts",
]

OUTCOMES = ("tp", "fp", "fn", "tn")
"""The columns of a MultiLabelCounts layer's top."""

MOMENTS = ("positive_scores", "positive_squares", "negative_scores", "negative_squares")
"""The columns of its second top: sums of scores and of their squares, by label."""

EXACT = 98_000
"""Counts below this are recovered exactly: the relative error of a printed mean is at most 5e-6 for its six
digits, and 6e-8 for the float that was printed."""

PREFIX = "drml: "
"""Prefix of the lines of the log that drml writes."""

_NUMBER = r"([-+]?(?:[0-9]{1,30}(?:\.[0-9]*)?(?:e[-+]?[0-9]{1,4})?|nan|inf))"
_ITERATION = re.compile(
    r"\] Iteration ([0-9]{1,12})(?: \(.*\))?, (?:loss = " + _NUMBER + "|lr = " + _NUMBER + ")"
)
_TESTING = re.compile(r"\] Iteration ([0-9]{1,12}), Testing net \(#([0-9]{1,6})\)")
_OUTPUT = re.compile(r"\]\s+(Test|Train) net output #\d+: (\S+) = " + _NUMBER)
# A line of another part of caffe than the solver, whose threads may write at any time.
_ELSEWHERE = re.compile(r"^[IWEF][0-9]{4,8} \S+ +[0-9]+ (?!solver\.cpp:)[\w.]+:[0-9]+\]")
_SNAPSHOT = re.compile(r"\] Snapshotting to (?:binary proto|HDF5) file (.*\.caffemodel(?:\.h5)?)$")
# Lines of the solver and the nets, which caffe prints as it reads them.
_SOLVER = re.compile(r"\] Initializing solver from parameters:")
_TEST_PASS = re.compile(r"\] {5}Test pass: ([0-9]{1,12}) batches$")
_TEST_ITER = re.compile(r"^test_iter: ([0-9]{1,12})$")
_TYPE = re.compile(r'^  type: "(\w+)"$')
_TOP = re.compile(r'^  top: "(.+)"$')


@dataclass(frozen=True)
class Figure:
    """One figure of the log: `phase` is "train" or "test"; the smoothed loss of training is named "loss"."""

    iteration: int
    phase: str
    name: str
    value: float


@dataclass(frozen=True)
class Moments:
    """Sums of scores in one pass of a test net, from the second top of its layer MultiLabelCounts.

    Attributes
    ----------
    rows : tuple of tuple of float
        For each class `MOMENTS`, sums over all batches of the pass; NaN if caffe could not compute them.
    batches : int
        Number of batches in the pass, over which caffe printed means.
    """

    rows: tuple[tuple[float, ...], ...]
    batches: int


@dataclass(frozen=True)
class Counts:
    """Counts of right and wrong predictions in one pass of a test net, from its layer MultiLabelCounts.

    Attributes
    ----------
    iteration : int
    net : int
        Which test net, from 0.
    rows : tuple of tuple of float
        For each class `OUTCOMES`, whole numbers over all batches of the pass; NaN if caffe counted none.
    exact : bool
        Whether all are below `EXACT`; the last digits of larger counts are not known.
    moments : Moments or None
        None if the layer has no second top.
    levels : bool
        Whether the classes are the levels of intensities (`drml.nets.level_counts`).
    """

    iteration: int
    net: int
    rows: tuple[tuple[float, ...], ...]
    exact: bool
    moments: Moments | None = None
    levels: bool = False


def f1_of_counts(tp: float, fp: float, fn: float, tn: float) -> float:
    """Compute F1 from the counts of true positives, false positives, false negatives and true negatives.

    Returns
    -------
    float
        0 without a true positive, NaN if nothing was counted or a count is NaN.

    Examples
    --------
    >>> f1_of_counts(1, 1, 1, 0)
    0.5
    """
    if not tp + fp + fn + tn > 0:
        return math.nan
    return 2 * tp / (2 * tp + fp + fn) if tp else 0.0


class LogReader:
    """Reads caffe's log line by line.

    Attributes
    ----------
    iteration : int
        The last iteration in the log.
    snapshot : str or None
        The last weights file that caffe wrote.
    """

    def __init__(self) -> None:
        self.iteration = 0
        self.snapshot: str | None = None
        self._test_net = 0
        self._test_iters: list[int] = []
        # Tops of MultiLabelCounts layers: 0 for counts, 1 for moments.
        self._tops: dict[str, int] = {}
        self._next_top: int | None = None  # of the layer that is being read, if it is of this type
        self._means: tuple[list[float], list[float]] = ([], [])  # of these tops, as printed

    def read(self, line: str) -> list[Figure | Counts]:
        """Parse the next line; return the figures and counts that are complete with it.

        Each count has a line of its own, so counts are complete when a different line of the solver follows.
        If moments belong to them, which caffe may print after other figures, they are complete when both have
        been read or the pass is over.
        """
        if line.startswith(PREFIX) or (any(self._means) and _ELSEWHERE.match(line)):
            return []
        match = _OUTPUT.search(line)
        if match and match[1] == "Test" and match[2] in self._tops and self._iterations():
            self._means[self._tops[match[2]]].append(float(match[3]))
            return []
        found: list[Figure | Counts] = [*self._finished(over=not match or match[1] != "Test")]
        if match:
            # In training: the figure of this batch alone, next to the smoothed one.
            name = f"batch {match[2]}" if match[1] == "Train" else match[2]
            if match[1] == "Test" and self._test_net:
                name = f"{name} (net {self._test_net})"
            found.append(Figure(self.iteration, match[1].lower(), name, float(match[3])))
        elif match := _TESTING.search(line):
            self.iteration, self._test_net = int(match[1]), int(match[2])
        elif match := _ITERATION.search(line):
            self.iteration = int(match[1])
            name, value = ("loss", match[2]) if match[2] else ("lr", match[3])
            found.append(Figure(self.iteration, "train", name, float(value)))
        elif match := _SNAPSHOT.search(line.rstrip()):
            self.snapshot = match[1]
        else:
            self._read_parameters(line.rstrip())
        return found

    def _read_parameters(self, line: str) -> None:
        if _SOLVER.search(line):
            self._test_iters, self._tops = [], {}
        elif match := _TEST_ITER.match(line):
            self._test_iters.append(int(match[1]))
        elif (match := _TEST_PASS.search(line)) and self._test_net < len(self._test_iters):
            # test_iter: 0 stands for all of the data; caffe prints how many batches these are.
            self._test_iters[self._test_net] = int(match[1])
        elif match := _TYPE.match(line):
            self._next_top = 0 if match[1] == "MultiLabelCounts" else None
        elif self._next_top is not None and (match := _TOP.match(line)):
            self._tops[match[1]] = min(self._next_top, 1)
            self._next_top += 1

    def _iterations(self) -> int:
        """Return the number of batches in a pass of the current test net; 0 if it is not in the log."""
        return self._test_iters[self._test_net] if self._test_net < len(self._test_iters) else 0

    def _finished(self, *, over: bool) -> list[Counts]:
        counts, moments = self._means
        if not over and 1 in self._tops.values() and len(moments) < len(counts):
            return []
        self._means = ([], [])
        if not counts or len(counts) % len(OUTCOMES):
            return []
        sums = [mean * self._iterations() for mean in counts]
        exact = all(not value >= EXACT for value in sums)
        whole = [float(round(value)) if math.isfinite(value) else math.nan for value in sums]
        found = None
        if len(moments) == len(counts):
            batches = self._iterations()
            found = Moments(_rows([mean * batches for mean in moments], len(MOMENTS)), batches)
        rows, levels = _rows(whole, len(OUTCOMES)), LEVEL_COUNTS in self._tops
        return [Counts(self.iteration, self._test_net, rows, exact, found, levels)]


def _rows(values: list[float], width: int) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(values[at : at + width]) for at in range(0, len(values), width))
