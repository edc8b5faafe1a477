"""Runs in the child process of `drml.data.readers.mat5`: loads a MATLAB file with SciPy, without limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

__all__ = ["load_landmarks"]


def load_landmarks(path: str) -> dict[str, NDArray[Any]]:
    """Load the landmarks of a file of version 5.

    Returns
    -------
    dict
        ``pts``, as in DISFA's files; or, of BP4D's ``fit``, the entries ``pred 0``, ``pred 1``, ... and their
        number, ``frames``.
    """
    found: dict[str, NDArray[Any]] = {}
    contents = scipy.io.loadmat(path, variable_names=("fit", "pts"))
    if "pts" in contents:
        found["pts"] = _numbers(contents["pts"])
    fit = contents.get("fit")
    if isinstance(fit, np.ndarray) and fit.dtype.names is not None and "pred" in fit.dtype.names:
        entries = fit["pred"].ravel()
        found["frames"] = np.array(len(entries))
        found.update((f"pred {index}", _numbers(entry)) for index, entry in enumerate(entries))
    return found


def _numbers(value: Any) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError("landmarks that are not numbers")
    return array
