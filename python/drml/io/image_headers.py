"""What the header of an image file says, before OpenCV decodes it: its size, and whether it is whole."""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from drml.io.errors import UserError
from drml.io.limits import IMAGE_PIXELS, IMAGE_SIDE

__all__ = [
    "check_pixels",
    "check_sides",
    "image_size",
    "is_cut_image",
    "is_raw_photo",
    "jpeg_components",
    "jpeg_segments",
    "png_chunks",
    "tiff_tags",
]

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG"
_PAM = b"P7"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # of a JPEG: one that begins a segment, or the end
_SUBFILE, _DNG_VERSION = 254, 50706  # tags of TIFF
_JPEG_2000 = b"\xff\x4f\xff\x51"  # where a code stream begins, bare or inside of a .jp2 file

# The formats of OpenCV's that Pillow knows too. OpenCV also reads PAM, which is parsed here, and Radiance
# HDR, whose floating-point pixels drml does not use.
_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "SUN", "TIFF", "WEBP")


def check_pixels(data: bytes) -> bool:
    """Check the size in an image's header before the image is decoded.

    Parameters
    ----------
    data : bytes
        The content of an image file.

    Returns
    -------
    bool
        Whether the header gives a size. An image whose size is not known must not be decoded.

    Raises
    ------
    UserError
        The image has more pixels, or a longer side, than `drml.io.limits` allows. The message names no file.

    Examples
    --------
    >>> check_pixels(b"P6 20 24 255 "), check_pixels(b"no image")
    (True, False)
    """
    try:
        size = image_size(data)
    except Image.DecompressionBombError as error:
        raise UserError(f"an image of too many pixels ({error})") from None
    if size is None:
        return False
    check_sides(*size)
    return True


def check_sides(width: int, height: int) -> None:
    """Raise `UserError` if an image of this size is beyond the limits; the message names no file."""
    if width * height > IMAGE_PIXELS or max(width, height) > IMAGE_SIDE:
        raise UserError(
            f"an image of {width}x{height} pixels; at most {IMAGE_PIXELS}, and {IMAGE_SIDE} a"
            " side, are read (docs/limits_python.md)"
        )


def image_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height as an image's header gives them.

    Parameters
    ----------
    data : bytes
        The content of an image file.

    Returns
    -------
    tuple of int, or None
        Width and height in pixels. If several parts of the file give a size, the largest counts. None if the
        data are no image, or of a format that is not known here.
    """
    if data[:2] == _JPEG:
        header = _jpeg_header(data)
        return header.width, header.height
    if data[:4] == _PNG:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == _PAM:
        return _pam_size(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:  # reads the header only
                width, height = picture.size
                coded = _code_stream_size(data) if picture.format == "JPEG2000" else (0, 0)
    except Image.DecompressionBombError:
        raise
    except Exception:  # Pillow raises many kinds of errors
        return None
    return max(width, coded[0]), max(height, coded[1])


def _pam_size(data: bytes) -> tuple[int, int] | None:
    head = data[: data.find(b"ENDHDR")]
    sides = [
        [int(side) for side in re.findall(name + rb"\s+(\d{1,9})", head)] for name in (b"WIDTH", b"HEIGHT")
    ]
    return (max(sides[0]), max(sides[1])) if all(sides) else None


def _code_stream_size(data: bytes) -> tuple[int, int]:
    """Return the size in the code stream of JPEG 2000, which decoders go by."""
    width = height = at = 0
    while (at := data.find(_JPEG_2000, at)) >= 0:
        if at + 24 <= len(data):
            right, bottom, left, top = struct.unpack_from(">4I", data, at + 8)
            width, height = max(width, right - left), max(height, bottom - top)
        at += 1
    return width, height


def is_cut_image(data: bytes) -> bool:
    """Whether the data are a truncated JPEG or PNG: OpenCV may fill the rest with grey without an error.

    A JPEG's end marker comes behind its last scan: a thumbnail in its header has one of its own, which is not
    asked. A PNG ends with the chunk IEND. What follows the end (a second picture of an MPO, a maker's data)
    does not count.
    """
    if data[:2] == _JPEG:
        return _is_cut_jpeg(data)
    return data[:8] == _PNG + b"\r\n\x1a\n" and _is_cut_png(data)


def _is_cut_jpeg(data: bytes) -> bool:
    scanned = False
    for marker, _ in jpeg_segments(data):
        if marker == 0xD9:
            return not scanned
        scanned = scanned or marker == 0xDA
    return True


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker of each segment of a JPEG, and its content without the length.

    What lies between two segments is passed over, as decoders do: fill bytes, and coded data, which hold no
    marker, because their byte FF is followed by 00, or by a restart.
    """
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at = found.end()
        length = max(2, int.from_bytes(data[at : at + 2], "big"))
        yield data[at - 1], data[at + 2 : at + length]
        at += length


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the type and the content of each chunk of a PNG that is there as a whole."""
    at = 8
    while at + 12 <= len(data):  # length, type and checksum of a chunk
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            return
        yield data[at + 4 : at + 8], data[at + 8 : end - 4]
        at = end


def _is_cut_png(data: bytes) -> bool:
    return all(name != b"IEND" for name, _ in png_chunks(data))


def is_raw_photo(data: bytes) -> bool:
    """Whether a TIFF file is a camera's raw file, such as DNG, NEF or ARW.

    The first picture of such a file is a small preview, which decoders would take for the photo.
    """
    tags = tiff_tags(data)
    return _DNG_VERSION in tags or bool((tags.get(_SUBFILE) or 0) & 1)


def tiff_tags(data: bytes) -> dict[int, int | None]:
    """Return the tags of the first directory of a TIFF structure.

    Returns
    -------
    dict
        Tag -> its value, if that is one whole number of 16 or 32 bits, or else None.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    found: dict[int, int | None] = {}
    if order is None:
        return found
    try:
        (at,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", data, entry)
            found[tag] = None
            if values == 1 and kind in (3, 4):
                (found[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)
    except struct.error:  # cut short
        pass
    return found


def jpeg_components(data: bytes) -> int:
    """Return how many colour components a JPEG has (4 for CMYK); 0 for data that are no JPEG."""
    return _jpeg_header(data).components if data[:2] == _JPEG else 0


class _JpegHeader(NamedTuple):
    """What a JPEG's segments say."""

    components: int
    width: int
    height: int


def _jpeg_header(data: bytes) -> _JpegHeader:
    """Walk a JPEG's segments; of several frame headers, which no decoder takes, the largest counts."""
    components = width = height = 0
    for marker, body in jpeg_segments(data):
        # Frame headers are SOF0-SOF15, except DHT, JPG and DAC among them.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and len(body) >= 6:
            components = body[5]
            height = max(height, int.from_bytes(body[1:3], "big"))
            width = max(width, int.from_bytes(body[3:5], "big"))
        if marker == 0xDA:
            break
    return _JpegHeader(components, width, height)
