"""The landmarks of prepared faces, in an ``.npz`` file next to each LMDB.

``fold1/test_lmdb`` has ``fold1/test_landmarks.npz`` with ``keys`` (N byte strings, the keys of the LMDB) and
``landmarks`` (N x 49 x 2, float32): x and y of each point in pixels of the registered face, with pixel
centres at whole numbers, in the order that `drml.data.registration` describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.manifest import manifest_path
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = ["POINTS", "landmarks_path", "read_landmarks", "write_landmarks"]

POINTS = 49
"""Number of landmarks of a face."""

_AGAIN = "prepare the data again with drml prepare"


def landmarks_path(lmdb: Path) -> Path:
    """Return the path of an LMDB's landmark file, which may not exist: ``fold1/test_landmarks.npz``."""
    manifest = manifest_path(lmdb)
    return manifest.with_name(manifest.stem + "_landmarks.npz")


def write_landmarks(path: str | Path, keys: Sequence[str], landmarks: ArrayLike) -> None:
    """Write the landmarks of N records.

    Parameters
    ----------
    path : path
        The file to write; it appears when it is complete.
    keys : sequence of str
        N keys, in ASCII.
    landmarks : array_like, shape (N, 49, 2)
        In pixels of the registered face.

    Raises
    ------
    OSError
        The file cannot be written; nothing of it is left.
    """
    points = np.asarray(landmarks, np.float32)
    if points.shape != (len(keys), POINTS, 2):
        raise ValueError(f"landmarks of the shape {points.shape} for {len(keys)} keys")
    with writing(path, "wb") as file:
        np.savez(file, keys=np.array([key.encode("ascii") for key in keys], np.bytes_), landmarks=points)


def read_landmarks(path: str | Path) -> Mapping[str, NDArray[np.float32]]:
    """Read landmarks: key of a record -> float32 (49, 2).

    Raises
    ------
    UserError
        The file is missing, as for faces that were prepared without landmarks, or damaged.
    """
    path = Path(path)
    try:
        keys, points = read_npz(path, ("keys", "landmarks")).values()
    except FileNotFoundError:
        raise UserError(f"{path}: there are no landmarks with these data; {_AGAIN}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as landmarks ({error}); {_AGAIN}") from None
    good = keys.dtype.kind == "S" and keys.ndim == 1 and points.shape == (len(keys), POINTS, 2)
    if not good or points.dtype != np.float32 or not np.isfinite(points).all():
        raise UserError(f"{path}: not landmarks as drml prepare writes them; {_AGAIN}")
    return {key.decode("ascii", "backslashreplace"): row for key, row in zip(keys, points, strict=True)}
