"""The paper's tables and figures: the methods of each, and what makes it from finished units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from drml.experiments import detection_table, figure4, figure5, learning_curve, sparsity, table3, table4
from drml.experiments.methods import CURVE, GRIDS, INTENSITIES, SPARSITY, TABLE2, TABLE3
from drml.experiments.nets import GRIDS_FOLDER, SPARSITY_FOLDER
from drml.experiments.settings import INTENSITY, Settings

__all__ = ["EXPERIMENTS", "Artifact", "Experiment"]


class Artifact(Protocol):
    """A table or a figure that was made of finished units."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""

    def to_markdown(self) -> str:
        """Return what is printed."""

    def gaps(self) -> list[str]:
        """Name the methods, folds and values that are missing."""

    def write(self, out: Path) -> list[Path]:
        """Write its files to the experiment's folder; return them."""


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes
    ----------
    methods : tuple of str
        The methods that the paper's table or figure has.
    by_fold : bool
        Whether each method has a unit for each fold, or a single unit.
    collected : bool
        Whether `drml.experiments.runner.collect` makes it.
    make : callable
        Makes the table or figure from finished units. Its arguments are the experiment's folder, the methods,
        the settings, and the reasons why some methods are not available. It returns None if none is finished.
    transferred : bool
        Whether its nets come from another experiment's folder. Such units and others do not share a folder.
    variants : str
        The folder that variants of prototxts are written to. `collect` skips the table or figure if an
        experiment's folder has none, because the unchanged model is in other tables as well.
    target : str or None
        As in `drml.experiments.settings.Settings`. Units of different targets do not share a folder.
    """

    methods: tuple[str, ...]
    by_fold: bool
    collected: bool
    make: Callable[[Path, Sequence[str], Settings, Mapping[str, str]], Artifact | None]
    transferred: bool = False
    variants: str = ""
    target: str | None = None


EXPERIMENTS = {
    "table2": Experiment(
        TABLE2, True, True, partial(detection_table.collect, "table2", "Table 2: AU detection on BP4D")
    ),
    "table3": Experiment(TABLE3, True, True, table3.make, transferred=True),
    "grid": Experiment(
        GRIDS,
        True,
        True,
        partial(
            detection_table.collect,
            "grid",
            "Grid of the region layer (DRML itself has 8x8)",
            shared_folds=True,
        ),
        variants=GRIDS_FOLDER,
    ),
    "sparsity": Experiment(SPARSITY, True, True, sparsity.make, variants=SPARSITY_FOLDER),
    "intensities": Experiment(
        INTENSITIES,
        True,
        True,
        partial(detection_table.collect, "intensities", "Intensities of AUs"),
        target=INTENSITY,
    ),
    "curve": Experiment(CURVE, True, True, learning_curve.make),
    "fig5": Experiment(("drml", "alexnet"), True, True, figure5.make),
    "table4": Experiment(("convnet", "alexnet", "drml", "lcn"), False, True, table4.make),
    # Its maps are computed again each time, which takes minutes: too long for a look at what is finished.
    "fig4": Experiment(("drml", "convnet", "alexnet"), True, False, figure4.make),
}
