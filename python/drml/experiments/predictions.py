"""The test predictions of a unit: written with their scores, and read for tables, figures and reports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from drml.evaluation import metrics
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import evaluate_folds, write_scores
from drml.experiments import protocol
from drml.experiments.units import Workspace
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = ["load_predictions", "save_predictions"]

_PREDICTIONS = "predictions.npz"


def save_predictions(workspace: Workspace, model: str, test: Predictions, fold: Path) -> dict[str, Any]:
    """Write what a method predicts of a fold's test faces, and its scores.

    Parameters
    ----------
    workspace : Workspace
        Where ``scores.json`` and ``predictions.npz`` are written.
    model : str
        The method or the deploy.prototxt, for ``scores.json``.
    test : Predictions
    fold : path
        The prepared fold.

    Returns
    -------
    dict
        The part of a unit's result that tables use: frames, averages, protocol.
    """
    result = evaluate_folds(model, [test])
    write_scores(workspace.folder / "scores.json", result)
    about = {
        field.name: getattr(test, field.name)
        for field in dataclasses.fields(test)
        if field.name not in ("keys", "labels", "probabilities")
    }
    with writing(workspace.folder / _PREDICTIONS, "wb") as file:
        np.savez(
            file,
            keys=np.array(test.keys),
            labels=test.labels,
            probabilities=test.probabilities,
            about=np.array(json.dumps(about)),
        )
    averages = {name: json_value(result.pooled.average(name)) for name in metrics.FIGURES}
    return {
        "frames": len(test.keys),
        "synthetic": test.synthetic,
        "average": averages,
        "protocol": protocol.describe(fold.parent),
    }


def load_predictions(folder: Path) -> Predictions:
    """Read the test predictions of a finished unit.

    Raises
    ------
    UserError
        They are missing or damaged.
    """
    path = folder / _PREDICTIONS
    try:
        arrays: dict[str, Any] = read_npz(path, ("keys", "labels", "probabilities", "about"))
        about = json.loads(str(arrays.pop("about")))
        about["aus"] = tuple(about["aus"])
        return Predictions(keys=[str(key) for key in arrays.pop("keys")], **arrays, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); remove {folder} and run the experiment again"
        ) from None
