"""Writes AVI videos of Motion JPEG, which OpenCV supports without FFmpeg, and reads each back as a check."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from drml.io.opencv import open_video

__all__ = ["write_video"]

_QUALITY = 85.0
_CODEC = "MJPG"


def write_video(path: Path, images: Iterable[np.ndarray], size: tuple[int, int], rate: float) -> int:
    """Write a video, and check that it can be read.

    Parameters
    ----------
    path : Path
        An .avi file to write.
    images : iterable of ndarray of uint8, shape (H, W, 3)
        The frames, BGR.
    size : tuple of int
        Width and height.
    rate : float
        Frames per second.

    Returns
    -------
    int
        Number of frames.

    Raises
    ------
    OSError
        The file cannot be written, or differs when it is read: OpenCV does not report a full disk.
    """
    # OpenCV's own writer gives the same bytes on every machine, whatever FFmpeg it was built with.
    backend, codec = cv2.CAP_OPENCV_MJPEG, cv2.VideoWriter.fourcc(*_CODEC)
    with path.open("wb"):  # raises the reason if the file cannot be written, which OpenCV does not tell
        pass
    writer = cv2.VideoWriter(str(path), backend, codec, rate, size)
    if not writer.isOpened():
        raise OSError(errno.EIO, "OpenCV cannot write Motion JPEG videos here", str(path))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, _QUALITY)
    count = 0
    try:
        for image in images:
            writer.write(image)
            count += 1
    finally:
        writer.release()
    _check(path, count, size)
    return count


def _check(path: Path, count: int, size: tuple[int, int]) -> None:
    capture = open_video(path)
    try:
        codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin1")
        found = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        frames = 0
        while capture.grab():
            frames += 1
    finally:
        capture.release()
    if (codec, found, frames) != (_CODEC, size, count):
        free = os.statvfs(path.parent).f_bavail
        number = errno.EIO if free else errno.ENOSPC
        raise OSError(
            number,
            f"{os.strerror(number)} (the video comes back as {frames} of {count} frames,"
            f" {found[0]}x{found[1]}, {codec!r})",
            str(path),
        )
