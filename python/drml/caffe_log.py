"""What ``caffe train`` says in its log: losses, figures of the test nets, snapshots."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Figure", "LogReader"]

_NUMBER = r"([-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf))"
_ITERATION = re.compile(r"\] Iteration (\d+)(?: \(.*\))?, (?:loss = " + _NUMBER + "|lr = " + _NUMBER + ")")
_TESTING = re.compile(r"\] Iteration (\d+), Testing net \(#(\d+)\)")
_OUTPUT = re.compile(r"\]\s+(Test|Train) net output #\d+: (\S+) = " + _NUMBER)
_SNAPSHOT = re.compile(r"\] Snapshotting to (?:binary proto|HDF5) file (.*\.caffemodel(?:\.h5)?)$")


@dataclass(frozen=True)
class Figure:
    """One figure of the log: `phase` is "train" or "test"; the smoothed loss of training is named "loss"."""

    iteration: int
    phase: str
    name: str
    value: float


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

    def read(self, line: str) -> Figure | None:
        """Take the next line; return the figure in it, if any."""
        if match := _TESTING.search(line):
            self.iteration, self._test_net = int(match[1]), int(match[2])
        elif match := _ITERATION.search(line):
            self.iteration = int(match[1])
            if match[2]:
                return Figure(self.iteration, "train", "loss", float(match[2]))
            return Figure(self.iteration, "train", "lr", float(match[3]))
        elif match := _OUTPUT.search(line):
            name = match[2]
            if match[1] == "Train":
                # The loss of this batch alone, beside the smoothed one.
                return Figure(self.iteration, "train", f"batch {name}", float(match[3]))
            if self._test_net:
                name = f"{name} (net {self._test_net})"
            return Figure(self.iteration, "test", name, float(match[3]))
        elif match := _SNAPSHOT.search(line.rstrip()):
            self.snapshot = match[1]
        return None
