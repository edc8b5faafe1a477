"""The predictions of a unit for its test and validation faces: written with their scores, and read again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from drml.evaluation import metrics
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import write_scores
from drml.evaluation.score_table import ScoreTable, evaluate
from drml.experiments import protocol
from drml.experiments.units import Workspace
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = ["load_predictions", "load_validation", "save_predictions"]

_TEST = "predictions.npz"
_VALIDATION = "validation.npz"


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
    found = {
        "frames": len(test.keys),
        "synthetic": test.synthetic,
        "average": _averages(result.pooled),
        "protocol": protocol.describe(fold.parent),
    }
    if validation is not None and result.chosen is not None:
        _write(workspace.folder / _VALIDATION, validation)
        scores = evaluate(validation.labels, validation.probabilities, aus=validation.aus)
        found |= {"average_chosen": _averages(result.chosen.pooled), "validation": _averages(scores)}
    return found


def _averages(scores: ScoreTable) -> dict[str, float | None]:
    return {name: json_value(scores.average(name)) for name in metrics.FIGURES}


def _write(path: Path, predictions: Predictions) -> None:
    about = {
        field.name: getattr(predictions, field.name)
        for field in dataclasses.fields(predictions)
        if field.name not in ("keys", "labels", "probabilities")
    }
    with writing(path, "wb") as file:
        np.savez(
            file,
            keys=np.array(predictions.keys),
            labels=predictions.labels,
            probabilities=predictions.probabilities,
            about=np.array(json.dumps(about)),
        )


def load_predictions(folder: Path) -> Predictions:
    """Read the test predictions of a finished unit.

    Raises
    ------
    UserError
        They are missing or damaged.
    """
    return _read(folder, _TEST)


def load_validation(folder: Path) -> Predictions | None:
    """Read the validation predictions of a finished unit; None for a unit of a version that kept none.

    Raises
    ------
    UserError
        They are damaged.
    """
    return _read(folder, _VALIDATION) if (folder / _VALIDATION).exists() else None


def _read(folder: Path, name: str) -> Predictions:
    path = folder / name
    try:
        arrays: dict[str, Any] = read_npz(path, ("keys", "labels", "probabilities", "about"))
        about = json.loads(str(arrays.pop("about")))
        about["aus"] = tuple(about["aus"])
        return Predictions(keys=[str(key) for key in arrays.pop("keys")], **arrays, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); remove {folder} and run the experiment again"
        ) from None
