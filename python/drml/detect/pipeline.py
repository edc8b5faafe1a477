"""The pipeline: two threads decode frames and find faces, ahead of the net in the main thread.

OpenCV releases Python's lock while it decodes and finds faces. pycaffe holds the lock while a net runs, so
the two threads pause during a batch and continue between batches. Memory does not grow with the length of a
video: the queues are bounded, and so is the number of frames that wait until a batch is full.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from drml.data.face import Face
from drml.detect.frames import Frame

__all__ = [
    "DetectedFrame",
    "FaceNet",
    "FindFaces",
    "add_probabilities",
    "detect_frames",
    "find_faces",
    "read_ahead",
]

T = TypeVar("T")

FindFaces = Callable[[Iterable[Frame]], Iterable[tuple[Frame, list[Face]]]]

_AHEAD = 4  # frames that a thread may be ahead by
_WAIT = 0.1  # seconds after which a waiting thread checks whether it is still needed
_IMAGE_BYTES = 64 << 20  # of the images that may wait for a batch, where they are kept to draw on them
_FRAMES = 512  # that may wait for a batch


class FaceNet(Protocol):
    """What the detector needs of a trained net; `drml.nets.trained.Net` is one.

    Attributes
    ----------
    aus : tuple of int, length K
        AUs of the net's outputs.
    face_size : int or None
        Side in pixels of the registered faces that the net expects; None for the default of 200.
    intensity_aus : tuple of int, length L, optional
        AUs of the intensities, which follow the probabilities; a net without this attribute has none.
    """

    @property
    def aus(self) -> tuple[int, ...]:
        """AUs of the net's outputs."""

    @property
    def face_size(self) -> int | None:
        """Side of the registered faces in pixels."""

    def __call__(self, images: Sequence[NDArray[np.uint8]], /) -> NDArray[np.floating[Any]]:
        """Return probabilities, and intensities, N x (K + L), of N registered faces; N is at least 1.

        A face is size x size x 3, BGR.
        """


@dataclass
class DetectedFrame:
    """A frame with the faces found in it and the AU probabilities of each face.

    Attributes
    ----------
    frame : Frame
    faces : list of Face
    crops : list of (ndarray or None)
        The registered image of each face, size x size x 3, BGR; None for a face that cannot be registered
        because its points lie outside the frame.
    probabilities : ndarray of float64, shape (N, K)
        One row for each face and one column for each AU; zeros for a face that is not registered.
    intensities : ndarray of float64, shape (N, L)
        The same for the net's intensities, 0 to 5.
    adjusted : ndarray of float64, shape (N, L)
        The intensities relative to the person's own zero, and smoothed (`drml.detect.adjusting`); without
        columns if that was not asked for.
    """

    frame: Frame
    faces: list[Face]
    crops: list[NDArray[np.uint8] | None]
    probabilities: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    intensities: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    adjusted: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        # Without a column, there is still a row for each face.
        if len(self.intensities) != len(self.faces):
            self.intensities = np.zeros((len(self.faces), 0))
        if len(self.adjusted) != len(self.faces):
            self.adjusted = np.zeros((len(self.faces), 0))


def read_ahead(items: Iterable[T], size: int = _AHEAD) -> Generator[T]:
    """Iterate in another thread, at most `size` items ahead of the caller.

    An error in `items` is raised here, after the items that came before it. Closing this generator ends the
    thread and closes `items`.
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
    find: FindFaces,
    *,
    register: Callable[[NDArray[np.uint8], Face], NDArray[np.uint8] | None],
    keep_images: bool,
) -> Generator[DetectedFrame]:
    """Find and register the faces of each frame.

    Parameters
    ----------
    frames : iterable of Frame
    find : callable
        Takes all frames, and yields each in its turn with its faces, which have their ids.
    register : callable
        Returns the registered image of a face in an image, or None if it cannot be registered; see
        `drml.detect.face_registration.FaceRegistration`.
    keep_images : bool
        Keep the image of each frame; otherwise it is dropped once its faces are registered.
    """
    for frame, faces in find(frames):
        image = frame.image
        crops = [register(image, face) for face in faces if image is not None]
        if not keep_images:
            frame.image = None
        yield DetectedFrame(frame, faces, crops)


def add_probabilities(frames: Iterable[DetectedFrame], net: FaceNet, batch: int) -> Generator[DetectedFrame]:
    """Run the net on batches of faces from one or more frames, and pass the frames on in their order."""
    pending: list[DetectedFrame] = []
    faces = kept = 0
    for detected in frames:
        pending.append(detected)
        faces += sum(crop is not None for crop in detected.crops)
        kept += 0 if detected.frame.image is None else detected.frame.image.nbytes
        if faces >= batch or kept >= _IMAGE_BYTES or len(pending) >= _FRAMES or not faces:
            yield from _fill(pending, net, batch)
            pending, faces, kept = [], 0, 0
    yield from _fill(pending, net, batch)


def _fill(pending: list[DetectedFrame], net: FaceNet, batch: int) -> list[DetectedFrame]:
    crops = [crop for detected in pending for crop in detected.crops if crop is not None]
    rows = iter([row for start in range(0, len(crops), batch) for row in net(crops[start : start + batch])])
    count, levels = len(net.aus), len(getattr(net, "intensity_aus", ()))
    for detected in pending:
        values = np.zeros((len(detected.crops), count + levels))
        for index, crop in enumerate(detected.crops):
            if crop is not None:
                values[index] = next(rows)
        detected.probabilities, detected.intensities = values[:, :count], values[:, count:]
    return pending


def detect_frames(
    frames: Iterable[Frame],
    find: FindFaces,
    net: FaceNet,
    *,
    register: Callable[[NDArray[np.uint8], Face], NDArray[np.uint8] | None],
    batch: int,
    keep_images: bool,
) -> Generator[DetectedFrame]:
    """Run the whole pipeline: decode in one thread, find and register faces in another, run the net here.

    Parameters
    ----------
    frames, find, register, keep_images
        As in `find_faces`.
    net : FaceNet
    batch : int
        Number of faces that the net processes at once.
    """
    with closing(read_ahead(frames)) as decoded:
        found = find_faces(decoded, find, register=register, keep_images=keep_images)
        with closing(read_ahead(found)) as registered:
            yield from add_probabilities(registered, net, batch)
