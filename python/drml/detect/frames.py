"""Reads sources as frames, one after the other: upright, BGR, 8 bits."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.readers.images import load_bgr
from drml.data.readers.video import VideoReader
from drml.detect.sources import Source
from drml.io.errors import UserError
from drml.io.opencv import open_camera
from drml.io.text import counted

__all__ = ["Camera", "Frame", "Unreadable", "Video", "array_frame", "open_stream", "read_images"]


class Unreadable(UserError):
    """A source that gives no image; the run goes on with the other sources."""


@dataclass
class Frame:
    """One frame of a video, or an image.

    Attributes
    ----------
    source : Source
    number : int
        From 1, as in OpenFace.
    seconds : float
        Time at which the frame is shown, from the video's time stamps; 0 for an image.
    image : ndarray of uint8, shape (H, W, 3), or None
        BGR; None if the frame cannot be decoded, or if its image is no longer needed.
    fault : str or None
        Why an image file cannot be read.
    """

    source: Source
    number: int
    seconds: float
    image: NDArray[np.uint8] | None
    fault: str | None = None


def read_images(sources: Iterable[Source]) -> Iterator[Frame]:
    """Read image files; if one cannot be read, the `fault` of its frame says why."""
    for source in sources:
        try:
            yield Frame(source, 1, 0.0, load_bgr(source.path)[0])
        except UserError as error:
            yield Frame(source, 1, 0.0, None, str(error).removeprefix(f"{source.name}: "))


def array_frame(image: NDArray[np.uint8], name: str) -> Frame:
    """Return a frame for an image that is already in memory.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        BGR.
    name : str
        Name of the image in tables and errors.

    Raises
    ------
    UserError
        The array has another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(
            f"{name}: {image.dtype} of shape {'x'.join(map(str, image.shape))}; give an image of"
            " height x width x 3, uint8, in the order blue, green, red, as cv2.imread returns it"
        )
    return Frame(Source(name, "image", name), 1, 0.0, np.ascontiguousarray(image))


class Video:
    """The frames of a video.

    Parameters
    ----------
    source : Source
    limit : int, optional
        Stop after this many frames.

    Attributes
    ----------
    total : int or None
        Number of frames, as far as the file's header tells; a guess for most formats.
    fps : float
        Mean frame rate in frames per second.
    note : str or None
        Set after the last frame: a defect of the file, for the user.

    Raises
    ------
    Unreadable
        The file cannot be opened, or, during iteration, no frame can be decoded. The message does not name
        the file.
    """

    def __init__(self, source: Source, limit: int | None = None) -> None:
        self.source = source
        self.limit = limit
        self.note: str | None = None
        try:
            self._reader = VideoReader(source.path)
        except UserError as error:
            raise Unreadable(str(error).removeprefix(f"{source.name}: ")) from None
        self.fps = self._reader.fps
        known = [count for count in (self._reader.expected, limit) if count]
        self.total = min(known) if known else None

    def __iter__(self) -> Iterator[Frame]:
        decoded = damaged = number = 0
        try:
            for number, (seconds, image) in enumerate(islice(self._reader.stream(), self.limit), 1):
                decoded += image is not None
                damaged += image is None
                yield Frame(self.source, number, seconds, image)
        finally:
            announced, missing = self._reader.frames, self._reader.missing
            self._reader.close()
        if not decoded:
            raise Unreadable(
                "no frame of this video can be decoded (damaged, or of a codec that OpenCV does not have)"
            )
        notes = []
        if damaged:
            notes.append(f"{damaged} of {number} frames are damaged (rows with success 0)")
        if number < announced and (self.limit is None or number < self.limit):
            notes.append(f"ends after {counted(number, 'frame')}, its header says {announced}")
        elif missing and not announced:
            lost = counted(missing, "byte")
            notes.append(f"ends after {counted(number, 'frame')}, {lost} of the file are missing")
        self.note = "; ".join(notes) or None


class Camera:
    """The frames of a webcam, until it is unplugged or the user stops; otherwise like `Video`."""

    def __init__(self, source: Source, limit: int | None = None) -> None:
        self.source = source
        self.limit = limit
        self.note: str | None = None
        self.total = limit
        self._capture = open_camera(int(source.name))
        if not self._capture.isOpened():
            raise Unreadable("no webcam of this number can be opened")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = rate if 0 < rate < 1000 else 25.0

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        start = time.perf_counter()
        try:
            while self.limit is None or number < self.limit:
                success, image = self._capture.read()
                if not success:
                    break
                number += 1
                yield Frame(self.source, number, time.perf_counter() - start, np.asarray(image, np.uint8))
        finally:
            self._capture.release()
        if not number:
            raise Unreadable("the webcam gives no picture")


def open_stream(source: Source, limit: int | None = None) -> Video | Camera:
    """Open a video or a camera."""
    return Camera(source, limit) if source.kind == "camera" else Video(source, limit)
