"""Looks at a MATLAB file of the older format (5) before SciPy reads it, and unpacks its compressed parts.

SciPy believes what such a file says of itself: a few kilobytes may unpack to gigabytes, a matrix may claim
any size, and cells nested ten thousand deep end the process. `unpacked` walks all elements, down to a depth
and up to a size, and returns a file of the same content without compression, in which every element lies
inside the one around it.
"""

from __future__ import annotations

import math
import struct
import zlib

from drml.io.limits import MAT_BYTES

__all__ = ["is_mat5", "unpacked"]

_HEAD = 128
_MATRIX, _COMPRESSED = 14, 15
_INT32 = 5
_CELL, _STRUCT = 1, 2
_TEXT = 4
_PLAIN = {_TEXT, *range(6, 16)}  # text and numbers
_COMPLEX = 0x08
_DEEPEST = 8
_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 2,
    5: 4,
    6: 4,
    7: 4,
    9: 8,
    12: 8,
    13: 8,
    16: 1,
    17: 2,
    18: 4,
}  # of a value, by type


def is_mat5(data: bytes) -> bool:
    """Whether a file has the head of this format, little-endian."""
    return len(data) >= _HEAD and data[124:128] == b"\x00\x01IM"


def unpacked(data: bytes) -> bytes:
    """Return the file without compression.

    Raises
    ------
    ValueError
        It is damaged, too large when unpacked, or holds what no landmark file does. Names no file.
    """
    parts, total, at = [data[:_HEAD]], 0, _HEAD
    while at < len(data):
        kind, length, start, at = _element(data, at, len(data), packed=False)
        if kind == _COMPRESSED:
            content = _inflated(data[start : start + length], MAT_BYTES - total)
        else:
            content = data[start - 8 : start + length]
        inner, size, begin, end = _element(content, 0, len(content))
        if inner == _MATRIX:
            _check_matrix(content, begin, begin + size, 0)
            whole = content[:end]
            parts.append(whole + bytes(-len(whole) % 8))
        total += len(content)
        if total > MAT_BYTES:
            raise ValueError(f"more than {MAT_BYTES} bytes when unpacked (docs/limits_python.md)")
    return b"".join(parts)


def _inflated(data: bytes, most: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        content = engine.decompress(data, max(most, 0) + 1)
    except zlib.error as error:
        raise ValueError(f"damaged ({error})") from None
    if len(content) > most:
        raise ValueError(f"more than {MAT_BYTES} bytes when unpacked (docs/limits_python.md)")
    return content


def _element(data: bytes, at: int, end: int, *, packed: bool = True) -> tuple[int, int, int, int]:
    """Return type and length of an element, where its content begins, and where the next element does."""
    if at + 8 > end:
        raise ValueError("cut short")
    kind, length = struct.unpack_from("<II", data, at)
    if packed and kind >> 16:  # a small element: both in four bytes, up to four more of content
        kind, length = kind & 0xFFFF, kind >> 16
        if length > 4:
            raise ValueError("an element that is damaged")
        return kind, length, at + 4, at + 8
    start = at + 8
    if start + length > end:
        raise ValueError("an element that ends outside of the file")
    # Only compressed elements are not filled up to eight bytes.
    following = start + length if kind == _COMPRESSED else start + length + -length % 8
    return kind, length, start, following


def _check_matrix(data: bytes, at: int, end: int, depth: int) -> None:
    """Check an array: its flags, its size against its content, and what it holds."""
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    if at == end:  # MATLAB's []
        return
    kind, length, start, at = _element(data, at, end)
    if (kind, length) != (6, 8):
        raise ValueError("an array without flags")
    what, more = data[start : start + 2]
    kind, length, start, at = _element(data, at, end)
    if kind != _INT32 or length % 4 or not 8 <= length <= 128:
        raise ValueError("an array without a size")
    shape = struct.unpack_from(f"<{length // 4}i", data, start)
    if min(shape) < 0:
        raise ValueError(f"an array of the size {shape}")
    count = math.prod(shape)
    kind, length, start, at = _element(data, at, end)  # its name
    if what in _PLAIN:
        kind, length, start, at = _element(data, at, end)
        stored = length // _BYTES.get(kind, length + 1)
        # A letter may take several bytes; complex numbers, whose second part would follow, are no landmarks.
        good = count <= stored <= 4 * count if what == _TEXT else count == stored
        if not good or more & _COMPLEX:
            raise ValueError(f"an array of the size {shape} with {length} bytes of content")
        return
    if what == _STRUCT:
        kind, length, start, at = _element(data, at, end)
        longest = struct.unpack_from("<i", data, start)[0] if (kind, length) == (_INT32, 4) else 0
        kind, length, start, at = _element(data, at, end)
        if longest < 1 or length % longest:
            raise ValueError("a struct without fields")
        count *= length // longest
    elif what != _CELL:
        raise ValueError(f"an array of class {what}, which no landmark file holds")
    # Each part has a head of its own, so that a count beyond the content is refused here.
    if count > (end - at) // 8:
        raise ValueError(f"an array of the size {shape} that ends early")
    for _ in range(count):
        kind, length, start, at = _element(data, at, end)
        if kind != _MATRIX:
            raise ValueError("an array that holds no array")
        _check_matrix(data, start, start + length, depth + 1)
