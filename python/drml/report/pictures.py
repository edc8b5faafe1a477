"""Pictures inside the page: small enough, and described in words."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import cv2
import numpy as np

from drml.data.readers.images import check_pixels
from drml.io.errors import UserError
from drml.io.limits import IMAGE_BYTES, read_bytes
from drml.report.markup import escaped

__all__ = ["data_url", "picture"]

LIMIT = 300_000
"""Bytes above which a picture is encoded as JPEG."""

_WIDEST = 2000  # pixels


def data_url(data: bytes, where: str) -> str:
    """Return a picture's bytes as a data URL; JPEG and PNG go in as they are."""
    if data.startswith(b"\xff\xd8"):
        kind = "jpeg"
    elif data.startswith(b"\x89PNG"):
        kind = "png"
    else:
        raise UserError(f"{where}: neither JPEG nor PNG; run drml verify on it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def picture(path: Path, alt: str, kind: str = "picture", limit: int = LIMIT) -> str:
    """Return the ``img`` of a file; one of more than `limit` bytes is encoded anew.

    Raises
    ------
    UserError
        It is missing, or no picture.
    """
    try:
        data = read_bytes(path, IMAGE_BYTES)
        check_pixels(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    pixels = None
    with contextlib.suppress(cv2.error):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise UserError(f"{path}: not a picture; make it again")
    height, width = pixels.shape[:2]
    if len(data) > limit:
        if width > _WIDEST:
            height, width = round(height * _WIDEST / width), _WIDEST
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    source = data_url(data, str(path))
    return f'<img class="{kind}" src="{source}" width="{width}" height="{height}" alt="{escaped(alt)}">'
