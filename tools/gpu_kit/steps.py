"""Runs steps one after another, each within a time limit of its own, and keeps what becomes of them.

A step that fails, or is stopped, does not end the run: the steps after it are still made. The kit uses
the standard library only, so that it runs on any machine with Python 3.10.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PASSED, FAILED, SKIPPED, TIMED_OUT = "passed", "failed", "skipped", "timed out"


class Skip(Exception):
    """Raised by a step that cannot be made here; its text is the reason."""


class Failure(Exception):
    """Raised by a step that ran and found something wrong."""


class TimeLimit(Exception):
    """Raised where a step's time is over."""


@dataclass
class Step:
    """What is to be done: `run` gets a Context and returns figures for results.json."""

    name: str
    what: str
    limit_s: float
    run: Callable[[Context], dict[str, Any]]
    needs_gpu: bool = True


@dataclass
class Result:
    """What became of a step."""

    name: str
    what: str
    outcome: str
    reason: str
    seconds: float
    limit_s: float
    log: str
    figures: dict[str, Any] = field(default_factory=dict)


class Context:
    """A step's commands: their output goes to the step's log, and all of them share its time limit."""

    def __init__(self, log: Path, deadline: float, env: dict[str, str], folder: Path) -> None:
        self.log, self.deadline, self.env, self.folder = log, deadline, env, folder
        self.figures: dict[str, Any] = {}  # kept also if the step is stopped

    def left(self) -> float:
        """Return the seconds that the step still has."""
        return self.deadline - time.monotonic()

    def start(
        self, *command: object, env: dict[str, str] | None = None, log_file: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own; its output goes to the step's log by default."""
        words = [str(word) for word in command]
        with (log_file or self.log).open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            return subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, *processes: subprocess.Popen[bytes]) -> list[int]:
        """Wait for commands and return their exit statuses; stop all of them when the time is over."""
        try:
            return [process.wait(max(0, self.left())) for process in processes]
        except subprocess.TimeoutExpired:
            raise TimeLimit from None
        finally:
            for process in processes:
                stop(process)

    def call(self, *command: object, env: dict[str, str] | None = None) -> str:
        """Run a command and return its output; it is a Failure if the exit status is not 0."""
        start = self.log.stat().st_size if self.log.exists() else 0
        status = self.wait(self.start(*command, env=env))[0]
        with self.log.open("rb") as log:
            log.seek(start)
            said = log.read().decode(errors="replace")
        if status:
            lines = [line for line in said.splitlines()[1:] if line.strip()]
            last = lines[-1].strip()[:200] if lines else "no output"
            raise Failure(f"{Path(str(command[0])).name} ended with {describe_status(status)}: {last}")
        return said


def describe_status(status: int) -> str:
    """Return an exit status in words."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a command and everything that it started, if it still runs."""
    if process.poll() is not None:
        return
    for name, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, None)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, name)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue


def run_step(step: Step, context: Context, gpu: str | None) -> Result:
    """Make one step and return what became of it; nothing it raises goes further, except Ctrl-C."""
    start = time.monotonic()
    outcome, reason = PASSED, ""
    try:
        if context.left() <= 0:
            raise Skip("no time was left for it")
        if step.needs_gpu and gpu is None:
            raise Skip("there is no GPU here")
        context.figures.update(step.run(context))
    except Skip as skip:
        outcome, reason = SKIPPED, str(skip)
    except TimeLimit:
        outcome, reason = TIMED_OUT, f"stopped after {time.monotonic() - start:.0f} s"
    except Failure as failure:
        outcome, reason = FAILED, str(failure)
    except Exception as error:  # a fault of the kit itself: the other steps can do without this one
        outcome, reason = FAILED, f"{type(error).__name__}: {error}"
    return Result(
        name=step.name,
        what=step.what,
        outcome=outcome,
        reason=reason,
        seconds=round(time.monotonic() - start, 1),
        limit_s=step.limit_s,
        log=context.log.name,
        figures=context.figures,
    )


def run_steps(
    steps: list[Step],
    *,
    folder: Path,
    out: Path,
    env: dict[str, str],
    gpu: str | None,
    budget_s: float,
    header: dict[str, Any],
    tell: Callable[[str], None] = print,
) -> list[Result]:
    """Make all steps; results.json in `out` is complete after each of them.

    Parameters
    ----------
    folder : Path
        The current folder of all commands.
    gpu : str or None
        The card's name; without one, steps that need it are skipped.
    budget_s : float
        Seconds for all steps together. What is left limits a step as its own limit does.
    header : dict
        What results.json begins with.
    """
    end = time.monotonic() + budget_s
    out.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for number, step in enumerate(steps, 1):
        log = out / f"{step.name}.log"
        log.write_bytes(b"")
        tell(f"[{number}/{len(steps)}] {step.what} (at most {step.limit_s:.0f} s)")
        deadline = min(end, time.monotonic() + step.limit_s)
        result = run_step(step, Context(log, deadline, env, folder), gpu)
        results.append(result)
        reason = f": {result.reason}" if result.reason else ""
        tell(f"      {result.outcome} in {result.seconds:.1f} s{reason}")
        write_results(out / "results.json", header, results)
    return results


def write_results(path: Path, header: dict[str, Any], results: list[Result]) -> None:
    """Write results.json, completely or not at all."""
    text = json.dumps({**header, "steps": [asdict(result) for result in results]}, indent=1)
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)


def exit_status(results: list[Result], gpu: str | None) -> int:
    """Return 0 if every step passed, 1 if one failed or was stopped, 3 if none did but there is no GPU."""
    if any(result.outcome in (FAILED, TIMED_OUT) for result in results):
        return 1
    return 3 if gpu is None else 0
