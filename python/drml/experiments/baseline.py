"""Runs a linear baseline on a prepared fold: fits on train, chooses on val, scores on test.

With `refit`, the model is fitted again on train and val before it is scored.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.special import expit

from drml.baselines.apl import APL
from drml.baselines.base import LinearDetector
from drml.baselines.jpml import JPML
from drml.baselines.lsvm import LSVM
from drml.baselines.patches import PatchDetector
from drml.baselines.refit import refit as fit_again
from drml.data.labels import ABSENT, PRESENT
from drml.data.recipe_text import label_coding
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions, write_predictions
from drml.evaluation.results import Evaluation, write_scores
from drml.experiments.baseline_fold import describe_features, describe_fit, read_fold, shown
from drml.experiments.patch_maps import write_maps
from drml.experiments.refit import joint_rows
from drml.experiments.sift import SIFT_WINDOW, Features
from drml.io.errors import UserError
from drml.io.files import making, writing

__all__ = ["ESTIMATORS", "run_baseline"]

ESTIMATORS: dict[str, type[LinearDetector]] = {"lsvm": LSVM, "apl": APL, "jpml": JPML}


def run_baseline(
    method: str,
    fold: str | Path,
    out: str | Path,
    *,
    features: str | Path | None = None,
    window: float = SIFT_WINDOW,
    seed: int = 0,
    jobs: int = 0,
    progress: bool = True,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    refit: bool = False,
    **params: Any,
) -> Evaluation:
    """Fit a baseline, score it and write a folder with the results.

    Each AU is fitted to the labels that were sampled for it, also if the data were prepared with
    ``--unsampled keep``. The folder has ``scores.json`` and ``predictions.csv`` as ``drml score`` writes
    them, ``model.npz``, ``fit.json`` (parameters, labels, the candidates that validation chose, iterations,
    seconds), and for APL and JPML ``patches/AU1.png``, ... It appears when it is complete.

    Parameters
    ----------
    method : {"lsvm", "apl", "jpml"}
    fold : path
        Folder of ``drml prepare`` with train_lmdb, val_lmdb and test_lmdb.
    out : path
        Folder to make; missing or empty, unless `overwrite`.
    features : path, optional
        Folder that caches the features; by default `fold`.
    window : float
        SIFT window in pixels, as in `drml.experiments.sift.sift`.
    seed : int
        Seed of the face on which patches are drawn. The fit draws no random numbers.
    jobs : int
        Threads; 0 means one per available core. The result does not depend on it.
    progress : bool
        Show progress bars, and JPML's objective at every outer iteration.
    overwrite : bool
        Replace a folder that is not empty.
    command : sequence of str, optional
        The command line that the scores record.
    refit : bool
        After validation has chosen parameters and thresholds, fit the model with these parameters again, on
        the training and validation subjects together (`drml.experiments.refit`).
    **params
        Further parameters of the estimator.

    Returns
    -------
    Evaluation
        With the thresholds that validation chose, and confidence intervals. Its probabilities are
        sigmoid(decision), so that a decision of 0, at which the methods themselves decide, is a probability
        of 0.5. Those of the LSVM are not calibrated, since its decisions are not log-odds.

    Raises
    ------
    UserError
        The data are missing or damaged, or the folder cannot be used; the message says why.
    OSError
        A file cannot be written; `out` is then left unchanged.
    """
    if method not in ESTIMATORS:
        raise UserError(f"method {method!r}: {', '.join(ESTIMATORS)} are known")
    fold, out = Path(fold), Path(out)
    data = read_fold(
        fold, out, features=features, window=window, jobs=jobs, progress=progress, overwrite=overwrite
    )
    aus = data["train"].aus
    started = time.perf_counter()
    model = ESTIMATORS[method](n_jobs=jobs or -1, aus=aus, **params)
    with shown(method, progress) as report:
        model.fit(
            data["train"].X,
            data["train"].Y,
            validation=(data["val"].X, data["val"].Y),
            progress=report,
        )

    def predict(split: str) -> Predictions:
        weights, lmdb = out / "model.npz", fold / f"{split}_lmdb"
        return _predict(model, data[split], weights=weights, lmdb=lmdb, window=window)

    held_out = predict("val")  # before the model sees these subjects: thresholds are chosen on them
    if refit:
        with (
            joint_rows(
                (data["train"].X, data["train"].Y),
                data["val"].X,
                data["val"].keys,
                fold,
                data["train"].path.parent,
            ) as (X, Y),
            shown(f"{method} again", progress) as report,
        ):
            model = fit_again(model, X, Y, progress=report)
            frames = len(Y)
    else:
        frames = None
    fitted = time.perf_counter()
    test = predict("test")
    result = evaluate_folds(
        method,
        [test],
        command=list(command) if command else None,
        validation=[held_out],
        bootstrap=DRAWS,
    )
    with making(out, folder=True, overwrite=overwrite) as partial:
        write_scores(partial / "scores.json", result)
        write_predictions(partial / "predictions.csv", result.folds)
        model.save(partial / "model.npz")
        with writing(partial / "fit.json", encoding="utf-8") as file:
            about = {
                **describe_fit(method, model, fitted - started, data),
                "refitted_on_frames": frames,
                "labels": _count_labels(data["train"]),
            }
            json.dump(about, file, indent=2, allow_nan=False)
            file.write("\n")
        if isinstance(model, PatchDetector):
            write_maps(partial / "patches", model.patch_importance_, aus, seed=seed)
    return result


def _predict(
    model: LinearDetector, features: Features, *, weights: Path, lmdb: Path, window: float
) -> Predictions:
    start = time.perf_counter()
    probabilities = expit(model.decision_function(features.X))
    return Predictions(
        weights=str(weights),
        data=str(lmdb),
        aus=features.aus,
        keys=features.keys,
        labels=features.Y,
        probabilities=probabilities,
        subjects=features.subjects or None,
        synthetic=features.synthetic,
        input=describe_features(window),
        seconds=time.perf_counter() - start,
        subject_ids=features.subject_ids,
        coding=label_coding(lmdb),
    )


def _count_labels(train: Features) -> dict[str, dict[str, int]]:
    """Count the labels to which each AU was fitted."""
    counts = zip(train.aus, (train.Y == PRESENT).sum(axis=0), (train.Y == ABSENT).sum(axis=0), strict=True)
    return {
        f"AU{au}": {"positives": int(with_it), "negatives": int(without)} for au, with_it, without in counts
    }
