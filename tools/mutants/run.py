"""Try mutants of the modules that decide figures and files against the tests nearest to them.

    .venv/bin/python tools/mutants/run.py --maker build/mutants/venv/bin/python --out build/mutants [ROOM ...]

`rooms.toml` lists the rooms: modules, and arguments of pytest. Each mutant is one change in a copy of the
package (`make.py`). It is tried by a child of this process, which has imported everything but drml. A mutant
is killed if a test fails, or if the tests take much more processor time than usual. `equivalent.toml` lists
mutants that no test can kill, each with the reason.

The kills are kept in OUT/ROOM.killed: until a module changes, a second run only tries the other mutants.
Remove the file after a change of the tests that might let a mutant live.
The exit status is 1 if less than 90% of a room's mutants are killed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
NEEDED = 0.9
POLL_S = 0.02
PATIENCE = 30_000
"""Polls, 10 minutes, after which a mutant is killed: not by the clock, since the machine may stand still."""

PACKAGES = "packages.json"
"""What a child writes: the modules that the tests import and that are no part of this project."""

# The finder of the editable installation would come before PYTHONPATH.
USE_COPY = """import sys
sys.meta_path[:] = [one for one in sys.meta_path if type(one).__name__ != "ScikitBuildInplaceFinder"]
"""

Mutant = dict[str, Any]


def run_tests(copy: Path, tests: list[str], cpu_s: int, notes: Path | None = None) -> None:
    """Run pytest on a copy of the package, in a child process, and end it with pytest's exit status."""
    os.setsid()
    log = os.open(copy / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(copy))
    exec(USE_COPY)  # noqa: S102 - a constant
    os.environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    # A failing example is enough: it is not made smaller, nor kept.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", phases=phases, database=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")
    status: int = pytest.ExitCode.USAGE_ERROR
    try:
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={copy}/tmp"]
        found = int(pytest.main([*options, *tests]))
        if (drml := sys.modules.get("drml")) and not Path(drml.__file__ or "").is_relative_to(copy):
            raise ImportError(f"the tests import {drml.__file__}")
        status = found
        if notes:
            ours = ("drml", "__main__", *(path.stem for path in (ROOT / "tests/python").iterdir()))
            notes.write_text(json.dumps([name for name in sys.modules if not name.startswith(ours)]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def start(copy: Path, tests: list[str], cpu_s: int, notes: Path | None = None) -> int:
    """Start the tests in a child process; return its id."""
    child = os.fork()
    if not child:
        run_tests(copy, tests, cpu_s, notes)
    return child


def make_copy(place: Path) -> None:
    """Copy and compile the package."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "drml", place / "drml", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "sitecustomize.py").write_text(USE_COPY)  # for the programs that tests start
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(place / "drml")], check=True)


def baseline(out: Path, room: str, tests: list[str]) -> float:
    """Return the processor seconds of the tests without a mutant, which must pass."""
    copy, notes = out / "copy0", out / PACKAGES
    child = start(copy, tests, 3600, notes)
    _, status, used = os.wait4(child, 0)
    if status:
        print((copy / "output.txt").read_text()[-3000:], file=sys.stderr)
        raise SystemExit(f"{room}: the tests fail without a mutant")
    for name in json.loads(notes.read_text()):  # so that no other child has to import them
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return used.ru_utime + used.ru_stime


def put(copy: Path, mutant: Mutant, text: str) -> None:
    """Write the text of a mutated module into a copy, without its compiled form."""
    path = copy / Path(mutant["file"]).relative_to("python")
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def survivors(
    out: Path, mutants: list[Mutant], tests: list[str], seconds: float, jobs: int, kept: Path
) -> list[Mutant]:
    """Return the mutants for which all tests pass, and add the others to a file."""
    cpu_s = int(3 + 3 * seconds)
    running: dict[int, tuple[int, Mutant, int]] = {}
    free, waiting, alive, done, polls = list(range(jobs)), mutants[::-1], [], 0, 0
    while waiting or running:
        while waiting and free:
            slot, mutant = free.pop(), waiting.pop()
            put(out / f"copy{slot}", mutant, mutant["source"])
            running[start(out / f"copy{slot}", tests, cpu_s)] = slot, mutant, polls
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            time.sleep(POLL_S)
            polls += 1
            for late, (*_, since) in running.items():
                if polls - since > PATIENCE:
                    os.kill(late, signal.SIGKILL)
            continue
        slot, mutant, _ = running.pop(child)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what it may have left behind
        put(out / f"copy{slot}", mutant, (ROOT / mutant["file"]).read_text(encoding="utf-8"))
        free.append(slot)
        done += 1
        code = os.waitstatus_to_exitcode(status)
        if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise SystemExit(f"pytest ran no test: {out}/copy{slot}/output.txt")
        if code == 0:
            alive.append(mutant)
            place = f"{mutant['file']}:{mutant['line']}"
            print(f"  survived: {place}\n    {mutant['before']}\n    {mutant['after']}", flush=True)
        else:
            with kept.open("a", encoding="utf-8") as file:
                file.write(f"{digest(mutant)}\n")
        if done % 20 == 0:
            print(f"  {done} of {len(mutants)}", flush=True)
    return alive


def digest(mutant: Mutant) -> str:
    """Return what a mutant is recognised by in a later run."""
    return hashlib.sha256(mutant["source"].encode()).hexdigest()


def key(mutant: Mutant) -> tuple[str, str, str]:
    """Return what a mutant is recognised by in equivalent.toml, wherever its lines move to."""
    return mutant["file"], mutant["before"], mutant["after"]


def try_room(
    args: argparse.Namespace, name: str, room: dict[str, Any], equivalent: set[Any]
) -> tuple[int, int, int]:
    """Try a room's mutants; return the numbers of mutants, of killed and of equivalent ones."""
    modules = [f"python/drml/{module}" for module in room["modules"]]
    command = [args.maker, HERE / "make.py", *modules]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    mutants: list[Mutant] = [json.loads(line) for line in made.stdout.splitlines()]
    same = [mutant for mutant in mutants if key(mutant) in equivalent]
    mutants = [mutant for mutant in mutants if key(mutant) not in equivalent]
    kept = args.out / f"{name}.killed"
    killed = set(kept.read_text().split()) if kept.exists() else set()
    left = [mutant for mutant in mutants if digest(mutant) not in killed]
    print(f"{name}: {len(mutants)} mutants, {len(left)} to try", flush=True)
    if left:
        seconds = baseline(args.out, name, room["tests"])
        print(f"  the tests take {seconds:.1f} s of processor time", flush=True)
        left = survivors(args.out, left, room["tests"], seconds, args.jobs, kept)
    return len(mutants), len(mutants) - len(left), len(same)


def main() -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(description="Try mutants of modules against the tests nearest to them.")
    parser.add_argument("--maker", required=True, help="the Python that has cosmic-ray")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where copies and results lie")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default: 2)")
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help="names in rooms.toml (default: all)")
    args = parser.parse_args()
    os.chdir(ROOT)
    # No library may start threads here, because this process forks.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    rooms = tomllib.loads((HERE / "rooms.toml").read_text(encoding="utf-8"))
    if unknown := set(args.rooms) - set(rooms):
        parser.error(f"no room {', '.join(sorted(unknown))}; there are {', '.join(rooms)}")
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8")).get("mutant", [])
    equivalent = {
        (f"python/drml/{one['module']}", one["before"], after) for one in listed for after in one["after"]
    }
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    for number in range(args.jobs):
        make_copy(args.out / f"copy{number}")
    counts = {name: try_room(args, name, rooms[name], equivalent) for name in args.rooms or rooms}
    print(f"\n{'room':<14}{'mutants':>8}{'killed':>8}{'%':>7}{'equivalent':>12}")
    for name, (all_, killed, same) in counts.items():
        print(f"{name:<14}{all_:>8}{killed:>8}{100 * killed / max(all_, 1):>7.1f}{same:>12}")
    return int(any(killed < NEEDED * all_ for all_, killed, _ in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
