"""A photographed face (scikit-image's astronaut), videos of it, and a tiny net: for the tests of detect."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

import tiny_net as tiny
from drml.data.face_detector import model_file
from drml.data.lmdb import write_mean
from drml.data.recipe import Recipe, RegistrationRecipe
from drml.data.registration import REFERENCE, as_fractions, five_points, register
from drml.detect import DetectionSummary, Detector, Outputs, write_detections
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.trained import Net

FIXED = ["frame", "face_id", "timestamp", "confidence", "success"]
POINTS = [f"{axis}_{point}" for axis in "xy" for point in range(5)]
AUS = ["AU01_c", "AU02_c", "AU04_c", "AU01_p", "AU02_p", "AU04_p"]


@cache
def astronaut() -> np.ndarray:
    """512x512, BGR; eyes near (200, 102) and (247, 103)."""
    image = np.ascontiguousarray(skimage.data.astronaut()[:, :, ::-1])
    image.flags.writeable = False
    return image


def frame(
    places: Sequence[tuple[int, int]], size: tuple[int, int] = (320, 240), side: int = 200
) -> np.ndarray:
    """Paste the astronaut, of this side, at places (left, top) in a grey frame of width and height."""
    picture = np.full((size[1], size[0], 3), 110, np.uint8)
    small = cv2.resize(astronaut()[:400, 40:440], (side, side), interpolation=cv2.INTER_AREA)
    for left, top in places:
        room = picture[top : top + side, left : left + side]
        room[...] = small[: room.shape[0], : room.shape[1]]
    return picture


def moving(count: int) -> Iterator[np.ndarray]:
    """Yield frames of a face that moves to the right."""
    for index in range(count):
        yield frame([(4 * index % 110, 20)])


def write_video(path: Path, frames: Sequence[np.ndarray], fps: float = 25, codec: str = "mp4v") -> Path:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    assert writer.isOpened()
    for picture in frames:
        writer.write(picture)
    writer.release()
    return path


def turn_video(path: Path) -> None:
    """Mark an .mp4 as held turned: its pictures are to be shown a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">i", data, matrix)[0] == 0x10000
    struct.pack_into(">9i", data, matrix, 0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


def write_weights(folder: Path, outputs: int = tiny.OUTPUTS, mean: bool = True) -> Path:
    """Write a tiny net, its weights, and the mean image beside them; return the weights."""
    folder.mkdir(exist_ok=True)
    tiny.write_deploy(folder, outputs)
    if mean:
        image = np.random.default_rng(5).uniform(100, 150, (3, tiny.IMAGE, tiny.IMAGE)).astype(np.float32)
        write_mean(folder / "mean.binaryproto", image)
    path = tiny.write_caffemodel(folder / "w.caffemodel", tiny.draw_parameters(outputs=outputs), scale=0.02)
    registered = RegistrationRecipe("detector", target=as_fractions(five_points(REFERENCE)))
    return change_recipe(path, registration=registered)


def change_recipe(weights: Path, **fields: Any) -> Path:
    """Change fields of the recipe in weights; return the weights."""
    write_recipe(weights, dataclasses.replace(read_recipe(weights) or Recipe(), **fields))
    return weights


def run(
    net: Net,
    inputs: Iterable[Path | str],
    out: Path,
    *,
    max_frames: int | None = None,
    draw: Path | None = None,
    aligned: Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> DetectionSummary:
    """Detect with a net as drml detect does; further options are the detector's."""
    return write(
        inputs, Detector(net, **options), Outputs(out, draw, aligned, overwrite), max_frames=max_frames
    )


def write(
    inputs: Iterable[Path | str], detector: Detector, outputs: Outputs, **options: Any
) -> DetectionSummary:
    """Write what a detector finds, without a progress bar."""
    return write_detections(
        [str(item) for item in inputs], detector, outputs, **{"progress": False, **options}
    )


def expected(
    image: np.ndarray, parameters: dict[str, Any], mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the face, and compute the net on it, by OpenCV and NumPy alone."""
    detector = cv2.FaceDetectorYN.create(str(model_file()), "", image.shape[1::-1], 0.6)
    row = detector.detect(image)[1][0]
    points = row[4:14].reshape(5, 2).astype(np.float64)
    face = register(image, points, tiny.IMAGE)
    return points, tiny.compute(parameters, tiny.transform([face], mean, 0.02))["prob"][0]


class ConstantNet:
    """A net of another kind: a detector needs the AUs, the side of the faces and a call."""

    aus = tiny.AUS
    face_size = 24

    def __init__(self, value: float) -> None:
        self.value = value
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(np.shape(images))
        assert all(image.dtype == np.uint8 for image in images)
        return np.full((len(images), 3), self.value, np.float32)
