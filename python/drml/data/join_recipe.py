"""What describes a joined set: its recipe, its options, its list of folds, and how it was sampled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import drml
from drml.data.join_members import Columns, Member
from drml.data.labels import LEVELS, column_names
from drml.data.prepared_folder import FOLDS_FILE
from drml.data.readers.fold_lists import FoldLists, read_fold_lists
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.io.errors import UserError
from drml.io.files import digest

__all__ = ["joined_lists", "joined_options", "joined_recipe", "joined_sampling"]


def joined_recipe(members: Sequence[Member], columns: Columns, fold: int, train: Path) -> Recipe:
    """Return the recipe of a joined fold; `train` is the manifest of its training split."""
    recipes = [member.recipes[fold] for member in members]
    named = list(zip((member.name for member in members), recipes, strict=True))
    splits = {recipe.data.split for recipe in recipes}
    return Recipe(
        au=columns.aus,
        labels=_of_each([(name, recipe.labels) for name, recipe in named]),
        input=InputRecipe(channels="BGR", face_size=members[0].size),
        registration=_registration(members, fold),
        data=DataRecipe(
            name=" + ".join(dict.fromkeys(recipe.data.name or name for name, recipe in named)),
            split=splits.pop() if len(splits) == 1 else f"fold {fold}",
            digest=digest(train),
            records=sum(member.images(fold, "train") for member in members),
            sampling=_of_each([(name, recipe.data.sampling) for name, recipe in named]),
        ),
        intensity_au=columns.intensity_aus,
        program=(f"drml {drml.__version__} (data)",),
    )


def _of_each(texts: Sequence[tuple[str, str | None]]) -> str:
    """Return one text for all sets, or, if they differ, the text of each with its name."""
    known = [(name, text or "not known") for name, text in texts]
    if len({text for _, text in known}) == 1:
        return known[0][1]
    return "; ".join(f"{name}: {text}" for name, text in known)


def _registration(members: Sequence[Member], fold: int) -> RegistrationRecipe:
    """Return the registration that the sets share.

    Where the detector's points lie in the training faces is the mean over all of these. If one of the sets
    does not know it, or another detector found them, it is not known.
    """
    made = [member.recipes[fold].registration for member in members]
    first = made[0]
    detectors = {one.detector for one in made}
    lengths = {len(one.detector_target) for one in made}
    if len(detectors) > 1 or len(lengths) > 1 or lengths == {0}:
        return RegistrationRecipe(first.points, None, first.target, ())
    counts = [member.images(fold, "train") for member in members]
    mean = np.average([one.detector_target for one in made], axis=0, weights=counts)
    return RegistrationRecipe(first.points, first.detector, first.target, tuple(mean.tolist()))


def joined_options(members: Sequence[Member]) -> dict[str, Any]:
    """Return the options that all sets were prepared with, for ``summary.json``."""
    options = [member.summary["options"] for member in members]
    same = {
        name: value
        for name, value in options[0].items()
        if all(name in other and other[name] == value for other in options[1:])
    }
    return same | {"folds": list(members[0].folds)}


def joined_lists(members: Sequence[Member]) -> FoldLists | None:
    """Return the lists of folds with the subjects of all sets; None if they do not go together."""
    lists = []
    for member in members:
        path = member.folder / FOLDS_FILE
        if not path.is_file():
            return None
        try:
            lists.append(read_fold_lists(path))
        except UserError:
            return None  # such as a list whose every subject of one part has no usable frame
    if len({(one.count, len(one.parts)) for one in lists}) > 1:
        return None

    def people(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
        named = zip(members, groups, strict=True)
        return tuple(dict.fromkeys(member.person(subject) for member, group in named for subject in group))

    return FoldLists(
        "; ".join(dict.fromkeys(one.title for one in lists)),
        tuple(people(part) for part in zip(*(one.parts for one in lists), strict=True)),
        lists[0].count,
        people([one.val for one in lists]),
    )


def joined_sampling(members: Sequence[Member], columns: Columns, fold: int) -> dict[str, Any] | None:
    """Add up how many frames and labels were drawn for training; None if a set does not say it.

    The result has the form of `drml.data.sampling.count_drawn`.
    """
    try:
        found = [member.summary["folds"][str(fold)]["train"]["sampling"] for member in members]
        by_au = {
            name: {au: _add([one[name].get(au, _NONE) for one in found]) for au in column_names(columns.aus)}
            for name in ("positives", "negatives")
        }
        levels = {
            au: {
                str(level): _add([one["levels"].get(au, {}).get(str(level), _NONE) for one in found])
                for level in LEVELS
            }
            for au in column_names((), columns.intensity_aus)
        }
        totals = {name: _add([one[name] for one in found]) for name in ("frames", "labels")}
        return totals | by_au | ({"levels": levels} if levels else {})
    except (KeyError, TypeError, AttributeError, ValueError):
        return None


_NONE = {"drawn": 0, "of": 0}


def _add(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    drawn, of = (sum(int(one[name]) for one in counts) for name in ("drawn", "of"))
    return {"drawn": drawn, "of": of, "share": round(drawn / of, 4) if of else None}
