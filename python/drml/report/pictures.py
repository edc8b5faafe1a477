"""Pictures inside the page: small enough, and described in words."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2

from drml.io.errors import UserError
from drml.io.limits import IMAGE_BYTES, read_bytes
from drml.io.opencv import decode_image

__all__ = ["Picture", "data_url", "read_picture"]

LIMIT = 300_000
"""Bytes above which a picture is encoded as JPEG."""

_WIDEST = 2000  # pixels


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes
    ----------
    url : str
        Its bytes as a data URL.
    width, height : int
        In pixels.
    alt : str
        The picture in words.
    """

    url: str
    width: int
    height: int
    alt: str


def data_url(data: bytes, where: str) -> str:
    """Return a picture's bytes as a data URL; JPEG and PNG go in as they are."""
    if data.startswith(b"\xff\xd8"):
        kind = "jpeg"
    elif data.startswith(b"\x89PNG"):
        kind = "png"
    else:
        raise UserError(f"{where}: neither JPEG nor PNG; run drml verify on it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def read_picture(path: Path, alt: str, limit: int = LIMIT) -> Picture:
    """Read a picture for the page; a file of more than `limit` bytes is encoded again, as JPEG.

    Raises
    ------
    UserError
        The file is missing or is no picture.
    """
    try:
        data = read_bytes(path, IMAGE_BYTES)
        pixels = decode_image(data)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    if pixels is None:
        raise UserError(f"{path}: not a picture; make it again")
    height, width = pixels.shape[:2]
    if len(data) > limit:
        if width > _WIDEST:
            height, width = round(height * _WIDEST / width), _WIDEST
            pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return Picture(data_url(data, str(path)), width, height, alt)
