"""MATLAB files of version 5 (before 7.3), read by SciPy in a child process with limits.

SciPy believes what such a file says of itself: a few kilobytes may unpack to gigabytes, a matrix may claim
any size, and cells nested ten thousand deep end the process.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from drml.io.child import ChildReader
from drml.io.limits import MAT_BYTES

__all__ = ["read_mat5"]

_SECONDS = 60.0  # a landmark file takes milliseconds; the first one also waits until SciPy is imported

_child = ChildReader("drml.data.readers.mat5_child:load_landmarks", memory=MAT_BYTES, seconds=_SECONDS)


def read_mat5(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the landmarks of a file; the result is that of `drml.data.readers.mat5_child.load_landmarks`.

    Raises
    ------
    ValueError
        The file is damaged, or needs more than 512 MiB of memory or 60 s; the message does not name it.
    """
    return _child(path)
