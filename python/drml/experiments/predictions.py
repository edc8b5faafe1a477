"""What a unit predicts of its test and validation faces: written with its scores, and read again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from drml.evaluation import intensity_metrics, metrics
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.intensity_scoring import IntensityPredictions, evaluate_intensity_folds
from drml.evaluation.intensity_table import IntensityTable
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import write_scores
from drml.evaluation.score_table import ScoreTable, evaluate
from drml.experiments import protocol
from drml.experiments.units import Workspace
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = [
    "load_intensities",
    "load_predictions",
    "load_validation",
    "save_intensities",
    "save_predictions",
]

_TEST = "predictions.npz"
_VALIDATION = "validation.npz"
_INTENSITIES = "intensities.npz"
_VALIDATION_INTENSITIES = "validation_intensities.npz"

Kind = TypeVar("Kind", Predictions, IntensityPredictions)

_ARRAYS = ("labels", "probabilities", "estimates", "training_mean")


def save_predictions(
    workspace: Workspace, model: str, test: Predictions, fold: Path, *, validation: Predictions | None
) -> dict[str, Any]:
    """Write what a method predicts of a fold's test and validation faces, and its scores.

    Parameters
    ----------
    workspace : Workspace
        Where ``scores.json``, ``predictions.npz`` and ``validation.npz`` are written.
    model : str
        The method or the deploy.prototxt, for ``scores.json``.
    test : Predictions
    fold : path
        The prepared fold.
    validation : Predictions or None
        On these, thresholds are chosen; None if there are none.

    Returns
    -------
    dict
        The part of a unit's result that tables use: frames, averages on the test set (also with the chosen
        thresholds) and on the validation set, protocol.
    """
    held_out = None if validation is None else [validation]
    result = evaluate_folds(model, [test], validation=held_out, bootstrap=DRAWS)
    write_scores(workspace.folder / "scores.json", result)
    _write(workspace.folder / _TEST, test)
    found = _describe(test, result.pooled, fold)
    if validation is not None and result.chosen is not None:
        _write(workspace.folder / _VALIDATION, validation)
        scores = evaluate(validation.labels, validation.probabilities, aus=validation.aus)
        found |= {"average_chosen": _averages(result.chosen.pooled), "validation": _averages(scores)}
    return found


def save_intensities(
    workspace: Workspace,
    model: str,
    test: IntensityPredictions,
    fold: Path,
    *,
    validation: IntensityPredictions,
) -> dict[str, Any]:
    """Write what a method estimates of a fold's test and validation faces, and its scores.

    Parameters
    ----------
    workspace, model, fold
        As in `save_predictions`.
    test, validation : IntensityPredictions
        Written to ``intensities.npz`` and ``validation_intensities.npz``.

    Returns
    -------
    dict
        The part of a unit's result that tables use: frames, averages on the test set and on the validation
        set, protocol.
    """
    result = evaluate_intensity_folds(model, [test], bootstrap=DRAWS)
    write_scores(workspace.folder / "scores.json", {"intensity": result.to_dict()})
    _write(workspace.folder / _INTENSITIES, test)
    _write(workspace.folder / _VALIDATION_INTENSITIES, validation)
    held_out = evaluate_intensity_folds(model, [validation], bootstrap=0)
    return {**_describe(test, result.pooled, fold), "validation": _averages(held_out.pooled)}


def _describe(
    test: Predictions | IntensityPredictions, scores: ScoreTable | IntensityTable, fold: Path
) -> dict[str, Any]:
    return {
        "frames": len(test.keys),
        "synthetic": test.synthetic,
        "average": _averages(scores),
        "protocol": protocol.describe(fold.parent),
    }


def _averages(scores: ScoreTable | IntensityTable) -> dict[str, float | None]:
    names = metrics.FIGURES if isinstance(scores, ScoreTable) else intensity_metrics.FIGURES
    return {name: json_value(scores.average(name)) for name in names}


def _write(path: Path, predictions: Predictions | IntensityPredictions) -> None:
    values = {field.name: getattr(predictions, field.name) for field in dataclasses.fields(predictions)}
    keys = values.pop("keys")
    arrays = {name: values.pop(name) for name in _ARRAYS if isinstance(values.get(name), np.ndarray)}
    with writing(path, "wb") as file:
        np.savez(file, keys=np.array(keys), about=np.array(json.dumps(values)), **arrays)


def load_predictions(folder: Path) -> Predictions:
    """Read the test predictions of a finished unit.

    Raises
    ------
    UserError
        They are missing or damaged.
    """
    return _load(folder, _TEST, Predictions, ("labels", "probabilities"))


def load_validation(folder: Path) -> Predictions | None:
    """Read the validation predictions of a finished unit; None for a unit of a version that kept none.

    Raises
    ------
    UserError
        They are damaged.
    """
    if not (folder / _VALIDATION).exists():
        return None
    return _load(folder, _VALIDATION, Predictions, ("labels", "probabilities"))


def load_intensities(folder: Path) -> IntensityPredictions:
    """Read the test intensities of a finished unit; errors are those of `load_predictions`."""
    return _load(folder, _INTENSITIES, IntensityPredictions, ("labels", "estimates", "training_mean"))


def _load(folder: Path, name: str, kind: type[Kind], names: tuple[str, ...]) -> Kind:
    path = folder / name
    try:
        arrays: dict[str, Any] = read_npz(path, ("keys", "about", *names))
        about = json.loads(str(arrays.pop("about")))
        about["aus"] = tuple(about["aus"])
        return kind(keys=[str(key) for key in arrays.pop("keys")], **arrays, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); remove {folder} and run the experiment again"
        ) from None
