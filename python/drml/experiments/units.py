"""Units of work: each in a folder of its own that appears when it is finished, and is then never done again.

The folder of a unit holds ``config.json`` (all that decides its result, and the command), ``log.txt``,
``result.json``, and what the work itself writes. While the work lasts the folder is called ``NAME.partial``;
an interrupted one stays under that name, so that a training goes on from its snapshot.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from drml.io import machine
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import read_json

__all__ = ["Place", "Unit", "config_of", "finished", "is_done", "run_all", "run_unit", "write_json"]

CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"
LOG_FILE = "log.txt"
_LOCK_FILE = "lock"


@dataclass(frozen=True)
class Place:
    """Where a unit works.

    Attributes
    ----------
    folder : Path
        To write to.
    final : Path
        What the folder is called when the unit is finished.
    progress : bool
        Show progress bars.
    """

    folder: Path
    final: Path
    progress: bool

    def log(self, text: str) -> None:
        """Append a line to the unit's log."""
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(f"{_now()} {text}\n")


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes
    ----------
    name : str
        Its folder in the experiment's, such as ``fold1/drml``.
    kind : str
        Units of one kind take about as long as each other; the time left is told from that.
    config : dict
        All that decides the result, as plain values. A finished unit whose config is another is refused.
    notes : dict
        What is kept beside it and may differ: paths, the command.
    work : callable
        Does it; gives the result as plain values.
    """

    name: str
    kind: str
    config: dict[str, Any]
    notes: dict[str, Any]
    work: Callable[[Place], dict[str, Any]]


def write_json(path: Path, value: Any) -> None:
    """Write plain values, whole or not at all."""
    with writing(path, encoding="utf-8") as file:
        json.dump(value, file, indent=2, allow_nan=False)
        file.write("\n")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _read(path: Path) -> dict[str, Any]:
    try:
        value = read_json(path)
        if isinstance(value, dict):
            return value
    except ValueError:
        pass
    raise UserError(f"{path}: damaged; remove its folder, and the unit is done again")


def finished(out: Path, name: str) -> dict[str, Any] | None:
    """Return the result of a finished unit, else None."""
    path = out / name / RESULT_FILE
    return _read(path) if path.is_file() else None


def config_of(out: Path, name: str) -> dict[str, Any]:
    """Return what decided the result of a finished unit."""
    config = _read(out / name / CONFIG_FILE).get("config")
    return config if isinstance(config, dict) else {}


def is_done(out: Path, unit: Unit) -> bool:
    """Say whether a unit is finished.

    Raises
    ------
    UserError
        It is, with another config; names the first difference.
    """
    folder = out / unit.name
    if not folder.is_dir():
        return False
    difference = _difference(_read(folder / CONFIG_FILE), unit)
    if difference:
        raise UserError(f"{folder}: made with {difference}; give another --out, or remove that folder")
    return True


def _difference(there: dict[str, Any], unit: Unit) -> str | None:
    old, new = there.get("config", {}), json.loads(json.dumps(unit.config))
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            return f"{key} {_short(old.get(key))}, not {_short(new.get(key))}"
    return None


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:12] + "..."


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    """Keep other processes from the unit's folder meanwhile."""
    with (folder / _LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{name}: another process is at work on it") from None
        yield


def run_unit(out: Path, unit: Unit, *, progress: bool = True) -> dict[str, Any]:
    """Do a unit, or give the result of an earlier time.

    Parameters
    ----------
    out : Path
        The experiment's folder.
    unit : Unit
    progress : bool
        Show progress bars.

    Returns
    -------
    dict
        What `work` gave, with ``seconds``, ``machine``, ``versions`` and ``finished``.

    Raises
    ------
    UserError
        It was done with another config, another process is at it, or the work is refused.
    """
    final = out / unit.name
    if is_done(out, unit):
        return _read(final / RESULT_FILE)
    partial = final.with_name(final.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial, str(final)):
        if is_done(out, unit):  # by the process that had the lock
            return _read(final / RESULT_FILE)
        config = partial / CONFIG_FILE
        if config.is_file() and _difference(_read(config), unit):
            for path in partial.iterdir():  # of an earlier try with other settings
                if path.name != _LOCK_FILE:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(config, {"config": unit.config, **unit.notes})
        place = Place(partial, final, progress)
        place.log(f"starts: {unit.notes.get('command', unit.name)}")
        start = time.monotonic()
        try:
            result = unit.work(place)
        except BaseException as error:
            place.log(f"ends unfinished: {type(error).__name__}: {' '.join(str(error).split())}")
            raise
        seconds = round(time.monotonic() - start, 1)
        place.log(f"finished in {seconds} s")
        about = {"machine": machine.system(), "versions": machine.versions(), "finished": _now()}
        result = {**result, "seconds": seconds, **about}
        write_json(partial / RESULT_FILE, result)
        (partial / _LOCK_FILE).unlink()
        partial.rename(final)
    return result


def run_all(
    out: Path,
    units: Sequence[Unit],
    *,
    jobs: int = 1,
    progress: bool = True,
) -> None:
    """Do what is missing of some units; one that fails does not keep the others from being done.

    Parameters
    ----------
    out : Path
    units : sequence of Unit
    jobs : int
        Units at a time. With more than one, each is a process of its own (its ``command``), with its share of
        the cores.
    progress : bool
        Tell which unit is begun and how much time is left.

    Raises
    ------
    UserError
        Some failed: the first one's reason; or one was made with another config, before anything is begun.
    KeyboardInterrupt
        Finished units stay.
    """
    missing = [unit for unit in units if not is_done(out, unit)]
    work = _one_by_one if jobs == 1 else _side_by_side
    failed = work(out, missing, len(units), jobs, progress)
    if failed:
        name, reason = failed[0]
        more = f" (and {len(failed) - 1} more units failed)" if len(failed) > 1 else ""
        raise UserError(f"{name}: {reason}{more}; the same command goes on with what is missing")


def _tell(out: Path, missing: Sequence[Unit], done: int, total: int, unit: Unit, progress: bool) -> None:
    if progress:
        left = _time_left(out, missing)
        print(f"[{done + 1}/{total}] {unit.name}{f', {left} left' if left else ''}", file=sys.stderr)


def _time_left(out: Path, missing: Sequence[Unit]) -> str:
    """Tell from finished units of the same kinds how long these will take, one after the other."""
    seconds: dict[str, list[float]] = {}
    for path in out.glob(f"*/*/{RESULT_FILE}"):
        unit = path.parent
        seconds.setdefault(unit.name, []).append(float(_read(path).get("seconds", 0)))
    known = [seconds[unit.kind] for unit in missing if unit.kind in seconds]
    if not known:
        return ""
    total = sum(sum(values) / len(values) for values in known)
    text = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min"
    if total >= 7200:
        text = f"{total / 3600:.1f} h"
    return f"{'about' if len(known) == len(missing) else 'more than'} {text}"


def _one_by_one(
    out: Path, missing: Sequence[Unit], total: int, jobs: int, progress: bool
) -> list[tuple[str, str]]:
    failed = []
    for index, unit in enumerate(missing):
        _tell(out, missing[index:], total - len(missing) + index, total, unit, progress)
        try:
            run_unit(out, unit, progress=progress)
        except UserError as error:
            failed.append((unit.name, str(error)))
    return failed


def _side_by_side(
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
                _tell(out, missing[index:], total - len(missing) + index, total, unit, progress)
                # A session of its own: a terminal's Ctrl-C reaches it once, through us.
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
                    _, said = child.communicate(timeout=0.2)
                except subprocess.TimeoutExpired:
                    continue
                running.remove((unit, child))
                if child.returncode:
                    last = (said.strip().splitlines() or ["no output"])[-1]
                    failed.append((unit.name, last.removeprefix("drml: error: ")))
    except BaseException:
        for _, child in running:
            child.send_signal(signal.SIGINT)
        for _, child in running:
            child.communicate()
        raise
    return failed
