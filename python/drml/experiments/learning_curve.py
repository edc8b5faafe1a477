"""The learning curve: validation AUC of each net by the images it has seen, of the LSVM by training frames.

A net's points are the test passes of its training, whose AUC the log's sums estimate, and as the last one the
exact validation AUC of its final weights. A net sees an image again in each epoch, so that its axis counts
images, not different faces; the LSVM's points are fits on growing shares of the training frames.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.evaluation.text_table import figure_cell
from drml.experiments import drawing, units
from drml.experiments.fold_unit import SEARCH_FOLDER, TRAIN_FOLDER
from drml.experiments.images_seen import images_per_iteration
from drml.experiments.methods import METHODS
from drml.experiments.settings import Settings, fold_folders
from drml.experiments.stopping import RULE, validation_aucs
from drml.experiments.table_notes import SYNTHETIC
from drml.io import machine
from drml.io.files import writing
from drml.training.base_rates import LEARNED, REMARK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Curve", "LearningCurve", "make"]

NAME = "curve"
TITLE = "Learning curve: mean ROC-AUC over the AUs on the validation subjects"


@dataclass(frozen=True)
class Curve:
    """A method's curve on one fold.

    Attributes
    ----------
    points : list of (int, float)
        Images seen by a net, or training frames of the LSVM; and the mean validation AUC.
    epochs : float or None
        How often a net has seen each training face in the end.
    """

    points: list[tuple[int, float]]
    epochs: float | None = None

    def reaches(self, auc: float) -> int | None:
        """Return the images or frames of the first point that has at least this AUC; None if none has."""
        return next((at for at, value in self.points if value >= auc), None)


@dataclass(frozen=True)
class LearningCurve:
    """The content of the figure.

    Attributes
    ----------
    curves : dict of str to dict of int to Curve
        By method and fold.
    synthetic : bool
    settings : Settings
    missing : list of str
        Methods that are not available or not finished.
    """

    curves: dict[str, dict[int, Curve]]
    synthetic: bool
    settings: Settings
    missing: list[str]

    @property
    def title(self) -> str:
        """The title, with the schedule of the nets."""
        return f"{TITLE}, {self.settings.schedule}"

    def gaps(self) -> list[str]:
        """Name the methods that are missing, and curves without a point."""
        empty = [
            f"{method}: fold {fold} has no point of the learning curve"
            for method, folds in self.curves.items()
            for fold, curve in folds.items()
            if not curve.points
        ]
        return self.missing + empty

    def rows(self) -> list[list[str]]:
        """Return the rows of the table: a method on a fold each."""
        found = []
        for method, folds in self.curves.items():
            for fold, curve in folds.items():
                if not curve.points:
                    continue
                last, best = curve.points[-1], max(value for _, value in curve.points)
                reached = [curve.reaches(auc) for auc in (0.7, 0.8, 0.9)]
                found.append(
                    [
                        METHODS[method].title,
                        str(fold),
                        f"{last[0]:,}",
                        "-" if curve.epochs is None else f"{curve.epochs:.1f}",
                        figure_cell(last[1]) + (f" ({REMARK})" if last[1] < LEARNED else ""),
                        figure_cell(best),
                        *("-" if at is None else f"{at:,}" for at in reached),
                    ]
                )
        return found

    def notes(self) -> list[str]:
        """Return the lines below the table."""
        lines = [
            "Images: those that a net has seen in training, the same face again in each epoch; for LSVM, its"
            " training frames, drawn at random from all training subjects.",
            "AUC of a net: estimated from the sums of each test pass; in its last point, exact. AUC of LSVM:"
            " exact; C is chosen on the same validation frames.",
        ]
        return [*lines, RULE] if self.settings.until_flat else lines

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "figure": NAME,
            "title": self.title,
            "synthetic": self.synthetic,
            "curves": {
                method: {
                    str(fold): {"points": [list(point) for point in curve.points], "epochs": curve.epochs}
                    for fold, curve in folds.items()
                }
                for method, folds in self.curves.items()
            },
            "columns": _HEAD,
            "rows": self.rows(),
            "notes": self.notes(),
            "settings": dataclasses.asdict(self.settings),
            **machine.describe(),
        }

    def to_markdown(self) -> str:
        """Return the table and the notes below it."""
        lines = [f"# {self.title}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        lines += [f"| {' | '.join(_HEAD)} |", "|---" * len(_HEAD) + "|"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows()]
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes()), ""])

    def draw(self) -> Figure:
        """Draw the nets' curves on the left and the LSVM's on the right, with a common axis of AUC."""
        from matplotlib.figure import Figure  # here, because it takes half a second to import

        figure = Figure(figsize=(10, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        colours = dict(zip((m for m in self.curves if METHODS[m].net), drawing.COLOURS, strict=False))
        for method, folds in self.curves.items():
            axes = left if METHODS[method].net else right
            for number, curve in enumerate(folds.values()):
                if curve.points:
                    at, values = zip(*curve.points, strict=True)
                    label = METHODS[method].title if not number else None
                    colour = colours.get(method, "#444444")
                    axes.plot(at, values, ".-", color=colour, linewidth=1.2, markersize=4, label=label)
        for axes, label in ((left, "images seen in training"), (right, "training frames")):
            axes.set_xlabel(label)
            axes.axhline(0.5, color="#999999", linewidth=0.8, linestyle=":")
            axes.grid(alpha=0.3)
            if axes.lines[1:]:
                axes.legend(loc="lower right")
        right.set_xscale("log")
        left.set_ylabel("mean validation AUC")
        figure.suptitle(drawing.heading(self.settings, self.synthetic), fontsize=10)
        return figure

    def write(self, out: Path) -> list[Path]:
        """Write picture, table and numbers; return the files."""
        paths = drawing.save(self.draw(), out, NAME)
        paths += [out / f"{NAME}.{ending}" for ending in ("md", "csv", "json")]
        with writing(paths[2], encoding="utf-8") as file:
            file.write(self.to_markdown())
        with writing(paths[3], newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["method", "fold", "images", "auc"])
            for method, folds in self.curves.items():
                for fold, curve in folds.items():
                    writer.writerows([method, fold, at, f"{value:.6f}"] for at, value in curve.points)
        units.write_json(paths[4], self.to_dict())
        return paths


_HEAD = ["method", "fold", "images", "epochs", "last AUC", "best AUC", "AUC .7 at", "AUC .8 at", "AUC .9 at"]


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> LearningCurve | None:
    """Make the figure of the methods with a finished unit; None if none has one."""
    curves: dict[str, dict[int, Curve]] = {}
    synthetic, missing = False, []
    for method in methods:
        for fold, folder in fold_folders(out).items():
            path = folder / method
            result = units.read_result(out, f"fold{fold}/{method}")
            if result is None or not (METHODS[method].net or METHODS[method].curve):
                continue
            synthetic = synthetic or bool(result.get("synthetic"))
            known = METHODS[method].net
            curves.setdefault(method, {})[fold] = _net_curve(path, result) if known else _fits(result)
        if method not in curves:
            missing.append(f"{method}: {unavailable.get(method, 'no fold is finished')}")
    return LearningCurve(curves, synthetic, settings, missing) if curves else None


def _fits(result: Mapping[str, Any]) -> Curve:
    return Curve(
        [(int(one["frames"]), float(one["auc"])) for one in result["points"] if one["auc"] is not None]
    )


def _net_curve(unit: Path, result: Mapping[str, Any]) -> Curve:
    """Return the curve of a net's unit: its test passes, and the exact AUC of its final weights."""
    search = unit / SEARCH_FOLDER  # with --refit, the training that did not see the validation subjects
    refit = search.is_dir()
    training = search if refit else unit / TRAIN_FOLDER
    images = images_per_iteration(training)
    about = {} if refit else result.get("training", {})  # nor has a unit of an older version any
    last = about.get("iterations")
    passes = {at: auc for at, auc in validation_aucs(training).items() if last is None or at < last}
    points = [(at * images, auc) for at, auc in passes.items()]
    exact = result.get("validation", {}).get("auc")
    if exact is not None and last is not None:
        points.append((last * images, float(exact)))
    return Curve(points, about.get("epochs"))
