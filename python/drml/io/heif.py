"""Decodes HEIC and AVIF photos with Pillow, where OpenCV cannot: HEIC needs the package pillow-heif."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drml.io.errors import UserError
from drml.io.image_headers import check_sides

__all__ = ["decode_avif", "decode_heic", "is_turned_heic"]


def decode_heic(data: bytes) -> NDArray[np.uint8] | None:
    """Decode an HEIC image.

    Parameters
    ----------
    data : bytes
        The content of the file.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3), or None
        BGR, upright: the file's turn is part of decoding it. None if the image is damaged.

    Raises
    ------
    UserError
        The package is not installed, or the image has too many pixels. The message names no file.
    """
    if importlib.util.find_spec("pillow_heif") is None:
        raise UserError(
            "an HEIC image, which needs the package pillow-heif; install it (pip install pillow-heif), or"
            " convert the image to JPEG"
        )
    import pillow_heif

    try:
        opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)  # reads the header only
    except Exception:  # libheif's errors are of many kinds
        return None
    check_sides(*opened.size)
    try:
        return _bgr(opened.to_pillow())
    except Exception:
        return None


def decode_avif(data: bytes) -> NDArray[np.uint8] | None:
    """Decode an AVIF image as it is stored; parameters and results are those of `decode_heic`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=("AVIF",)) as picture:
                return _bgr(picture)
    except Exception:  # Pillow raises many kinds of errors
        return None


def _bgr(picture: Any) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.asarray(picture.convert("RGB"), np.uint8)[:, :, ::-1])


def is_turned_heic(data: bytes) -> bool:
    """Return whether decoding an HEIC image turns or mirrors it, as a property of its main picture says."""
    try:
        (meta,) = (body for name, body in _boxes(data) if name == b"meta")
        parts = dict(_boxes(meta[4:]))
        properties = dict(_boxes(parts[b"iprp"]))
        kinds = list(_boxes(properties[b"ipco"]))
        used = _properties_of(_number(parts[b"pitm"][4:]), properties[b"ipma"])
        return any(
            kinds[one - 1][0] == b"imir" or (kinds[one - 1][0] == b"irot" and kinds[one - 1][1][0] & 3)
            for one in used
            if 0 < one <= len(kinds)
        )
    except (KeyError, IndexError, ValueError):  # a damaged file
        return False


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each box of a file of ISO's base media format, or within a box."""
    at = 0
    while at + 8 <= len(data):
        size, name, head = _number(data[at : at + 4]), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = _number(data[at + 8 : at + 16]), 16
        end = len(data) if size == 0 else at + size
        yield name, data[at + head : end]
        at = max(end, at + head)


def _properties_of(item: int, table: bytes) -> list[int]:
    """Return the properties of a picture, counted from 1, from the table of a box `ipma`."""
    wide, flags = 4 if table[0] else 2, table[3]
    each = 2 if flags & 1 else 1
    at = 8
    for _ in range(_number(table[4:8])):
        found, count = _number(table[at : at + wide]), table[at + wide]
        at += wide + 1
        if found == item:
            # The uppermost bit tells that a reader must know the property.
            mask = (1 << (8 * each - 1)) - 1
            return [_number(table[one : one + each]) & mask for one in range(at, at + count * each, each)]
        at += count * each
    return []


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
