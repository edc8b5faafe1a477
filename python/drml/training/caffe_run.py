"""Runs ``caffe train``: finds the program, starts it, follows its log and passes signals on to it."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Any

from drml.io.errors import UserError
from drml.io.shipped import find_program
from drml.nets.pycaffe import fatal_line
from drml.training.caffe_log import PREFIX
from drml.training.log import (
    LOG_FILE,
    LOSS_FILE,
    LOSS_HEADER,
    Progress,
    failure,
    follow,
    notice,
    seconds_so_far,
)

__all__ = ["find_caffe", "run_caffe"]

_TAIL = 40
"""Last lines of the log in which the reason for a failure is searched."""


def find_caffe(caffe: str | Path | None = None) -> Path:
    """Find the ``caffe`` program: the given one, or the one that pycaffe belongs to, or the one on PATH.

    Raises
    ------
    UserError
        There is no such program.
    """
    if caffe is not None:
        given = shutil.which(str(caffe))
        if not given:
            raise UserError(f"{caffe}: no such program; give the caffe tool that make built")
        return Path(given).absolute()
    found = find_program("caffe") or shutil.which("caffe")
    if not found:
        raise UserError("caffe not found: run make, and use .venv/bin/drml or put .venv/bin on PATH")
    return Path(found)


def run_caffe(
    command: Sequence[str],
    out: Path,
    *,
    resumed: bool,
    bar: Any,
    names: Sequence[str],
    images: int | None,
    stop: Callable[[], bool] | None = None,
) -> Progress:
    """Run ``caffe train`` to its end, and write the tables of its folder as its log grows.

    SIGINT and SIGTERM reach caffe as SIGINT: it finishes the iteration, writes a snapshot and ends. A second
    signal kills it. Caffe does not outlive this process.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    out : Path
        The training's folder.
    resumed : bool
        Append to the log and to the tables that are there.
    bar : tqdm
        Shows the iterations.
    names : sequence of str
        Of the AUs, for ``f1.csv`` or ``icc.csv``.
    images : int or None
        Images of one iteration, for the speed that the bar shows.
    stop : callable, optional
        Called after each test pass. If it returns true, caffe ends as after SIGINT: it finishes the iteration
        and writes a snapshot; nothing is raised.

    Returns
    -------
    Progress
        What the log said.

    Raises
    ------
    KeyboardInterrupt
        A signal arrived, and caffe has ended.
    UserError
        Caffe failed: its own last words.
    OSError
        The log or a table cannot be written.
    """
    run = Progress.of(out, names, bar, images, resumed=resumed)
    mode = "a" if resumed else "w"
    tail: deque[str] = deque(maxlen=_TAIL)
    fatal: str | None = None
    with (
        # Caffe itself writes to the log, so that no line is lost if this process is killed.
        (out / LOG_FILE).open(mode + "b") as log,
        (out / LOSS_FILE).open(mode, newline="", encoding="utf-8") as table,
    ):
        record = _recorder(run, log, table, seconds_so_far(out / LOSS_FILE) if table.tell() else None)
        begin, judged = log.tell(), 0
        child = _start(command, log)
        try:
            with _forwarding(child) as interrupted:
                for line in follow(child, out / LOG_FILE, begin):
                    tail.append(line)
                    # Caffe's other threads may log many more lines before the process ends.
                    fatal = fatal or fatal_line(line)
                    record(line)
                    if stop is not None and run.judged != judged:
                        judged = run.judged
                        if stop() and child.poll() is None:
                            child.send_signal(signal.SIGINT)
                            stop = None
                code = child.wait()
        finally:
            # Whatever ended the loop (a full disk, for example), caffe must not continue on its own.
            if child.poll() is None:
                child.kill()
                child.wait()
    if interrupted():
        raise KeyboardInterrupt
    if code:
        raise UserError(failure(command[0], code, fatal, list(tail), out / LOG_FILE))
    return run


def _recorder(
    run: Progress, log: IO[bytes], table: IO[str], seconds_before: float | None
) -> Callable[[str], None]:
    """Return what takes each line of the log: it writes the losses, and notices about the net.

    `seconds_before` is what the training took before it was resumed; None for a new table.
    """
    start = time.monotonic() - (seconds_before or 0.0)
    writer = csv.writer(table, lineterminator="\n")
    if seconds_before is None:
        writer.writerow(LOSS_HEADER)

    def record(line: str) -> None:
        for found in run.reader.read(line):
            seconds = time.monotonic() - start
            figure = run.add(found, seconds)
            writer.writerow([figure.iteration, f"{seconds:.3f}", figure.phase, figure.name, figure.value])
            table.flush()
            if (text := notice(found)) is not None:
                log.write(f"{PREFIX}{text}\n".encode())
                log.flush()
                if not run.bar.disable:
                    run.bar.write(text, file=sys.stderr)

    return record


def _start(command: Sequence[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start caffe with its output in the log."""
    # Caffe is killed if this process is: a resumed training would find it still writing to the folder.
    setpriv = shutil.which("setpriv")
    return subprocess.Popen(
        [setpriv, "--pdeathsig", "KILL", *command] if setpriv else list(command),
        stdout=log,
        stderr=subprocess.STDOUT,
        # The log must hold the lines that are read from it, and glog must not write files to /tmp.
        env={**os.environ, "GLOG_minloglevel": "0", "GLOG_logtostderr": "1"},
        # In a process group of its own, caffe gets a terminal's Ctrl-C once, from this process.
        start_new_session=True,
    )


@contextmanager
def _forwarding(child: subprocess.Popen[bytes]) -> Iterator[Callable[[], bool]]:
    """Send SIGINT and SIGTERM of this process to caffe as SIGINT; a second signal kills it.

    Yields a function that says whether a signal has arrived.
    """
    count = 0

    def forward(_signal: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if child.poll() is None:
            child.send_signal(signal.SIGINT if count == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        # Python lets only the main thread set signal handlers.
        yield lambda: False
        return
    old = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count > 0
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
