"""Limits on the size of everything that is read, and readers that enforce them.

Files may come from strangers. A file beyond a limit is refused before memory is allocated for it. Each limit
is far above what data and nets of this kind need; docs/limits_python.md describes how they are enforced.
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

if TYPE_CHECKING:  # every command imports this module, but not every command needs NumPy
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
"""Bytes of a CSV file or a log: manifests, lists of images, codes, label files."""

JSON_BYTES = 64 << 20
"""Bytes of a JSON file: scores, summaries, settings."""

PROTOTXT_BYTES = 64 << 20
"""Bytes of a prototxt; the authors' net with 64 branches has 120 kB."""

PROTO_BYTES = 2**31 - 1
"""Bytes of a .caffemodel: the most that protobuf can read."""

MEAN_BYTES = 256 << 20
"""Bytes of a mean image: 8192 x 8192 pixels of 32 bits."""

MAT_BYTES = 512 << 20
"""Bytes of a MATLAB landmark file, and of its compressed parts when they are unpacked."""

ARRAY_BYTES = 4 << 30
"""Bytes of all arrays of an .npz file, or of one array of an HDF5 file, when unpacked."""

IMAGE_BYTES = 256 << 20
"""Bytes of an image file."""

IMAGE_PIXELS = 16384 * 12288
"""Pixels of an image or of a frame of a video: the photos of phones have up to 200 million."""

IMAGE_SIDE = 16384
"""Pixels in the width or height of an image."""

_OTHER_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\0\0\xfe\xff": "UTF-32"}

LABELS = 65_536
"""Labels of a record, columns of a list, AUs of a manifest."""

VIDEO_FRAMES = 4_000_000
"""Frames of a video whose frames are counted: 44 hours at 25 frames per second."""

VIDEO_REFUSED = 10_000
"""Consecutive frames that a decoder may refuse before the video counts as ended."""


def check_file(path: str | Path, limit: int) -> None:
    """Check a file before it is opened.

    Parameters
    ----------
    path : path
    limit : int
        The greatest size in bytes.

    Raises
    ------
    UserError
        The file has more than `limit` bytes, or has no end that could be checked (a device, pipe or socket).
    OSError
        The file does not exist.
    """
    found = Path(path).stat()
    if stat.S_ISREG(found.st_mode):
        _check_size(path, found.st_size, limit)
    elif not stat.S_ISDIR(found.st_mode):  # opening a folder gives a clear error
        raise UserError(f"{path}: a pipe or device, not a file; write its content to a file first")


def _check_size(path: str | Path, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(f"{path}: {size} bytes; at most {limit} are read (docs/limits_python.md)")


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Read a whole file.

    Raises
    ------
    UserError
        As in `check_file`.
    OSError
        The file does not exist or cannot be read.
    """
    check_file(path, limit)
    return Path(path).read_bytes()


def read_text(
    path: str | Path, limit: int = LIST_BYTES, encoding: str = "utf-8", errors: str = "strict"
) -> str:
    """Read a whole text file; errors are those of `read_bytes`, and UnicodeDecodeError."""
    return read_bytes(path, limit).decode(encoding, errors)


@contextmanager
def open_list(path: str | Path) -> Iterator[IO[str]]:
    """Open a CSV file to be read row by row: text in UTF-8, whose columns commas separate.

    Raises
    ------
    UserError
        As in `check_file`; or the text is of another encoding, or has another separator.
    OSError
        The file does not exist or cannot be read.
    """
    check_file(path, LIST_BYTES)
    with Path(path).open("rb") as raw:
        head = raw.readline(4096)
    encoding = next((name for mark, name in _OTHER_ENCODINGS.items() if head.startswith(mark)), None)
    if encoding is None and b"\0" in head:
        encoding = "UTF-16 or binary"
    if encoding is not None:
        raise UserError(f"{path}: its text is {encoding}; save it as CSV in UTF-8, separated by commas")
    for separator, name in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "vertical bars")):
        # A first line that is a comment may have anything.
        if separator in head and b"," not in head and not head.startswith(b"#"):
            raise UserError(f"{path}: its columns are separated by {name}; save it with commas")
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            yield file
    except UnicodeDecodeError as error:
        found = error.object[error.start]
        raise UserError(
            f"{path}: is not text in UTF-8 (byte {found:#04x}); save it as CSV in UTF-8"
        ) from None


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    UserError
        As in `check_file`.
    OSError
        The file does not exist or cannot be read.
    ValueError
        The file is not JSON, not text, or nested too deeply.
    """
    text = read_text(path, JSON_BYTES)
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_npz(path: str | Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read arrays of an .npz file. Pickled arrays are refused.

    Parameters
    ----------
    path : path
    names : sequence of str
        The arrays to read.

    Returns
    -------
    dict
        The arrays by name.

    Raises
    ------
    UserError
        The file is beyond its limit, as it is or when unpacked.
    OSError
        The file does not exist or cannot be read.
    ValueError
        The file is not an .npz file, is damaged, or lacks one of the arrays.
    """
    check_file(path, ARRAY_BYTES)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.getinfo(f"{name}.npy") for name in names}
            # An entry never unpacks to more than the size in the archive's directory.
            _check_size(path, sum(part.file_size for part in parts.values()), ARRAY_BYTES)
            return {name: _read_npy(archive, part) for name, part in parts.items()}
    except (UserError, OSError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds of errors
        raise ValueError(str(error) or type(error).__name__) from None


def _read_npy(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> NDArray[Any]:
    import numpy as np

    with archive.open(part) as file:
        version = np.lib.format.read_magic(file)
        head = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = head(file)
        # NumPy allocates memory for the whole shape before it reads the values.
        if math.prod(shape) * dtype.itemsize > part.file_size:
            raise ValueError(f"{part.filename} is cut short")
    with archive.open(part) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
