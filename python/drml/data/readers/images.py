"""Reads image files and frames of videos as 8-bit BGR arrays, and reports conversions."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from drml.data.readers.video import VideoFrame, VideoReader
from drml.io import limits
from drml.io.errors import UserError
from drml.io.file_kinds import GIF, HEIC, TIFF, kind_of
from drml.io.heif import is_turned_heic
from drml.io.image_headers import is_cut_image, is_raw_photo, jpeg_components
from drml.io.opencv import decode_image
from drml.io.orientation import UPRIGHT, orientation

__all__ = ["ImageReader", "decode_bgr", "is_image", "load_bgr", "numbered", "source_name"]

_KINDS = {".jpg", ".jpeg", ".png"}
_OF_16_BITS = np.round(np.arange(1 << 16) / 257).astype(np.uint8)


class ImageReader:
    """Reads images one after the other from files and videos.

    The last video stays open, so that frames that are read in their order are decoded in one pass.
    """

    def __init__(self) -> None:
        self._video: VideoReader | None = None

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the video that is open, if any."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def load(self, image: Path | VideoFrame) -> tuple[np.ndarray, str | None]:
        """Read an image as 8-bit BGR; parameters, results and errors are those of :func:`load_bgr`."""
        if isinstance(image, Path):
            return load_bgr(image)
        try:
            reader = self._opened(image)
            return reader.read(image.index), None if reader.pixel == (1, 1) else "oblong pixels"
        except UserError as error:
            raise UserError(f"{image}: {str(error).removeprefix(f'{image.video}: ')}") from None

    def place(self, image: Path | VideoFrame, points: np.ndarray) -> np.ndarray:
        """Return points of a frame as it is stored, (N, 2), as those of the image that `load` returns."""
        if isinstance(image, Path):
            return points
        # Whole numbers are pixel centres.
        return (points + 0.5) * self._opened(image).pixel - 0.5

    def finish(self, frame: VideoFrame) -> None:
        """Check the rest of a video after its last frame in use was read; see `VideoReader.finish`."""
        self._opened(frame).finish()
        self.close()

    def _opened(self, frame: VideoFrame) -> VideoReader:
        if self._video is None or self._video.path != frame.video:
            self.close()
            self._video = VideoReader(frame.video, frame.short)
        return self._video


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its name."""
    return path.suffix.lower() in _KINDS and not path.name.startswith(".")


def numbered(folder: Path, number: re.Pattern[str]) -> dict[int, Path]:
    """Map frame numbers to the images of a folder; ``0042.jpg`` and ``42.jpg`` are both frame 42.

    Parameters
    ----------
    folder : Path
    number : pattern
        Must match a whole name without its suffix; its only group is the number. Other files and hidden files
        are ignored.

    Raises
    ------
    UserError
        Two images have the same number.
    """
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        match = number.fullmatch(path.stem)
        if not match or not is_image(path):
            continue
        frame = int(match[1])
        if frame in found:
            names = sorted((found[frame].name, path.name))
            raise UserError(f"{folder}: frame {frame} has two images, {names[0]} and {names[1]}; remove one")
        found[frame] = path
    return found


def source_name(root: Path, image: Path | VideoFrame) -> str:
    """Return an image's path relative to its data set, followed by ``#index`` for a frame of a video.

    The name is thus the same wherever the data set is mounted. An image outside of the data set's folder,
    which a list may name, keeps its path. `root` is the data set's folder, or the file that lists its images.
    """
    folder = root if root.is_dir() else root.parent
    file = image.video if isinstance(image, VideoFrame) else image
    path = (file.relative_to(folder) if file.is_relative_to(folder) else file.absolute()).as_posix()
    return f"{path}#{image.index}" if isinstance(image, VideoFrame) else path


def load_bgr(path: Path | str) -> tuple[np.ndarray, str | None]:
    """Read an image file as 8-bit BGR.

    Parameters
    ----------
    path : path-like
        A file of one of the formats that `drml.io.opencv.decode_image` reads, whatever its name.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        Upright: turned as the file says.
    note : str or None
        The conversions (``"turned upright"``, ``"greyscale"``, ``"CMYK"``, ``"16 bits"``, ``"alpha"``),
        joined by commas, or None.

    Raises
    ------
    UserError
        The file is missing or empty, or cannot be decoded.
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
    """Decode the bytes of an image file as :func:`load_bgr` does; messages do not name the file."""
    if not data:
        raise UserError("the image has zero bytes")
    if is_cut_image(data):
        raise UserError("the JPEG is truncated" if data[:2] == b"\xff\xd8" else "the PNG is truncated")
    kind = kind_of(data)
    if kind is not None and kind.medium != "image" and kind != GIF:
        raise UserError(f"is {kind.name}, not an image that drml reads; export it as JPEG or PNG")
    if kind == TIFF and is_raw_photo(data):
        raise UserError("is a camera's raw file, whose first image is a preview; export it as JPEG or PNG")
    image = decode_image(data, cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UserError(
            "the image cannot be decoded (damaged, not an image, or of an unusual format);"
            " if other programs show it, convert it to PNG"
        )

    turned = is_turned_heic(data) if kind == HEIC else orientation(data) != UPRIGHT
    notes = ["turned upright"] if turned else []
    # OpenCV has converted the pixels; only the header tells.
    if jpeg_components(data) == 4:
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
        raise UserError(f"an image of {image.shape[2]} channels of {image.dtype} is not supported")
    return np.ascontiguousarray(image), ", ".join(notes) or None
