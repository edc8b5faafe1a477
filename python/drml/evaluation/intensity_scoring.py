"""Runs a trained net over prepared data and scores its intensities: ICC(3,1), PCC, MSE and MAE per AU."""

from __future__ import annotations

import csv
import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.labels import INTENSITY_SUFFIX, LEVELS, UNKNOWN_LEVEL, list_aus
from drml.data.manifest import read_manifest
from drml.data.recipe_text import label_coding
from drml.data.split import open_split
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.folds import mean_of_folds
from drml.evaluation.intensity_table import IntensityTable, evaluate_intensities
from drml.evaluation.results import given_options
from drml.evaluation.shared_aus import SharedAus, shared_aus
from drml.evaluation.text_table import format_table
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.text import counted
from drml.nets.intensity_head import INTENSITIES
from drml.nets.net import CaffeNet
from drml.nets.preprocessing import describe_preprocessing, find_preprocessing
from drml.nets.recipe import read_recipe
from drml.nets.trained_files import resolve_intensity_aus
from drml.training.base_rates import REMARK
from drml.training.level_table import LEARNED_ICC, learned_nothing

__all__ = [
    "IntensityEvaluation",
    "IntensityPredictions",
    "evaluate_intensity_folds",
    "predict_intensities",
    "score_intensities",
    "training_means",
    "write_intensities",
]


@dataclass(frozen=True)
class IntensityPredictions:
    """The estimated intensities of a model for one test set, with the labels.

    Attributes
    ----------
    weights, data : str
        Paths, as the user gave them.
    aus : tuple of K int
        The AUs of the columns: those that both the model and the data have.
    keys : list of N str
        Of the records.
    labels : ndarray of int8, shape (N, K)
        0 (absent) to 5, or 9 (unknown).
    estimates : ndarray of float32 or float64, shape (N, K)
        0 to 5.
    subject_ids : list of N str or None
        The subject of each record, if a manifest names them all.
    synthetic : bool
        The faces are drawn.
    input : dict
        Mean and scale, and where they come from; for a model that is no net, its features.
    seconds : float
        Duration, with the decoding of images.
    training_mean : ndarray of float64, shape (K,), or None
        The mean of the known training labels of the fold; None if there is no training split beside the data.
    not_scored : dict
        ``"net"`` and ``"data"``: the AUs that only one of the two has.
    coding : str or None
        What the labels mean, in words.
    """

    weights: str
    data: str
    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    estimates: NDArray[np.floating[Any]]
    subject_ids: list[str] | None
    synthetic: bool
    input: dict[str, Any]
    seconds: float
    training_mean: NDArray[np.float64] | None = None
    not_scored: dict[str, tuple[int, ...]] = field(default_factory=dict)
    coding: str | None = None


@dataclass(frozen=True)
class IntensityEvaluation:
    """The scores of intensities for one test set, or for several folds.

    Attributes
    ----------
    model : str
        Path of the net's prototxt, or the name of the method.
    folds : list of IntensityPredictions
    fold_scores : list of IntensityTable
        One per fold.
    pooled : IntensityTable
        All test frames as one test; with one fold, its scores.
    mean : IntensityTable or None
        Mean of the folds' figures; None with one fold.
    interval_note : str
        Why there are no confidence intervals although they were asked for; otherwise empty.
    options : dict
        The options of ``drml score`` that were given, as text, by name; None for those that were not.
    """

    model: str
    folds: list[IntensityPredictions]
    fold_scores: list[IntensityTable]
    pooled: IntensityTable
    mean: IntensityTable | None
    interval_note: str = ""
    options: dict[str, str | None] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether any of the faces are drawn."""
        return any(fold.synthetic for fold in self.folds)

    @property
    def at_base_rates(self) -> list[int]:
        """The folds, counted from 0, whose model has not learned yet: its mean ICC is hardly above 0."""
        return [
            index
            for index, scores in enumerate(self.fold_scores)
            if learned_nothing(row.icc for row in scores.rows)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the estimates of single frames as values that JSON can hold."""
        return {
            "model": self.model,
            "options": self.options,
            "synthetic": self.synthetic,
            "frames": sum(len(fold.keys) for fold in self.folds),
            "pooled": self.pooled.to_dict(),
            "mean_of_folds": self.mean.to_dict() if self.mean else None,
            "confusion": confusion(self.folds),
            "folds": [
                {
                    "weights": fold.weights,
                    "data": fold.data,
                    "synthetic": fold.synthetic,
                    "frames": len(fold.keys),
                    "subjects": len(set(fold.subject_ids)) if fold.subject_ids else None,
                    "labels": fold.coding,
                    "input": fold.input,
                    "not_scored": {side: list(aus) for side, aus in fold.not_scored.items()},
                    "seconds": round(fold.seconds, 3),
                    "scores": scores.to_dict(),
                }
                for fold, scores in zip(self.folds, self.fold_scores, strict=True)
            ],
        }

    def to_text(self) -> str:
        """Return the tables that ``drml score`` prints."""
        lines = []
        for fold in self.folds:
            subjects = f" of {counted(len(set(fold.subject_ids)), 'subject')}" if fold.subject_ids else ""
            synthetic = ", SYNTHETIC DATA (drawn faces)" if fold.synthetic else ""
            frames = counted(len(fold.keys), "frame")
            lines.append(f"{fold.data}: intensities of {frames}{subjects}{synthetic}")
            lines.append(f"  weights {fold.weights}, {describe_preprocessing(fold.input)}")
            lines += [f"  labels: {fold.coding}"] if fold.coding else []
            for side, aus in fold.not_scored.items():
                lines.append(f"  not scored, since only the {side} has them: {list_aus(aus)}")
        if self.mean is None:
            lines += ["", str(self.pooled)]
        else:
            count = len(self.folds)
            lines += ["", f"Pooled over {count} folds", str(self.pooled)]
            lines += ["", f"Mean of {count} folds", str(self.mean)]
            head = ["fold", "frames", "ICC(3,1)", "MAE"]
            rows = [
                [fold.data, str(len(fold.keys)), scores.cell("icc"), scores.cell("mae")]
                for fold, scores in zip(self.folds, self.fold_scores, strict=True)
            ]
            lines += ["", "Avg. of each fold", format_table(head, rows, totals=0)]
        lines += [
            f"- {self.folds[index].data if self.mean else 'The model'}: {REMARK}, its mean ICC(3,1) is below"
            f" {LEARNED_ICC}"
            for index in self.at_base_rates
        ]
        lines += [self.interval_note] if self.interval_note else []
        return "\n".join(lines) + "\n"


def confusion(folds: Sequence[IntensityPredictions]) -> list[list[list[int]]]:
    """Count, for each AU, the frames of each label (rows) by their rounded estimate (columns), 6 x 6."""
    labels = np.concatenate([fold.labels for fold in folds])
    rounded = np.rint(np.concatenate([fold.estimates for fold in folds])).astype(int)
    tables = []
    for column in range(labels.shape[1]):
        known = labels[:, column] != UNKNOWN_LEVEL
        table = np.zeros((len(LEVELS), len(LEVELS)), int)
        np.add.at(table, (labels[known, column], rounded[known, column]), 1)
        tables.append(table.tolist())
    return tables


def training_means(data: str | Path, aus: Sequence[int]) -> NDArray[np.float64] | None:
    """Return the mean of the known training labels of some AUs of the fold that contains a split.

    It is NaN for an AU without any. The result is None if there is no ``train.csv`` beside the split that has
    these AUs.
    """
    path = open_split(data).lmdb.absolute().parent / "train.csv"
    if not path.is_file():
        return None
    manifest = read_manifest(path)
    if not set(aus) <= set(manifest.intensity_aus):
        return None
    columns = [len(manifest.aus) + manifest.intensity_aus.index(au) for au in aus]
    labels = np.array([row.labels for row in manifest.rows.values()], np.float64)[:, columns]
    known = labels != UNKNOWN_LEVEL
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, labels, 0).sum(0) / known.sum(0))


def predict_intensities(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    progress: bool = True,
    probe: bool = True,
) -> IntensityPredictions:
    """Run a net with outputs for intensities over one test set.

    Parameters
    ----------
    deploy, weights, data, mean, scale, batch, progress, probe
        As in `drml.evaluation.scoring.predict`.

    Returns
    -------
    IntensityPredictions
        Of the AUs that both the net and the data have; clipped to 0 to 5, as `drml detect` writes them.

    Raises
    ------
    UserError
        Net, weights and data do not fit together, or one of them is damaged; the message names it.
    """
    source = open_split(data)
    settings = find_preprocessing(weights, source.lmdb, mean=mean, scale=scale)
    net = CaffeNet(deploy, weights, batch=batch, probe=probe, **settings.net_options())
    count = net.count_outputs()[1]
    if not count:
        raise UserError(f"{deploy}: estimates no intensities; train a net on data with intensities")
    net_aus = resolve_intensity_aus(weights, read_recipe(weights), count)
    start = time.perf_counter()
    keys: list[str] = []
    labels: list[NDArray[np.int8]] = []
    estimates: list[NDArray[np.float32]] = []
    shared: SharedAus | None = None
    with tqdm(total=source.size, desc=str(data), unit="img", disable=not progress) as bar:
        for some_keys, images, some_labels in source.batches(batch, intensities=True):
            output = net.forward(images, [INTENSITIES])[INTENSITIES].reshape(len(images), -1)
            if shared is None:
                shared = shared_aus(net_aus, source, some_labels.shape[1], intensities=True)
            if not np.isfinite(output).all():
                row, column = np.argwhere(~np.isfinite(output))[0]
                raise UserError(
                    f"{weights}: output {column} for record {some_keys[row]} is {output[row, column]}; the"
                    " training has diverged"
                )
            keys += some_keys
            labels.append(some_labels[:, shared.columns])
            estimates.append(np.clip(output[:, shared.outputs], LEVELS[0], LEVELS[-1]))
            bar.update(len(images))
    if shared is None:
        raise UserError(f"{data}: no record to score")
    return IntensityPredictions(
        weights=str(weights),
        data=str(data),
        aus=shared.aus,
        keys=keys,
        labels=np.concatenate(labels),
        estimates=np.concatenate(estimates),
        subject_ids=source.subjects_of(keys),
        synthetic=source.synthetic,
        input=settings.to_dict(),
        seconds=time.perf_counter() - start,
        training_mean=training_means(data, shared.aus),
        not_scored=shared.others,
        coding=label_coding(source.lmdb),
    )


def score_intensities(
    deploy: str | Path,
    weights: Sequence[str | Path],
    data: Sequence[str | Path],
    *,
    bootstrap: int = DRAWS,
    seed: int = 0,
    **options: Any,
) -> IntensityEvaluation:
    """Score the intensities of each fold's net on the test set of its fold.

    Parameters
    ----------
    deploy : path
        Net whose blob ``intensity`` holds one intensity per AU.
    weights, data : sequence of path
        As many of each, in the same order.
    bootstrap, seed : int, keyword-only
        As in `drml.evaluation.intensity_table.evaluate_intensities`.
    **options
        Those of `predict_intensities`.

    Returns
    -------
    IntensityEvaluation

    Raises
    ------
    UserError
        Net, weights and data do not fit together, or one of them is damaged; the message names it.
    """
    folds: list[IntensityPredictions] = []
    for one_weights, one_data in zip(weights, data, strict=True):
        folds.append(predict_intensities(deploy, one_weights, one_data, **options))
        if folds[-1].aus != folds[0].aus:
            raise UserError(
                f"{folds[-1].data}: AUs ({list_aus(folds[-1].aus)}) differ from those of {folds[0].data}"
                f" ({list_aus(folds[0].aus)})"
            )
    found = evaluate_intensity_folds(str(deploy), folds, bootstrap=bootstrap, seed=seed)
    given = {name: options.get(name) for name in ("mean", "scale")}
    return dataclasses.replace(found, options=given_options(**given, bootstrap=bootstrap, seed=seed))


def evaluate_intensity_folds(
    model: str, folds: Sequence[IntensityPredictions], *, bootstrap: int = DRAWS, seed: int = 0
) -> IntensityEvaluation:
    """Score estimated intensities for one or more test sets with the same AUs.

    Parameters
    ----------
    model : str
        Path of the net's prototxt, or the name of the method.
    folds : sequence of IntensityPredictions
    bootstrap, seed : int, keyword-only
        As in `drml.evaluation.intensity_table.evaluate_intensities`.

    Returns
    -------
    IntensityEvaluation
    """
    note = ""
    if bootstrap and any(fold.subject_ids is None for fold in folds):
        note = "- No confidence intervals: no manifest names the subjects."

    def score(some: Sequence[IntensityPredictions]) -> IntensityTable:
        subjects = [name for fold in some for name in fold.subject_ids or ()]
        means = [
            np.broadcast_to(np.nan if fold.training_mean is None else fold.training_mean, fold.labels.shape)
            for fold in some
        ]
        return evaluate_intensities(
            np.concatenate([fold.labels for fold in some]),
            np.concatenate([fold.estimates for fold in some]),
            aus=some[0].aus,
            training_mean=np.concatenate(means),
            subjects=None if note or len(set(subjects)) < 2 else subjects,
            bootstrap=bootstrap,
            seed=seed,
        )

    each = [score([fold]) for fold in folds]
    if len(folds) == 1:
        return IntensityEvaluation(model, list(folds), each, each[0], None, note)
    return IntensityEvaluation(model, list(folds), each, score(folds), mean_of_folds(each), note)


def write_intensities(path: str | Path, folds: Sequence[IntensityPredictions]) -> None:
    """Write estimates as CSV: the key, then per AU the estimate ``p_AU1_r`` and the label ``y_AU1_r``.

    Raises
    ------
    OSError
        The file cannot be written; no part of it is left.
    """
    names = [f"AU{au}{INTENSITY_SUFFIX}" for au in folds[0].aus]
    with writing(path, newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", *(f"p_{name}" for name in names), *(f"y_{name}" for name in names)])
        for fold in folds:
            for key, values, labels in zip(fold.keys, fold.estimates, fold.labels, strict=True):
                writer.writerow([key, *map(str, values), *labels.tolist()])
