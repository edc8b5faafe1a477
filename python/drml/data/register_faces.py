"""Registers faces in several processes and stores them, encoded, in one scratch file.

Only the encoded images of a few tasks are in memory at any time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from drml.data import registration
from drml.data.face_store import BrokenImage, FaceStore
from drml.data.readers import images
from drml.data.readers.video import VideoFrame
from drml.io.checks import check_share, check_whole
from drml.io.errors import UserError
from drml.io.opencv import decode_image
from drml.io.text import counted
from drml.io.workers import WORKER_ENDED, WorkerPool

__all__ = ["CHUNK", "Encoding", "Task", "check_max_broken", "encode", "register_all"]

CHUNK = 32  # frames of a task: about 400 ms of work and 500 kB of results
_PRINTED = 10  # broken images named on the terminal; the summary names all
_QUALITY = 95
_AHEAD = 3  # tasks that wait for each process
_LARGEST = 4096  # side of a face in pixels: far beyond use, and within what JPEG and Caffe can hold
_FORMATS = ("jpg", "png")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """How registered faces are stored.

    Attributes
    ----------
    format : {"jpg", "png"}
        JPEG of quality 95, or PNG, which is lossless and about four times as large.
    size : int
        Side of the faces in pixels, 16 to 4096.

    Raises
    ------
    UserError
        A value is out of range.

    Examples
    --------
    >>> Encoding(format="png").size
    200
    """

    format: str = "jpg"
    size: int = registration.SIZE

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise UserError(f"encoding {self.format!r}: choose one of {', '.join(_FORMATS)}")
        check_whole(self.size, 16, "size of the faces", high=_LARGEST)


def check_max_broken(share: float) -> None:
    """Raise `UsageError` if the largest share of broken images is not in [0, 1].

    It is the share of the images that the folds need, of which a broken one cannot be read or has landmarks
    outside of it. 0 allows none, 1 any number.
    """
    check_share(share, "share of broken images", all_of_it=True)


@dataclasses.dataclass(frozen=True)
class Task:
    """Frames for a worker process to register: of one subject, and of one video file if they are in one.

    Attributes
    ----------
    subject : str
    frames : list of (index, image, landmarks, sampled)
        Number of the record; image file or frame of a video, in ascending order; ndarray (N, 2), or None if
        the image is a registered face; whether the face counts in `FaceStore.sums`.
    encoding : Encoding
    last : bool
        This is the last task for the video file: after it, the rest of the video is checked.
    """

    subject: str
    frames: list[tuple[int, Path | VideoFrame, np.ndarray | None, bool]]
    encoding: Encoding
    last: bool = True

    @property
    def video(self) -> Path | None:
        """The video file that has the frames, or None."""
        image = self.frames[0][1]
        return image.video if isinstance(image, VideoFrame) else None


@dataclasses.dataclass(frozen=True)
class _TaskResult:
    subject: str
    faces: list[tuple[int, bytes, np.ndarray | None]]  # record, encoded face, its landmarks
    conversions: list[tuple[str, str]]  # image, conversion
    broken: list[BrokenImage]
    total: np.ndarray | None  # sum of the sampled faces after encoding and decoding, uint32 (size, size, 3)


def _register_task(task: Task, reader: images.ImageReader) -> _TaskResult:
    faces: list[tuple[int, bytes, np.ndarray | None]] = []
    conversions: list[tuple[str, str]] = []
    broken: list[BrokenImage] = []
    total: np.ndarray | None = None
    for index, image, landmarks, sampled in task.frames:
        try:
            picture, conversion = reader.load(image)
            points = None
            if landmarks is None:
                face = registration.whole(picture, task.encoding.size)
            else:
                face = registration.register(picture, landmarks, task.encoding.size)
                points = registration.place(landmarks, task.encoding.size).astype(np.float32)
        # OpenCV cannot warp images with a side above 32,767 pixels.
        except (UserError, cv2.error) as error:
            broken.append(BrokenImage(index, str(image), str(error).removeprefix(f"{image}: ")))
            continue
        if conversion:
            conversions.append((str(image), conversion))
        data = encode(face, task.encoding.format)
        faces.append((index, data, points))
        if sampled:
            if total is None:
                total = np.zeros(face.shape, np.uint32)
            # The mean is over the images as training will decode them, so with the losses of JPEG.
            total += np.asarray(decode_image(data))
    if task.last and task.video is not None:
        reader.finish(task.video)
    return _TaskResult(task.subject, faces, conversions, broken, total)


def encode(image: np.ndarray, format: str = "jpg") -> bytes:
    """Encode a face as it is stored: JPEG of quality 95, or PNG."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if format == "jpg" else []
    encoded, data = cv2.imencode(f".{format}", image, parameters)
    if not encoded:
        raise ValueError(f"OpenCV cannot encode as {format}")
    return bytes(data)


_reader = images.ImageReader()  # of a worker process, from task to task


def _work(task: Task) -> _TaskResult:
    return _register_task(task, _reader)


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


def _store(result: _TaskResult, faces: FaceStore) -> None:
    """Add the faces and statistics of a task to the store, and report broken images."""
    for index, data, points in result.faces:
        faces.add(index, data, points)
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


def _results(tasks: Sequence[Task], jobs: int) -> Generator[_TaskResult]:
    """Register the faces of all tasks, a bounded number of tasks at a time."""
    if jobs == 1:
        with images.ImageReader() as reader:
            for task in tasks:
                yield _register_task(task, reader)
        return
    # One pool for each process: all tasks of a video go to the same process, in their order, which so decodes
    # the video once, from front to back.
    pools = [WorkerPool(1, initializer=_start_worker) for _ in range(jobs)]
    waiting: dict[concurrent.futures.Future[_TaskResult], int] = {}
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
