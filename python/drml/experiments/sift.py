"""Computes the features of the linear baselines: SIFT at the landmarks of registered faces.

Each of the 49 landmarks of the grey face gives one SIFT descriptor of 128 values (Lowe, *Distinctive Image
Features from Scale-Invariant Keypoints*, IJCV 2004; OpenCV's implementation) of a fixed window and angle 0,
6272 values per face: 128 of landmark 0, then 128 of landmark 1, and so on. They are computed once, into an
``.npy`` file that is read memory-mapped; a JSON file next to it records what it was made from.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.landmark_files import POINTS, landmarks_path, read_landmarks
from drml.data.manifest import LMDB_SUFFIX
from drml.data.split import Split, open_split
from drml.io.checks import check_positive
from drml.io.errors import UserError
from drml.io.files import digest, writing
from drml.io.limits import read_json

__all__ = ["LENGTH", "SIFT_WINDOW", "Features", "sift", "sift_features"]

LENGTH = 128
"""Values of one descriptor."""

SIFT_WINDOW = 32.0
"""Side in pixels of the square that a descriptor covers."""

_WINDOW_OF_SIZE = 6
# OpenCV takes KeyPoint.size for twice the scale, and each of SIFT's 4 x 4 cells is 3 scales wide.

_BATCH = 16  # faces per task

_own = threading.local()


@dataclass(frozen=True)
class Features:
    """The features of one prepared split, with its labels.

    Attributes
    ----------
    path : Path
        The ``.npy``.
    X : ndarray of float32, shape (N, 6272)
        Memory-mapped, read only.
    Y : ndarray of int8, shape (N, K)
        1, -1 or 0; in the training split only the labels that were sampled, whatever the data keep.
    keys : list of str
        N keys of the LMDB, in its order.
    aus : tuple of int
    subjects : int
    synthetic : bool
    subject_ids : list of str or None
        The subject of each record; None if the manifest does not name them all.
    levels : ndarray of int8, shape (N, L)
        The intensities: 0 to 5, or 9 (unknown).
    intensity_aus : tuple of int
        The L AUs of `levels`.
    """

    path: Path
    X: NDArray[np.float32]
    Y: NDArray[np.int8]
    keys: list[str]
    aus: tuple[int, ...]
    subjects: int
    synthetic: bool
    subject_ids: list[str] | None
    levels: NDArray[np.int8]
    intensity_aus: tuple[int, ...]


def sift(
    grey: NDArray[np.uint8], landmarks: NDArray[Any], window: float = SIFT_WINDOW
) -> NDArray[np.float32]:
    """Compute the SIFT descriptors of a face at its landmarks.

    Parameters
    ----------
    grey : ndarray of uint8, shape (H, W)
        The registered face.
    landmarks : ndarray, shape (49, 2)
        x and y in pixels of the face.
    window : float
        Side in pixels of the square that a descriptor covers around its landmark, > 0.

    Returns
    -------
    ndarray of float32, shape (6272,)
        Integers from 0 to 255; the norm of each descriptor is about 512.
    """
    if not hasattr(_own, "sift"):
        # One per thread, since OpenCV does not promise that threads can share it.
        _own.sift = cv2.SIFT.create()
    points = [cv2.KeyPoint(float(x), float(y), window / _WINDOW_OF_SIZE, 0.0) for x, y in landmarks]
    kept, descriptors = _own.sift.compute(grey, points)
    if len(kept) != len(points):
        raise ValueError(f"OpenCV left out {len(points) - len(kept)} of {len(points)} key points")
    return np.asarray(descriptors, np.float32).reshape(-1)


def sift_features(
    lmdb: str | Path,
    *,
    folder: str | Path | None = None,
    window: float = SIFT_WINDOW,
    jobs: int = 0,
    progress: bool = True,
) -> Features:
    """Return the SIFT features of a prepared split; those of an earlier run are used if they match.

    Parameters
    ----------
    lmdb : path
        LMDB folder that ``drml prepare`` wrote, such as fold1/train_lmdb.
    folder : path, optional
        Folder that caches the features; by default the LMDB's: fold1/train_sift.npy and .json.
    window : float
        As in `sift`.
    jobs : int
        Threads; 0 means one per available core. The result does not depend on it.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Features

    Raises
    ------
    UserError
        The data are missing or damaged, or have no landmarks.
    OSError
        The features cannot be written; no part of them is left.
    """
    check_positive(window, "SIFT window")
    data = open_split(lmdb)
    if data.manifest is None:
        raise UserError(f"{lmdb}: no manifest beside it; give an LMDB as drml prepare writes it")
    landmarks_file = landmarks_path(data.lmdb)
    landmarks = read_landmarks(landmarks_file)
    keys = sorted(data.manifest.rows)  # LMDB's order
    missing = next((key for key in keys if key not in landmarks), None)
    if missing is not None:
        raise UserError(f"{landmarks_file}: no landmarks of record {missing}; prepare the data again")
    place = data.lmdb.parent if folder is None else Path(folder)
    path = place / f"{data.lmdb.absolute().name.removesuffix(LMDB_SUFFIX)}_sift.npy"
    origin = {
        "what": "SIFT at 49 landmarks",
        "shape": [len(keys), POINTS * LENGTH],
        "dtype": "float32",
        "window": window,
        "angle": 0,
        "opencv": cv2.__version__,
        "lmdb": digest(data.lmdb / "data.mdb"),
        "manifest": digest(data.manifest.path),
        "landmarks": digest(landmarks_file),
    }
    X = _reuse(path, origin)
    if X is None:
        place.mkdir(parents=True, exist_ok=True)
        # The record is removed first, so that it never describes other features.
        path.with_suffix(".json").unlink(missing_ok=True)
        _write(path, len(keys), _descriptions(data, landmarks, window, jobs), progress)
        with writing(path.with_suffix(".json"), encoding="utf-8") as file:
            json.dump(origin, file, indent=2)
            file.write("\n")
        X = _reuse(path, origin)
        if X is None:
            raise OSError(None, "the features that were just written cannot be read", str(path))
    subjects = len({row.subject for row in data.manifest.rows.values()})
    return Features(
        path,
        X,
        data.manifest.drawn_labels(keys),
        keys,
        data.manifest.aus,
        subjects,
        data.synthetic,
        data.subjects_of(keys),
        data.manifest.levels(keys),
        data.manifest.intensity_aus,
    )


def _reuse(path: Path, origin: dict[str, Any]) -> NDArray[np.float32] | None:
    """Map cached features if they were made from the same data, else return None."""
    try:
        note = read_json(path.with_suffix(".json"))
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, UserError):
        return None
    good = note == origin and list(X.shape) == origin["shape"] and X.dtype == np.float32
    return X if good else None


def _write(path: Path, count: int, descriptions: Iterable[NDArray[np.float32]], progress: bool) -> None:
    """Write the ``.npy`` file: the header, then row after row.

    The file is not memory-mapped for writing: on a full disk, that would kill the process.
    """
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
    with (
        writing(path, "wb") as file,
        tqdm(total=count, desc=f"SIFT {path.stem}", unit="face", disable=not progress) as bar,
    ):
        np.lib.format.write_array_header_1_0(file, {**head, "shape": (count, POINTS * LENGTH)})
        for rows in descriptions:
            file.write(rows.tobytes())
            bar.update(len(rows))


def _descriptions(data: Split, landmarks: Any, window: float, jobs: int) -> Iterator[NDArray[np.float32]]:
    """Yield the descriptors of all faces, in the order of the keys, a few at a time.

    They are computed in threads: OpenCV releases Python's lock, and no images are copied to other processes.
    """

    def work(keys: list[str], images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.stack(
            [
                sift(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)), landmarks[key], window)
                for key, image in zip(keys, images, strict=True)
            ]
        )

    jobs = jobs if jobs > 0 else len(os.sched_getaffinity(0))
    waiting: deque[Future[NDArray[np.float32]]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            batches = data.batches(_BATCH, intensities=bool(data.intensity_aus))
            for keys, images, _ in batches:
                waiting.append(pool.submit(work, keys, images))
                if len(waiting) > 2 * jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
