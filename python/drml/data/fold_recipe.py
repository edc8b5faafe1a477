"""The recipe of a prepared fold: what a net that is trained on it has to know of its data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import drml
from drml.data.detector_points import PointFinder, mean_points
from drml.data.plan import Plan
from drml.data.readers.data_set import DataSet
from drml.data.readers.targets import BOTH, INTENSITY, OCCURRENCE
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.data.registration import REFERENCE, as_fractions, five_points
from drml.data.sampling import describe_sampling
from drml.io.files import digest

__all__ = ["fold_recipe", "registration_recipe"]


def fold_recipe(
    plan: Plan,
    source: DataSet,
    labels: str,
    fold: int,
    folder: Path,
    *,
    train: Mapping[str, Any],
    registration: RegistrationRecipe,
    synthetic: bool = False,
) -> Recipe:
    """Return the recipe of a fold that has just been written.

    Parameters
    ----------
    plan : Plan
    source : DataSet
    labels : str
        What the labels mean, in words.
    fold : int
        Number of the fold.
    folder : Path
        The fold's folder, with the manifest of the training split, whose digest stands for the data.
    train : mapping, keyword-only
        What ``summary.json`` has of the training split.
    registration : RegistrationRecipe, keyword-only
        See `registration_recipe`.
    synthetic : bool, keyword-only
        Whether the faces are drawn.
    """
    return Recipe(
        au=tuple(plan.scan.aus),
        labels=labels,
        input=InputRecipe(channels="BGR", face_size=plan.encoding.size),
        registration=registration,
        data=DataRecipe(
            name=f"{source.title}, synthetic" if synthetic else source.title,
            split=f"fold {fold} of {len(plan.lists.numbers)}",
            digest=digest(folder / "train.csv"),
            records=train["images"],
            sampling=_describe_sampling(plan, train["sampling"]),
        ),
        intensity_au=tuple(plan.scan.intensity_aus),
        program=(f"drml {drml.__version__} (data)", f"OpenCV {cv2.__version__}"),
    )


def registration_recipe(
    plan: Plan, fold: int, found: Mapping[int, np.ndarray], finder: PointFinder | None
) -> RegistrationRecipe:
    """Return how the faces of a fold were registered, and how photos are registered likewise.

    Parameters
    ----------
    plan : Plan
    fold : int
        Number of the fold.
    found : mapping of int to ndarray, shape (N, 2)
        Record -> the points that were found in its image, in the registered face, as fractions of its side.
    finder : PointFinder or None
        Found these points; None if its models are not installed.
    """
    name = finder.name if finder else None
    if plan.points == "detector":
        assert finder is not None
        target = as_fractions(REFERENCE if finder.count == len(REFERENCE) else five_points(REFERENCE))
        return RegistrationRecipe("detector", name, target, target)
    learned = mean_points(found, plan.training_records(fold))
    detector = name if learned else None
    counts = {len(record.landmarks) for record in plan.records if record.landmarks is not None}
    if not counts:
        return RegistrationRecipe("none", detector, (), learned)
    if counts == {5}:
        return RegistrationRecipe("5 points", detector, as_fractions(five_points(REFERENCE)), learned)
    return RegistrationRecipe("49 landmarks", detector, as_fractions(REFERENCE), learned)


def _describe_sampling(plan: Plan, drawn: Mapping[str, Any]) -> str:
    """Say how training frames were sampled, and which share of the frames and labels was drawn."""
    frames, labels = (
        f"{drawn[name]['drawn']} of {drawn[name]['of']} {name}" for name in ("frames", "labels")
    )
    scan = plan.scan
    target = OCCURRENCE if not scan.intensity_aus else BOTH if scan.aus else INTENSITY
    how = describe_sampling({**dataclasses.asdict(plan.sampling), "target": target})
    return f"{how}; seed {plan.sampling.seed}; drawn: {frames}, {labels}"
