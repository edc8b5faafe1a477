"""The tiny net with outputs for intensities, and data for it: shared by the tests of what is done with it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import tiny_net as tiny
from drml.data.lmdb import write_lmdb, write_mean
from drml.data.recipe import InputRecipe, Recipe
from drml.nets.intensity_head import add_intensities
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.recipe import write_recipe
from drml.training.train import train

AUS, LEVEL_AUS = (1, 2, 4), (6, 12)
KINDS = {"both": (AUS, LEVEL_AUS), "intensity": ((), LEVEL_AUS), "occurrence": (AUS, ())}


def write_fold(
    folder: Path, kind: str, *, count: int = 24, splits: tuple[str, ...] = ("train", "test")
) -> Path:
    """Write a fold whose intensities can be seen: the brightness of the image follows the first AU's."""
    aus, level_aus = KINDS[kind]
    fold = folder / "data" / "fold1"
    fold.mkdir(parents=True)
    columns = [f"AU{au}" for au in aus] + [f"AU{au}_r" for au in level_aus]
    for at, split in enumerate(splits):
        rng = np.random.default_rng(at + 3)
        levels = rng.choice([0, 1, 2, 3, 4, 5], (count, 2))
        images = [
            np.clip(40 + 35 * row[0] + rng.integers(-9, 9, (tiny.IMAGE, tiny.IMAGE, 3)), 0, 255).astype(
                np.uint8
            )
            for row in levels
        ]
        levels[rng.random(levels.shape) < 0.15] = 9
        labels = np.concatenate(
            [tiny.draw_labels(count, at, aus).reshape(count, -1), levels[:, : len(level_aus)]], axis=1
        ).astype(int)
        keys = [f"{index:08d}_F{1 + index % 3:03d}_T1_{index:04d}" for index in range(count)]
        write_lmdb(
            fold / f"{split}_lmdb",
            (
                (key, cv2.imencode(".png", image)[1].tobytes(), row.tolist())
                for key, image, row in zip(keys, images, labels, strict=True)
            ),
            shape=(3, tiny.IMAGE, tiny.IMAGE),
        )
        with (fold / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["key", "source", "subject", "task", "frame", *columns])
            for index, (key, row) in enumerate(zip(keys, labels, strict=True)):
                writer.writerow([key, f"{index}.jpg", f"F{1 + index % 3:03d}", "T1", index, *row])
    write_mean(fold / "mean.binaryproto", np.full((3, tiny.IMAGE, tiny.IMAGE), 120, np.float32))
    au = " ".join(f"au: {one}" for one in aus) + " " + " ".join(f"intensity_au: {one}" for one in level_aus)
    (fold / "recipe.prototxt").write_text(f"{au} input {{ face_size: {tiny.IMAGE} }}\n")
    return fold


def train_tiny(folder: Path, kind: str, **options: Any) -> tuple[Path, Path]:
    fold = write_fold(folder, kind)
    solver = tiny.write_solver(folder)
    tiny.write_deploy(folder)
    out = folder / "out"
    train(solver, out, data=fold, seed=1, progress=False, **options)
    return out, fold


def write_net(folder: Path, kind: str) -> tuple[Path, Path, Callable[[np.ndarray], dict[str, np.ndarray]]]:
    """Write a deploy net and drawn weights with a recipe.

    Returns
    -------
    The prototxt, the weights, and what computes the outputs for images, N x 24 x 24 x 3, by plain NumPy, by
    the names that ONNX files have for them.
    """
    folder.mkdir(exist_ok=True)
    both = kind == "both"
    parameters = tiny.draw_parameters()
    rng = np.random.default_rng(8)
    head = [(4 * rng.standard_normal(shape)).astype(np.float32) for shape in ((2, 6), 2)]
    net = read_prototxt(tiny.write_deploy(folder))
    add_intensities(net, 2, occurrences=3 if both else 0)
    write_prototxt(net, folder / "deploy.prototxt")
    stored = {name: blobs for name, blobs in parameters.items() if both or name != "fc10"}
    weights = tiny.write_caffemodel(folder / "w.caffemodel", {**stored, "intensity_2": head}, aus=())
    mean = np.random.default_rng(4).uniform(60, 190, (3, 24, 24)).astype(np.float32)
    made = InputRecipe(face_size=24, crop_size=20, scale=0.02, mean=mean)
    write_recipe(weights, Recipe(au=AUS if both else (), intensity_au=LEVEL_AUS, input=made))

    def compute(images: np.ndarray) -> dict[str, np.ndarray]:
        hidden = tiny.compute(parameters, tiny.transform(images, mean, 0.02))
        estimates = hidden["fc9"] @ head[0].T.astype(np.float64) + head[1]
        found = {"probabilities": hidden["prob"], "scores": hidden["fc10"], "intensities": estimates}
        return found if both else {"intensities": estimates}

    return folder / "deploy.prototxt", weights, compute
