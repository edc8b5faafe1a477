"""What a video's container says for certain: how many frames it shows, and whether bytes of it are missing.

OpenCV's count of frames is a guess for most containers, from the duration of the whole file: too high if the
sound is longer than the picture or the picture begins later. AVI and MP4 have the number itself; of an AVI,
empty frames do not count, and of an MP4, those that its edit list leaves out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drml.io.limits import VIDEO_FRAMES

__all__ = ["VideoHeader", "video_header"]

_LARGEST_INDEX = 32 << 20  # bytes of an index or a header that are read
_PARTS = 4096  # chunks or boxes of a file that are looked at
_CONTAINERS = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl")

Boxes = dict[bytes, bytes]


class VideoHeader(NamedTuple):
    """What the container of a video says.

    Attributes
    ----------
    frames : int or None
        The number of frames that are shown; None if the container does not say it.
    missing : int
        Number of bytes that the container has according to its own sizes, but the file does not.
    """

    frames: int | None
    missing: int


def video_header(path: str | Path, counted: int) -> VideoHeader:
    """Read what the container of a video says.

    Parameters
    ----------
    path : path
        A video file of any format.
    counted : int
        The number of frames that OpenCV gives (``CAP_PROP_FRAME_COUNT``), which for an AVI is that of its
        header.

    Returns
    -------
    VideoHeader

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(16)
        if head[:4] == b"RIFF" and head[8:11] == b"AVI":
            return _avi(file, size, counted)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return VideoHeader(None, _missing_of_matroska(file, size))
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            return _mp4(file, size)
    return VideoHeader(None, 0)


def _avi(file: IO[bytes], size: int, counted: int) -> VideoHeader:
    file.seek(0)
    end = 8 + int.from_bytes(file.read(8)[4:], "little")
    empty, at = 0, 12
    for _ in range(_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or at >= end:
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"idx1" and length <= _LARGEST_INDEX:
            index = np.frombuffer(file.read(length - length % 16), np.uint8)
            rows = index[: len(index) // 16 * 16].reshape(-1, 16)
            pictures = (rows[:, 2] == ord("d")) & np.isin(rows[:, 3], (ord("b"), ord("c")))
            empty = int((pictures & (rows[:, 12:] == 0).all(axis=1)).sum())
        at += 8 + length + length % 2
    return VideoHeader(max(0, counted - empty) or None, max(0, end - size))


def _missing_of_matroska(file: IO[bytes], size: int) -> int:
    """Return how many bytes of the segment are missing; live recordings do not know its size."""
    file.seek(0)
    head = file.read(4096)
    length, at = _number(head, 4)
    at += length or 0
    if head[at : at + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = _number(head, at + 4)
    return 0 if length is None else max(0, at + length - size)


def _number(data: bytes, at: int) -> tuple[int | None, int]:
    """Read a length of Matroska's, whose first byte tells how long it is; return it and where it ends."""
    first = data[at] if at < len(data) else 0
    if first == 0:
        return None, at
    width = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << (7 * width)) - 1)
    return (None if value == (1 << (7 * width)) - 1 else value), at + width


def _mp4(file: IO[bytes], size: int) -> VideoHeader:
    at = 0
    moov = b""
    fragments = 0
    for _ in range(_PARTS):
        file.seek(at)
        kind, start, end = _box(file.read(16), at, size)
        if end <= at or start > size:
            break
        if kind == b"moov" and end - start <= _LARGEST_INDEX:
            file.seek(start)
            moov = file.read(end - start)
        fragments += kind == b"moof"
        at = end
        if at >= size:
            break
    frames = None
    try:
        tracks, scale = _tracks(moov)
        videos = [boxes for boxes in tracks if boxes.get(b"hdlr", b"")[8:12] == b"vide"]
        if len(videos) == 1 and not fragments:
            frames = _shown(videos[0], scale)
    except (struct.error, IndexError, ValueError, KeyError):
        pass  # damaged: it says nothing for certain
    return VideoHeader(frames, max(0, at - size))


def _box(head: bytes, at: int, size: int) -> tuple[bytes, int, int]:
    """Return the type of a box, and where its content begins and ends; nothing for what is no box."""
    if len(head) < 8:
        return b"", at, at
    length = int.from_bytes(head[:4], "big")
    if length == 1 and len(head) >= 16:
        return head[4:8], at + 16, at + int.from_bytes(head[8:16], "big")
    return head[4:8], at + 8, size if length == 0 else at + length


def _walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        kind, start, end = _box(data[at : at + 16], at, len(data))
        if end <= at:
            return
        yield kind, data[start:end]
        at = end


def _tracks(moov: bytes) -> tuple[list[Boxes], int]:
    """Return the boxes of each track by their types, and the movie's time units per second."""
    tracks = []
    scale = 0
    for kind, content in _walk(moov):
        if kind == b"mvhd":
            scale = _units(content)
        if kind == b"trak":
            boxes: Boxes = {}
            _collect(content, boxes)
            tracks.append(boxes)
    return tracks, scale


def _collect(data: bytes, boxes: Boxes, depth: int = 0) -> None:
    for kind, content in _walk(data):
        if kind in _CONTAINERS and depth < len(_CONTAINERS):
            _collect(content, boxes, depth + 1)
        else:
            boxes.setdefault(kind, content)


def _units(header: bytes) -> int:
    """Return the time units per second of a box mvhd or mdhd."""
    return int(struct.unpack_from(">I", header, 20 if header[0] else 12)[0])


def _shown(track: Boxes, scale: int) -> int | None:
    """Return how many frames of a track are shown; None if its edit list has several parts."""
    (count,) = struct.unpack_from(">I", track[b"stsz"], 8)
    edits = [edit for edit in _edits(track.get(b"elst", b"")) if edit[1] != -1]  # -1: a pause
    if not edits:
        return int(count) or None
    if len(edits) > 1 or not 0 < count <= VIDEO_FRAMES:
        return None
    duration, begin = edits[0]
    durations = _runs(track[b"stts"], count)
    times = np.concatenate([[0], np.cumsum(durations)[:-1]])
    if b"ctts" in track:
        times = times + _runs(track[b"ctts"], count).astype(np.int32)  # signed in newer files
    end = begin + duration * _units(track[b"mdhd"]) / scale if duration and scale else np.inf
    # A frame of which a part is left out may be shown or not: it is not promised.
    return int(((times >= begin) & (times + durations <= np.ceil(end) + 1)).sum())


def _edits(box: bytes) -> list[tuple[int, int]]:
    """Return duration, in units of the movie, and begin, in units of the track, of each edit."""
    if len(box) < 8:
        return []
    form = ">Qqhh" if box[0] else ">Iihh"
    (count,) = struct.unpack_from(">I", box, 4)
    step = struct.calcsize(form)
    return [struct.unpack_from(form, box, 8 + step * index)[:2] for index in range(min(count, 16))]


def _runs(box: bytes, count: int) -> NDArray[np.int64]:
    """Return the value of each frame in a table of lengths of runs and values (stts, ctts)."""
    (entries,) = struct.unpack_from(">I", box, 4)
    table = np.frombuffer(box, ">u4", 2 * entries, 8).astype(np.int64).reshape(-1, 2)
    if table[:, 0].sum() != count:
        raise ValueError("the table is of another number of frames")
    return np.repeat(table[:, 1], table[:, 0])
