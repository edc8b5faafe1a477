"""Tiny data sets in DISFA's layout, made of noise, with each frame's number drawn into it.

The number is written as blocks of black and white, coarse enough to survive any codec, and where the face
is cut out: a frame that comes back, and a registered face, say which one they are of.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

import bp4d_factory
from drml.data.registration import REFERENCE

AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
SUBJECTS = ("SN001", "SN002", "SN006", "SN011", "SN003", "SN004")
"""Two subjects of each fold."""

WIDTH, HEIGHT = 160, 128
_COLUMNS, _ROWS, _BLOCK = 6, 2, 12
_LEFT, _TOP = 30, 52


def picture(subject: str, frame: int, camera: str = "left") -> np.ndarray:
    """A pattern of the subject's and camera's, and `frame` in binary in the middle of it."""
    image = bp4d_factory.picture(subject, camera, height=HEIGHT, width=WIDTH)
    for bit in range(_COLUMNS * _ROWS):
        x, y = _LEFT + bit % _COLUMNS * _BLOCK, _TOP + bit // _COLUMNS * _BLOCK
        image[y : y + _BLOCK, x : x + _BLOCK] = 255 if frame >> bit & 1 else 0
    return image


def number_in(image: np.ndarray, matrix: np.ndarray | None = None) -> int:
    """The frame number drawn into a picture, or into what `matrix` (2 x 3) made of it."""
    number = 0
    for bit in range(_COLUMNS * _ROWS):
        centre = np.array([bit % _COLUMNS, bit // _COLUMNS]) * _BLOCK + (_LEFT, _TOP) + (_BLOCK - 1) / 2
        if matrix is not None:
            centre = matrix[:, :2] @ centre + matrix[:, 2]
        x, y = np.round(centre).astype(int)
        block = image[y - 2 : y + 3, x - 2 : x + 3].mean()
        assert block < 60 or block > 195, (bit, block)
        number |= int(block > 128) << bit
    return number


def landmarks(subject: str, frame: int) -> np.ndarray:
    """66 points in 0-based pixels; their mean tells of the frame."""
    inner = REFERENCE * 0.6 + (4 + 0.25 * (frame % 64), 4)
    jaw = np.stack([np.linspace(20, 76, 17), 60 + 30 * np.sin(np.linspace(0, np.pi, 17))], axis=1)
    return np.concatenate([jaw, inner + bp4d_factory.rng_of(subject, frame).normal(0, 0.1, (49, 2))])


def intensities(subject: str, au: int, frames: int) -> np.ndarray:
    """Intensities 0 to 5, all of them about as frequent."""
    return bp4d_factory.rng_of(subject, au).integers(0, 6, frames)


def write_labels(root: Path, subject: str, au: int, values: np.ndarray | list[int], first: int = 1) -> Path:
    path = root / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{first + i},{value}\n" for i, value in enumerate(values)))
    return path


def write_pts(path: Path, points: np.ndarray, *, hdf5: bool = False, name: str = "pts") -> None:
    """MATLAB's format, old or 7.3; the points are 0-based, the file is not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if hdf5:
        with h5py.File(path, "w") as file:
            file[name] = (points + 1).T
        return
    whole = io.BytesIO()
    scipy.io.savemat(whole, {name: points + 1})
    path.write_bytes(whole.getvalue())


def landmark_name(subject: str, frame: int, *, from_1: bool) -> str:
    return f"l{frame:05d}_lm.mat" if from_1 else f"{subject}_{frame - 1:04d}_lm.mat"


def write_landmarks(
    root: Path,
    subject: str,
    frames: int,
    *,
    from_1: bool = False,
    inner: str = "tmp_frame_lm",
    hdf5: bool = False,
    folder: str = "Landmark_Points",
) -> None:
    for frame in range(1, frames + 1):
        name = landmark_name(subject, frame, from_1=from_1)
        write_pts(root / folder / subject / inner / name, landmarks(subject, frame), hdf5=hdf5)


def write_avi(path: Path, pictures: list[np.ndarray], codec: str = "MJPG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), fourcc, 20.0, (width, height))
    assert writer.isOpened()
    for one in pictures:
        writer.write(one)
    writer.release()


def write_video(root: Path, subject: str, frames: int, camera: str = "left", codec: str = "MJPG") -> Path:
    side = camera.capitalize()
    path = root / f"Videos_{side}Camera" / f"{side}Video{subject}_comp.avi"
    write_avi(path, [picture(subject, frame, camera) for frame in range(1, frames + 1)], codec)
    return path


def write_frames(folder: Path, subject: str, frames: int, name: Callable[[int], str]) -> Path:
    """Extracted frames; `name` makes a file's name of the frame's number from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(1, frames + 1):
        cv2.imwrite(str(folder / name(frame)), picture(subject, frame))
    return folder


def write_subject(
    root: Path,
    subject: str,
    frames: int = 8,
    *,
    from_1: bool = False,
    video: bool = True,
    cameras: tuple[str, ...] = ("left",),
) -> None:
    for au in AUS:
        write_labels(root, subject, au, intensities(subject, au, frames))
    write_landmarks(root, subject, frames, from_1=from_1)
    if video:
        for camera in cameras:
            write_video(root, subject, frames, camera)


def write_set(root: Path, frames: int = 8, subjects: tuple[str, ...] = SUBJECTS) -> Path:
    """A whole set: enough for three folds; every other subject's landmarks count from 1."""
    for place, subject in enumerate(subjects):
        write_subject(root, subject, frames, from_1=place % 2 == 1)
    return root


def rename_all(root: Path, rename: Callable[[str], str]) -> None:
    """Rename every file and folder below `root`."""
    for path in sorted(root.rglob("*"), key=lambda path: len(path.parts), reverse=True):
        path.rename(path.with_name(rename(path.name)))
