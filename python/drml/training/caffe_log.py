"""What ``caffe train`` says in its log: losses, figures of test nets, counts of predictions, snapshots."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

__all__ = ["EXACT", "OUTCOMES", "Counts", "Figure", "LogReader"]

OUTCOMES = ("tp", "fp", "fn", "tn")
"""The columns of a MultiLabelCounts layer's top."""

EXACT = 98_000
"""Counts below this come back exactly: six printed digits are off by 5e-6 of a mean at most, and the float
that was printed by another 6e-8."""

_NUMBER = r"([-+]?(?:[0-9]{1,30}(?:\.[0-9]*)?(?:e[-+]?[0-9]{1,4})?|nan|inf))"
_ITERATION = re.compile(
    r"\] Iteration ([0-9]{1,12})(?: \(.*\))?, (?:loss = " + _NUMBER + "|lr = " + _NUMBER + ")"
)
_TESTING = re.compile(r"\] Iteration ([0-9]{1,12}), Testing net \(#([0-9]{1,6})\)")
_OUTPUT = re.compile(r"\]\s+(Test|Train) net output #\d+: (\S+) = " + _NUMBER)
_SNAPSHOT = re.compile(r"\] Snapshotting to (?:binary proto|HDF5) file (.*\.caffemodel(?:\.h5)?)$")
# Of the solver and the nets, which caffe prints as it reads them.
_SOLVER = re.compile(r"\] Initializing solver from parameters:")
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
class Counts:
    """The predictions of one pass of a test net, from its layer MultiLabelCounts.

    Attributes
    ----------
    iteration : int
    net : int
        Which test net, from 0.
    rows : tuple of tuple of float
        For each class `OUTCOMES`, whole numbers over all batches of the pass; NaN where caffe counted none.
    exact : bool
        Whether all are below `EXACT`; otherwise the last digits of larger ones are not known.
    """

    iteration: int
    net: int
    rows: tuple[tuple[float, ...], ...]
    exact: bool


class LogReader:
    """Reads caffe's log line by line.

    Attributes
    ----------
    iteration : int
        The last one named.
    snapshot : str or None
        The last weights file written.
    """

    def __init__(self) -> None:
        self.iteration = 0
        self.snapshot: str | None = None
        self._test_net = 0
        self._test_iters: list[int] = []
        self._counts: set[str] = set()  # blobs that MultiLabelCounts layers make
        self._in_counts = False
        self._means: list[float] = []  # of the counts that are being printed

    def read(self, line: str) -> list[Figure | Counts]:
        """Take the next line; return what is complete with it.

        Counts, of which each has a line, are complete when a line of something else follows.
        """
        match = _OUTPUT.search(line)
        if match and match[1] == "Test" and match[2] in self._counts and self._iterations():
            self._means.append(float(match[3]))
            return []
        found: list[Figure | Counts] = [*self._finished()]
        if match:
            # In training, the figure of this batch alone, beside the smoothed one.
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
            self._test_iters, self._counts = [], set()
        elif match := _TEST_ITER.match(line):
            self._test_iters.append(int(match[1]))
        elif match := _TYPE.match(line):
            self._in_counts = match[1] == "MultiLabelCounts"
        elif self._in_counts and (match := _TOP.match(line)):
            self._counts.add(match[1])

    def _iterations(self) -> int:
        """Batches of a pass of the current test net; 0 where the log does not tell."""
        return self._test_iters[self._test_net] if self._test_net < len(self._test_iters) else 0

    def _finished(self) -> list[Counts]:
        means, self._means = self._means, []
        if not means or len(means) % len(OUTCOMES):
            return []
        sums = [mean * self._iterations() for mean in means]
        exact = all(not value >= EXACT for value in sums)
        whole = [float(round(value)) if math.isfinite(value) else math.nan for value in sums]
        width = len(OUTCOMES)
        rows = tuple(tuple(whole[at : at + width]) for at in range(0, len(whole), width))
        return [Counts(self.iteration, self._test_net, rows, exact)]
