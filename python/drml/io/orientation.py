"""How an image file has to be turned to be upright, and the turn, for pixels and for points.

Cameras store pixels as the sensor saw them, and note the turn (EXIF, tag Orientation; AVIF has boxes of its
own). drml turns every image once, when it is decoded (`drml.io.opencv.decode_image`).
"""

from __future__ import annotations

import io
import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drml.io.file_kinds import AVIF, JPEG, PNG, TIFF, WEBP, kind_of
from drml.io.image_headers import check_pixels, image_size, jpeg_segments, png_chunks, tiff_tags

__all__ = ["MIRRORED", "UPRIGHT", "orientation", "stored_size", "turn", "turn_points"]

UPRIGHT = 1
MIRRORED = frozenset({2, 4, 5, 7})
"""Orientations whose stored pixels are also mirrored."""

_TAG = 0x0112
_WIDTH, _HEIGHT = 256, 257
_EXIF = b"Exif\0\0"
# The turn, which for mirrored images is followed by a flip from left to right.
_TURNS = {
    3: cv2.ROTATE_180,
    4: cv2.ROTATE_180,
    5: cv2.ROTATE_90_CLOCKWISE,
    6: cv2.ROTATE_90_CLOCKWISE,
    7: cv2.ROTATE_90_COUNTERCLOCKWISE,
    8: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def orientation(data: bytes) -> int:
    """Return the orientation of an image's stored pixels, as EXIF numbers it.

    Parameters
    ----------
    data : bytes
        The content of an image file.

    Returns
    -------
    int
        1 to 8; 1 (upright) if the file gives none, or none that is valid.

    Examples
    --------
    >>> orientation(b"P5 2 1 255 " + bytes([7, 9]))
    1
    """
    kind = kind_of(data)
    found = UPRIGHT
    if kind == JPEG:
        found = _of_jpeg(data)
    elif kind == PNG:
        found = next((_of_tiff(body) for name, body in png_chunks(data) if name == b"eXIf"), UPRIGHT)
    elif kind == WEBP:
        found = _of_webp(data)
    elif kind == TIFF:
        found = _of_tiff(data)
    elif kind == AVIF:
        found = _of_avif(data)
    return found if UPRIGHT <= found <= 8 else UPRIGHT


def stored_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of an image's stored pixels; None if they are not known.

    Raises
    ------
    UserError
        The image has too many pixels. The message names no file.
    """
    if kind_of(data) == TIFF:  # of which Pillow gives the size before or after the turn, by its version
        tags = tiff_tags(data)
        width, height = tags.get(_WIDTH), tags.get(_HEIGHT)
        return (width, height) if width and height else None
    return image_size(data) if check_pixels(data) else None


def turn(image: NDArray[Any], stored: int) -> NDArray[Any]:
    """Turn an image upright.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        As stored.
    stored : int
        Its orientation, as `orientation` returns it.

    Returns
    -------
    ndarray, shape (H, W), (W, H), or these with C
    """
    if stored in _TURNS:
        image = cv2.rotate(image, _TURNS[stored])
    return cv2.flip(image, 1) if stored in MIRRORED else image


def turn_points(points: NDArray[np.float64], stored: int, width: int, height: int) -> NDArray[np.float64]:
    """Move points of an image's stored pixels to where they lie in the upright image.

    Parameters
    ----------
    points : ndarray, shape (N, 2)
        x and y in stored pixels, counted from 0 at the centre of the first pixel.
    stored : int
        The orientation.
    width, height : int
        Sides of the stored image in pixels.

    Returns
    -------
    ndarray of float64, shape (N, 2)

    Examples
    --------
    >>> turn_points(np.array([[0.0, 0.0]]), 6, 40, 30)
    array([[29.,  0.]])
    """
    x, y = np.asarray(points, np.float64).T
    right, below = width - 1 - x, height - 1 - y
    turned = {
        1: (x, y),
        2: (right, y),
        3: (right, below),
        4: (x, below),
        5: (y, x),
        6: (below, x),
        7: (below, right),
        8: (y, right),
    }[stored]
    return np.column_stack(turned)


def _of_jpeg(data: bytes) -> int:
    for marker, body in jpeg_segments(data):
        if marker == 0xDA:
            break
        if marker == 0xE1 and body.startswith(_EXIF):
            return _of_tiff(body[len(_EXIF) :])
    return UPRIGHT


def _of_webp(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return _of_tiff(data[at + 8 : at + 8 + length].removeprefix(_EXIF))
        at += 8 + length + length % 2
    return UPRIGHT


def _of_tiff(data: bytes) -> int:
    """Return the orientation in a TIFF structure, as which EXIF is written too."""
    return tiff_tags(data).get(_TAG) or UPRIGHT


def _of_avif(data: bytes) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the size of the image: no pixels are decoded here
            with Image.open(io.BytesIO(data), formats=("AVIF",)) as picture:
                return int(picture.getexif().get(_TAG, UPRIGHT))
    except Exception:  # Pillow raises many kinds of errors
        return UPRIGHT
