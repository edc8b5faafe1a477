"""Figure 5: training losses of two nets, and the AU relations of the labels and of their predictions."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from drml.evaluation import relations
from drml.experiments import drawing, units
from drml.experiments.fold_unit import TRAIN_FOLDER
from drml.experiments.methods import METHODS
from drml.experiments.predictions import load_predictions
from drml.experiments.settings import Settings, fold_folders
from drml.experiments.table_notes import SYNTHETIC
from drml.io import machine
from drml.io.figures import json_value
from drml.io.files import writing
from drml.io.limits import open_list
from drml.training.log import LOSS_FILE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Figure5", "make"]

NAME = "fig5"
TITLE = "Figure 5: training loss and AU relations"

Curve = list[tuple[int, float]]
"""Iteration and training loss."""


@dataclass(frozen=True)
class Figure5:
    """The content of the figure.

    Attributes
    ----------
    aus : tuple of int
    folds : list of int
        The folds on which all nets are finished.
    losses : dict of str to dict of int to Curve
        By net and fold.
    tables : dict of str to ndarray, shape (K, K)
        ``truth``, and by net, over the test frames of the folds.
    synthetic : bool
    settings : Settings
    missing : list of str
        Nets that are not available.
    """

    aus: tuple[int, ...]
    folds: list[int]
    losses: dict[str, dict[int, Curve]]
    tables: dict[str, NDArray[np.float64]]
    synthetic: bool
    settings: Settings
    missing: list[str]

    def gaps(self) -> list[str]:
        """Name the nets and correlations that are missing."""
        undefined = [
            f"{name}: relation of AU {one} and AU {other}"
            for name, table in self.tables.items()
            for one, row in zip(self.aus, table, strict=True)
            for other, value in zip(self.aus, row, strict=True)
            if one <= other and math.isnan(value)
        ]
        return self.missing + undefined

    @property
    def differences(self) -> dict[str, relations.Difference]:
        """The distance of each net's table from that of the labels."""
        return {
            method: relations.compare(self.tables["truth"], table)
            for method, table in self.tables.items()
            if method != "truth"
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "figure": NAME,
            "synthetic": self.synthetic,
            "aus": list(self.aus),
            "folds": self.folds,
            "losses": self.losses,
            "relations": json_value(self.tables),
            "differences": {
                method: {
                    "frobenius": json_value(one.frobenius),
                    "mean_square": json_value(one.mean_square),
                    "entries": one.entries,
                }
                for method, one in self.differences.items()
            },
            "settings": dataclasses.asdict(self.settings),
            **machine.describe(),
        }

    def to_markdown(self) -> str:
        """Return the text for the terminal: how far the nets' relations are from the labels'."""
        lines = [f"# {TITLE}, {self.settings.schedule}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        lines += [
            "| net | last training loss | Frobenius norm / entries | mean squared difference | entries |",
            "|---|---|---|---|---|",
        ]
        for method, one in self.differences.items():
            last = ", ".join(f"{curve[-1][1]:.4g}" for curve in self.losses[method].values())
            lines.append(
                f"| {METHODS[method].title} | {last} | {one.frobenius:.4f} | {one.mean_square:.4f}"
                f" | {one.entries} |"
            )
        folds = ", ".join(map(str, self.folds))
        lines += ["", f"- Test frames of fold {folds}; losses fold by fold; seed {self.settings.seed}", ""]
        return "\n".join(lines)

    def draw(self) -> Figure:
        """Draw (a) the losses and (b), (c), ... the relation tables."""
        from matplotlib.figure import Figure  # here, because it takes half a second to import

        figure = Figure(figsize=(4.2 * (1 + len(self.tables)), 4.2), layout="constrained")
        axes = figure.subplots(1, 1 + len(self.tables))
        self._draw_losses(axes[0])
        for axis, (name, table) in zip(axes[1:], self.tables.items(), strict=True):
            shown = axis.imshow(table, vmin=-1, vmax=1, cmap="RdBu_r")
            axis.set_xticks(range(len(self.aus)), [str(au) for au in self.aus], fontsize=8)
            axis.set_yticks(range(len(self.aus)), [str(au) for au in self.aus], fontsize=8)
            letter = "abcdefgh"[1 + list(self.tables).index(name)]
            if name == "truth":
                axis.set_title(f"({letter}) labels")
            else:
                distance = self.differences[name].frobenius
                axis.set_title(f"({letter}) {METHODS[name].title}, distance {distance:.4f}")
        figure.colorbar(shown, ax=list(axes[1:]), shrink=0.8, label="correlation")
        figure.suptitle(drawing.heading(self.settings, self.synthetic), fontsize=10)
        return figure

    def _draw_losses(self, axes: Axes) -> None:
        for colour, (method, curves) in zip(drawing.COLOURS, self.losses.items(), strict=False):
            for number, curve in enumerate(curves.values()):
                steps, values = zip(*curve, strict=True)
                label = METHODS[method].title if not number else None
                axes.plot(
                    steps, values, ".-", color=colour, linewidth=1.2, alpha=0.8, markersize=3, label=label
                )
        axes.set_xlabel("iteration")
        axes.set_ylabel("training loss")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
        axes.set_title("(a) training loss" + (", a line per fold" if len(self.folds) > 1 else ""))

    def write(self, out: Path) -> list[Path]:
        """Write picture and figures; return the files."""
        paths = drawing.save(self.draw(), out, NAME)
        paths += [out / f"{NAME}_{what}.csv" for what in ("losses", "relations")]
        with writing(paths[2], newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["method", "fold", "iteration", "loss"])
            for method, curves in self.losses.items():
                for fold, curve in curves.items():
                    writer.writerows([method, fold, step, value] for step, value in curve)
        with writing(paths[3], newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["table", "au", *(f"AU{au}" for au in self.aus)])
            for name, table in self.tables.items():
                for au, row in zip(self.aus, table, strict=True):
                    writer.writerow([name, au, *("" if math.isnan(v) else f"{v:.6f}" for v in row)])
        paths.append(out / f"{NAME}.json")
        units.write_json(paths[-1], self.to_dict())
        return paths


def _losses(folder: Path) -> Curve:
    with open_list(folder / TRAIN_FOLDER / LOSS_FILE) as file:
        return [
            (int(row["iteration"]), float(row["value"]))
            for row in csv.DictReader(file)
            if (row["phase"], row["name"]) == ("train", "loss")
        ]


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> Figure5 | None:
    """Make the figure of the nets among `methods`; None if no fold has all of them finished."""
    nets = [method for method in methods if METHODS[method].net and method not in unavailable]
    folds = [
        fold
        for fold, path in fold_folders(out).items()
        if all(units.read_result(out, f"{path.name}/{method}") for method in nets)
    ]
    if not nets or not folds:
        return None
    losses = {method: {fold: _losses(out / f"fold{fold}" / method) for fold in folds} for method in nets}
    tests = {method: [load_predictions(out / f"fold{fold}" / method) for fold in folds] for method in nets}
    first = tests[nets[0]]
    labels = np.concatenate([fold.labels for fold in first])
    found = {"truth": relations.relations(labels)}
    for method, predictions in tests.items():
        values = np.concatenate([fold.probabilities for fold in predictions])
        found[method] = relations.relations(labels, values)
    synthetic = any(fold.synthetic for fold in first)
    missing = [f"{method}: not available" for method in methods if method not in nets]
    return Figure5(first[0].aus, folds, losses, found, synthetic, settings, missing)
