"""Units of work. Each has a folder of its own, which appears when the unit is finished; it runs only once.

A unit's folder holds ``config.json`` (everything that determines its result, and the command), ``log.txt``,
``result.json``, and the files that the work itself writes. Until the unit is finished, its folder is called
``NAME.partial``. An interrupted unit's folder keeps that name, so that a training resumes from its snapshot.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from drml.io import machine
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import read_json

__all__ = [
    "CONFIG_FILE",
    "RESULT_FILE",
    "Unit",
    "Workspace",
    "is_finished",
    "read_config",
    "read_result",
    "run_unit",
    "write_json",
]

CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"
LOG_FILE = "log.txt"
_LOCK_FILE = "lock"


@dataclass(frozen=True)
class Workspace:
    """The folder in which a unit does its work.

    Attributes
    ----------
    folder : Path
        The folder to write to.
    final : Path
        The folder's name once the unit is finished.
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
        The unit's folder inside the experiment's, such as ``fold1/drml``.
    kind : str
        Units of one kind take about the same time, from which the remaining time is estimated.
    config : dict
        Everything that determines the result, as plain values. Another config than a finished unit's is an
        error.
    notes : dict
        What is recorded with the config but does not determine the result: paths, the command.
    work : callable
        Does the work and returns the result as plain values.
    """

    name: str
    kind: str
    config: dict[str, Any]
    notes: dict[str, Any]
    work: Callable[[Workspace], dict[str, Any]]


def write_json(path: Path, value: Any) -> None:
    """Write plain values as JSON; the file appears whole or not at all."""
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
    raise UserError(f"{path}: damaged; remove its folder and run the experiment again")


def read_result(out: Path, name: str) -> dict[str, Any] | None:
    """Return the result of a unit; None if the unit is not finished."""
    path = out / name / RESULT_FILE
    return _read(path) if path.is_file() else None


def read_config(out: Path, name: str) -> dict[str, Any]:
    """Return the config of a finished unit."""
    config = _read(out / name / CONFIG_FILE).get("config")
    return config if isinstance(config, dict) else {}


def is_finished(out: Path, unit: Unit) -> bool:
    """Return whether a unit is finished.

    Raises
    ------
    UserError
        It is finished, but with another config. The message names the first difference.
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
    """Lock the unit's folder against other processes."""
    with (folder / _LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{name}: another process is working on it; wait until it ends") from None
        yield


def run_unit(out: Path, unit: Unit, *, progress: bool = True) -> dict[str, Any]:
    """Run a unit, or return its result if it is finished.

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
        The result of the unit's work, with ``seconds``, ``machine``, ``versions`` and ``finished``.

    Raises
    ------
    UserError
        It is finished with another config, another process is working on it, or the work fails.
    """
    final = out / unit.name
    if is_finished(out, unit):
        return _read(final / RESULT_FILE)
    partial = final.with_name(final.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial, str(final)):
        if is_finished(out, unit):  # by the process that held the lock
            return _read(final / RESULT_FILE)
        config = partial / CONFIG_FILE
        if config.is_file() and _difference(_read(config), unit):
            for path in partial.iterdir():  # left by an earlier attempt with other settings
                if path.name != _LOCK_FILE:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        write_json(config, {"config": unit.config, **unit.notes})
        workspace = Workspace(partial, final, progress)
        workspace.log(f"starts: {unit.notes.get('command', unit.name)}")
        start = time.monotonic()
        try:
            result = unit.work(workspace)
        except BaseException as error:
            workspace.log(f"ends unfinished: {type(error).__name__}: {' '.join(str(error).split())}")
            raise
        seconds = round(time.monotonic() - start, 1)
        workspace.log(f"finished in {seconds} s")
        about = {**machine.describe(), "finished": _now()}
        result = {**result, "seconds": seconds, **about}
        write_json(partial / RESULT_FILE, result)
        (partial / _LOCK_FILE).unlink()
        partial.rename(final)
    return result
