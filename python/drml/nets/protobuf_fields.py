"""Reads and replaces single fields of a protobuf message in a file, without loading the message.

A file of weights has hundreds of megabytes, of which a recipe is a few kilobytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["Field", "NotProtobufError", "content_of", "encode_field", "fields_of", "splice"]

_FIELDS = 1 << 20  # far more fields than a file of weights has
_FIXED = {1: 8, 5: 4}  # protobuf's wire types of fixed size


class NotProtobufError(ValueError):
    """A file is not a protobuf message, or is cut short."""


class Field(NamedTuple):
    """A field of a protobuf message in a file: its number, and the offsets of its tag, content and end."""

    number: int
    start: int
    content: int
    end: int


def fields_of(file: IO[bytes]) -> Iterator[Field]:
    """List the fields of the message in a file without reading what they hold.

    Raises
    ------
    NotProtobufError
        It is not a protobuf message, or is cut short.
    """
    size = file.seek(0, os.SEEK_END)
    start = 0
    for _ in range(_FIELDS):
        if start == size:
            return
        file.seek(start)
        tag = _varint(file)
        number, kind = tag >> 3, tag & 7
        if kind == 2:
            length = _varint(file)
        elif kind == 0:
            _varint(file)
            length = 0
        else:
            length = _FIXED.get(kind, -1)
        content = file.tell()
        if not number or length < 0 or content + length > size:
            raise NotProtobufError
        yield Field(number, start, content, content + length)
        start = content + length
    raise NotProtobufError


def _varint(file: IO[bytes]) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise NotProtobufError


def encode_field(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message."""
    return _varint_of(number << 3 | 2) + _varint_of(len(content)) + content


def _varint_of(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def content_of(file: IO[bytes], one: Field, limit: int) -> bytes:
    """Return the content of a field; raise `ValueError` if it has more than `limit` bytes."""
    if one.end - one.content > limit:
        raise ValueError(f"{one.end - one.content} bytes; at most {limit} are read")
    file.seek(one.content)
    return file.read(one.end - one.content)


def splice(path: Path, part: Path, dropped: Callable[[IO[bytes], Field], bool], added: bytes) -> None:
    """Copy a file of protobuf without the fields for which `dropped` holds, and with others at its end.

    Raises
    ------
    NotProtobufError
        `path` is not a protobuf message, or is cut short.
    """
    with path.open("rb") as file, part.open("wb") as copy:
        for one in list(fields_of(file)):
            if dropped(file, one):
                continue
            file.seek(one.start)
            left = one.end - one.start
            while left > 0:
                chunk = file.read(min(left, 1 << 20))
                copy.write(chunk)
                left -= len(chunk)
        copy.write(added)
