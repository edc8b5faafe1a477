"""Which recipe a path stands for, and weights that get another one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from drml.data.labels import list_aus
from drml.data.recipe import Recipe, with_aus
from drml.data.recipe_text import read_recipe_text, recipe_path
from drml.io.errors import UserError
from drml.nets.preprocessing import find_preprocessing
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.trained_files import find_weights, is_onnx, no_recipe

__all__ = ["find_recipe", "name_outputs"]


def find_recipe(path: str | Path) -> tuple[Path, Recipe]:
    """Find the recipe that a path stands for.

    Parameters
    ----------
    path : path-like
        A .caffemodel, .h5 or .onnx file, the folder of a training, a fold of ``drml prepare``, or a split or
        the recipe.prototxt in it.

    Returns
    -------
    path : Path
        The file that has the recipe.
    recipe : Recipe

    Raises
    ------
    UserError
        There is no recipe, or a file is damaged.

    Examples
    --------
    >>> find_recipe("build/demo/train")[0]  # doctest: +SKIP
    PosixPath('build/demo/train/final.caffemodel')
    """
    path = Path(path)
    if path.suffix == ".prototxt":
        return path, read_recipe_text(path)
    beside = recipe_path(path)
    if (path.is_dir() and beside.is_file()) or path.suffix == ".csv" or (path / "data.mdb").is_file():
        return beside, read_recipe_text(beside)
    weights = path if is_onnx(path) else find_weights(path)
    recipe = read_recipe(weights)
    if recipe is None:
        raise UserError(no_recipe(weights))
    return weights, recipe


def name_outputs(
    weights: str | Path,
    aus: Sequence[int],
    out: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
) -> Recipe:
    """Write weights with the AUs of their outputs in the recipe; the weights themselves stay as they are.

    Parameters
    ----------
    weights : path-like
        A .caffemodel, .h5 or .onnx file.
    aus : sequence of int
        The AUs of the outputs, in order.
    out : path-like
        The file to write, which may be `weights`.
    mean, scale : optional, keyword-only
        Mean image and scale of the training, as in `drml.nets.preprocessing.find_preprocessing`.

    Returns
    -------
    Recipe
        The recipe that was written.

    Raises
    ------
    UserError
        A file is damaged or cannot be written, or belongs to a snapshot; see `drml.nets.recipe.write_recipe`.
        Or the net only estimates intensities.
    """
    known = read_recipe(weights) or Recipe()
    if known.intensity_au and not known.au:
        raise UserError(
            f"{weights}: its net only estimates intensities, of {list_aus(known.intensity_au)}; there are no"
            " other outputs whose AUs could be named"
        )
    recipe = with_aus(known, aus)
    if mean is not None or scale is not None:
        if is_onnx(weights):
            raise UserError(
                f"{weights}: an ONNX file has its mean and scale inside; leave --mean and --scale out"
            )
        found = find_preprocessing(weights, mean=mean, scale=scale)
        made = dataclasses.replace(recipe.input, scale=found.scale, mean=None, mean_value=())
        if found.mean is not None and found.mean.ndim == 1:
            made = dataclasses.replace(made, mean_value=tuple(found.mean.tolist()))
        elif found.mean is not None:
            made = dataclasses.replace(made, mean=found.mean)
        recipe = dataclasses.replace(recipe, input=made)
    write_recipe(weights, recipe, out)
    return recipe
