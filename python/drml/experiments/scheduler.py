"""Runs units one after the other or several at a time, and estimates the remaining time."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from drml.experiments.units import RESULT_FILE, Unit, is_finished, read_result, run_unit
from drml.io import machine
from drml.io.errors import UserError

__all__ = ["run_units"]


def run_units(
    out: Path,
    units: Sequence[Unit],
    *,
    jobs: int = 1,
    progress: bool = True,
) -> None:
    """Run the units that are not finished. If one fails, the others still run.

    Parameters
    ----------
    out : Path
        The experiment's folder.
    units : sequence of Unit
    jobs : int
        How many units run at the same time. With more than one, each unit runs in a process of its own (its
        ``command``), with its share of the cores.
    progress : bool
        Print which unit starts and an estimate of the remaining time.

    Raises
    ------
    UserError
        A unit failed: the message has the first one's reason. Or, before any unit starts, a finished one has
        another config.
    KeyboardInterrupt
        The user stopped the run. Finished units are kept.
    """
    missing = [unit for unit in units if not is_finished(out, unit)]
    work = _run_serially if jobs == 1 else _run_in_parallel
    failed = work(out, missing, len(units), jobs, progress)
    if failed:
        name, reason = failed[0]
        more = f" (and {len(failed) - 1} more units failed)" if len(failed) > 1 else ""
        raise UserError(f"{name}: {reason}{more}; run the same command again to continue")


def _announce(out: Path, missing: Sequence[Unit], done: int, total: int, unit: Unit, progress: bool) -> None:
    if progress:
        left = _time_left(out, missing)
        print(f"[{done + 1}/{total}] {unit.name}{f', {left} left' if left else ''}", file=sys.stderr)


def _time_left(out: Path, missing: Sequence[Unit]) -> str:
    """Estimate from finished units of the same kinds how long these will take, one after the other."""
    seconds: dict[str, list[float]] = {}
    for path in out.glob(f"*/*/{RESULT_FILE}"):
        folder = path.parent
        result = read_result(folder.parent, folder.name) or {}
        seconds.setdefault(folder.name, []).append(float(result.get("seconds", 0)))
    known = [seconds[unit.kind] for unit in missing if unit.kind in seconds]
    if not known:
        return ""
    total = sum(sum(values) / len(values) for values in known)
    text = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min"
    if total >= 7200:
        text = f"{total / 3600:.1f} h"
    return f"{'about' if len(known) == len(missing) else 'more than'} {text}"


def _run_serially(
    out: Path, missing: Sequence[Unit], total: int, jobs: int, progress: bool
) -> list[tuple[str, str]]:
    failed = []
    for index, unit in enumerate(missing):
        _announce(out, missing[index:], total - len(missing) + index, total, unit, progress)
        try:
            run_unit(out, unit, progress=progress)
        except UserError as error:
            failed.append((unit.name, str(error)))
    return failed


def _run_in_parallel(
    out: Path, missing: Sequence[Unit], total: int, jobs: int, progress: bool
) -> list[tuple[str, str]]:
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, machine.cores() // jobs)))
    failed: list[tuple[str, str]] = []
    waiting = list(enumerate(missing))
    running: list[tuple[Unit, subprocess.Popen[str]]] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                index, unit = waiting.pop(0)
                _announce(out, missing[index:], total - len(missing) + index, total, unit, progress)
                # In a session of its own, so that a terminal's Ctrl-C reaches the child once, through us.
                child = subprocess.Popen(
                    [sys.executable, "-m", *shlex.split(unit.notes["command"]), "--quiet"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    env=environment,
                    start_new_session=True,
                )
                running.append((unit, child))
            for unit, child in list(running):
                try:
                    _, errors = child.communicate(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
                running.remove((unit, child))
                if child.returncode:
                    last = (errors.strip().splitlines() or ["no output"])[-1]
                    failed.append((unit.name, last.removeprefix("drml: error: ")))
    except BaseException:
        for _, child in running:
            child.send_signal(signal.SIGINT)
        for _, child in running:
            child.communicate()
        raise
    return failed
