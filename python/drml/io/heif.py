"""Decodes HEIC and AVIF photos with Pillow, where OpenCV cannot: HEIC needs the package pillow-heif."""

from __future__ import annotations

import importlib.util
import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from drml.io.errors import UserError
from drml.io.image_headers import check_sides

__all__ = ["decode_avif", "decode_heic"]


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
