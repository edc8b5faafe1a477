"""How large what is read may be, and readers that keep to it: files may come from people one does not know.

Each limit is far above what data and nets of this kind need; docs/limits_python.md says what is done. A
file that is beyond one is refused before memory is taken for it.
"""

from __future__ import annotations

import json
import math
import stat
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from drml.io.errors import UserError

if TYPE_CHECKING:  # every command imports this module, not every one NumPy
    from numpy.typing import NDArray

__all__ = [
    "ARRAY_BYTES",
    "IMAGE_BYTES",
    "IMAGE_PIXELS",
    "IMAGE_SIDE",
    "JSON_BYTES",
    "LABELS",
    "LIST_BYTES",
    "MAT_BYTES",
    "MEAN_BYTES",
    "PROTOTXT_BYTES",
    "PROTO_BYTES",
    "VIDEO_FRAMES",
    "VIDEO_REFUSED",
    "check_file",
    "open_list",
    "read_bytes",
    "read_json",
    "read_npz",
    "read_text",
]

LIST_BYTES = 256 << 20
"""A CSV file or a log: manifests, lists of images, codes, label files."""

JSON_BYTES = 64 << 20
"""A JSON file: scores, summaries, settings."""

PROTOTXT_BYTES = 64 << 20
"""A prototxt; the authors' net of 64 branches has 120 kB."""

PROTO_BYTES = 2**31 - 1
"""A .caffemodel; what protobuf itself can read at most."""

MEAN_BYTES = 256 << 20
"""A mean image: 8192 x 8192 pixels of 32 bits."""

MAT_BYTES = 512 << 20
"""A landmark file of MATLAB's, and what its compressed parts may become."""

ARRAY_BYTES = 4 << 30
"""The arrays of an .npz file, or one of an HDF5 file, when unpacked."""

IMAGE_BYTES = 256 << 20
"""An image file."""

IMAGE_PIXELS = 100_000_000
"""Pixels of an image or of a video's frame."""

IMAGE_SIDE = 16384
"""Width or height of an image."""

LABELS = 65_536
"""Labels of a record, columns of a list, AUs of a manifest."""

VIDEO_FRAMES = 4_000_000
"""Frames of a video whose frames are counted: 44 hours at 25 a second."""

VIDEO_REFUSED = 10_000
"""Frames in a row that a decoder may refuse before the video counts as ended."""


def check_file(path: str | Path, limit: int) -> None:
    """Look at a file before it is opened.

    Raises
    ------
    UserError
        It has more than `limit` bytes, or is none that can be read to its end (a device, a pipe, a socket).
    OSError
        It is not there.
    """
    found = Path(path).stat()
    if stat.S_ISREG(found.st_mode):
        _check_size(path, found.st_size, limit)
    elif not stat.S_ISDIR(found.st_mode):  # of a folder, opening it says what it is
        raise UserError(f"{path}: a pipe or device, not a file; write its content to a file first")


def _check_size(path: str | Path, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"{path}: {size} bytes; at most {limit} are read (docs/limits_python.md)")


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Read a whole file.

    Raises
    ------
    UserError
        As `check_file`.
    OSError
        It is not there, or cannot be read.
    """
    check_file(path, limit)
    return Path(path).read_bytes()


def read_text(
    path: str | Path, limit: int = LIST_BYTES, encoding: str = "utf-8", errors: str = "strict"
) -> str:
    """Read a whole text; raise as `read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path, limit).decode(encoding, errors)


@contextmanager
def open_list(path: str | Path, encoding: str = "utf-8") -> Iterator[IO[str]]:
    """Open a CSV file to be read row by row; raise as `check_file`."""
    check_file(path, LIST_BYTES)
    with Path(path).open(newline="", encoding=encoding) as file:
        yield file


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    UserError
        As `check_file`.
    OSError
        It is not there, or cannot be read.
    ValueError
        It is no JSON; also where it is nested too deeply, and where it is no text.
    """
    text = read_text(path, JSON_BYTES)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_npz(path: str | Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz file, none of them pickled.

    Raises
    ------
    UserError
        It is beyond its limit, also where it is so only when unpacked.
    OSError
        It is not there, or cannot be read.
    ValueError
        It is no such file, damaged, or without these arrays.
    """
    check_file(path, ARRAY_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.getinfo(f"{name}.npy") for name in names}
            # What an entry unpacks to is cut off at what the archive's directory says of it.
            _check_size(path, sum(part.file_size for part in parts.values()), ARRAY_BYTES)
            return {name: _read_npy(archive, part) for name, part in parts.items()}
    except (UserError, OSError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy's reader raise many kinds
        raise ValueError(str(error) or type(error).__name__) from None


def _read_npy(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> NDArray[Any]:
    import numpy as np

    with archive.open(part) as file:
        version = np.lib.format.read_magic(file)
        head = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = head(file)
        # NumPy takes the memory for the shape before it reads what fills it.
        if math.prod(shape) * dtype.itemsize > part.file_size:
            raise ValueError(f"{part.filename} is cut short")
    with archive.open(part) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
