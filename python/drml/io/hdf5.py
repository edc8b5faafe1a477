"""HDF5 files of others: what is read of them lies in the file itself, is plain, and within a limit.

HDF5 can send a reader elsewhere: links into other files, values kept in files of any name, sets put together
from other files. And a few bytes can stand for a set of any size. Neither occurs in landmarks or in Caffe's
weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from drml.io.limits import ARRAY_BYTES

__all__ = ["child", "is_hdf5", "read_set", "shape"]


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5; a name that HDF5 cannot take is none."""
    try:
        return bool(h5py.is_hdf5(path))
    except ValueError:
        return False


def child(group: h5py.Group, name: str) -> Any:
    """Return what a path in a group leads to, step by step, without leaving the file.

    Raises
    ------
    KeyError
        It is not there.
    ValueError
        A step is a link, or leads to no group.
    """
    found: Any = group
    for part in name.split("/"):
        if not isinstance(found, h5py.Group):
            raise ValueError(f"'{found.name}' is no group")
        kind = found.get(part, getlink=True)
        if kind is None:
            raise KeyError(f"no '{name}' in it")
        if not isinstance(kind, h5py.HardLink):
            raise ValueError(f"'{part}' is a link")
        found = found[part]
    return found


def shape(found: Any, limit: int = ARRAY_BYTES) -> tuple[int, ...]:
    """Return the shape of a set that can be read; raise as `read_set`, which see."""
    _check_set(found, limit)
    return tuple(found.shape)


def read_set(found: Any, limit: int = ARRAY_BYTES) -> NDArray[Any]:
    """Read a whole set.

    Raises
    ------
    ValueError
        It is no set, kept in another file, not of numbers (or references), or larger than `limit` bytes.
    """
    _check_set(found, limit)
    return np.asarray(found[()])


def _check_set(found: Any, limit: int) -> None:
    if not isinstance(found, h5py.Dataset):
        raise ValueError("a group where values are expected")
    if found.external or found.is_virtual:
        raise ValueError(f"'{found.name}' is kept in other files")
    if found.dtype.kind not in "biuf" and found.dtype != h5py.ref_dtype:
        raise ValueError(f"'{found.name}' is not of numbers")
    if found.dtype.subdtype or found.size is None or found.size * found.dtype.itemsize > limit:
        raise ValueError(f"'{found.name}': {found.shape} are more than {limit} bytes (docs/limits_python.md)")
