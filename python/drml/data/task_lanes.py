"""Runs tasks in several processes so that the tasks of one video go to one process, in their order."""

from __future__ import annotations

import concurrent.futures
import os
import signal
from collections.abc import Callable, Generator, Hashable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

import cv2

from drml.io.errors import UserError
from drml.io.workers import WORKER_ENDED, WorkerPool

__all__ = ["VideoTask", "process_count", "run_tasks"]

_AHEAD = 3  # tasks that wait for each process


class VideoTask(Protocol):
    """A task; those with the same `video` that follow each other are done by one process, in this order."""

    @property
    def video(self) -> Hashable | None:
        """The video that the task belongs to; None for a task that depends on no other."""


One = TypeVar("One", bound=VideoTask)
Result = TypeVar("Result")


def process_count(jobs: int, tasks: int) -> int:
    """Return the number of processes for `jobs`, of which 0 means one for each core."""
    return min(jobs if jobs > 0 else len(os.sched_getaffinity(0)), max(1, tasks))


def _start_worker() -> None:
    # There are as many processes as cores, so OpenCV's threads would only compete. An interrupt reaches the
    # whole process group; the parent handles it.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def run_tasks(work: Callable[[One], Result], tasks: Sequence[One], jobs: int) -> Generator[Result]:
    """Do all tasks, a bounded number of them at a time, and yield results as they finish.

    Parameters
    ----------
    work : callable
        A function of a module.
    tasks : sequence of VideoTask
    jobs : int
        Number of processes, at least 1; with 1, the tasks are done in this process.

    Raises
    ------
    UserError
        A worker process ended unexpectedly.
    """
    if jobs == 1:
        yield from map(work, tasks)
        return
    # One pool for each process: all tasks of a video go to the same process, in their order, which so decodes
    # the video once, from front to back.
    pools = [WorkerPool(1, initializer=_start_worker) for _ in range(jobs)]
    waiting: dict[concurrent.futures.Future[Result], int] = {}
    try:
        groups = _by_video(tasks)
        own: list[list[One]] = [[] for _ in pools]  # the rest of each pool's video, last task first
        load = [0] * jobs
        while True:
            # In rounds, so that no process idles while another gets its third task.
            for depth in range(1, _AHEAD + 1):
                for lane, pool in enumerate(pools):
                    if load[lane] >= depth:
                        continue
                    own[lane] = own[lane] or next(groups, [])[::-1]
                    if own[lane]:
                        waiting[pool.submit(work, own[lane].pop())] = lane
                        load[lane] += 1
            if not waiting:
                return
            done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                load[waiting.pop(future)] -= 1
                yield future.result()
    except BrokenProcessPool:
        raise UserError(WORKER_ENDED) from None
    finally:
        # A pool must be waited for in its first shutdown: a later one does not wait, and an executor that is
        # collected while its thread still runs can deadlock that thread (CPython 3.11).
        for future in waiting:
            future.cancel()
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _by_video(tasks: Sequence[One]) -> Iterator[list[One]]:
    """Group the tasks of each video; a task of no video is a group of its own."""
    group: list[One] = []
    for task in tasks:
        if group and (task.video is None or task.video != group[-1].video):
            yield group
            group = []
        group.append(task)
    if group:
        yield group
