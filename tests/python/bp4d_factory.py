"""Tiny data sets in BP4D's layout, made of noise: what the readers must cope with, without a face in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

from drml.data.labels import BP4D_AUS
from drml.data.registration import REFERENCE

CODED_AUS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 27, 28)


def rng_of(*words: object) -> np.random.Generator:
    """A generator that depends on the words alone."""
    return np.random.default_rng(list("/".join(map(str, words)).encode()))


def picture(*words: object, height: int = 120, width: int = 100) -> np.ndarray:
    """A smooth colour pattern: JPEG keeps it nearly as it is."""
    coarse = rng_of("picture", *words).integers(0, 256, (6, 5, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def landmarks(*words: object, scale: float = 0.5, shift: tuple[float, float] = (2, 5)) -> np.ndarray:
    """49 points in 0-based pixels, the reference shape made smaller and a little disturbed."""
    return REFERENCE * scale + shift + rng_of("landmarks", *words).normal(0, 0.3, (49, 2))


def codes(*words: object, frames: int) -> np.ndarray:
    """0 and 1 in equal shares and a few 9, frames x CODED_AUS."""
    return rng_of("codes", *words).choice([0, 1, 9], (frames, len(CODED_AUS)), p=[0.48, 0.48, 0.04])


def write_csv(path: Path, frames: list[int], values: np.ndarray, aus: tuple[int, ...] = CODED_AUS) -> None:
    lines = [",".join(map(str, (0, *aus)))]
    lines += [",".join(map(str, (frame, *row))) for frame, row in zip(frames, values, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def write_mat(
    path: Path, points: list[np.ndarray | None], *, row: bool = False, transposed: bool = True
) -> None:
    """MATLAB 7.3: one reference a frame; ``None`` is MATLAB's []. The points are 0-based, the file is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        store = file.create_group("#refs#")
        references = np.empty(len(points), h5py.ref_dtype)
        for index, shape in enumerate(points):
            if shape is None:
                dataset = store.create_dataset(f"p{index}", data=np.zeros(2, np.uint64))
                dataset.attrs["MATLAB_empty"] = np.uint8(1)
            else:
                dataset = store.create_dataset(f"p{index}", data=(shape + 1).T if transposed else shape + 1)
            references[index] = dataset.ref
        references = references.reshape((1, -1) if row else (-1, 1))
        file.create_group("fit").create_dataset("pred", data=references, dtype=h5py.ref_dtype)


def write_old_mat(path: Path, points: list[np.ndarray | None]) -> None:
    """MATLAB 5: the same as a struct array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fit = np.zeros((1, len(points)), dtype=[("pred", object)])
    for index, shape in enumerate(points):
        fit[0, index]["pred"] = np.zeros((0, 0)) if shape is None else shape + 1
    scipy.io.savemat(path, {"fit": fit})


def write_video(
    root: Path,
    subject: str,
    task: str,
    *,
    frames: int = 6,
    first: int = 1,
    padded: bool = True,
    sequences: str = "Sequences(2D+3D)",
    coding: str = "AUCoding/AU_OCC",
    values: np.ndarray | None = None,
    old_mat: bool = False,
    **mat: bool,
) -> None:
    """One video: frames ``first`` ... with images, codes and landmarks."""
    numbers = list(range(first, first + frames))
    video = f"{subject}_{task}"
    if values is None:
        values = codes(video, frames=frames)
    write_csv(root / coding / f"{video}.csv", numbers, values)
    folder = root / sequences / subject / task
    folder.mkdir(parents=True)
    for number in numbers:
        cv2.imwrite(
            str(folder / f"{number:04d}.jpg" if padded else folder / f"{number}.jpg"), picture(video, number)
        )
    points: list[np.ndarray | None] = [None] * (first - 1) + [landmarks(video, number) for number in numbers]
    if old_mat:
        write_old_mat(root / "2DFeatures" / f"{video}.mat", points)
    else:
        write_mat(root / "2DFeatures" / f"{video}.mat", points, **mat)


SUBJECTS = ("F001", "F002", "F003", "F005", "F004", "F006")
"""Two subjects of each fold."""


def write_set(root: Path, subjects: tuple[str, ...] = SUBJECTS, tasks: int = 1, frames: int = 6) -> Path:
    """A whole set: enough for three folds."""
    for subject in subjects:
        for task in range(1, tasks + 1):
            write_video(root, subject, f"T{task}", frames=frames)
    return root


__all__ = ["BP4D_AUS", "CODED_AUS", "SUBJECTS", "codes", "landmarks", "picture", "write_csv", "write_mat"]
