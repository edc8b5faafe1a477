"""Predictions for a test set: in memory, with what they came from, and as a CSV file."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.evaluation import metrics
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import LABELS, open_list
from drml.training.base_rates import Separation, spreads

__all__ = [
    "PredictionTable",
    "Predictions",
    "read_predictions",
    "select_aus",
    "separation_of",
    "write_predictions",
]


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for one test set, with the labels.

    Attributes
    ----------
    weights, data : str
        Paths, as the user gave them.
    aus : tuple of K int
        The AUs of the columns: those that both the model and the data have.
    keys : list of N str
        Of the records.
    labels : ndarray of int8, shape (N, K)
        1, -1 or 0.
    probabilities : ndarray of float32 or float64, shape (N, K)
    subjects : int or None
        Number of subjects, if the manifest names them.
    synthetic : bool
        The faces are drawn.
    input : dict
        Mean and scale, and where they come from; for a model that is no net, its features.
    seconds : float
        Duration, with the decoding of images.
    not_scored : dict
        ``"net"`` and ``"data"``: the AUs that only one of the two has.
    classifier : dict or None
        The classifier that was fitted to the net's features, if the probabilities are not the net's own.
    subject_ids : list of N str or None
        The subject of each record, if a manifest names them all.
    coding : str or None
        What the labels mean, in words, such as from which intensity on an AU counts as present.
    """

    weights: str
    data: str
    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.floating[Any]]
    subjects: int | None
    synthetic: bool
    input: dict[str, Any]
    seconds: float
    not_scored: dict[str, tuple[int, ...]] = field(default_factory=dict)
    classifier: dict[str, Any] | None = None
    subject_ids: list[str] | None = None
    coding: str | None = None


def separation_of(predictions: Predictions) -> Separation:
    """Compute how well a model's outputs tell the faces of a test set apart, AU by AU.

    Parameters
    ----------
    predictions : Predictions

    Returns
    -------
    Separation
        ROC-AUC, and standard deviation of the probabilities over the faces, of each AU.
    """
    labels, values = predictions.labels, predictions.probabilities
    columns = range(len(predictions.aus))
    aucs = tuple(metrics.roc_auc(labels[:, column], values[:, column]) for column in columns)
    return Separation(aucs, spreads(labels, values))


def select_aus(predictions: Predictions, aus: Sequence[int]) -> Predictions:
    """Return the predictions for some of their AUs, in the given order."""
    columns = [predictions.aus.index(au) for au in aus]
    return dataclasses.replace(
        predictions,
        aus=tuple(aus),
        labels=predictions.labels[:, columns],
        probabilities=predictions.probabilities[:, columns],
    )


def write_predictions(path: str | Path, folds: Sequence[Predictions]) -> None:
    """Write predictions as CSV: the key, then per AU the probability ``p_AU1`` and the label ``y_AU1``.

    Probabilities have as many digits as it takes to tell them apart, so that figures computed from the file
    are those of ``scores.json``.

    Parameters
    ----------
    path : path
        The file; it appears when it is complete, and replaces an existing one.
    folds : sequence of Predictions
        One or more test sets with the same AUs.

    Raises
    ------
    OSError
        The file cannot be written; no part of it is left.
    """
    aus = folds[0].aus
    with writing(path, newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_header(aus))
        for fold in folds:
            for key, probability, label in zip(fold.keys, fold.probabilities, fold.labels, strict=True):
                writer.writerow([key, *map(str, probability), *label.tolist()])


@dataclass(frozen=True)
class PredictionTable:
    """Predictions as `write_predictions` writes them.

    Attributes
    ----------
    aus : tuple of K int
    keys : list of N str
    labels : ndarray of int8, shape (N, K)
    probabilities : ndarray of float64, shape (N, K)
    """

    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]


def read_predictions(path: str | Path) -> PredictionTable:
    """Read what `write_predictions` wrote, all folds in order.

    Parameters
    ----------
    path : path

    Returns
    -------
    PredictionTable

    Raises
    ------
    UserError
        The file is missing, or does not have this form.
    """
    try:
        with open_list(path) as file:
            header, *rows = csv.reader(file)
        aus = tuple(int(name[4:]) for name in header if name.startswith("p_AU"))
        if not 0 < len(aus) <= LABELS or header != _header(aus):
            raise ValueError
        values = np.array([row[1:] for row in rows], np.float64).reshape(len(rows), 2 * len(aus))
        if not np.isin(values[:, len(aus) :], (-1, 0, 1)).all() or not np.isfinite(values).all():
            raise ValueError
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected what drml score --predictions writes") from None
    except (ValueError, csv.Error):
        raise UserError(f"{path}: not what drml score --predictions writes") from None
    labels = values[:, len(aus) :].astype(np.int8)
    return PredictionTable(aus, [row[0] for row in rows], labels, values[:, : len(aus)])


def _header(aus: Sequence[int]) -> list[str]:
    return ["key", *(f"p_AU{au}" for au in aus), *(f"y_AU{au}" for au in aus)]
