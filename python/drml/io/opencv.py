"""The only calls of OpenCV that read images and videos, each within limits of its own.

OpenCV takes its limits for a whole process from environment variables, some of them when it is loaded. Other
code in the process may use OpenCV too, so drml leaves those settings alone: it reads an image's size from
its header before OpenCV decodes it, and gives FFmpeg its options only while it opens a video of drml's.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.io.file_kinds import AVIF, HEIC, TIFF, kind_of
from drml.io.heif import decode_avif, decode_heic
from drml.io.image_headers import check_pixels
from drml.io.limits import IMAGE_PIXELS
from drml.io.orientation import orientation, turn

__all__ = ["decode_image", "has_own_options", "open_camera", "open_video", "quiet"]

_CAPTURE_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_FFMPEG = {
    # A video is one file: no play lists, which would send FFmpeg to other files and to servers.
    _CAPTURE_OPTIONS: "protocol_whitelist;file|format_whitelist;"
    "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf,flv,ogg,gif,h264,hevc,m4v,mjpeg,mxf,dv",
    # drml's own errors name the file; FFmpeg's lines do not.
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}
_environment = threading.Lock()
_counting = threading.Lock()
_quiet_calls = 0  # how many threads keep OpenCV quiet
_log_level = 0  # OpenCV's log level when the first of them began


def decode_image(data: bytes, flags: int = cv2.IMREAD_COLOR) -> NDArray[Any] | None:
    """Decode an image whose size is within the limits, and turn it upright.

    Parameters
    ----------
    data : bytes
        The content of an image file: AVIF, BMP, GIF, JPEG, JPEG 2000, PNG, PNM, PAM, Sun raster, TIFF, WebP,
        or, where the package pillow-heif is installed, HEIC.
    flags : int
        As in ``cv2.imdecode``; AVIF that OpenCV cannot decode, and HEIC, are always 8-bit BGR.

    Returns
    -------
    ndarray, shape (H, W) or (H, W, C), or None
        BGR, or what `flags` asks for, turned as the file says (`drml.io.orientation`); None if the data are
        damaged, no image, or of another format.

    Raises
    ------
    UserError
        The image has too many pixels, and its header is all that was read; or it is an HEIC image, and the
        package for it is missing. The message names no file.

    Examples
    --------
    >>> decode_image(b"P5 2 1 255 " + bytes([7, 9]), cv2.IMREAD_UNCHANGED)
    array([[7, 9]], dtype=uint8)
    """
    kind = kind_of(data)
    if kind == HEIC:
        return decode_heic(data)  # turns the image
    if not data or not check_pixels(data):
        return None
    image: NDArray[Any] | None = None
    # OpenCV turns some formats with some flags; it is told to turn none, and always turns TIFF nevertheless.
    stored = flags if flags == cv2.IMREAD_UNCHANGED else flags | cv2.IMREAD_IGNORE_ORIENTATION
    with quiet(), contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), stored)
    if image is None and kind == AVIF:
        image = decode_avif(data)
    if image is None or not image.size:
        return None
    return image if kind == TIFF else turn(image, orientation(data))


@contextmanager
def quiet() -> Iterator[None]:
    """Silence OpenCV's warnings, which name no file, as long as any thread is in this context."""
    global _quiet_calls, _log_level
    with _counting:
        if not _quiet_calls:
            _log_level = cv2.utils.logging.getLogLevel()
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _quiet_calls += 1
    try:
        yield
    finally:
        with _counting:
            _quiet_calls -= 1
            if not _quiet_calls:
                cv2.utils.logging.setLogLevel(_log_level)


def open_video(path: str | Path) -> cv2.VideoCapture:
    """Open a video file: a single file of a known container, its frames within the limit of images.

    Parameters
    ----------
    path : path
        Its name must be UTF-8: OpenCV crashes on others.

    Returns
    -------
    cv2.VideoCapture
        Not opened (see its ``isOpened``) if the file is missing, damaged, or of an unknown kind.

    Raises
    ------
    UserError
        Its frames have too many pixels.

    Notes
    -----
    The user's own ``OPENCV_FFMPEG_CAPTURE_OPTIONS``, if set, replaces drml's options.
    """
    # Only FFmpeg: other readers take names that contain % as series of images, and know no limits.
    backends = cv2.videoio_registry.getBackends()
    with _ffmpeg_options(), quiet():
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG if cv2.CAP_FFMPEG in backends else cv2.CAP_ANY)
    # FFmpeg has an option for this, max_pixels, which OpenCV does not hand to the decoder.
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > IMAGE_PIXELS:
        capture.release()
        raise UserError(
            f"{path}: a video of {width}x{height} pixels; at most {IMAGE_PIXELS} are read"
            " (docs/limits_python.md)"
        )
    return capture


def has_own_options() -> bool:
    """Whether the user's own options replace drml's, so that FFmpeg may read more formats."""
    return _CAPTURE_OPTIONS in os.environ


def open_camera(number: int) -> cv2.VideoCapture:
    """Open a webcam by its number, from 0; not opened (see ``isOpened``) if there is none."""
    with quiet():
        return cv2.VideoCapture(number)


@contextmanager
def _ffmpeg_options() -> Iterator[None]:
    """Put the options into the environment, from which alone OpenCV takes them, and take them out again."""
    with _environment:
        added = {name: value for name, value in _FFMPEG.items() if name not in os.environ}
        os.environ.update(added)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)
