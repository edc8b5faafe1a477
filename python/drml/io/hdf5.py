"""Reads HDF5 files from strangers: only plain data sets that lie in the file itself and are within a limit.

HDF5 can lead a reader to other files: by links, by values that are stored in external files, and by virtual
data sets. A few bytes can also describe a data set of any size. Landmarks and Caffe's weights need none of
this.
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
    """Whether a file is HDF5; False as well for names that HDF5 cannot open."""
    try:
        return bool(h5py.is_hdf5(path))
    except ValueError:
        return False


def child(group: h5py.Group, name: str) -> Any:
    """Return the group or data set at a path in a group, without leaving the file.

    Raises
    ------
    KeyError
        There is nothing at this path.
    ValueError
        A part of the path is a link, or is not a group.
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
    """Return the shape of a data set that can be read; errors are those of `read_set`."""
    _check_set(found, limit)
    return tuple(found.shape)


def read_set(found: Any, limit: int = ARRAY_BYTES) -> NDArray[Any]:
    """Read a whole data set.

    Raises
    ------
    ValueError
        It is not a data set, is stored in another file, has values other than numbers or references, or is
        larger than `limit` bytes.
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
