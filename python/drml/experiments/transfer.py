"""Transfers a net to another data set: a linear classifier per AU on the net's features.

The paper applies the best model from BP4D to DISFA, whose AUs include three for which that model has no
output. The features of the net are not tied to its AUs: for each fold, a linear support vector machine per AU
is fitted to the net's features of the training subjects, and scored on the test subjects. Each machine is
fitted to the labels that were sampled for its AU. The net is not trained further.
"""

from __future__ import annotations

import math
import re
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from drml.baselines import LSVM
from drml.baselines.refit import refit as fit_again
from drml.data.manifest import LMDB_SUFFIX
from drml.data.recipe_text import label_coding
from drml.data.split import VERIFY, Split, find_folds
from drml.evaluation import scoring
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.features import BlobReader
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import Evaluation
from drml.experiments.refit import joint_rows
from drml.io.checks import check_positive
from drml.io.errors import UsageError, UserError
from drml.io.figures import json_value
from drml.nets.preprocessing import Preprocessing

__all__ = ["CS", "transfer"]

CS: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Candidates for C. With 2048 standardised features, 0.1 is close to a hard margin."""

# Correlated features make the problem slow; this is usually more steps than it takes.
_SOLVING: dict[str, Any] = {"tol": 1e-4, "max_iter": 10_000, "scale": False, "n_jobs": -1}

_SPLITS = ("train", "val", "test")
_FOLD = re.compile(r"fold([0-9]+)")


@dataclass(frozen=True, eq=False)
class _SplitFeatures:
    """Features and labels of one split, and where they come from."""

    keys: list[str]
    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    source: Split
    settings: Preprocessing

    @property
    def aus(self) -> tuple[int, ...]:
        return scoring.aus_of(self.source, self.labels.shape[1])


def _read(reader: BlobReader, progress: bool) -> _SplitFeatures:
    keys: list[str] = []
    features: list[NDArray[np.float32]] = []
    labels: list[NDArray[np.int8]] = []
    for some_keys, some_features, some_labels in reader.batches(progress=progress):
        keys += some_keys
        features.append(some_features.reshape(len(some_keys), -1))
        if "labels" not in some_labels:
            raise reader.source.no_occurrences()
        labels.append(some_labels["labels"])
    whole = np.concatenate(features)
    broken = ~np.isfinite(whole).all(axis=1)
    if broken.any():
        raise UserError(
            f"{reader.weights}: the features of record {keys[int(np.argmax(broken))]} are not finite numbers;"
            " the training has diverged"
        )
    return _SplitFeatures(keys, whole, np.concatenate(labels), reader.source, reader.settings)


def _standardise(splits: Sequence[NDArray[np.float32]]) -> None:
    """Subtract the first split's mean and divide by its standard deviation, per feature and in place."""
    first = splits[0]
    mean = first.mean(axis=0, dtype=np.float64)
    deviation = first.std(axis=0, dtype=np.float64)
    # A feature that is constant in the training frames gets no weight, whatever its values elsewhere.
    deviation[deviation <= 1e-7 * np.maximum(1.0, np.abs(mean))] = math.inf
    for split in splits:
        split -= mean.astype(np.float32)
        split /= deviation.astype(np.float32)


def transfer(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    *,
    blob: str = "fc9",
    folds: Sequence[int] | None = None,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    cs: Sequence[float] = CS,
    refit: bool = False,
    progress: bool = True,
    probe: bool = True,
) -> Evaluation:
    """Fit linear classifiers to a net's features, fold by fold, and score them.

    Parameters
    ----------
    deploy, weights, mean, scale, batch, probe
        As in `drml.evaluation.scoring.score`; the net may have been trained on other AUs.
    data : path
        A folder that ``drml prepare`` wrote, or one fold in it. Each fold needs all three splits.
    blob : str
        A blob of the net with one row per image.
    folds : sequence of int, optional
        Numbers of folds in `data`; by default all.
    cs : sequence of float
        Candidates for C on standardised features, > 0, as in `drml.baselines.LSVM`.
    refit : bool
        After validation has chosen C and the thresholds, fit again on the training and validation subjects
        together, as `drml.experiments.baseline.run_baseline` does.
    progress : bool
        Show progress bars.

    Returns
    -------
    Evaluation
        With the thresholds that validation chose, and confidence intervals. Its probabilities are
        sigmoid(decision): 0.5 is the classifier's own threshold and the order is that
        of the decisions, but they are not calibrated.

    Raises
    ------
    UserError
        Net, weights and data do not fit together, or one of them is damaged; the message names it.
    """
    if not cs:
        raise UsageError("C: give at least one number")
    for c in cs:
        check_positive(c, "C")

    def run(lmdb: Path) -> _SplitFeatures:
        reader = BlobReader(
            deploy, weights, lmdb, blob=blob, mean=mean, scale=scale, batch=batch, probe=probe
        )
        return _read(reader, progress)

    found = [_fold(folder, run, cs, str(weights), blob, refit) for folder in _folds(Path(data), folds)]
    command = ["drml", "transfer", "--net", str(deploy), "--weights", str(weights), "--data", str(data)]
    given = {
        "mean": mean,
        "scale": None if scale is None else repr(scale),
        "blob": None if blob == "fc9" else blob,
        "folds": None if folds is None else ",".join(map(str, folds)),
    }
    command += ["--refit"] if refit else []
    for name, value in given.items():
        if value is not None:
            command += [f"--{name}", str(value)]
    return evaluate_folds(
        str(deploy),
        [test for _, test in found],
        command=command,
        validation=[held_out for held_out, _ in found],
        bootstrap=DRAWS,
    )


def _folds(data: Path, folds: Sequence[int] | None) -> list[Path]:
    if data.name.endswith(LMDB_SUFFIX) or data.suffix == ".csv":
        raise UserError(
            f"{data}: one split, but transfer fits on train, chooses C on val and scores on test; give the"
            f" fold with all three, such as {data.parent}"
        )
    found = find_folds(data)
    there = {int(path.name[4:]) if _FOLD.fullmatch(path.name) else 1: path for path in found}
    wanted = sorted(there) if folds is None else list(folds)
    for fold in wanted:
        if fold not in there:
            raise UserError(f"{data}: no fold {fold}; it has {', '.join(map(str, sorted(there)))}")
        for name in _SPLITS:
            if not (there[fold] / f"{name}_lmdb").is_dir():
                more = "prepare the data with a --val-share above 0" if name == "val" else VERIFY
                raise UserError(
                    f"{there[fold]}: no {name}_lmdb; transfer needs the splits {', '.join(_SPLITS)}; {more}"
                )
    return [there[fold] for fold in wanted]


def _fold(
    folder: Path,
    run: Callable[[Path], _SplitFeatures],
    cs: Sequence[float],
    weights: str,
    blob: str,
    refit: bool,
) -> tuple[Predictions, Predictions]:
    """Return the predictions for the validation and the test faces of a fold."""
    start = time.perf_counter()
    train, val, test = (run(folder / f"{name}_lmdb") for name in _SPLITS)
    for split in (train, val):
        if split.aus != test.aus:
            raise UserError(f"{split.source.name}: other AUs than in {test.source.name}; {VERIFY}")
    _standardise([train.features, val.features, test.features])
    manifest = train.source.manifest
    sampled = train.labels if manifest is None else manifest.drawn_labels(train.keys)
    model = LSVM(Cs=cs, aus=test.aus, **_SOLVING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(train.features, sampled, validation=(val.features, val.labels))
    classifier: dict[str, Any] = {
        "kind": "linear SVM",
        "blob": blob,
        "c": {f"AU{au}": json_value(float(c)) for au, c in zip(test.aus, model.C_, strict=True)},
        "notes": [" ".join(str(warning.message).split()) for warning in caught],
    }

    def predict(split: _SplitFeatures) -> Predictions:
        return Predictions(
            weights=weights,
            data=str(split.source.name),
            aus=split.aus,
            keys=split.keys,
            labels=split.labels,
            probabilities=expit(model.decision_function(split.features)),
            subjects=split.source.count_subjects(split.keys),
            synthetic=split.source.synthetic,
            input=split.settings.to_dict(),
            seconds=time.perf_counter() - start,
            classifier=classifier,
            subject_ids=split.source.subjects_of(split.keys),
            coding=label_coding(split.source.lmdb),
        )

    held_out = predict(val)
    if refit:
        train_rows = (train.features, sampled)
        with (
            joint_rows(train_rows, val.features, val.keys, folder, Path(tempfile.gettempdir())) as joint,
            warnings.catch_warnings(record=True) as again,
        ):
            warnings.simplefilter("always")
            model = fit_again(model, *joint)
        classifier["notes"] += [" ".join(str(warning.message).split()) for warning in again]
        classifier["refit"] = True
    return held_out, predict(test)
