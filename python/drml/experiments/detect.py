"""One method on one fold: fitted or trained on its training faces, scored on its test faces."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from drml.evaluation import metrics, scoring
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import evaluate_folds, write_scores
from drml.evaluation.score_table import evaluate
from drml.experiments import protocol
from drml.experiments.baseline import run_baseline
from drml.experiments.methods import METHODS, NetFiles
from drml.experiments.nets import files_of
from drml.experiments.settings import SPLITS, Settings, data_digest
from drml.experiments.sift import SIFT_WINDOW, sift_features
from drml.experiments.units import Place, Unit
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import digest, writing
from drml.io.limits import read_npz
from drml.nets import snapshots
from drml.training.folder import FINAL_STEM, rename_in_solver
from drml.training.train import AUTO, train

__all__ = ["TRAIN_FOLDER", "keep_predictions", "read_predictions", "unit"]

TRAIN_FOLDER = "train"
_FIT_FOLDER = "fit"
_PREDICTIONS = "predictions.npz"


def unit(out: Path, settings: Settings, method: str, fold: int) -> Unit:
    """Return the unit of a method on a fold.

    Raises
    ------
    UserError
        The method is not available, or the data are at fault.
    """
    data = settings.fold(method, fold)
    config: dict[str, Any] = {"method": method, "fold": fold, "seed": settings.seed}
    if METHODS[method].net:
        files = files_of(out, settings, method)
        config |= {
            "scale": settings.scale,
            "max_iter": settings.max_iter,
            **{path.name: digest(path) for path in (files.solver, files.train_val, files.deploy)},
        }
        work = partial(_network, data=data, settings=settings, files=files)
    else:
        config["sift_window"] = SIFT_WINDOW
        work = partial(_baseline, method=method, data=data, settings=settings, features=out / "features")
    name = f"fold{fold}/{method}"
    return Unit(
        name=name,
        kind=method,
        config={**config, "data_digest": data_digest(data)},
        notes={
            "command": shlex.join(["drml", "experiment", "unit", str(out), name]),
            "settings": dataclasses.asdict(settings),
        },
        work=work,
    )


# --- the work -------------------------------------------------------------------------------------------


def _baseline(place: Place, method: str, data: Path, settings: Settings, features: Path) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    kept = features / data.name
    kept.mkdir(parents=True, exist_ok=True)
    # The methods share them: the first one makes them, the others wait.
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for split in SPLITS:
            sift_features(data / f"{split}_lmdb", folder=kept, jobs=threads, progress=place.progress)
    place.log(f"fits {method}")
    found = run_baseline(
        method,
        data,
        place.folder / _FIT_FOLDER,
        features=kept,
        seed=settings.seed,
        jobs=threads,
        progress=place.progress,
        overwrite=True,
    )
    test = found.folds[0]
    (place.folder / _FIT_FOLDER / "scores.json").unlink()  # the unit has its own
    model = str(place.final / _FIT_FOLDER / "model.npz")
    return keep_predictions(place, method, dataclasses.replace(test, weights=model), data)


def _network(place: Place, data: Path, settings: Settings, files: NetFiles) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    folder = place.folder / TRAIN_FOLDER
    if not (folder / FINAL_STEM).exists():
        newest = snapshots.newest(folder) if folder.is_dir() else None
        place.log(f"trains with {files.solver}" + (f", from {newest.path.name}" if newest else ""))
        train(
            files.solver,
            folder,
            data=data,
            net=files.train_val,
            seed=settings.seed,
            max_iter=settings.max_iter,
            snapshot=AUTO,
            progress=place.progress,
        )
    rename_in_solver(folder, place.final.absolute() / TRAIN_FOLDER)
    weights = folder / FINAL_STEM
    place.log("scores")

    def predict(split: str) -> Predictions:
        return scoring.predict(files.deploy, weights, data / f"{split}_lmdb", progress=place.progress)

    held_out, test = predict("val"), predict("test")
    validation = evaluate(held_out.labels, held_out.probabilities, aus=held_out.aus)
    _drop_snapshots(folder)
    test = dataclasses.replace(test, weights=str(place.final / TRAIN_FOLDER / weights.name))
    return {
        **keep_predictions(place, str(files.deploy), test, data),
        "validation": {
            "f1": json_value(validation.average("f1")),
            "auc": json_value(validation.average("auc")),
        },
    }


def _drop_snapshots(folder: Path) -> None:
    """Leave the last weights alone: the paper's schedule writes 500 MB every 1,000 iterations."""
    last = (folder / FINAL_STEM).resolve()
    for path in [*folder.glob("*.solverstate"), *folder.glob("*_iter_*.caffemodel")]:
        if path.resolve() != last:
            path.unlink()


# --- predictions ----------------------------------------------------------------------------------------


def keep_predictions(place: Place, model: str, test: Predictions, fold: Path) -> dict[str, Any]:
    """Write predictions and scores of a prepared fold's test faces; return what the table says of them."""
    result = evaluate_folds(model, [test])
    write_scores(place.folder / "scores.json", result)
    about = {
        field.name: getattr(test, field.name)
        for field in dataclasses.fields(test)
        if field.name not in ("keys", "labels", "probabilities")
    }
    with writing(place.folder / _PREDICTIONS, "wb") as file:
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


def read_predictions(folder: Path) -> Predictions:
    """Read the test predictions of a finished unit."""
    path = folder / _PREDICTIONS
    try:
        arrays: dict[str, Any] = read_npz(path, ("keys", "labels", "probabilities", "about"))
        about = json.loads(str(arrays.pop("about")))
        about["aus"] = tuple(about["aus"])
        return Predictions(keys=[str(key) for key in arrays.pop("keys")], **arrays, **about)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); remove {folder}, and it is done again") from None
