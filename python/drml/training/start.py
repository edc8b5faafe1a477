"""What a training starts from: random weights, given weights, or a snapshot of an interrupted training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drml.data.recipe import Recipe
from drml.io.errors import UserError
from drml.nets import snapshots
from drml.nets.recipe import read_recipe
from drml.nets.trained_files import find_weights
from drml.nets.weights import read_weights
from drml.training.folder import FINAL_STEM, SOLVER_FILE
from drml.training.log import LOG_FILE

__all__ = ["AUTO", "Start", "choose_start"]

AUTO = "auto"
"""The snapshot to resume from is the newest intact one in the folder, if there is one."""


@dataclass(frozen=True)
class Start:
    """What a training starts from; `clear` says that an earlier one has to go first."""

    weights: Path | None
    snapshot: snapshots.Snapshot | None
    clear: bool

    def describe(self) -> str | None:
        """Return the weights from which the training started, for the recipe; None if they were random."""
        if self.snapshot is not None:
            recipe = read_recipe(self.snapshot.weights)
            return None if recipe is None else recipe.training.start
        if self.weights is None:
            return None
        name = f"{self.weights.absolute().parent.name}/{self.weights.name}"
        recipe = read_recipe(self.weights) or Recipe()
        count = recipe.training.iterations
        about = [recipe.data.name, recipe.data.split, None if count is None else f"{count} iterations"]
        known = ", ".join(text for text in about if text)
        return f"{name} ({known})" if known else name

    def arguments(self, out: Path, gpu: str | None) -> list[str]:
        """Return caffe's arguments."""
        arguments = ["train", "-solver", str(out / SOLVER_FILE)]
        if self.weights is not None:
            arguments += ["-weights", str(self.weights.absolute())]
        if self.snapshot is not None:
            arguments += ["-snapshot", str(self.snapshot.path.absolute())]
        return arguments + ([] if gpu is None else ["-gpu", gpu])


def choose_start(
    out: Path, weights: str | Path | None, snapshot: str | Path | None, overwrite: bool
) -> Start:
    """Check what a training is to start from, and whether it may write to its folder."""
    automatic = snapshot == AUTO
    if automatic:
        newest = snapshots.newest(out) if out.is_dir() else None
        snapshot = newest.path if newest else None
        weights = weights if newest is None else None
    weights = None if weights is None else find_weights(weights)
    if snapshot is not None and not Path(snapshot).is_file():
        raise UserError(f"{snapshot}: no such snapshot file")
    if weights is not None:
        read_weights(weights)  # refuses other files before anything is written
    if weights is not None and snapshot is not None:
        raise UserError(
            "weights and a snapshot are both given; a snapshot has weights of its own, so leave one out"
        )
    if snapshot is not None:
        return Start(None, snapshots.read(snapshot), clear=False)
    clear = (out / LOG_FILE).exists()
    if clear and not overwrite:
        if not automatic:
            raise UserError(
                f"{out}: holds an earlier training; give another folder, --overwrite, or --resume auto"
            )
        if any(out.glob(FINAL_STEM + "*")):
            raise UserError(
                f"{out}: holds a finished training without an intact snapshot; give another folder, or"
                " --overwrite"
            )
    if clear and weights is not None and weights.absolute().parent == out:
        raise UserError(
            f"{weights}: belongs to the training that would be overwritten; move it elsewhere first"
        )
    return Start(weights, None, clear)
