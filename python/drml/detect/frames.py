"""Sources -> frames, decoded one after the other; upright, BGR, 8 bits."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drml.data.readers.images import decode_bgr
from drml.data.readers.video import VideoReader
from drml.detect.sources import Source
from drml.io.errors import UserError
from drml.io.limits import IMAGE_BYTES, read_bytes

__all__ = ["Camera", "Frame", "Unreadable", "Video", "open_stream", "read_images"]

_ORIENTATION = 0x0112  # EXIF
_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
# Of those that are mirrored too, what undoes it: a turn, then a flip from left to right.
_MIRRORED = {2: None, 4: cv2.ROTATE_180, 5: cv2.ROTATE_90_CLOCKWISE, 7: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Unreadable(UserError):
    """A source gives no picture; others may."""


@dataclass
class Frame:
    """A frame.

    Attributes
    ----------
    source : Source
    number : int
        From 1, as OpenFace counts.
    seconds : float
        When it is shown, from the video's own time stamps; 0 in an image.
    image : ndarray of uint8, shape (H, W, 3), or None
        BGR; None where it cannot be decoded, or is not needed any more.
    fault : str or None
        Why an image file could not be read.
    """

    source: Source
    number: int
    seconds: float
    image: NDArray[np.uint8] | None
    fault: str | None = None


def read_images(sources: Iterable[Source]) -> Iterator[Frame]:
    """Read image files; of one that cannot be read, the frame says why."""
    for source in sources:
        try:
            yield Frame(source, 1, 0.0, _load_upright(source))
        except UserError as error:
            yield Frame(source, 1, 0.0, None, str(error).removeprefix(f"{source.name}: "))


def _load_upright(source: Source) -> NDArray[np.uint8]:
    try:
        data = read_bytes(source.path, IMAGE_BYTES)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror or error})") from None
    image = decode_bgr(data)[0]
    orientation = _orientation(data)
    if orientation in _TURNS:
        image = cv2.rotate(image, _TURNS[orientation])
    elif orientation in _MIRRORED:
        turn = _MIRRORED[orientation]
        image = cv2.flip(image if turn is None else cv2.rotate(image, turn), 1)
    return np.ascontiguousarray(image, np.uint8)


def _orientation(data: bytes) -> int:
    """Say how the camera was held, as EXIF counts it; 1, upright, where nothing is told."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a picture's size: its pixels are not decoded here
            with Image.open(io.BytesIO(data)) as picture:
                return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many kinds on a broken EXIF block, and OpenCV has decoded the picture
        return 1


class Video:
    """The frames of a video.

    Parameters
    ----------
    source : Source
    limit : int, optional
        Stop after so many frames.

    Attributes
    ----------
    total : int or None
        Frames to come, by the file's header.
    fps : float
    note : str or None
        After the last frame: what is odd about the file.

    Raises
    ------
    Unreadable
        It cannot be opened; while it is read: no frame comes out. Names no file.
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
        known = [count for count in (self._reader.frames, limit) if count]
        self.total = min(known) if known else None

    def __iter__(self) -> Iterator[Frame]:
        decoded = damaged = number = 0
        try:
            for number, (seconds, image) in enumerate(islice(self._reader.stream(), self.limit), 1):
                decoded += image is not None
                damaged += image is None
                yield Frame(self.source, number, seconds, image)
        finally:
            told = self._reader.frames
            self._reader.close()
        if not decoded:
            raise Unreadable("no frame of this video can be decoded; fetch it again")
        notes = []
        if damaged:
            notes.append(f"{damaged} of {number} frames are damaged (rows with success 0)")
        if number < told and (self.limit is None or number < self.limit):
            notes.append(f"ends after {number} frames, its header says {told}")
        self.note = "; ".join(notes) or None


class Camera:
    """The frames of a webcam, until it is unplugged or the user stops; as `Video`."""

    def __init__(self, source: Source, limit: int | None = None) -> None:
        self.source = source
        self.limit = limit
        self.note: str | None = None
        self.total = limit
        self._capture = cv2.VideoCapture(int(source.name))
        if not self._capture.isOpened():
            raise Unreadable("no webcam of this number can be opened")
        told = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = told if 0 < told < 1000 else 25.0

    def __iter__(self) -> Iterator[Frame]:
        number = 0
        start = time.perf_counter()
        try:
            while self.limit is None or number < self.limit:
                done, image = self._capture.read()
                if not done:
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
