"""Follows the log of ``caffe train``: the progress bar, the tables, the reason for a failure."""

from __future__ import annotations

import csv
import errno
import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drml.io.figures import mean_of_defined
from drml.io.files import writing
from drml.io.limits import read_text
from drml.training.base_rates import REMARK, estimate, has_not_learned
from drml.training.caffe_log import PREFIX, Counts, Figure, LogReader
from drml.training.f1_table import F1Table
from drml.training.level_table import LevelTable, agreement, learned_nothing

__all__ = [
    "LOG_FILE",
    "LOSS_FILE",
    "LOSS_HEADER",
    "Progress",
    "failure",
    "follow",
    "notice",
    "seconds_so_far",
    "write_tables_anew",
]

LOG_FILE = "train.log"
LOSS_FILE = "loss.csv"
LOSS_HEADER = ["iteration", "seconds", "phase", "name", "value"]
# Seconds without a line, after which the free space on the disk is checked.
_SILENCE = 1.0
_RESUMING = re.compile(r"\] Resuming from .*_iter_(\d+)\.solverstate")
_GLOG = re.compile(r"^[IWEF]\d{4,8} ")
_ERROR = re.compile(r"^E\d{4,8} .*?\] ?(.*)$")


@dataclass
class Progress:
    """The state of a run as its log shows it, in the progress bar and in the tables."""

    reader: LogReader
    f1: F1Table
    icc: LevelTable
    bar: Any
    images: int | None
    last: dict[tuple[str, str], float] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    first: tuple[int, float] | None = None

    @classmethod
    def of(cls, out: Path, names: Sequence[str], bar: Any, images: int | None, *, resumed: bool) -> Progress:
        """Begin with a training's folder; the arguments are those of `drml.training.caffe_run.run_caffe`."""
        tables = F1Table(out, names, resumed=resumed), LevelTable(out, names, resumed=resumed)
        return cls(LogReader(), *tables, bar, images)

    @property
    def judged(self) -> int:
        """The iteration of the last test pass of the first test net; 0 before the first one."""
        return max(self.f1.iteration, self.icc.iteration)

    def add(self, found: Figure | Counts, seconds: float) -> Figure:
        """Add what the log reported after `seconds`; return it as a figure, for counts the mean F1 or ICC."""
        if isinstance(found, Counts):
            table = self.icc if found.levels else self.f1
            figure = Figure(found.iteration, "test", _name(found), table.add(found, f"{seconds:.3f}"))
        else:
            figure = found
        self.last[figure.phase, figure.name] = figure.value
        if (figure.phase, figure.name) == ("train", "loss"):
            self._advance(figure.iteration, seconds)
            self.shown["loss"] = f"{figure.value:.4g}"
        elif figure.phase == "test" and figure.name in _COUNTED:
            remark = ", not learned yet" if notice(found) else ""
            self.shown[_COUNTED[figure.name]] = f"{figure.value:.3f}{remark}"
        else:
            return figure
        self.bar.set_postfix(self.shown)
        return figure

    def _advance(self, iteration: int, seconds: float) -> None:
        if self.first is None:
            # Iterations before a resumed training do not count for the speed of this run.
            self.first = (iteration, seconds)
            self.bar.initial = self.bar.n = min(iteration, self.bar.total)
        self.bar.update(max(0, min(iteration, self.bar.total) - self.bar.n))
        done, took = iteration - self.first[0], seconds - self.first[1]
        if self.images and done and took > 0:
            self.shown["images/s"] = f"{done * self.images / took:.0f}"


def notice(found: Figure | Counts) -> str | None:
    """Return a line if a test pass shows that the net has not learned yet; else None."""
    said = _fault(found) if isinstance(found, Counts) else None
    if said is None:
        return None
    net = f" of net {found.net}" if isinstance(found, Counts) and found.net else ""
    return f"test{net} at iteration {found.iteration}: the net {REMARK} ({said})"


def _fault(counts: Counts) -> str | None:
    """Return the figures that say that the net has not learned yet; None if they do not."""
    if counts.levels:
        iccs = [one.icc for one in agreement(counts)]
        return f"mean ICC {mean_of_defined(iccs):.3f}" if counts.iteration and learned_nothing(iccs) else None
    separation = estimate(counts)
    if separation is None or not has_not_learned(counts.iteration, separation):
        return None
    return separation.to_text("estimated ")


_COUNTED = {"f1": "F1", "icc": "ICC"}
"""The means of a test pass that follow from counts: their names in the loss table and in the progress bar."""


def _name(counts: Counts) -> str:
    name = "icc" if counts.levels else "f1"
    return f"{name} (net {counts.net})" if counts.net else name


def write_tables_anew(out: Path, iteration: int, names: list[str]) -> None:
    """Write the tables from the log, up to an iteration; a resumed training repeats it and those after it.

    A process that was killed may have left lines in the log that are not in the tables, or half a row.
    """
    found: list[Figure | Counts] = []
    reader, begin = LogReader(), 0
    if (out / LOG_FILE).is_file():
        with (out / LOG_FILE).open(encoding="utf-8", errors="replace") as log:
            for line in log:
                if match := _RESUMING.search(line):
                    begin = int(match[1])
                elif "] Starting Optimization" in line:
                    found, begin = [one for one in found if one.iteration < begin], 0
                found += reader.read(line)
    seconds = _seconds_of_rows(out / LOSS_FILE)
    tables = Progress.of(out, names, tqdm(total=iteration, disable=True), None, resumed=False)
    last = "0.000"
    with writing(out / LOSS_FILE, newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LOSS_HEADER)
        for one in found:
            if one.iteration < iteration:
                last = seconds.get(_key(one), last)
                figure = tables.add(one, float(last))
                writer.writerow([figure.iteration, last, figure.phase, figure.name, figure.value])


def _key(found: Figure | Counts) -> tuple[str, str, str]:
    """Return what identifies a row of the loss table."""
    phase, name = ("test", _name(found)) if isinstance(found, Counts) else (found.phase, found.name)
    return str(found.iteration), phase, name


def _seconds_of_rows(table: Path) -> dict[tuple[str, str, str], str]:
    """Return the times in a loss table, by row, as text."""
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = [row for row in csv.reader(file) if len(row) == len(LOSS_HEADER)]
    return {(row[0], row[2], row[3]): row[1] for row in rows[1:] if re.fullmatch(r"\d+\.\d+", row[1])}


def seconds_so_far(table: Path) -> float:
    """Return the time in the last row of the loss table, from which a resumed training counts."""
    last = read_text(table, errors="replace").rstrip().rsplit("\n", 1)[-1].split(",")
    try:
        return max(0.0, float(last[1]))
    except (IndexError, ValueError):  # only the header, or an incomplete row
        return 0.0


def follow(child: subprocess.Popen[bytes], log: Path, begin: int) -> Iterator[str]:
    """Yield the lines of a log from a position on as they appear, until the program that writes it ends."""
    rest = b""
    heard = time.monotonic()
    with log.open("rb") as file:
        file.seek(begin)
        while True:
            ended = child.poll() is not None
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace") + "\n"
            if ended:
                break
            if lines:
                heard = time.monotonic()
                continue
            if time.monotonic() > heard + _SILENCE:
                _check_room(log)
            time.sleep(0.02)
    if rest:
        yield rest.decode("utf-8", "replace")


def _check_room(log: Path) -> None:
    """Raise OSError if the disk of a log is full: caffe does not notice that its writes fail."""
    disk = os.statvfs(log.parent)
    if disk.f_bavail == 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log))


def failure(program: str, code: int, fatal: str | None, tail: list[str], log: Path) -> str:
    """Return the reason why caffe ended: its fatal line, its last error line, or its last line."""
    tail = [line for line in tail if not line.startswith(PREFIX)]
    errors = [match[1].strip() for line in tail if (match := _ERROR.match(line))]
    reason = fatal or (errors[-1] if errors else None)
    if not reason:
        lines = [line.strip() for line in tail if line.strip() and not line.startswith("    @")]
        plain = [line for line in lines if not _GLOG.match(line)]
        reason = (plain or lines or ["no output"])[-1]
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
    return f"{program} {ended}: {reason} (see {log})"
