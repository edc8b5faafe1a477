"""Image files and frames of videos -> BGR arrays of 8 bits; what was converted is said."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from drml.data.readers.video import VideoFrame, VideoReader
from drml.io import limits
from drml.io.errors import UserError

__all__ = ["ImageReader", "check_pixels", "decode_bgr", "is_cut_jpeg", "load_bgr", "numbered"]

_KINDS = {".jpg", ".jpeg", ".png"}
_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG"
_OF_16_BITS = np.round(np.arange(1 << 16) / 257).astype(np.uint8)

# A broken file raises an error of ours that names it; OpenCV's own warnings name no file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


class ImageReader:
    """Reads images one after the other, out of files and out of videos.

    The last video stays open: its frames, asked for in their order, are decoded in one go.
    """

    def __init__(self) -> None:
        self._video: VideoReader | None = None

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the video that is open, if any."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def load(self, image: Path | VideoFrame) -> tuple[np.ndarray, str | None]:
        """Read an image as BGR, 8 bits; see :func:`load_bgr`, also for what it returns and raises."""
        if isinstance(image, Path):
            return load_bgr(image)
        try:
            return self._opened(image.video).read(image.index), None
        except UserError as error:
            raise UserError(f"{image}: {str(error).removeprefix(f'{image.video}: ')}") from None

    def finish(self, video: Path) -> None:
        """Check a video that was read to its last frame in use; see `VideoReader.finish`."""
        self._opened(video).finish()
        self.close()

    def _opened(self, video: Path) -> VideoReader:
        if self._video is None or self._video.path != video:
            self.close()
            self._video = VideoReader(video)
        return self._video


def numbered(folder: Path, number: re.Pattern[str]) -> dict[int, Path]:
    """Map frame number -> image of a folder; ``0042.jpg`` and ``42.jpg`` are both frame 42.

    Parameters
    ----------
    folder : Path
    number : pattern
        Must match a whole name but for its ending; its only group is the number. Other files are passed
        over, hidden ones among them.

    Raises
    ------
    UserError
        Two images have one number.
    """
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        match = number.fullmatch(path.stem)
        if path.suffix.lower() not in _KINDS or path.name.startswith(".") or not match:
            continue
        frame = int(match[1])
        if frame in found:
            names = sorted((found[frame].name, path.name))
            raise UserError(f"{folder}: frame {frame} has two images, {names[0]} and {names[1]}; remove one")
        found[frame] = path
    return found


def load_bgr(path: Path | str) -> tuple[np.ndarray, str | None]:
    """Read an image file as BGR, 8 bits.

    Parameters
    ----------
    path : path-like
        A JPEG or PNG file, or another kind that OpenCV reads.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        As stored: an EXIF orientation is not applied, since landmarks refer to the stored pixels.
    note : str or None
        Which conversion took place (``"greyscale"``, ``"CMYK"``, ``"16 bits"``, ``"alpha"``; several are
        joined by commas), or None.

    Raises
    ------
    UserError
        The file is missing, empty or undecodable.
    """
    path = Path(path)
    try:
        data = limits.read_bytes(path, limits.IMAGE_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path}: no such image") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return decode_bgr(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def decode_bgr(data: bytes) -> tuple[np.ndarray, str | None]:
    """Decode the bytes of an image file; see :func:`load_bgr`, whose errors here name no file."""
    if not data:
        raise UserError("the image has zero bytes")
    if is_cut_jpeg(data):
        raise UserError("the JPEG is truncated")
    check_pixels(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        image = None
    if image is None or image.size == 0:
        raise UserError("the image cannot be decoded (damaged, or not an image)")

    notes = []
    # OpenCV has converted it; the header still knows.
    if data[:2] == _JPEG and _jpeg_header(data).components == 4:
        notes.append("CMYK")
    if image.ndim == 3 and image.shape[2] in (2, 4):
        notes.append("alpha")
        image = image[:, :, : image.shape[2] - 1]
    if image.ndim == 2 or image.shape[2] == 1:
        notes.append("greyscale")
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.dtype == np.uint16:
        notes.append("16 bits")
        image = np.stack([_OF_16_BITS[row] for row in image])
    if image.dtype != np.uint8 or image.shape[2] != 3:
        raise UserError(f"an image of {image.shape[2]} channels of {image.dtype} is not understood")
    return np.ascontiguousarray(image), ", ".join(notes) or None


def check_pixels(data: bytes) -> None:
    """Look at the size in an image's head before it is decoded.

    Raises
    ------
    UserError
        It has too many pixels. Names no file.
    """
    try:
        width, height = _size(data)
    except Image.DecompressionBombError as error:
        raise UserError(f"an image of too many pixels ({error})") from None
    if width * height > limits.IMAGE_PIXELS or max(width, height) > limits.IMAGE_SIDE:
        raise UserError(
            f"an image of {width}x{height} pixels; at most {limits.IMAGE_PIXELS}, and {limits.IMAGE_SIDE} a"
            " side, are read (docs/limits_python.md)"
        )


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height; 0 and 0 where they are not known, as OpenCV has a limit too (see `drml`)."""
    if data[:2] == _JPEG:
        header = _jpeg_header(data)
        return header.width, header.height
    if data[:4] == _PNG:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:  # reads its head alone
                return picture.size
    except Image.DecompressionBombError:
        raise
    except Exception:  # Pillow raises many kinds on what is none of its images
        return 0, 0


def is_cut_jpeg(data: bytes) -> bool:
    """Whether the bytes are a JPEG that breaks off: OpenCV may fill the rest with grey and say nothing."""
    if data[:2] != _JPEG:
        return False
    scan = _jpeg_header(data).scan
    return not scan or data.find(b"\xff\xd9", scan) < 0


class _JpegHeader(NamedTuple):
    """What a JPEG's segments say; `scan` is where the scan data begin (0: never)."""

    components: int
    width: int
    height: int
    scan: int


def _jpeg_header(data: bytes) -> _JpegHeader:
    """Walk a JPEG's segments; of several frame headers, which no decoder takes, the largest counts."""
    components = width = height = 0
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return _JpegHeader(components, width, height, 0)
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # these stand alone
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        # Frame headers are SOF0-SOF15, but for DHT, JPG and DAC among them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 < len(data):
            components = data[at + 9]
            height = max(height, int.from_bytes(data[at + 5 : at + 7], "big"))
            width = max(width, int.from_bytes(data[at + 7 : at + 9], "big"))
        at += 2 + length
        if marker == 0xDA:
            return _JpegHeader(components, width, height, min(at, len(data)))
    return _JpegHeader(components, width, height, 0)
