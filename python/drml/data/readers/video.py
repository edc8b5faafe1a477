"""Frames inside a video file, by their place in it, decoded in order and never sought.

Seeking lands where the codec's key frames or the container's index say, which is not always the frame
asked for, and time stamps are no better guide: some codecs' do not count frames. So a reader counts frames
as it decodes them, those among them that the decoder says it cannot decode. Where fewer come out in the end
than the file's header tells of, some were lost in silence, the numbers of the others are not to be trusted,
and `VideoReader.finish` says so.
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
from drml.io.limits import VIDEO_FRAMES, VIDEO_REFUSED, check_file
from drml.io.opencv import open_video

__all__ = ["VideoFrame", "VideoReader", "frame_count", "is_text"]


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class VideoFrame:
    """One frame of a video file.

    Attributes
    ----------
    video : Path
    index : int
        Its place in the video, from 0.
    """

    video: Path
    index: int

    def absolute(self) -> VideoFrame:
        """Return the same frame with the absolute path of its video."""
        return VideoFrame(self.video.absolute(), self.index)

    def __str__(self) -> str:
        return f"{self.video}#{self.index}"


class VideoReader:
    """Reads chosen frames of one video, in ascending order.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    frames : int
        How many frames the file's header tells of; 0 where it tells nothing.

    Raises
    ------
    UserError
        The file is missing, or no video that OpenCV can read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._capture = _open(self.path)
        self.frames = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self._at = -1  # the frame that was grabbed last
        self._refused = 0  # frames that the decoder gave up
        self._ended = False

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()

    def read(self, index: int) -> np.ndarray:
        """Decode frame `index` (from 0).

        Parameters
        ----------
        index : int
            Not less than in the call before; less starts again from the beginning.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3)
            BGR.

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
            raise UserError(f"the video ends after {self._at + 1} frames")
        # The frame grabbed last can be had again; one that was passed over since it is damaged, cannot.
        done, image = self._capture.retrieve() if self._at == index else (False, None)
        if not done or image is None:
            raise UserError("the frame cannot be decoded (damaged)")
        return np.asarray(image, np.uint8)

    def finish(self) -> int:
        """Decode the rest and check that the count comes out.

        Returns
        -------
        int
            Number of frames.

        Raises
        ------
        UserError
            The count is not what the file's header tells of: some were lost, it is not known which.
        """
        while not self._ended:
            self._grab()
        found = self._at + 1
        # More than the header tells of, all of them sound, are a fault of the header alone.
        if found < self.frames or (found > self.frames > 0 and self._refused):
            raise UserError(
                f"{self.path}: {found} frames can be decoded, its header says {self.frames}: which are lost"
                " is not known; fetch this file again, or extract its frames into a folder"
            )
        return found

    @property
    def fps(self) -> float:
        """Frames a second, on average, as the header has it; 25 where it tells nothing of use."""
        told = self._capture.get(cv2.CAP_PROP_FPS)
        return told if math.isfinite(told) and 0 < told < 1000 else 25.0

    def stream(self) -> Iterator[tuple[float, np.ndarray | None]]:
        """Decode all frames once, from the first to the last.

        Yields
        ------
        seconds : float
            When the frame is shown, by its own time stamp, which need not be its number over the frame rate.
            Where stamps do not rise, a frame lasts what it does on average.
        image : ndarray of uint8, shape (H, W, 3), or None
            BGR, upright where the file tells how it was held; None where the frame is damaged.
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
            yield seconds, np.asarray(image, np.uint8) if done and image is not None else None

    def _grab(self) -> None:
        following = self._at + 1
        # A frame that cannot be decoded looks like the end: what the header tells of is tried for.
        while not self._capture.grab():
            following += 1
            if following >= self.frames or following - self._at > VIDEO_REFUSED:
                self._ended = True
                return
        self._refused += following - self._at - 1
        self._at = following


def is_text(path: Path) -> bool:
    """Whether a path can be given to OpenCV, which crashes on names that are no UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _open(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such video")
    if not is_text(path):
        raise UserError(f"{path}: OpenCV opens no video whose name is not UTF-8; rename it")
    check_file(path, sys.maxsize)
    capture = open_video(path)
    if not capture.isOpened():
        raise UserError(
            f"{path}: cannot be read as a video (damaged, or of a codec that OpenCV lacks);"
            " fetch it again, or extract its frames into a folder"
        )
    return capture


def frame_count(path: Path, at_least: int = 0) -> int:
    """Count the frames of a video: from its header, where that tells of as many as are needed.

    Parameters
    ----------
    path : Path
    at_least : int
        So many are expected; a header that tells of fewer is not believed, the frames are counted.

    Raises
    ------
    UserError
        As `VideoReader`, and where header and frames do not agree.
    """
    reader = VideoReader(path)
    try:
        told = max(reader.frames, at_least)
        if told > VIDEO_FRAMES:
            raise UserError(f"{path}: {told} frames; at most {VIDEO_FRAMES} are read (docs/limits_python.md)")
        return reader.frames if reader.frames >= max(at_least, 1) else reader.finish()
    finally:
        reader.close()
