"""Runs a trained net over prepared data and scores it: F1-frame, ROC-AUC, AP, accuracy and MCC per AU.

`drml.data.split` says what prepared data are, and `drml.nets.preprocessing` how an image becomes the net's
input.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.labels import list_aus
from drml.data.manifest import LMDB_SUFFIX
from drml.data.recipe_text import label_coding
from drml.data.split import open_split
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import Evaluation, given_options
from drml.evaluation.shared_aus import SharedAus, aus_of, shared_aus
from drml.evaluation.thresholds import RECIPE, VALIDATION
from drml.io.checks import check_probability, check_whole
from drml.io.errors import UserError
from drml.nets.net import PROBABILITIES, CaffeNet
from drml.nets.preprocessing import find_preprocessing
from drml.nets.recipe import read_recipe
from drml.nets.trained_files import resolve_aus

__all__ = ["aus_of", "predict", "score"]


def predict(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    progress: bool = True,
    probe: bool = True,
) -> Predictions:
    """Run a net over one test set.

    Parameters
    ----------
    deploy, weights, data, mean, scale, batch, aus, progress, probe
        As in `score`, for one test set.

    Returns
    -------
    Predictions
        Of the AUs that both the net and the data have.

    Raises
    ------
    UserError
        As in `score`.
    """
    source = open_split(data)
    settings = find_preprocessing(weights, source.lmdb, mean=mean, scale=scale)
    net = CaffeNet(deploy, weights, batch=batch, probe=probe, **settings.net_options())
    net_aus = resolve_aus(weights, read_recipe(weights), net.count_probabilities(), aus, net=deploy)
    start = time.perf_counter()
    keys: list[str] = []
    labels: list[NDArray[np.int8]] = []
    probabilities: list[NDArray[np.float32]] = []
    shared: SharedAus | None = None
    with tqdm(total=source.size, desc=str(data), unit="img", disable=not progress) as bar:
        for some_keys, images, some_labels in source.batches(batch):
            output = net.forward(images, [PROBABILITIES])[PROBABILITIES].reshape(len(images), -1)
            if shared is None:  # at the first batch, so that a mismatch is reported before the long work
                shared = shared_aus(net_aus, source, some_labels.shape[1], named=aus)
            wrong = ~(output >= 0) | ~(output <= 1)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise UserError(
                    f"{weights}: output {column} for record {some_keys[row]} is {output[row, column]},"
                    " not a probability; the training has diverged, or the net does not end in a Sigmoid"
                )
            keys += some_keys
            labels.append(some_labels[:, shared.columns])
            probabilities.append(output[:, shared.outputs])
            bar.update(len(images))
    if shared is None:
        raise UserError(f"{data}: no record to score")
    return Predictions(
        weights=str(weights),
        data=str(data),
        aus=shared.aus,
        keys=keys,
        labels=np.concatenate(labels),
        probabilities=np.concatenate(probabilities),
        subjects=source.count_subjects(keys),
        subject_ids=source.subjects_of(keys),
        synthetic=source.synthetic,
        input=settings.to_dict(),
        seconds=time.perf_counter() - start,
        not_scored=shared.others,
        coding=label_coding(source.lmdb),
    )


def _validation_split(data: str | Path) -> Path:
    """Return the validation split of the fold that contains a split."""
    scored = open_split(data).lmdb
    found = scored.with_name(f"val{LMDB_SUFFIX}")
    if found == scored:
        raise UserError(
            f"{data}: is the validation split, on which the thresholds would be chosen; score the test split,"
            " or give a probability as the threshold"
        )
    if not found.is_dir():
        raise UserError(
            f"{data}: there is no {found}, on which to choose the thresholds; give a probability as the"
            " threshold, or prepare the data with a validation split (drml prepare --val-share)"
        )
    return found


def score(
    deploy: str | Path,
    weights: str | Path | Sequence[str | Path],
    data: str | Path | Sequence[str | Path],
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    threshold: float | str = THRESHOLD,
    bootstrap: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
    probe: bool = True,
) -> Evaluation:
    """Score a net on one test set, or each fold's net on the test set of its fold.

    Parameters
    ----------
    deploy : path
        Net whose blob ``prob`` holds one probability per AU.
    weights : path or sequence of path
        Weights, one file per fold: .caffemodel or .h5.
    data : path or sequence of path
        LMDB folders or manifests; as many as `weights`, in the same order.
    mean : path, optional
        A mean.binaryproto; by default, `drml.nets.preprocessing` finds it, as it does `scale`.
    scale : float, optional
        Factor of the input after the mean is subtracted.
    batch : int
        Images per pass.
    aus : sequence of int, optional
        The AUs of the net's outputs; by default those of the recipe that the weights carry. AUs that only
        the net or only the data have are not scored.
    threshold : float, "validation" or "recipe"
        For F1-frame, accuracy and MCC: a probability, 0 to 1. With ``"validation"``, the test sets are
        scored at 0.5 and, in addition, at thresholds for each AU that give the best F1 on the validation
        split of the fold; with ``"recipe"``, at those that the weights carry.
    bootstrap : int
        Draws for the confidence intervals, as in `drml.evaluation.evaluate`; 0 for none. There are none if
        no manifest names the subjects.
    seed : int
        Seed of the draws.
    progress : bool
        Show a progress bar.
    probe : bool
        As in `drml.nets.net.CaffeNet`.

    Returns
    -------
    Evaluation

    Raises
    ------
    UserError
        Net, weights and data do not fit together, or one of them is damaged; the message names it.
    """
    all_weights = [weights] if isinstance(weights, str | Path) else list(weights)
    all_data = [data] if isinstance(data, str | Path) else list(data)
    if len(all_weights) != len(all_data) or not all_data:
        raise UserError(
            f"{len(all_weights)} weights files for {len(all_data)} data sets; give one of each per fold"
        )
    at = THRESHOLD
    validation: list[Path] | None = None
    if threshold == VALIDATION:
        validation = [_validation_split(one) for one in all_data]
    elif isinstance(threshold, str) and threshold != RECIPE:
        raise UserError(
            f"threshold '{threshold}': give a probability from 0 to 1, '{VALIDATION}' or '{RECIPE}'"
        )
    elif not isinstance(threshold, str):
        at = check_probability(threshold, "threshold")
    check_whole(bootstrap, 0, "bootstrap")

    def predict_all(splits: Sequence[str | Path]) -> list[Predictions]:
        folds: list[Predictions] = []
        for one_weights, one_data in zip(all_weights, splits, strict=True):
            found = predict(
                deploy,
                one_weights,
                one_data,
                mean=mean,
                scale=scale,
                batch=batch,
                aus=aus,
                progress=progress,
                probe=probe,
            )
            folds.append(found)
            _check_aus(found, folds[0])
        return folds

    folds = predict_all(all_data)
    held_out = None
    if validation is not None:
        held_out = predict_all(validation)
        _check_aus(held_out[0], folds[0])
    kept = None
    if threshold == RECIPE:
        kept = [_kept(one, fold.aus) for one, fold in zip(all_weights, folds, strict=True)]
    options = {
        "aus": None if aus is None else ",".join(map(str, aus)),
        "threshold": None if threshold == THRESHOLD else str(threshold),
        **given_options(mean=mean, scale=scale, bootstrap=bootstrap, seed=seed),
    }
    return evaluate_folds(
        str(deploy),
        folds,
        threshold=at,
        options=options,
        validation=held_out,
        kept=kept,
        bootstrap=bootstrap,
        seed=seed,
    )


def _check_aus(one: Predictions, first: Predictions) -> None:
    if one.aus != first.aus:
        raise UserError(
            f"{one.data}: AUs ({list_aus(one.aus)}) differ from those of {first.data} ({list_aus(first.aus)})"
        )


def _kept(weights: str | Path, aus: Sequence[int]) -> list[float]:
    """Return the thresholds for these AUs in the recipe of weights."""
    recipe = read_recipe(weights)
    known = dict(zip(recipe.au, recipe.threshold, strict=False)) if recipe is not None else {}
    lacking = [au for au in aus if au not in known]
    if lacking:
        raise UserError(
            f"{weights}: carries no thresholds of {list_aus(lacking)}; choose them on the validation split"
            " with --threshold validation, and add --keep-thresholds to keep them in the weights"
        )
    return [float(known[au]) for au in aus]
