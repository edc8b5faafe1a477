"""Keeps the thresholds that were chosen on validation in the recipe of the weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from drml.data.labels import list_aus
from drml.data.manifest import LMDB_SUFFIX
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import Predictions
from drml.evaluation.scoring import predict
from drml.evaluation.thresholds import choose_thresholds
from drml.io.errors import UserError
from drml.nets.prototxt import data_paths, read_prototxt
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.trained_files import DEPLOY_FILE
from drml.training.folder import SOLVER_FILE, net_fields

__all__ = ["choose_after_training", "keep_thresholds", "validation_of_training"]


def keep_thresholds(
    weights: str | Path, validation: Predictions, thresholds: Sequence[float] | None = None
) -> dict[int, float]:
    """Write thresholds for each AU into the recipe of weights, in place of those that it has.

    Parameters
    ----------
    weights : path
        A .caffemodel or .h5 file with a recipe, as Caffe writes it; or an .onnx file. A link is replaced by a
        file, as in `drml.nets.recipe.write_recipe`.
    validation : Predictions
        What the weights predict for the validation faces.
    thresholds : sequence of K float, optional
        For the AUs of `validation`; by default those with the best F1 there.

    Returns
    -------
    dict of int to float
        The thresholds by AU, for all AUs of the recipe: 0.5 for those that the validation data do not have.

    Raises
    ------
    UserError
        The weights carry no recipe, the recipe has none of the AUs, or the file cannot be written.

    Examples
    --------
    >>> held_out = predict(net, "final.caffemodel", "data/drml/fold1/val_lmdb")  # doctest: +SKIP
    >>> keep_thresholds("final.caffemodel", held_out)[12]  # doctest: +SKIP
    0.37
    """
    recipe = read_recipe(weights)
    if recipe is None or not recipe.au:
        raise UserError(
            f"{weights}: carries no recipe in which thresholds could be kept; prepare the data and train"
            " again"
        )
    if not set(recipe.au) & set(validation.aus):
        raise UserError(
            f"{weights}: none of its AUs ({list_aus(recipe.au)}) is among those of {validation.data}"
            f" ({list_aus(validation.aus)})"
        )
    if thresholds is None:
        thresholds = choose_thresholds(validation.labels, validation.probabilities).tolist()
    by_au = dict(zip(validation.aus, thresholds, strict=True))
    kept = {au: float(by_au.get(au, THRESHOLD)) for au in recipe.au}
    changed = dataclasses.replace(
        recipe, threshold=tuple(kept.values()), threshold_data=_describe(validation)
    )
    write_recipe(weights, changed)
    return kept


def _describe(validation: Predictions) -> str:
    """Describe validation data, such as ``fold1/val: 900 frames of 3 subjects``; no path of this machine."""
    lmdb = Path(validation.data)
    lmdb = lmdb if lmdb.name.endswith(LMDB_SUFFIX) else lmdb / f"val{LMDB_SUFFIX}"
    name = lmdb.name.removesuffix(LMDB_SUFFIX)
    people = f" of {validation.subjects} subjects" if validation.subjects else ""
    drawn = ", drawn faces" if validation.synthetic else ""
    return f"{lmdb.absolute().parent.name}/{name}: {len(validation.keys)} frames{people}{drawn}"


def validation_of_training(folder: str | Path) -> Path | None:
    """Return the validation split of the fold that a training reads.

    Parameters
    ----------
    folder : path
        The folder of a training.

    Returns
    -------
    Path or None
        ``val_lmdb`` next to the training's ``train_lmdb``; None if the nets read other data, or it is not
        there. A split of another name, such as the test split, is never returned.
    """
    folder = Path(folder)
    try:
        solver = read_prototxt(folder / SOLVER_FILE, "SolverParameter")
        for field in net_fields(solver):
            net = folder / Path(field.get(solver)).name
            for entry in data_paths(read_prototxt(net)):
                path = Path(entry.path)
                found = path.with_name(f"val{LMDB_SUFFIX}")
                if entry.field == "source" and path.name == f"train{LMDB_SUFFIX}" and found.is_dir():
                    return found
    except UserError:
        pass
    return None


def choose_after_training(
    folder: str | Path, weights: str | Path, *, progress: bool = True
) -> dict[int, float] | None:
    """Choose the thresholds of a finished training on its validation split, and keep them in the weights.

    Parameters
    ----------
    folder : path
        The folder of the training, with its ``deploy.prototxt``.
    weights : path
        Its last weights.
    progress : bool
        Show a progress bar.

    Returns
    -------
    dict of int to float, or None
        The thresholds by AU; None without a validation split, a deploy net or a recipe, or if the net only
        estimates intensities, for which there are none.

    Raises
    ------
    UserError
        The net cannot be run on the validation split, or the weights cannot be written.
    """
    data = validation_of_training(folder)
    deploy = Path(folder) / DEPLOY_FILE
    recipe = read_recipe(weights)
    only_intensities = recipe is not None and not recipe.au and recipe.intensity_au
    if data is None or not deploy.is_file() or recipe is None or only_intensities:
        return None
    return keep_thresholds(weights, predict(deploy, weights, data, progress=progress))
