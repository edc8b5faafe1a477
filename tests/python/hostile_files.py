"""Fuzz the readers in hostile_targets.py: change whole files at random and read them.

`python tests/python/hostile_files.py --seconds N` goes through all of them until the time is up
(tools/fuzz_python.sh); test_hostile_input.py does so with few examples.
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import shutil
import signal
import sys
import time
import traceback
import unittest.mock
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from drml.io.errors import UserError
from hostile_targets import PLANTED, TARGETS

MEMORY = 1 << 30
"""Bytes that reading a small file may take beyond what the process has."""

SECONDS = 20
"""How long reading one may take."""

# --- what is done to a file

_POSITION = st.floats(0, 1, exclude_max=True, width=32)
_NUMBERS = [bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00\x00\x01\x00"]
_CHANGES = st.one_of(
    st.tuples(st.just("flip"), _POSITION, st.integers(0, 7)),
    st.tuples(st.just("put"), _POSITION, st.binary(min_size=1, max_size=8) | st.sampled_from(_NUMBERS)),
    st.tuples(st.just("insert"), _POSITION, st.binary(min_size=1, max_size=16) | st.sampled_from(_NUMBERS)),
    st.tuples(st.just("cut"), _POSITION, st.just(0)),
    st.tuples(st.just("remove"), _POSITION, st.integers(1, 40)),
    st.tuples(st.just("repeat"), _POSITION, st.integers(1, 40)),
    st.tuples(
        st.just("digits"),
        _POSITION,
        st.sampled_from([b"9" * 5000, b"-1", b"1e999", b"nan", b"[" * 3000, b"{"]),
    ),
    st.tuples(st.just("splice"), _POSITION, _POSITION),
)


def changed(data: bytes, other: bytes, changes: list[tuple[str, float, Any]]) -> bytes:
    """Apply changes one after the other; a place is a share of the length."""
    for what, place, how in changes:
        at = int(place * len(data))
        if what == "flip" and data:
            data = data[:at] + bytes([data[at] ^ 1 << how]) + data[at + 1 :]
        elif what == "put":
            data = data[:at] + how + data[at + len(how) :]
        elif what in ("insert", "digits"):
            data = data[:at] + how + data[at:]
        elif what == "cut":
            data = data[:at]
        elif what == "remove":
            data = data[:at] + data[at + how :]
        elif what == "repeat":
            data = data[:at] + data[at : at + how] * 3 + data[at + how :]
        elif what == "splice":
            data = data[:at] + other[int(how * len(other)) :]
    return data


def fuzz(name: str, folder: Path, *, examples: int, start: int = 0) -> None:
    """Read changed files in a folder, where the last one stays.

    Raises what the reader raises, unless it is a `UserError`, or an OSError with a file's name.
    """
    target = {**TARGETS, **PLANTED}[name]
    seeds = target.seeds(folder)
    path = folder / target.name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        signal.alarm(SECONDS)
        try:
            target.read(path)
        except UserError as error:
            assert str(error).strip()
        except OSError as error:
            if error.filename is None:
                raise
        finally:
            signal.alarm(0)

    for data in seeds:
        read(data)

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.sampled_from(seeds), st.sampled_from(seeds), st.lists(_CHANGES, min_size=1, max_size=6))
    def run(data: bytes, other: bytes, changes: list[tuple[str, float, Any]]) -> None:
        read(changed(data, other, changes))

    run()


def in_child(name: str, folder: Path, *, examples: int, start: int = 0) -> str | None:
    """Fuzz a reader in a process of its own, of bounded memory; return what went wrong, if anything.

    Then the file that did it is still in the folder, which is removed otherwise.
    """
    folder.mkdir(parents=True)
    # A server without threads, which has imported this module, forks the children: a fork of this process,
    # which has threads, might hang.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([fuzz.__module__])
    # The server of Python 3.11 does not look where this process finds modules, and passes over what it
    # cannot import. It ends without taking back tqdm's lock, of which it would warn.
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore:resource_tracker"}
    with unittest.mock.patch.dict(os.environ, environment):
        multiprocessing.forkserver.ensure_running()
    reading, writing = server.Pipe(duplex=False)
    child = server.Process(target=_fuzz_and_tell, args=(name, folder, examples, start, writing))
    child.start()
    writing.close()
    try:
        said = reading.recv()
    except EOFError:
        said = ""
    child.join()
    code = child.exitcode
    if code == 0:
        shutil.rmtree(folder)
        return None
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else "an error"
    return f"{name}: {ended}; the file is {folder / {**TARGETS, **PLANTED}[name].name}\n{said}"


def _fuzz_and_tell(name: str, folder: Path, examples: int, start: int, pipe: Connection) -> None:
    code = 1
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.disable()
        warnings.simplefilter("ignore")
        fuzz(name, folder, examples=examples, start=start)
        code = 0
    except BaseException as error:
        error.__notes__ = []  # Hypothesis's, with the whole file in them
        pipe.send("".join(traceback.format_exception(error))[-4000:])
    finally:
        os._exit(code)


def rounds(seconds: float) -> Iterator[tuple[str, int]]:
    """Yield readers and the number of the round, until the time is up; each once at least."""
    end = time.monotonic() + seconds
    number = 0
    while True:
        for name in TARGETS:
            if number and time.monotonic() > end:
                return
            yield name, number
        number += 1


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the Python readers.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--examples", type=int, default=200, help="of each reader in a round (default 200)")
    parser.add_argument("--only", choices=list(TARGETS), help="one reader")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz/python"), help="where faults are kept")
    args = parser.parse_args()
    faults, read = 0, 0
    for name, number in rounds(args.seconds):
        if args.only and name != args.only:
            continue
        folder = args.out / f"{name.replace(' ', '_')}_{number}"
        shutil.rmtree(folder, ignore_errors=True)
        fault = in_child(name, folder, examples=args.examples, start=number)
        read += args.examples
        if fault:
            faults += 1
            print(fault, flush=True)
    print(f"{len(TARGETS)} readers, {read} files, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
