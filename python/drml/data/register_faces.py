"""Registers faces in several processes and stores them, encoded, in one scratch file.

Only the encoded images of a few tasks are in memory at any time.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from drml.data.face_store import FaceStore
from drml.data.readers import images
from drml.data.register_task import CHUNK, Encoding, Task, TaskResult, encode, register_task
from drml.data.task_lanes import process_count, run_tasks
from drml.io.checks import check_share
from drml.io.errors import UserError
from drml.io.text import counted

__all__ = ["CHUNK", "Encoding", "Task", "check_max_broken", "encode", "register_all"]

_PRINTED = 10  # broken images named on the terminal; the summary names all


def check_max_broken(share: float) -> None:
    """Raise `UsageError` if the largest share of broken images is not in [0, 1].

    It is the share of the images that the folds need, of which a broken one cannot be read or has landmarks
    outside of it. 0 allows none, 1 any number.
    """
    check_share(share, "share of broken images", all_of_it=True)


_reader = images.ImageReader()  # of a process, from task to task


def _work(task: Task) -> TaskResult:
    return register_task(task, _reader)


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
    jobs = process_count(jobs, len(tasks))
    with (
        tqdm(total=wanted, desc="registering", unit="face", disable=not progress) as bar,
        _reader,  # of this process, which reads the images if there is no other
        contextlib.closing(run_tasks(_work, tasks, jobs)) as results,
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
