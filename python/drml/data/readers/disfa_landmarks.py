"""The landmarks of DISFA: a MATLAB file for each frame."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

from drml.data.readers import matlab
from drml.data.readers.layout import find_folder
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES

__all__ = ["landmark_files", "read_points"]

_FROM_0 = re.compile(r"(SN\d{3})_(\d+)_lm\.mat", re.IGNORECASE)
_FROM_1 = re.compile(r"l_?(\d+)_lm\.mat", re.IGNORECASE)


def landmark_files(folder: Path, subject: str) -> dict[int, Path]:
    """Map frame number (from 1) -> landmark file."""
    inner = find_folder(folder, "tmp_frame_lm") or folder
    found: dict[int, Path] = {}
    for path in sorted(inner.iterdir()):
        if match := _FROM_0.fullmatch(path.name):
            if match[1].upper() != subject:
                raise UserError(f"{path}: landmarks of another subject; move them to their own folder")
            frame = int(match[2]) + 1
        elif match := _FROM_1.fullmatch(path.name):
            frame = int(match[1])
        else:
            continue
        if frame in found:
            raise UserError(
                f"{path}: a second file for frame {frame} (the first is {found[frame].name}); remove one"
            )
        found[frame] = path
    return found


def read_points(path: Path) -> np.ndarray:
    """Read the points of a frame, as MATLAB keeps them."""
    with matlab.open_mat(path) as contents, matlab.naming_file(path, "its pts cannot be read"):
        if "pts" not in contents:
            raise UserError(f"{path}: no pts in it; the landmarks are expected there")
        if isinstance(contents, h5py.File):
            return hdf5.read_set(hdf5.child(contents, "pts"), MAT_BYTES)
        return np.asarray(contents["pts"])
