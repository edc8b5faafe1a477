"""The landmarks of BP4D and BP4D+: a MATLAB file for each recording, with ``fit.pred`` for each frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from drml.data.readers import matlab
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES

__all__ = ["landmarks_of"]


def landmarks_of(path: Path, contents: Any) -> Callable[[int], np.ndarray | None]:
    """Return a function from a frame to its entry in a landmark file, None if it has none."""
    with matlab.naming_file(path, "cannot be read as a MATLAB file"):
        of_index = _of_hdf5(path, contents) if isinstance(contents, h5py.File) else _of_mat5(path, contents)

    def of_frame(frame: int) -> np.ndarray | None:
        with matlab.naming_file(path, f"landmarks of frame {frame} cannot be read"):
            return of_index(frame - 1) if frame > 0 else None

    return of_frame


def _of_hdf5(path: Path, file: h5py.File) -> Callable[[int], np.ndarray | None]:
    try:
        pred = hdf5.child(file, "fit/pred")
    except KeyError:
        raise UserError(f"{path}: no fit/pred in it; the landmarks are expected there") from None
    values = hdf5.read_set(pred, MAT_BYTES)
    if values.dtype != h5py.ref_dtype:  # a single frame: MATLAB stores the array itself
        return lambda index: values if index == 0 else None
    references = values.ravel()

    def of_index(index: int) -> np.ndarray | None:
        if index >= len(references) or not references[index]:
            return None
        return hdf5.read_set(file[references[index]], MAT_BYTES)

    return of_index


def _of_mat5(path: Path, contents: dict[str, np.ndarray]) -> Callable[[int], np.ndarray | None]:
    if "frames" not in contents:
        raise UserError(f"{path}: no fit.pred in it; the landmarks are expected there")
    return lambda index: contents.get(f"pred {index}")
