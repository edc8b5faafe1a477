"""Worker processes that start afresh and do not run the user's script again.

Forking a process that already runs threads (OpenCV's, tqdm's) can hang, so workers are spawned. A process
that `multiprocessing` spawns first imports the script that was started: without an
``if __name__ == "__main__"`` guard, the script would run once more in every worker and end it. The workers of
`WorkerPool` run functions of modules only and need nothing of the script, so it is not imported there.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

__all__ = ["WORKER_ENDED", "WorkerPool", "end_with_parent"]

WORKER_ENDED = (
    "a worker process ended unexpectedly (killed, perhaps for want of memory); try fewer jobs with --jobs"
)
"""The message if a pool is broken."""

_lock = threading.Lock()


@contextmanager
def _script_hidden() -> Iterator[None]:
    """Let `multiprocessing` find no script that a new process would have to import."""
    with _lock:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script


class _Process(multiprocessing.context.SpawnProcess):
    def start(self) -> None:
        with _script_hidden():
            super().start()


class _Context(multiprocessing.context.SpawnContext):
    Process = _Process


class WorkerPool(ProcessPoolExecutor):
    """A `concurrent.futures.ProcessPoolExecutor` of spawned workers that do not import the user's script.

    Submitted functions and their arguments must come from modules, not from the script.

    Parameters
    ----------
    jobs : int
        Number of processes.
    initializer : callable, optional, keyword-only
        Is called once in each process.
    """

    def __init__(self, jobs: int, *, initializer: Callable[[], object] | None = None) -> None:
        super().__init__(jobs, mp_context=_Context(), initializer=_begin, initargs=(initializer,))


def end_with_parent() -> None:
    """Let this worker end when the process that started it is gone, killed perhaps.

    Nobody else would end it, and it keeps the output of that process open.
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _begin(initializer: Callable[[], object] | None) -> None:
    end_with_parent()
    if initializer:
        initializer()
