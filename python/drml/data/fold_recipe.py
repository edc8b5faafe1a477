"""The recipe of a prepared fold: what a net that is trained on it has to know of its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

import drml
from drml.data import registration
from drml.data.plan import Plan
from drml.data.readers.kinds import DataSet
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.data.sampling import describe_sampling
from drml.io.files import digest

__all__ = ["fold_recipe"]


def fold_recipe(
    plan: Plan,
    source: DataSet,
    options: Mapping[str, Any],
    fold: int,
    folder: Path,
    *,
    train: Mapping[str, Any],
    synthetic: bool = False,
) -> Recipe:
    """Return the recipe of a fold that has just been written.

    Parameters
    ----------
    plan : Plan
    source : DataSet
    options : mapping
        The options of the data set's reader.
    fold : int
        Number of the fold.
    folder : Path
        The fold's folder, with the manifest of the training split, whose digest stands for the data.
    train : mapping, keyword-only
        What ``summary.json`` has of the training split.
    synthetic : bool, keyword-only
        Whether the faces are drawn.
    """
    return Recipe(
        au=tuple(plan.scan.aus),
        labels=source.describe_labels(options),
        input=InputRecipe(channels="BGR", face_size=plan.encoding.size),
        registration=_registration(plan),
        data=DataRecipe(
            name=f"{source.title}, synthetic" if synthetic else source.title,
            split=f"fold {fold} of {len(source.fold_numbers)}",
            digest=digest(folder / "train.csv"),
            records=train["images"],
            sampling=_describe_sampling(plan, train["sampling"]),
        ),
        program=(f"drml {drml.__version__} (data)", f"OpenCV {cv2.__version__}"),
    )


def _registration(plan: Plan) -> RegistrationRecipe:
    if all(record.landmarks is None for record in plan.records):
        return RegistrationRecipe(points="none")
    target = (registration.REFERENCE + 0.5) / registration.SIZE  # pixels' centres are at whole numbers
    return RegistrationRecipe(points="49 landmarks", target=tuple(map(float, target.ravel())))


def _describe_sampling(plan: Plan, drawn: Mapping[str, Any]) -> str:
    """Say how training frames were sampled, and which share of the frames and labels was drawn."""
    frames, labels = (
        f"{drawn[name]['drawn']} of {drawn[name]['of']} {name}" for name in ("frames", "labels")
    )
    how = describe_sampling(dataclasses.asdict(plan.sampling))
    return f"{how}; seed {plan.sampling.seed}; drawn: {frames}, {labels}"
