"""Tells by the first bytes of a file whether it is an image, a video or something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from drml.io.limits import check_file

__all__ = ["AVIF", "GIF", "HEAD", "HEIC", "JPEG", "PNG", "TIFF", "WEBP", "FileKind", "file_kind", "kind_of"]

HEAD = 4096
"""Number of bytes by which a file is known."""


class FileKind(NamedTuple):
    """What a file is.

    Attributes
    ----------
    medium : {"image", "video", "other"}
        An animated GIF counts as a video, because its pictures have time stamps.
    name : str
        The format, for messages, such as ``"a JPEG image"``.
    """

    medium: str
    name: str


JPEG = FileKind("image", "a JPEG image")
PNG = FileKind("image", "a PNG image")
TIFF = FileKind("image", "a TIFF image")
WEBP = FileKind("image", "a WebP image")
AVIF = FileKind("image", "an AVIF image")
HEIC = FileKind("image", "an HEIC image")
GIF = FileKind("video", "a GIF animation")

# The first bytes of each format, in the order in which they are tried.
_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\xff\xd8\xff", *JPEG),
    (rb"\x89PNG\r\n\x1a\n", *PNG),
    (rb"BM.{4}\0\0\0\0", "image", "a BMP image"),
    (rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "image", "a BMP image"),
    (rb"RIFF.{4}WEBP", *WEBP),
    (rb"II\*\0.{4}CR", "other", "a camera's raw file"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+", *TIFF),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "image", "a JPEG 2000 image"),
    (rb"P[1-7][\s#]", "image", "a PNM image"),
    (rb"\x59\xa6\x6a\x95", "image", "a Sun raster image"),
    (rb"GIF8[79]a", *GIF),
    (rb"RIFF.{4}AVI |RIFF.{4}AVIX", "video", "an AVI file"),
    (rb"\x1a\x45\xdf\xa3", "video", "a Matroska or WebM file"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video", "a Windows Media file"),
    (rb"FLV\x01", "video", "a Flash video"),
    (rb"OggS", "video", "an Ogg file"),
    (rb"\x06\x0e\x2b\x34\x02\x05\x01\x01", "video", "an MXF file"),
    (rb"\x1f\x07\0[\x3f\xbf]", "video", "a DV file"),
    (rb"\0\0\0?\x01", "video", "an MPEG stream"),
    (rb".{4}(?:moov|mdat|wide|free|skip|pnot)", "video", "a QuickTime file"),
    (rb"(?:\s|\xef\xbb\xbf)*%PDF-", "other", "a PDF document"),
    (rb"8BPS", "other", "a Photoshop document"),
    (rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", "other", "a JPEG XL image"),
    (rb"IIU\0|IIR[OS]|FUJIFILMCCD-RAW|\0MRM", "other", "a camera's raw file"),
    (rb"PK\x03\x04", "other", "a ZIP archive or an office document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "other", "an office document"),
    (rb"ID3|fLaC|RIFF.{4}WAVE", "other", "a sound file"),
    (rb"(?i:(?:\s|\xef\xbb\xbf)*<(?:\?xml|svg|!doctype|html))", "other", "an XML or HTML document"),
    (rb"#\?RADIANCE|#\?RGBE|v/1\x01", "other", "an image of floating-point pixels"),
)
_KINDS = [(re.compile(start, re.DOTALL), FileKind(medium, name)) for start, medium, name in _STARTS]

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}
_SYNC = 0x47  # with which each packet of an MPEG transport stream begins
_PACKETS = (188, 192, 204)  # lengths of packets in bytes
_MOTION_JPEG = {".mjpg", ".mjpeg"}  # JPEG images one after the other: only the name tells it


def kind_of(head: bytes) -> FileKind | None:
    """Return what a file is.

    Parameters
    ----------
    head : bytes
        The file's first bytes, at least `HEAD` of them if it has as many.

    Returns
    -------
    FileKind or None
        None if the format is not known here.

    Examples
    --------
    >>> kind_of(b"%PDF-1.7")
    FileKind(medium='other', name='a PDF document')
    """
    head = head[:HEAD]
    if head[4:8] == b"ftyp":
        return _kind_of_brands(head)
    for start, kind in _KINDS:
        if start.match(head):
            return kind
    if _is_transport_stream(head):
        return FileKind("video", "an MPEG transport stream")
    return None


def file_kind(path: str | Path) -> FileKind | None:
    """Return what a file is by its content, as `kind_of`; None as well if it is missing or cannot be read."""
    try:
        check_file(path, 1 << 62)
        with Path(path).open("rb") as file:
            kind = kind_of(file.read(HEAD))
    except OSError:
        return None
    if kind == JPEG and Path(path).suffix.lower() in _MOTION_JPEG:
        return FileKind("video", "a Motion JPEG stream")
    return kind


def _kind_of_brands(head: bytes) -> FileKind:
    """Tell apart the formats that begin with a box ``ftyp``, by the brands in it."""
    end = min(len(head), int.from_bytes(head[:4], "big"))
    brands = {head[at : at + 4] for at in (8, *range(16, end - 3, 4))}
    if head[8:12] == b"crx ":
        return FileKind("other", "a camera's raw file")
    if brands & {b"avif", b"avis"}:
        return AVIF
    if brands & _HEIC_BRANDS:
        return HEIC
    if head[8:12] in (b"M4A ", b"M4B "):
        return FileKind("other", "a sound file")
    return FileKind("video", "an MP4 or QuickTime file")


def _is_transport_stream(head: bytes) -> bool:
    # A recording may begin within a packet.
    for length in _PACKETS:
        for first in range(min(length, max(0, len(head) - 4 * length))):
            if all(head[first + index * length] == _SYNC for index in range(5)):
                return True
    return False
