"""Landmarks out of MATLAB files: opening either format, and what may be wrong with a frame's points."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from drml.data import registration
from drml.data.readers import mat5
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES, check_file, read_bytes

__all__ = ["NONE", "blamed", "collect", "opened"]

NONE = "no landmarks"
_WRONG_COUNT = "landmarks of a wrong count"


@contextmanager
def blamed(path: Path, what: str) -> Iterator[None]:
    """Turn whatever the two libraries' parsers trip over into an error that names the file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {what} ({error or type(error).__name__})") from None


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a MATLAB file.

    Yields
    ------
    h5py.File or dict
        A file of MATLAB 7.3 (HDF5), or the variables of an older one, by name.

    Raises
    ------
    UserError
        It is neither.
    """
    with blamed(path, "cannot be read as a MATLAB file"):
        check_file(path, MAT_BYTES)
        if hdf5.is_hdf5(path):
            contents: Any = h5py.File(path, "r")
        else:
            # Only the older format needs it, and it takes longer to import than all the rest.
            import scipy.io

            data = read_bytes(path, MAT_BYTES)
            if not mat5.is_mat5(data):
                raise ValueError("neither of version 5 nor 7.3")
            contents = scipy.io.loadmat(io.BytesIO(mat5.unpacked(data)), variable_names=("fit", "pts"))
    try:
        yield contents
    finally:
        if isinstance(contents, h5py.File):
            contents.close()


def collect(
    where: Path, raw: Iterable[tuple[int, np.ndarray | None]], counts: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Check the landmarks of a video's frames.

    Single frames without good landmarks are part of the real sets; a video without any good ones, though
    it has some, is broken.

    Parameters
    ----------
    where : Path
        The file or folder that they come from.
    raw : iterable of (frame, ndarray or None)
        Points as MATLAB keeps them: N x 2, or 2 x N out of HDF5, pixels counted from 1.
    counts : sequence of int
        How many points a frame may have; the first is the one that errors name.

    Returns
    -------
    good : dict of int to ndarray of float64, shape (49, 2)
        By frame, in pixels counted from 0.
    faulty : dict of int to str
        The reason why a frame has none.

    Raises
    ------
    UserError
        No frame is good, and at least one has landmarks.
    """
    good: dict[int, np.ndarray] = {}
    faulty: dict[int, str] = {}
    first = ""
    for frame, array in raw:
        points, reason, detail = _checked(array, counts)
        if points is not None:
            good[frame] = points
            continue
        faulty[frame] = reason
        if reason != NONE and not first:
            first = f"frame {frame}: {detail or reason}"
    if first and not good:
        raise UserError(f"{where}: no frame with good landmarks; {first}; fetch it again")
    return good, faulty


def _checked(array: np.ndarray | None, counts: Sequence[int]) -> tuple[np.ndarray | None, str, str]:
    """Return the 49 points, or None with the reason, and more of it where there is more to say."""
    # HDF5 keeps MATLAB's [] as the list of its dimensions; every other matrix has two axes.
    if array is None or array.size == 0 or array.ndim != 2:
        return None, NONE, ""
    points = array.T if array.shape[0] == 2 else array
    if points.shape[1] != 2 or len(points) not in counts:
        return None, _WRONG_COUNT, f"{max(array.shape)} landmarks, {counts[0]} needed"
    points = points.astype(np.float64) - 1  # MATLAB counts pixels from 1
    if not np.isfinite(points).all():
        return None, "landmarks that are not numbers", ""  # as some trackers write a lost face
    if registration.fault(points):
        return None, "degenerate landmarks", ""
    return registration.to49(points), "", ""
