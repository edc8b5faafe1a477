"""Draws the importance of patches: for each AU, a picture of a face with the 49 patches as circles.

The face is synthetic (`drml.synth`), so that no person is shown; it is registered as every other face.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data import registration
from drml.data.labels import AU_NAMES
from drml.data.landmark_files import POINTS
from drml.io.files import writing
from drml.synth import Subject, render

__all__ = ["draw_map", "write_maps"]

_SIDE = 600  # pixels of the face in the picture
_HEAD, _FOOT = 44, 40  # above: the AU; below: what the colours mean
_RADIUS = 12
_DRAWN_WIDTH = 1040  # of the picture from which the face is registered
_COLOURS = cv2.COLORMAP_VIRIDIS


def draw_map(importance: ArrayLike, title: str, *, seed: int = 0) -> NDArray[np.uint8]:
    """Draw one AU's patches on a face.

    Parameters
    ----------
    importance : array_like, shape (49,)
        0 to 1. Unused patches, whose importance is 0, are rings without a fill.
    title : str
        ASCII.
    seed : int
        Determines the face.

    Returns
    -------
    ndarray of uint8, shape (684, 600, 3)
        BGR.
    """
    values = np.asarray(importance, np.float64)
    if values.shape != (POINTS,) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"importance of the shape {values.shape}: {POINTS} numbers from 0 to 1 expected")
    image, landmarks = render(Subject.draw(f"patches {seed}"), width=_DRAWN_WIDTH)
    face = registration.register(image, landmarks, _SIDE)
    # The face is grey, so that only the patches have colours.
    canvas = np.full((_HEAD + _SIDE + _FOOT, _SIDE, 3), 255, np.uint8)
    canvas[_HEAD : _HEAD + _SIDE] = cv2.cvtColor(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    places = registration.place(landmarks, _SIDE) + np.array([0, _HEAD])
    colours = cv2.applyColorMap(np.round(values * 255).astype(np.uint8)[:, None], _COLOURS)[:, 0]
    # The most important patches are drawn last, since neighbours in eyes and mouth overlap.
    for at in np.argsort(values, kind="stable"):
        x, y = (round(float(value)) for value in places[at])
        if values[at] > 0:
            cv2.circle(canvas, (x, y), _RADIUS, colours[at].tolist(), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, (x, y), _RADIUS, (255, 255, 255), 1, cv2.LINE_AA)
    _write(canvas, title, (10, 30), 0.8)
    top = _HEAD + _SIDE
    bar = cv2.applyColorMap(np.linspace(0, 255, 200).astype(np.uint8)[None], _COLOURS)
    canvas[top + 12 : top + 28, 200:400] = bar
    _write(canvas, "0", (180, top + 26), 0.5)
    _write(canvas, "1 = most important", (408, top + 26), 0.5)
    return canvas


def write_maps(folder: str | Path, importance: ArrayLike, aus: Sequence[int], *, seed: int = 0) -> list[Path]:
    """Write a picture for each AU: ``AU1.png``, ...

    Parameters
    ----------
    folder : path
        Created if it is missing.
    importance : array_like, shape (K, 49)
        As in `draw_map`.
    aus : sequence of int
        K AUs.
    seed : int

    Returns
    -------
    list of Path
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for au, values in zip(aus, np.asarray(importance), strict=True):
        paths.append(folder / f"AU{au}.png")
        picture = draw_map(values, f"AU{au}  {AU_NAMES.get(au, '')}".rstrip(), seed=seed)
        with writing(paths[-1], "wb") as file:
            file.write(cv2.imencode(".png", picture)[1].tobytes())
    return paths


def _write(canvas: NDArray[np.uint8], text: str, at: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (30, 30, 30), 1, cv2.LINE_AA)
