"""Finished trainings and experiments to report on, made without Caffe: shared by the tests."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import tiny_net as tiny
from drml.data.labels import BP4D_AUS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.intensity_scoring import IntensityPredictions, evaluate_intensity_folds
from drml.evaluation.predictions import Predictions, write_predictions
from drml.evaluation.results import write_scores
from drml.experiments import detection_table, figure5, table4, units
from drml.experiments.figure4 import Figure4
from drml.experiments.methods import METHODS
from drml.experiments.predictions import save_predictions
from drml.experiments.settings import Settings
from drml.io import machine

AUS = BP4D_AUS
NOT_IN_FOLD_2 = 24
"""An AU that no test frame of fold 2 has."""

_SKILL = {
    "lsvm": 0.1,
    "jpml": 0.3,
    "alexnet": 0.15,
    "convnet": 0.2,
    "lcn": 0.12,
    "drml": 0.25,
    "drml_5x5": 0.2,
}
_FRAMES = {1: 90, 2: 70}


def write_loss(folder: Path, iterations: int = 400, seed: int = 0) -> Path:
    """Write a training's losses and its solver."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = ["iteration,seconds,phase,name,value"]
    for step in range(0, iterations + 1, 10):
        loss = 6 * math.exp(-step / 150) + 2 + 0.2 * rng.standard_normal()
        lines.append(f"{step},{step / 2},train,loss,{loss:.4f}")
        if step % 100 == 0:
            lines.append(f"{step},{step / 2},test,loss,{loss + 0.5:.4f}")
    (folder / "loss.csv").write_text("\n".join(lines) + "\n")
    (folder / "solver.prototxt").write_text('net: "a<b>.prototxt"\n')
    return folder


def write_prepared(folder: Path) -> Path:
    """Write a prepared data set of which only the test faces of fold 1 are there."""
    fold, _, _, _ = tiny.write_data(folder, count=_FRAMES[1], aus=AUS, synthetic=True)
    split = {"images": _FRAMES[1], "subjects": ["F001", "F002"], "videos": 2, "base_rate": {}, "known": {}}
    options = {"positives": 100, "negatives": 200, "size": tiny.IMAGE, "seed": 0, "folds": [1, 2]}
    folds = {str(number): {"test": {**split, "images": count}} for number, count in _FRAMES.items()}
    summary = {"kind": "bp4d", "root": "/set", "synthetic": True, "aus": list(AUS), "options": options}
    (folder / "summary.json").write_text(json.dumps({**summary, "folds": folds}))
    return fold.parent


def draw(method: str, fold: int, data: Path, split: str = "test") -> Predictions:
    """Draw labels, the same for all methods, and what a method says of them."""
    frames = _FRAMES[fold]
    seed = (0 if fold == 1 else 7) + (0 if split == "test" else 20)
    labels = tiny.draw_labels(frames, seed, AUS).astype(np.int8)
    if fold == 2 and split == "test":
        column = labels[:, AUS.index(NOT_IN_FOLD_2)]
        column[column > 0] = -1
    rng = np.random.default_rng(sum(map(ord, method)) + fold + (0 if split == "test" else 20))
    noise = rng.standard_normal(labels.shape)
    probabilities = (1 / (1 + np.exp(-2 * (_SKILL[method] * 4 * labels + noise)))).astype(np.float32)
    keys = [f"{index:08d}_F{1 + index % 2:03d}_T1_{index:04d}" for index in range(frames)]
    settings = (
        {"mean": "image", "scale": 0.5, "mean_from": "<weights>", "scale_from": "weights"}
        if METHODS[method].net
        else {"features": "SIFT"}
    )
    place = str(data / f"fold{fold}" / f"{split}_lmdb")
    subjects = [f"F{fold}{1 + index % 2:02d}" for index in range(frames)]
    return Predictions(
        "w", place, AUS, keys, labels, probabilities, 2, True, settings, 1.0, subject_ids=subjects
    )


def draw_intensities(fold: int, data: Path) -> IntensityPredictions:
    """Draw intensities, and estimates that follow AU6 well, AU12 a little, and AU17 the wrong way round."""
    rng = np.random.default_rng(fold)
    frames = _FRAMES[fold]
    labels = rng.choice([0, 1, 2, 3, 4, 5, 9], (frames, 3), p=[0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.1])
    follow = np.array([0.9, 0.4, -0.3]) * np.where(labels == 9, 0, labels)
    estimates = np.clip(follow + 0.4 * rng.normal(1.5, 1, labels.shape), 0, 5)
    return IntensityPredictions(
        "w",
        str(data / f"fold{fold}" / "test_lmdb"),
        (6, 12, 17),
        [f"{index:08d}_F{1 + index % 2:03d}_T1_{index:04d}" for index in range(frames)],
        labels.astype(np.int8),
        estimates,
        [f"F{fold}{1 + index % 4:02d}" for index in range(frames)],
        True,
        {"mean": "image", "scale": 0.5, "mean_from": "<weights>", "scale_from": "weights"},
        1.0,
        np.array([1.1, 0.9, 1.0]),
    )


def write_unit(out: Path, method: str, fold: int, data: Path) -> None:
    """Leave a unit as drml experiment does."""
    folder = out / f"fold{fold}" / method
    if METHODS[method].net:
        write_loss(folder / "train", seed=fold)
    folder.mkdir(parents=True, exist_ok=True)
    test, held_out = (draw(method, fold, data, split) for split in ("test", "val"))
    kept = save_predictions(
        units.Workspace(folder, folder, False), method, test, data / f"fold{fold}", validation=held_out
    )
    about = {
        "machine": machine.system(),
        "versions": machine.versions(),
        "finished": "2030-01-02 03:04:05 UTC",
    }
    units.write_json(folder / "result.json", {**kept, "seconds": 61.5, **about})
    command = f"drml experiment unit <out> fold{fold}/{method}"
    units.write_json(folder / "config.json", {"config": {"method": method, "fold": fold}, "command": command})


def write_experiment(out: Path, data: Path) -> Settings:
    """Leave table 2, the grids, table 4 and both figures of two folds."""
    settings = Settings(data=str(data), scale="quick", seed=3, models="models", max_iter=5)
    settings.keep(out)
    for method in _SKILL:
        for fold in _FRAMES:
            write_unit(out, method, fold, data)
    table2 = ("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")
    grids = ("drml_5x5", "drml")
    for collect, methods in (
        (partial(detection_table.collect, "table2", "Table 2: <AU> detection"), table2),
        (partial(detection_table.collect, "grid", "Grid"), grids),
    ):
        found = collect(out, methods, settings, {})
        assert found is not None
        found.write(out)
    figure = figure5.make(out, ("drml", "alexnet"), settings, {})
    assert figure is not None
    figure.write(out)
    _figure4(settings).write(out)
    times = {"mean_ms": 12.5, "std_of_trials_ms": 0.25, "std_of_iterations_ms": 1.0}
    timed: dict[str, Any] = {"batch": 4, "trials": 2, "iterations": 3, "train": times, "test": times}
    about = {"machine": "a <machine>", "versions": {"drml": "0.1.0"}, "seconds": 1.0}
    table4.Table4({"drml": {**timed, **about}}, [], ("drml",)).write(out)
    return settings


def _figure4(settings: Settings) -> Figure4:
    rng = np.random.default_rng(0)
    nets = ("drml", "alexnet")
    pictures = {
        name: {au: cv2.resize(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8), (60, 60)) for au in AUS}
        for name in ("face", *nets)
    }
    focus = {net: {au: (au + len(net)) / 100 for au in AUS} for net in nets}
    area = {net: {au: au / 200 for au in AUS} for net in nets}
    keys = {au: ["00000000_F001_T1_0000"] for au in AUS}
    return Figure4(AUS, 1, keys, pictures, focus, area, True, settings, [])


def write_run(folder: Path) -> dict[str, Path]:
    """Leave a training's scores, predictions and losses; return the arguments of write_report."""
    data = write_prepared(folder / "data")
    result = evaluate_folds("deploy.prototxt", [draw("drml", 1, data)])
    write_scores(folder / "scores.json", result)
    write_predictions(folder / "predictions.csv", result.folds)
    train = write_loss(folder / "train")
    return {
        "scores_json": folder / "scores.json",
        "train_dir": train,
        "predictions": folder / "predictions.csv",
    }


def write_level_run(folder: Path, *, both: bool = True, folds: tuple[int, ...] = (1, 2)) -> dict[str, Path]:
    """Leave the scores of a net that estimates intensities; return the arguments of write_report."""
    folder.mkdir(parents=True, exist_ok=True)
    levels = evaluate_intensity_folds("deploy.prototxt", [draw_intensities(fold, folder) for fold in folds])
    figures = evaluate_folds("deploy.prototxt", [draw("drml", fold, folder) for fold in folds]).to_dict()
    write_scores(folder / "scores.json", {**(figures if both else {}), "intensity": levels.to_dict()})
    return {"scores_json": folder / "scores.json"}
