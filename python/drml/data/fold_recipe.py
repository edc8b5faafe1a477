"""The recipe of a prepared fold: what a net that is trained on it has to know of its data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2

import drml
from drml.data import registration
from drml.data.plan import Plan
from drml.data.readers.kinds import DataSet
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.data.sampling import Sampling
from drml.io.files import digest

__all__ = ["fold_recipe"]


def fold_recipe(
    plan: Plan,
    source: DataSet,
    options: Mapping[str, Any],
    fold: int,
    folder: Path,
    *,
    records: int,
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
    records : int, keyword-only
        Number of training records.
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
            records=records,
            sampling=_describe_sampling(plan.sampling),
        ),
        program=(f"drml {drml.__version__} (data)", f"OpenCV {cv2.__version__}"),
    )


def _registration(plan: Plan) -> RegistrationRecipe:
    if all(record.landmarks is None for record in plan.records):
        return RegistrationRecipe(points="none")
    target = (registration.REFERENCE + 0.5) / registration.SIZE  # pixels' centres are at whole numbers
    return RegistrationRecipe(points="49 landmarks", target=tuple(map(float, target.ravel())))


def _describe_sampling(sampling: Sampling) -> str:
    """Say which training frames and labels were drawn."""
    if sampling.positives is None and sampling.negatives is None:
        return "every training frame"
    counts = [
        f"{'all' if count is None else f'up to {count}'} {which}"
        for count, which in ((sampling.positives, "with it"), (sampling.negatives, "without it"))
    ]
    others = "unknown" if sampling.unsampled == "mask" else "kept"
    return (
        f"for each AU and video, {counts[0]} and {counts[1]}; labels of AUs for which a frame was not"
        f" sampled are {others}; seed {sampling.seed}"
    )
