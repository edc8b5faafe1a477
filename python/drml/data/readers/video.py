"""Reads frames of a video file by their position, decoding in order, without seeking.

Seeking follows the codec's key frames or the container's index, which do not always lead to the requested
frame, and time stamps are no better: those of some codecs do not count frames. A reader therefore counts the
frames as it decodes them, including those that the decoder reports as undecodable. If fewer come out than the
file's header says, some were lost silently, and the positions of the others cannot be trusted:
`VideoReader.finish` raises an error.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drml.io.errors import UserError
from drml.io.file_kinds import file_kind
from drml.io.limits import VIDEO_FRAMES, VIDEO_REFUSED, check_file
from drml.io.opencv import has_own_options, open_video
from drml.io.text import counted
from drml.io.video_headers import video_header

_OBLONG = 4.0  # a pixel that is longer than this is a damaged header

__all__ = ["VideoFrame", "VideoReader", "frame_count", "is_text"]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class VideoFrame:
    """One frame of a video file.

    Attributes
    ----------
    video : Path
    index : int
        Its position in the video, from 0.
    short : int
        How many frames fewer than its header says the video may have.
    """

    video: Path
    index: int
    short: int = 0

    def __str__(self) -> str:
        return f"{self.video}#{self.index}"


class VideoReader:
    """Reads chosen frames of one video, in ascending order.

    Parameters
    ----------
    path : Path
    short : int
        How many frames fewer than its header says the video may have; they are taken to be its last.

    Attributes
    ----------
    path : Path
    frames : int
        The number of frames according to the file's header; 0 if it does not say (`drml.io.video_headers`).
    missing : int
        Number of bytes that the file lacks at its end.
    pixel : tuple of float
        Width and height of a pixel as it is shown, of which the smaller one is 1. Frames are enlarged by
        them, so that their pixels are square.

    Raises
    ------
    UserError
        The file is missing, or is not a video that OpenCV can read.
    """

    def __init__(self, path: Path, short: int = 0) -> None:
        self.path = path
        self._short = short
        self._begin()

    def _begin(self) -> None:
        self._capture = _open(self.path)
        self._guess = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        header = video_header(self.path, self._guess)
        self.frames, self.missing = header.frames or 0, header.missing
        self.pixel = _pixel(self._capture)
        self._at = -1  # the frame that was grabbed last
        self._refused = 0  # frames that the decoder gave up
        self._ended = False

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    @property
    def expected(self) -> int:
        """The number of frames according to the header, or else a guess from its duration; 0: unknown."""
        return self.frames or self._guess

    def read(self, index: int) -> np.ndarray:
        """Decode frame `index` (from 0).

        Parameters
        ----------
        index : int
            Not less than in the call before; less starts again from the beginning.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3)
            BGR, upright, its pixels square.

        Raises
        ------
        UserError
            The frame cannot be decoded, or the video ends before it. Names no file.
        """
        if index < self._at:
            self.close()
            self._begin()
        while self._at < index and not self._ended:
            self._grab()
        if self._at < index:
            raise UserError(f"the video ends after {counted(self._at + 1, 'frame')}")
        # The frame that was grabbed last can be retrieved; a damaged one that was skipped cannot.
        done, image = self._capture.retrieve() if self._at == index else (False, None)
        if not done or image is None:
            raise UserError("the frame cannot be decoded (damaged)")
        return self._squared(image)

    def finish(self) -> int:
        """Decode the rest, and check the number of frames.

        Returns
        -------
        int
            Number of frames.

        Raises
        ------
        UserError
            The number differs from that in the file's header by more than is allowed: frames were lost, and
            it is unknown which.
        """
        while not self._ended:
            self._grab()
        found = self._at + 1
        if self.missing and not self.frames and not self._short:
            raise UserError(
                f"{self.path}: the file is cut short, {counted(self.missing, 'byte')} of it are missing;"
                " fetch it again, or allow N missing frames at the end with --short-videos N"
            )
        # If there are more frames than the header says, all of them intact, only the header is wrong.
        if self.frames - found > self._short or (found > self.frames > 0 and self._refused):
            fewer = self.frames - found
            allow = f", or allow this with --short-videos {fewer} if the last ones are missing"
            raise UserError(
                f"{self.path}: {counted(found, 'frame')} can be decoded, its header says {self.frames}:"
                " which ones are lost is not known; fetch this file again, or extract its frames into"
                f" a folder{allow if fewer > 0 else ''}"
            )
        return found

    @property
    def fps(self) -> float:
        """Average number of frames per second according to the header; 25 if that has no plausible value."""
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        return rate if math.isfinite(rate) and 0 < rate < 1000 else 25.0

    def stream(self) -> Iterator[tuple[float, np.ndarray | None]]:
        """Decode all frames once, from the first to the last.

        Yields
        ------
        seconds : float
            Time of the frame by its own time stamp, which may differ from its number over the frame rate. If
            the stamps do not increase, the average duration of a frame is added.
        image : ndarray of uint8, shape (H, W, 3), or None
            BGR, upright, its pixels square; None if the frame is damaged.
        """
        seconds = -1 / self.fps
        while True:
            before, last = self._at, seconds
            self._grab()
            if self._ended:
                return
            steps = self._at - before
            stamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            seconds = stamp if math.isfinite(stamp) and stamp > last else last + steps / self.fps
            for step in range(1, steps):
                yield last + (seconds - last) * step / steps, None
            done, image = self._capture.retrieve()
            yield seconds, self._squared(image) if done and image is not None else None

    def _squared(self, image: Any) -> np.ndarray:
        if self.pixel == (1.0, 1.0):
            return np.asarray(image, np.uint8)
        sides = (round(image.shape[1] * self.pixel[0]), round(image.shape[0] * self.pixel[1]))
        return np.asarray(cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR), np.uint8)

    def _grab(self) -> None:
        following = self._at + 1
        # A frame that cannot be decoded looks like the end, so try as many frames as there may be.
        while not self._capture.grab():
            following += 1
            if following >= max(self.frames, self._guess) or following - self._at > VIDEO_REFUSED:
                self._ended = True
                return
        self._refused += following - self._at - 1
        self._at = following


def is_text(path: Path) -> bool:
    """Return whether a path can be given to OpenCV, which crashes on names that are not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such video")
    if not is_text(path):
        raise UserError(f"{path}: OpenCV cannot open files whose name is not UTF-8; rename it")
    check_file(path, sys.maxsize)
    kind = file_kind(path)
    if kind is not None and kind.medium != "video":
        raise UserError(f"{path}: cannot be read as a video, because it is {kind.name}")
    if kind is None and not has_own_options():
        # FFmpeg would take any file with a JPEG in it for a video.
        raise UserError(
            f"{path}: cannot be read as a video (damaged, or of a format that drml does not know); fetch it"
            " again, or extract its frames into a folder"
        )
    capture = open_video(path)
    if _code(capture) == "AV01" and not capture.grab():
        capture.release()
        raise UserError(f"{path}: its codec is AV1, which this OpenCV does not decode; convert it to H.264")
    if _code(capture) == "AV01":
        capture = open_video(path)
    if not capture.isOpened():
        raise UserError(
            f"{path}: cannot be read as a video (damaged, or of a codec that OpenCV does not have);"
            " fetch it again, or extract its frames into a folder"
        )
    return capture


def _code(capture: Any) -> str:
    """Return the four characters by which FFmpeg knows the codec of a video."""
    return int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1").upper()


def _pixel(capture: Any) -> tuple[float, float]:
    """Return width and height of a pixel as it is shown, of which the smaller one is 1."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    ratio = across / down if across > 0 and down > 0 else 1.0
    if not 1 / _OBLONG <= ratio <= _OBLONG:
        return 1.0, 1.0
    if capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90:  # OpenCV turns the frame, not the ratio
        ratio = 1 / ratio
    return max(1.0, ratio), max(1.0, 1 / ratio)


def frame_count(path: Path, short: int = 0) -> tuple[int, int]:
    """Count the frames of a video by decoding it.

    Parameters
    ----------
    path : Path
    short : int
        How many frames fewer than its header says the video may have.

    Returns
    -------
    count : int
        Number of frames that can be decoded, and of those between them that the decoder reports as damaged.
    missing : int
        How many that is fewer than the header says.

    Raises
    ------
    UserError
        As `VideoReader` and `VideoReader.finish`, or the video has too many frames.
    """
    reader = VideoReader(path, short)
    try:
        if reader.frames > VIDEO_FRAMES:
            raise UserError(
                f"{path}: {reader.frames} frames; at most {VIDEO_FRAMES} are read (docs/limits_python.md)"
            )
        count = reader.finish()
        return count, max(0, reader.frames - count)
    finally:
        reader.close()
