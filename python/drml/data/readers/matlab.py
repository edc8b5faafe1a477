"""Landmarks in MATLAB files: opens files of either format, and checks the points of each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from drml.data import registration
from drml.data.readers.mat5 import read_mat5
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES, check_file
from drml.io.text import counted

__all__ = ["NO_LANDMARKS", "check_landmarks", "naming_file", "open_mat"]

NO_LANDMARKS = "no landmarks"
_WRONG_COUNT = "landmarks of a wrong count"


@contextmanager
def naming_file(path: Path, fault: str) -> Iterator[None]:
    """Turn any error of the two libraries into a `UserError` that names the file and the fault."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: {fault} ({error or type(error).__name__})") from None


@contextmanager
def open_mat(path: Path) -> Iterator[Any]:
    """Open a MATLAB file.

    Yields
    ------
    h5py.File or dict
        A file of MATLAB 7.3 (HDF5), or the landmarks of an older one (see `mat5_child.load_landmarks`).

    Raises
    ------
    UserError
        It is neither, or is damaged.
    """
    with naming_file(path, "cannot be read as a MATLAB file"):
        check_file(path, MAT_BYTES)
        if hdf5.is_hdf5(path):
            contents: Any = h5py.File(path, "r")
        else:
            contents = read_mat5(path)
    try:
        yield contents
    finally:
        if isinstance(contents, h5py.File):
            contents.close()


def check_landmarks(
    where: Path, raw: Iterable[tuple[int, np.ndarray | None]], counts: Sequence[int]
) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Check the landmarks of a video's frames.

    The real data sets have single frames without usable landmarks. A video that has landmarks, but none that
    are usable, is broken.

    Parameters
    ----------
    where : Path
        The file or folder with the landmarks, for messages.
    raw : iterable of (frame, ndarray or None)
        Points as MATLAB keeps them: N x 2, or 2 x N out of HDF5, pixels counted from 1.
    counts : sequence of int
        How many points a frame may have; messages name the first of these numbers.

    Returns
    -------
    good : dict of int to ndarray of float64, shape (49, 2)
        By frame, in pixels counted from 0.
    faulty : dict of int to str
        For each other frame, why it has no landmarks.

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
        if reason != NO_LANDMARKS and not first:
            first = f"frame {frame}: {detail or reason}"
    if first and not good:
        raise UserError(f"{where}: no frame with good landmarks; {first}; fetch it again")
    return good, faulty


def _checked(array: np.ndarray | None, counts: Sequence[int]) -> tuple[np.ndarray | None, str, str]:
    """Return the 49 points, or None with the reason and details of it."""
    # HDF5 stores MATLAB's [] as the list of its dimensions; every other matrix has two axes.
    if array is None or array.size == 0 or array.ndim != 2:
        return None, NO_LANDMARKS, ""
    points = array.T if array.shape[0] == 2 else array
    if points.shape[1] != 2 or len(points) not in counts:
        return None, _WRONG_COUNT, f"{counted(max(array.shape), 'landmark')}, {counts[0]} needed"
    points = points.astype(np.float64) - 1  # MATLAB counts pixels from 1
    if not np.isfinite(points).all():
        return None, "landmarks that are not numbers", ""  # some trackers write this for a lost face
    if registration.fault(points):
        return None, "degenerate landmarks", ""
    return registration.to49(points), "", ""
