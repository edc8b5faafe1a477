"""Runs ridge regression on a prepared fold: fits on train, chooses on val, scores intensities on test."""

from __future__ import annotations

import json
import time
from pathlib import Path

from drml.baselines.ridge import RidgeRegression
from drml.data.recipe_text import label_coding
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.intensity_scoring import (
    IntensityEvaluation,
    IntensityPredictions,
    evaluate_intensity_folds,
    training_means,
    write_intensities,
)
from drml.evaluation.results import write_scores
from drml.experiments.baseline_fold import describe_features, describe_fit, read_fold, shown
from drml.experiments.sift import SIFT_WINDOW, Features
from drml.io.files import making, writing

__all__ = ["RIDGE", "run_ridge"]

RIDGE = "ridge"
"""The name of the method."""


def run_ridge(
    fold: str | Path,
    out: str | Path,
    *,
    features: str | Path | None = None,
    window: float = SIFT_WINDOW,
    jobs: int = 0,
    progress: bool = True,
    overwrite: bool = False,
) -> tuple[IntensityEvaluation, IntensityPredictions]:
    """Fit a ridge regression for each AU, score it and write a folder with the results.

    The folder has ``scores.json`` and ``predictions.csv`` as ``drml score`` writes them, ``model.npz`` and
    ``fit.json`` (parameters, penalties that validation chose, seconds). It appears when it is complete. All
    known levels of the training frames take part, also with ``--unsampled keep``.

    Parameters
    ----------
    fold, out, features, window, jobs, progress, overwrite
        As in `drml.experiments.baseline.run_baseline`. The data have intensities.

    Returns
    -------
    evaluation : IntensityEvaluation
        Of the test faces, with confidence intervals.
    held_out : IntensityPredictions
        What the model estimates of the validation faces.

    Raises
    ------
    UserError
        The data are missing or damaged, have no intensities, or the folder cannot be used.
    OSError
        A file cannot be written; `out` is then left unchanged.
    """
    fold, out = Path(fold), Path(out)
    data = read_fold(
        fold,
        out,
        features=features,
        window=window,
        jobs=jobs,
        progress=progress,
        overwrite=overwrite,
        intensities=True,
    )
    train, val = data["train"], data["val"]
    started = time.perf_counter()
    model = RidgeRegression(n_jobs=jobs or -1, aus=train.intensity_aus)
    with shown(RIDGE, progress) as report:
        model.fit(train.X, train.levels, validation=(val.X, val.levels), progress=report)
    seconds = time.perf_counter() - started

    def estimate(split: str) -> IntensityPredictions:
        weights, lmdb = out / "model.npz", fold / f"{split}_lmdb"
        return _estimate(model, data[split], weights=weights, lmdb=lmdb, window=window)

    result = evaluate_intensity_folds(RIDGE, [estimate("test")], bootstrap=DRAWS)
    with making(out, folder=True, overwrite=overwrite) as partial:
        write_scores(partial / "scores.json", {"intensity": result.to_dict()})
        write_intensities(partial / "predictions.csv", result.folds)
        model.save(partial / "model.npz")
        with writing(partial / "fit.json", encoding="utf-8") as file:
            json.dump(describe_fit(RIDGE, model, seconds, data), file, indent=2, allow_nan=False)
            file.write("\n")
    return result, estimate("val")


def _estimate(
    model: RidgeRegression, features: Features, *, weights: Path, lmdb: Path, window: float
) -> IntensityPredictions:
    start = time.perf_counter()
    estimates = model.predict(features.X)
    return IntensityPredictions(
        weights=str(weights),
        data=str(lmdb),
        aus=features.intensity_aus,
        keys=features.keys,
        labels=features.levels,
        estimates=estimates,
        subject_ids=features.subject_ids,
        synthetic=features.synthetic,
        input=describe_features(window),
        seconds=time.perf_counter() - start,
        training_mean=training_means(lmdb, features.intensity_aus),
        coding=label_coding(lmdb),
    )
