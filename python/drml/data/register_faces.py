"""Registers faces in several processes and stores them, encoded, in one scratch file.

Only the encoded images of a few tasks are in memory at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence

import cv2
import numpy as np
from tqdm import tqdm

from drml.data.face_store import FaceStore
from drml.data.readers import images
from drml.data.register_task import CHUNK, Encoding, Task, TaskResult, encode, register_task
from drml.io.checks import check_share
from drml.io.errors import UserError
from drml.io.text import counted
from drml.io.workers import WORKER_ENDED, WorkerPool

__all__ = ["CHUNK", "Encoding", "Task", "check_max_broken", "encode", "register_all"]

_PRINTED = 10  # broken images named on the terminal; the summary names all
_AHEAD = 3  # tasks that wait for each process


def check_max_broken(share: float) -> None:
    """Raise `UsageError` if the largest share of broken images is not in [0, 1].

    It is the share of the images that the folds need, of which a broken one cannot be read or has landmarks
    outside of it. 0 allows none, 1 any number.
    """
    check_share(share, "share of broken images", all_of_it=True)


_reader = images.ImageReader()  # of a worker process, from task to task


def _work(task: Task) -> TaskResult:
    return register_task(task, _reader)


def _start_worker() -> None:
    # There are as many processes as cores, so OpenCV's threads would only compete. An interrupt reaches the
    # whole process group; the parent handles it.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def register_all(
    tasks: Sequence[Task],
    faces: FaceStore,
    *,
    jobs: int = 0,
    max_broken: float = 0.05,
    progress: bool = True,
) -> None:
    """Register the faces of all tasks into `faces`.

    Parameters
    ----------
    tasks : sequence of Task
    faces : FaceStore
        Stores the faces, and counts converted and broken images, which are also reported on standard error.
    jobs : int, keyword-only
        Number of processes; 0 takes one for each core. The result does not depend on it.
    max_broken : float, keyword-only
        Fail if more than this share of the tasks' images is broken, 0 to 1.
    progress : bool, keyword-only
        Show a progress bar.

    Raises
    ------
    UserError
        More images than `max_broken` allows are broken, or a worker process ended unexpectedly.
    OSError
        The scratch file cannot be written.
    """
    wanted = sum(len(task.frames) for task in tasks)
    jobs = min(jobs if jobs > 0 else len(os.sched_getaffinity(0)), max(1, len(tasks)))
    with (
        tqdm(total=wanted, desc="registering", unit="face", disable=not progress) as bar,
        contextlib.closing(_results(tasks, jobs)) as results,
    ):
        for result in results:
            _store(result, faces)
            if len(faces.broken) > max_broken * wanted:
                first = faces.broken[0]
                raise UserError(
                    f"{first.image}: {first.fault}; {len(faces.broken)} of {wanted} images are broken so far,"
                    f" more than a share of {max_broken:g}: repair the data set, or allow more with"
                    " --max-broken"
                )
            bar.update(len(result.faces) + len(result.broken))
    faces.broken.sort()
    faces.flush()
    if len(faces.broken) > _PRINTED:
        print(f"skipped: {len(faces.broken)} broken images in all; summary.json names them", file=sys.stderr)
    for conversion, count in faces.converted.most_common():
        print(
            f"converted: {counted(count, 'image')} ({conversion}), such as"
            f" {faces.converted_examples[conversion][0]}",
            file=sys.stderr,
        )


def _store(result: TaskResult, faces: FaceStore) -> None:
    """Add the faces and statistics of a task to the store, and report broken images."""
    for index, data, points in result.faces:
        faces.add(index, data, points)
    faces.detector_points.update(result.detector_points)
    if result.total is not None:
        known = faces.sums.setdefault(result.subject, np.zeros(result.total.shape, np.int64))
        known += result.total
    for path, conversion in result.conversions:
        faces.converted[conversion] += 1
        examples = faces.converted_examples.setdefault(conversion, [])
        if len(examples) < 5:
            examples.append(path)
    for one in result.broken:
        faces.broken.append(one)
        if len(faces.broken) <= _PRINTED:
            tqdm.write(f"skipped: {one.image}: {one.fault}", file=sys.stderr)


def _results(tasks: Sequence[Task], jobs: int) -> Generator[TaskResult]:
    """Register the faces of all tasks, a bounded number of tasks at a time."""
    if jobs == 1:
        with images.ImageReader() as reader:
            for task in tasks:
                yield register_task(task, reader)
        return
    # One pool for each process: all tasks of a video go to the same process, in their order, which so decodes
    # the video once, from front to back.
    pools = [WorkerPool(1, initializer=_start_worker) for _ in range(jobs)]
    waiting: dict[concurrent.futures.Future[TaskResult], int] = {}
    try:
        groups = _by_video(tasks)
        own: list[list[Task]] = [[] for _ in pools]  # the rest of each pool's video, last task first
        load = [0] * jobs
        while True:
            # In rounds, so that no process idles while another gets its third task.
            for depth in range(1, _AHEAD + 1):
                for lane, pool in enumerate(pools):
                    if load[lane] >= depth:
                        continue
                    own[lane] = own[lane] or next(groups, [])[::-1]
                    if own[lane]:
                        waiting[pool.submit(_work, own[lane].pop())] = lane
                        load[lane] += 1
            if not waiting:
                return
            done, _ = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                load[waiting.pop(future)] -= 1
                yield future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError(WORKER_ENDED) from None
    finally:
        # A pool must be waited for in its first shutdown: a later one does not wait, and an executor that is
        # collected while its thread still runs can deadlock that thread (CPython 3.11).
        for future in waiting:
            future.cancel()
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _by_video(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Group the tasks of each video, which one process must do in order; any other task is its own group."""
    group: list[Task] = []
    for task in tasks:
        if group and (task.video is None or task.video != group[-1].video):
            yield group
            group = []
        group.append(task)
    if group:
        yield group
