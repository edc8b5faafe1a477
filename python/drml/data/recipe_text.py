"""Reads and writes recipe.prototxt: the recipe of prepared data, in the folder of a fold."""

from __future__ import annotations

import os
from pathlib import Path

from drml.data.manifest import LMDB_SUFFIX
from drml.data.recipe import Recipe
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import PROTOTXT_BYTES, read_text

__all__ = [
    "RECIPE_FILE",
    "label_coding",
    "read_data_recipe",
    "read_recipe_text",
    "recipe_path",
    "write_data_recipe",
    "write_recipe_text",
]

RECIPE_FILE = "recipe.prototxt"
"""The recipe in the folder of a fold."""


def recipe_path(data: str | Path) -> Path:
    """Return the path of the recipe of prepared data, which may not exist.

    Parameters
    ----------
    data : path-like
        The folder of a fold, or an LMDB in it.

    Examples
    --------
    >>> recipe_path("/data/drml/fold1/train_lmdb").as_posix()
    '/data/drml/fold1/recipe.prototxt'
    """
    path = Path(os.path.abspath(data))  # noqa: PTH100 - "." needs a name, and links must keep theirs
    in_fold = path.name.endswith(LMDB_SUFFIX) or (path / "data.mdb").is_file() or path.is_file()
    return (path.parent if in_fold else path) / RECIPE_FILE


def read_data_recipe(data: str | Path) -> Recipe | None:
    """Read the recipe of prepared data; return None if there is none.

    Parameters
    ----------
    data : path-like
        The folder of a fold, or an LMDB in it.

    Raises
    ------
    UserError
        The file is damaged.
    """
    path = recipe_path(data)
    return read_recipe_text(path) if path.is_file() else None


def label_coding(data: str | Path) -> str | None:
    """Return what the labels of prepared data mean, in words; parameters and errors as `read_data_recipe`."""
    recipe = read_data_recipe(data)
    return None if recipe is None else recipe.labels


def write_data_recipe(folder: str | Path, recipe: Recipe) -> None:
    """Write ``recipe.prototxt`` into the folder of a fold; errors are those of `write_recipe_text`."""
    write_recipe_text(Path(folder) / RECIPE_FILE, recipe)


def read_recipe_text(path: str | Path) -> Recipe:
    """Read a recipe.prototxt.

    Raises
    ------
    UserError
        The file is missing or not a recipe.
    """
    try:
        return Recipe.from_text(read_text(path, PROTOTXT_BYTES))
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a recipe ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not a recipe ({error}); prepare the data again, or repair it") from None


def write_recipe_text(path: str | Path, recipe: Recipe) -> None:
    """Write a recipe.prototxt, which replaces an earlier one when it is complete.

    Raises
    ------
    UserError
        The file cannot be written.
    ValueError
        The recipe is not possible; see `Recipe.from_message`.
    """
    text = recipe.to_text()
    try:
        with writing(path, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another folder"
        ) from None
