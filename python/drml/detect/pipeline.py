"""The stream: frames are decoded, faces found and registered in threads, ahead of the net.

OpenCV lets other threads run while it decodes and detects. pycaffe does not while a net runs: decoding and
detection then finish what they have begun and go on between two batches. Nothing here grows with the length
of a video: each queue is bounded, and so are the frames that wait for a batch to be full.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.registration import register
from drml.detect.faces import Face
from drml.detect.frames import Frame
from drml.detect.model import Recogniser
from drml.io.errors import UserError

__all__ = ["Seen", "ahead", "find_faces", "recognise", "stream"]

T = TypeVar("T")

_AHEAD = 4  # frames that a thread may be ahead by
_WAIT = 0.1  # seconds after which a thread looks whether it is still needed
_KEPT = 64 << 20  # bytes of pictures that may wait for a batch: they are kept only where they are drawn on
_FRAMES = 512  # frames that may wait for a batch


@dataclass
class Seen:
    """A frame, its faces, and what the net says of them.

    Attributes
    ----------
    frame : Frame
    faces : list of Face
    crops : list of ndarray or None
        Each face registered; None where its points lie outside the picture, so that it cannot be.
    probabilities : ndarray, N x K
        A row for each face; zeros for one that is not registered.
    """

    frame: Frame
    faces: list[Face]
    crops: list[NDArray[np.uint8] | None]
    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))


def ahead(items: Iterable[T], size: int = _AHEAD) -> Generator[T]:
    """Iterate in a thread of its own, at most `size` items ahead; an error comes out where it happened.

    Closing the iterator ends the thread and closes `items`.
    """
    waiting: queue.Queue[tuple[str, Any]] = queue.Queue(size)
    stop = threading.Event()

    def put(kind: str, value: Any = None) -> None:
        while not stop.is_set():
            try:
                waiting.put((kind, value), timeout=_WAIT)
                return
            except queue.Full:
                continue

    def work() -> None:
        iterator = iter(items)
        try:
            while not stop.is_set():
                put("item", next(iterator))
        except StopIteration:
            put("end")
        except BaseException as error:
            put("error", error)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stop.set()
        thread.join()


def find_faces(
    frames: Iterable[Frame],
    find: Callable[[NDArray[np.uint8]], list[Face]],
    *,
    size: int,
    keep: bool,
) -> Generator[Seen]:
    """Find and register the faces of each frame.

    Parameters
    ----------
    frames : iterable of Frame
    find : callable
        Picture -> faces with their ids.
    size : int
        Side of the registered faces.
    keep : bool
        Keep the pictures; else they go here.
    """
    for frame in frames:
        image = frame.image
        faces = [] if image is None else find(image)
        crops = [_registered(image, face, size) for face in faces if image is not None]
        if not keep:
            frame.image = None
        yield Seen(frame, faces, crops)


def _registered(image: NDArray[np.uint8], face: Face, size: int) -> NDArray[np.uint8] | None:
    try:
        return np.asarray(register(image, face.points, size), np.uint8)
    except (UserError, cv2.error):  # OpenCV warps no picture with a side beyond 32,767
        return None


def recognise(seen: Iterable[Seen], recogniser: Recogniser, batch: int) -> Generator[Seen]:
    """Fill in the probabilities, batch by batch, and pass the frames on in their order."""
    pending: list[Seen] = []
    faces = kept = 0
    for one in seen:
        pending.append(one)
        faces += sum(crop is not None for crop in one.crops)
        kept += 0 if one.frame.image is None else one.frame.image.nbytes
        if faces >= batch or kept >= _KEPT or len(pending) >= _FRAMES or not faces:
            yield from _fill(pending, recogniser, batch)
            pending, faces, kept = [], 0, 0
    yield from _fill(pending, recogniser, batch)


def _fill(pending: list[Seen], recogniser: Recogniser, batch: int) -> list[Seen]:
    crops = [crop for one in pending for crop in one.crops if crop is not None]
    rows = iter(
        [
            row
            for at in range(0, len(crops), batch)
            for row in recogniser.probabilities(crops[at : at + batch])
        ]
    )
    for one in pending:
        one.probabilities = np.zeros((len(one.crops), len(recogniser.aus)))
        for index, crop in enumerate(one.crops):
            if crop is not None:
                one.probabilities[index] = next(rows)
    return pending


def stream(
    frames: Iterable[Frame],
    find: Callable[[NDArray[np.uint8]], list[Face]],
    recogniser: Recogniser,
    *,
    batch: int,
    keep: bool,
) -> Generator[Seen]:
    """Join the three: decode in one thread, find and register in another, run the net in this one."""
    with closing(ahead(frames)) as decoded:
        found = find_faces(decoded, find, size=recogniser.size, keep=keep)
        with closing(ahead(found)) as registered:
            yield from recognise(registered, recogniser, batch)
