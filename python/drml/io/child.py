"""A child process that reads files with a library that trusts them, under limits of memory and time.

Some libraries believe what a file says of itself: a few kilobytes may claim any amount of memory, or end the
process. A `ChildReader` runs such a library in a child process, which lasts from file to file. The child
answers with plain arrays; nothing that it sends is run or unpickled. If it dies or takes too long, the file
is refused, and the next file gets a new child.
"""

from __future__ import annotations

import atexit
import importlib
import json
import math
import os
import resource
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChildReader"]

_HEAD_BYTES = 64 << 20
_START_SECONDS = 120.0  # on a machine under load, importing a library takes its time
_READY = b"ready\n"


class ChildReader:
    """Calls a function in a child process, which is started when it is first needed.

    Parameters
    ----------
    function : str
        ``package.module:name`` of a function that takes a path and returns a dict of str to ndarray of
        numbers. The module imports the library, so that its memory does not count.
    memory : int
        Bytes that the child may take beyond what it has after the import, and bytes of its answer.
    seconds : float
        Time for one call.
    """

    def __init__(self, function: str, *, memory: int, seconds: float) -> None:
        self._function = function
        self._memory = memory
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def __call__(self, path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
        """Call the function with `path`.

        Raises
        ------
        ValueError
            The function raised an error, whose message is repeated, or the child ended or took too long.
        """
        with self._lock:
            try:
                process = self._started()
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(json.dumps(str(Path(path).absolute())).encode() + b"\n")
                process.stdin.flush()
                _wait(process.stdout, self._seconds)
                answer = _receive(process.stdout, self._memory)
            except BaseException as error:
                self.close()
                if isinstance(error, (OSError, EOFError)):
                    raise ValueError(str(error) or "ended the process that read it") from None
                raise
        if isinstance(answer, str):
            raise ValueError(answer)
        return answer

    def close(self) -> None:
        """End the child; the next call starts a new one."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was buffered cannot be written any more
                if pipe is not None:
                    pipe.close()
        process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        # A forked copy of this process must not talk to the child of the original.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-c", "import sys, drml.io.child as c; c.serve(*sys.argv[1:])"]
            self._process = subprocess.Popen(
                [*command, self._function, str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
            self._owner = os.getpid()
            atexit.unregister(self.close)
            atexit.register(self.close)
            assert self._process.stdout is not None
            _wait(self._process.stdout, _START_SECONDS)
            if self._process.stdout.readline(_HEAD_BYTES) != _READY:
                raise EOFError("the process that reads such files cannot be started")
        return self._process


def _environment() -> dict[str, str]:
    """Return the environment of the child, which imports nothing from the current folder."""
    path = os.pathsep.join(place for place in sys.path if place)
    # One thread: each thread of OpenBLAS reserves address space, which is limited.
    return {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def _wait(pipe: IO[bytes], seconds: float) -> None:
    """Wait for the beginning of an answer; raise `EOFError` if it does not come in time."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if not poll.poll(seconds * 1000):
        raise EOFError(f"took more than {seconds:g} s")


def _receive(pipe: IO[bytes], limit: int) -> dict[str, NDArray[Any]] | str:
    """Read an answer: arrays by name, or the message of an error."""
    line = pipe.readline(_HEAD_BYTES)
    if not line.endswith(b"\n"):
        raise EOFError
    head = json.loads(line)
    if "error" in head:
        return str(head["error"])
    found: dict[str, NDArray[Any]] = {}
    for name, kind, shape in head["arrays"]:
        dtype = np.dtype(str(kind))
        size = math.prod(shape) * dtype.itemsize
        limit -= size
        if dtype.kind not in "fiub" or limit < 0:
            raise EOFError
        data = pipe.read(size)
        if len(data) != size:
            raise EOFError
        found[name] = np.frombuffer(data, dtype).reshape(shape)
    return found


def serve(function: str, memory: str) -> None:
    """Answer the calls of a `ChildReader`, in the child, until its standard input ends."""
    module, name = function.split(":")
    call = getattr(importlib.import_module(module), name)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = used + int(memory)
    resource.setrlimit(resource.RLIMIT_AS, (allowed if hard < 0 else min(allowed, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    output.write(_READY)
    output.flush()
    for line in sys.stdin.buffer:
        for part in _answer(call, json.loads(line), int(memory)):
            output.write(part)
        output.flush()


def _answer(call: Any, path: str, memory: int) -> Iterator[bytes]:
    try:
        found = {name: np.ascontiguousarray(array) for name, array in call(path).items()}
        if sum(array.nbytes for array in found.values()) > memory:
            raise MemoryError
    except MemoryError:
        yield json.dumps({"error": f"needs more than {memory} bytes of memory"}).encode() + b"\n"
    except Exception as error:
        yield json.dumps({"error": (str(error) or type(error).__name__)[:500]}).encode() + b"\n"
    else:
        arrays = [(name, array.dtype.str, array.shape) for name, array in found.items()]
        yield json.dumps({"arrays": arrays}).encode() + b"\n"
        for array in found.values():
            yield array.tobytes()
