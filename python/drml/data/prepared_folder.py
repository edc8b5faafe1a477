"""What ``drml prepare`` writes into its folder: the folds with their faces, and the list of the folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.data.detector_points import PointFinder
from drml.data.face_store import FaceStore
from drml.data.fold_recipe import registration_recipe
from drml.data.fold_writer import write_fold
from drml.data.plan import Plan
from drml.data.recipe import RegistrationRecipe
from drml.data.register_faces import register_all
from drml.io.files import digest

__all__ = ["FOLDS_FILE", "SUMMARY_FILE", "write_folds", "write_lists"]

FOLDS_FILE, SUMMARY_FILE = "folds.csv", "summary.json"
_SCRATCH = "faces.scratch"


def write_lists(plan: Plan, path: Path) -> dict[str, Any]:
    """Write the list of folds; return what the summary says of it."""
    plan.lists.write(path, {record.subject for record in plan.records})
    return {"title": plan.lists.title, "folds": len(plan.lists.numbers), "sha256": digest(path)}


def write_folds(
    plan: Plan, folder: Path, finder: PointFinder | None, *, jobs: int, max_broken: float, progress: bool
) -> tuple[dict[str, Any], dict[int, RegistrationRecipe]]:
    """Register all faces and write all folds.

    Returns
    -------
    dict
        The part of the summary that follows from it.
    dict of int to RegistrationRecipe
        How the faces of each fold were registered.
    """
    scratch = folder / _SCRATCH
    with FaceStore(scratch) as faces:
        register_all(list(plan.tasks()), faces, jobs=jobs, max_broken=max_broken, progress=progress)
        folds = {
            str(fold): write_fold(plan, fold, faces, folder / f"fold{fold}", progress=progress)
            for fold in plan.folds
        }
    scratch.unlink()
    registrations = {
        fold: registration_recipe(plan, fold, faces.detector_points, finder) for fold in plan.folds
    }
    skipped = plan.scan.skipped.copy()
    skipped["broken image"] += len(faces.broken)
    summary = {
        "frames": len(plan.records) + plan.scan.skipped.total(),
        "images": faces.count,
        "registration": {
            "points": next(iter(registrations.values())).points,
            "detector": finder.name if finder else None,
            "frames": len(plan.learned_on),
            "faces": len(faces.detector_points),
        },
        "skipped": dict((+skipped).most_common()),
        "incomplete": dict(plan.scan.incomplete.most_common()),
        "skipped_examples": plan.scan.examples,
        "broken": [{"image": one.image, "fault": one.fault} for one in faces.broken],
        "converted": dict(faces.converted.most_common()),
        "converted_examples": faces.converted_examples,
        "folds": folds,
    }
    return summary, registrations
