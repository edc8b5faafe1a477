"""How much of the data a finished training has seen: iterations, images and epochs."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from drml.data.manifest import read_manifest
from drml.nets.prototxt import batch_size, read_prototxt
from drml.nets.recipe import read_recipe
from drml.training.folder import FINAL_STEM, SOLVER_FILE

__all__ = ["ImagesSeen", "images_per_iteration", "images_seen"]


@dataclass(frozen=True)
class ImagesSeen:
    """What a training has seen.

    Attributes
    ----------
    iterations : int
    images : int
        Training images, the same face again in each epoch.
    faces : int
        Different training faces of the fold.
    """

    iterations: int
    images: int
    faces: int

    @property
    def epochs(self) -> float:
        """How often the training has seen each face."""
        return self.images / max(1, self.faces)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as values that JSON can hold."""
        return {**asdict(self), "epochs": round(self.epochs, 3)}

    def to_text(self) -> str:
        """Return the figures as text."""
        return f"{self.iterations:,} iterations, {self.images:,} images seen, {self.epochs:.1f} epochs"


def images_per_iteration(training: Path) -> int:
    """Return how many images an iteration of a training's folder takes."""
    solver = read_prototxt(training / SOLVER_FILE, "SolverParameter")
    # The solver's paths are those of the finished unit, and the unit may still have its other name.
    batch = batch_size(read_prototxt(training / Path(solver.net).name))
    return (batch or 1) * int(solver.iter_size)


def images_seen(training: Path, fold: Path) -> ImagesSeen:
    """Return what a finished training in a folder has seen of a prepared fold.

    The recipe in the weights tells it; for weights without one, their name and the solver.

    Parameters
    ----------
    training : Path
        The folder of ``drml train``.
    fold : Path
        The prepared fold that it read.
    """
    weights = training / FINAL_STEM
    recipe = read_recipe(weights)
    trained = None if recipe is None else recipe.training
    if trained is not None and trained.iterations is not None:
        iterations, images = trained.iterations, trained.images
    else:
        named = re.search(r"_iter_(\d+)\.", weights.resolve().name)
        solver = read_prototxt(training / SOLVER_FILE, "SolverParameter")
        iterations, images = int(named[1]) if named else int(solver.max_iter), None
    faces = len(read_manifest(fold / "train.csv").rows)
    return ImagesSeen(iterations, images or iterations * images_per_iteration(training), faces)
