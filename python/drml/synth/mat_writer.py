"""Writes landmarks as MATLAB files: BP4D's of version 7.3 (HDF5 after a header), DISFA's of version 5."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

# 116 bytes of text, 8 of subsystem offset, then the version and the byte order. The date is fixed, so that
# the same data give the same bytes.
_TEXT = "MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970 HDF5 schema 1.00 ."
_HEADER = _TEXT.encode().ljust(116) + bytes(8) + b"\x00\x02IM"
_USERBLOCK = 512
_OLD_TEXT = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 1970"


def write_fit(path: Path, landmarks: Mapping[int, np.ndarray], last_frame: int) -> None:
    """Write ``fit(1..last_frame).pred``: the landmarks of each frame, empty for frames without any.

    Parameters
    ----------
    path : Path
        The file to write.
    landmarks : mapping of int to ndarray of shape (49, 2)
        Frame number, from 1, to landmarks, in pixels counted from 0; MATLAB's are counted from 1.
    last_frame : int
        Length of the struct array.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    # In memory first, because HDF5 crashes the process if a write fails, as on a full disk.
    whole = io.BytesIO()
    with h5py.File(whole, "w", userblock_size=_USERBLOCK) as file:
        pool = file.create_group("#refs#")
        # All frames without landmarks share one empty array, which keeps the file small.
        empty = pool.create_dataset("a", data=np.zeros(2, np.uint64))
        empty.attrs["MATLAB_class"] = np.bytes_("double")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
        references = np.full((last_frame, 1), empty.ref, h5py.ref_dtype)
        for frame, points in landmarks.items():
            # MATLAB and HDF5 order dimensions oppositely: 49x2 in MATLAB is 2x49 here.
            one = pool.create_dataset(f"f{frame}", data=np.asarray(points, float).T + 1)
            one.attrs["MATLAB_class"] = np.bytes_("double")
            references[frame - 1, 0] = one.ref
        fit = file.create_group("fit")
        fit.attrs["MATLAB_class"] = np.bytes_("struct")
        fit.create_dataset("pred", data=references, dtype=h5py.ref_dtype)
    path.write_bytes(_HEADER + whole.getvalue()[len(_HEADER) :])


def write_pts(path: Path, landmarks: np.ndarray) -> None:
    """Write the landmarks of one frame as ``pts``.

    Parameters
    ----------
    path : Path
        The file to write.
    landmarks : ndarray of shape (N, 2)
        Landmarks in pixels counted from 0; MATLAB's are counted from 1.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    import scipy.io

    whole = io.BytesIO()
    scipy.io.savemat(whole, {"pts": np.asarray(landmarks, float) + 1})
    # SciPy's header has the time of day.
    path.write_bytes(_OLD_TEXT.ljust(116) + whole.getvalue()[116:])
