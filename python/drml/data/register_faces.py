"""Registers faces, in several processes, and keeps them encoded in one scratch file.

Only encoded images of a few tasks are ever in memory.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from tqdm import tqdm

from drml.data import registration
from drml.data.readers import images
from drml.data.readers.video import VideoFrame
from drml.io.errors import UserError
from drml.io.opencv import decode_image

__all__ = ["CHUNK", "Broken", "Faces", "Task", "encode", "register_all"]

CHUNK = 32  # frames a task: some 400 ms of work, some 500 kB of answer
_PRINTED = 10  # broken images named on the terminal; the summary names all
_QUALITY = 95
_AHEAD = 3  # tasks that a process has before it


@dataclasses.dataclass(frozen=True, order=True)
class Broken:
    """An image that could not be used: its record's number, its name, what is wrong with it."""

    index: int
    image: str
    fault: str


class Faces:
    """The registered faces, encoded, in one scratch file; and what was noticed on the way.

    Attributes
    ----------
    sums : dict of str to ndarray of int64, shape (size, size, 3)
        Sums of the sampled faces by subject, BGR. Every fold's mean image is a sum over its training
        subjects, exact and independent of the order in which processes answer.
    broken : list of Broken
        Images that could not be used, and their faults, in the order of the records.
    converted : Counter
        Conversion (``"greyscale"``, ``"CMYK"``, ...) -> number of images.
    converted_examples : dict
        Conversion -> a few names of images.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("w+b")
        self._place: dict[int, tuple[int, int]] = {}
        self._landmarks: dict[int, np.ndarray | None] = {}
        self._end = 0
        self.sums: dict[str, np.ndarray] = {}
        self.broken: list[Broken] = []
        self.converted: Counter[str] = Counter()
        self.converted_examples: dict[str, list[str]] = {}

    def __enter__(self) -> Faces:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, index: int) -> bool:
        return index in self._place

    @property
    def count(self) -> int:
        """Number of faces."""
        return len(self._place)

    def add(self, index: int, data: bytes, landmarks: np.ndarray | None) -> None:
        """Append the encoded face of record `index` and keep its landmarks, float32 (N, 2), if it has any."""
        self._file.write(data)
        self._place[index] = (self._end, len(data))
        self._landmarks[index] = landmarks
        self._end += len(data)

    def get(self, index: int) -> bytes:
        """Read the encoded face of record `index`; raise OSError where the file does not hold it whole."""
        at, length = self._place[index]
        data = os.pread(self._file.fileno(), length, at)
        if len(data) != length:
            raise OSError("the scratch file has become shorter")
        return data

    def landmarks(self, index: int) -> np.ndarray | None:
        """Give the landmarks of record `index` in pixels of its face; None where it has none."""
        return self._landmarks[index]

    def flush(self) -> None:
        """Make what was added readable."""
        self._file.flush()


@dataclasses.dataclass(frozen=True)
class Task:
    """A worker's portion: frames of one subject, and of one video file where they come from one.

    Attributes
    ----------
    subject : str
    frames : list of (index, image, landmarks, sampled)
        Record number, file or frame of a video (in ascending order), ndarray (N, 2) or None (the image is
        a face as it is), and whether the face counts in `Faces.sums`.
    encoding : {"jpg", "png"}
    size : int
        Side of the face in pixels.
    last : bool
        No other task follows for this video file: what is left of it is then checked.
    """

    subject: str
    frames: list[tuple[int, Path | VideoFrame, np.ndarray | None, bool]]
    encoding: str
    size: int
    last: bool = True

    @property
    def video(self) -> Path | None:
        """The video file that the frames come from, if any."""
        image = self.frames[0][1]
        return image.video if isinstance(image, VideoFrame) else None


@dataclasses.dataclass(frozen=True)
class _Answer:
    subject: str
    faces: list[tuple[int, bytes, np.ndarray | None]]  # record, encoded face, landmarks in it
    notes: list[tuple[str, str]]
    broken: list[Broken]
    total: np.ndarray | None  # sum of the sampled faces as decoded again, uint32 (size, size, 3)


def _register_task(task: Task, reader: images.ImageReader) -> _Answer:
    faces: list[tuple[int, bytes, np.ndarray | None]] = []
    notes: list[tuple[str, str]] = []
    broken: list[Broken] = []
    total: np.ndarray | None = None
    for index, image, landmarks, sampled in task.frames:
        try:
            picture, note = reader.load(image)
            points = None
            if landmarks is None:
                face = registration.whole(picture, task.size)
            else:
                face = registration.register(picture, landmarks, task.size)
                points = registration.place(landmarks, task.size).astype(np.float32)
        # OpenCV warps no image with a side beyond 32,767.
        except (UserError, cv2.error) as error:
            broken.append(Broken(index, str(image), str(error).removeprefix(f"{image}: ")))
            continue
        if note:
            notes.append((str(image), note))
        data = encode(face, task.encoding)
        faces.append((index, data, points))
        if sampled:
            if total is None:
                total = np.zeros(face.shape, np.uint32)
            # The mean is that of the images which training will see, so after the loss of encoding.
            total += np.asarray(decode_image(data))
    if task.last and task.video is not None:
        reader.finish(task.video)
    return _Answer(task.subject, faces, notes, broken, total)


def encode(image: np.ndarray, encoding: str = "jpg") -> bytes:
    """Encode a face as it is stored: JPEG of quality 95, or PNG."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if encoding == "jpg" else []
    done, data = cv2.imencode(f".{encoding}", image, parameters)
    if not done:
        raise ValueError(f"OpenCV cannot encode as {encoding}")
    return bytes(data)


_reader = images.ImageReader()  # a worker process's own: it lasts from task to task


def _work(task: Task) -> _Answer:
    return _register_task(task, _reader)


def _start_worker() -> None:
    # As many processes as cores: threads inside each would only get in each other's way. An interrupt
    # reaches the whole group; the parent is the one to act on it.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def register_all(
    tasks: Sequence[Task], faces: Faces, *, jobs: int = 0, max_broken: float = 0.05, progress: bool = True
) -> None:
    """Register the faces of all tasks into `faces`.

    Parameters
    ----------
    tasks : sequence of Task
        What to do.
    faces : Faces
        Where the faces go; also counts what was converted and what is broken, and both are said on
        standard error.
    jobs : int, keyword-only
        Processes; 0 takes one for each core at hand. The result does not depend on it.
    max_broken : float, keyword-only
        The share of all images that may be broken.
    progress : bool, keyword-only
        Show a progress bar.

    Raises
    ------
    UserError
        More images than `max_broken` allows are broken, or a worker process was killed.
    OSError
        The scratch file cannot be written.
    """
    wanted = sum(len(task.frames) for task in tasks)
    jobs = min(jobs if jobs > 0 else len(os.sched_getaffinity(0)), max(1, len(tasks)))
    with (
        tqdm(total=wanted, desc="registering", unit="face", disable=not progress) as bar,
        contextlib.closing(_answers(tasks, jobs)) as answers,
    ):
        for answer in answers:
            for index, data, points in answer.faces:
                faces.add(index, data, points)
            if answer.total is not None:
                known = faces.sums.setdefault(answer.subject, np.zeros(answer.total.shape, np.int64))
                known += answer.total
            for path, note in answer.notes:
                faces.converted[note] += 1
                examples = faces.converted_examples.setdefault(note, [])
                if len(examples) < 5:
                    examples.append(path)
            for one in answer.broken:
                faces.broken.append(one)
                if len(faces.broken) <= _PRINTED:
                    tqdm.write(f"skipped: {one.image}: {one.fault}", file=sys.stderr)
            if len(faces.broken) > max_broken * wanted:
                first = faces.broken[0]
                raise UserError(
                    f"{first.image}: {first.fault}; {len(faces.broken)} of {wanted} images are broken"
                    f" so far, more than {max_broken:.0%}: mend the data set, or allow more with --max-broken"
                )
            bar.update(len(answer.faces) + len(answer.broken))
    faces.broken.sort()
    faces.flush()
    if len(faces.broken) > _PRINTED:
        print(f"skipped: {len(faces.broken)} broken images in all; summary.json names them", file=sys.stderr)
    for note, count in faces.converted.most_common():
        print(
            f"converted: {count} images ({note}), such as {faces.converted_examples[note][0]}",
            file=sys.stderr,
        )


def _answers(tasks: Sequence[Task], jobs: int) -> Generator[_Answer]:
    """Work through the tasks, a bounded number of them at a time."""
    if jobs == 1:
        with images.ImageReader() as reader:
            for task in tasks:
                yield _register_task(task, reader)
        return
    # Forking a process that already runs threads (OpenCV's, tqdm's) can hang: start afresh. A pool for
    # each process, since the tasks of a video go to one and the same, in their order: it decodes the video
    # once, and from front to back.
    context = multiprocessing.get_context("spawn")
    pools = [
        concurrent.futures.ProcessPoolExecutor(1, mp_context=context, initializer=_start_worker)
        for _ in range(jobs)
    ]
    try:
        groups = _by_video(tasks)
        own: list[list[Task]] = [[] for _ in pools]  # what is left of each pool's video, last task first
        waiting: dict[concurrent.futures.Future[_Answer], int] = {}
        load = [0] * jobs
        while True:
            # Round by round, so that none is kept waiting while another gets its third.
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
        raise UserError("a worker process was ended from outside (out of memory?); try fewer jobs") from None
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown(wait=True)


def _by_video(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Group the tasks that one process must do in their order: those of a video; any other stands alone."""
    group: list[Task] = []
    for task in tasks:
        if group and (task.video is None or task.video != group[-1].video):
            yield group
            group = []
        group.append(task)
    if group:
        yield group
