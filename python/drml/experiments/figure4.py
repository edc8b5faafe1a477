"""Figure 4: saliency maps of the AUs for several nets, and the share inside the region of each AU."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.labels import AU_NAMES, PRESENT
from drml.data.split import open_split
from drml.evaluation.au_regions import REGIONS
from drml.evaluation.saliency import centre, focus, saliency_maps
from drml.evaluation.saliency_pictures import crop_region, open_gradient_net, overlay, read_faces
from drml.experiments import drawing, units
from drml.experiments.fold_unit import TRAIN_FOLDER
from drml.experiments.methods import METHODS
from drml.experiments.nets import files_of
from drml.experiments.predictions import load_predictions
from drml.experiments.settings import Settings, fold_folders
from drml.experiments.table_notes import SYNTHETIC
from drml.io import machine
from drml.io.figures import json_value, mean_of_defined
from drml.io.files import writing
from drml.training.folder import FINAL_STEM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Figure4", "make"]

NAME = "fig4"
TITLE = "Figure 4: saliency of AUs"
FRAMES = 4
"""The number of test frames with an AU over which its focus is averaged. The first one is shown."""


@dataclass(frozen=True)
class Figure4:
    """The content of the figure.

    Attributes
    ----------
    aus : tuple of int
        The AUs that are present in a test frame.
    fold : int
    keys : dict of int to list of str
        The frames of each AU.
    pictures : dict of str to dict of int to ndarray
        For ``face`` and for each net: the picture of each AU, BGR.
    focus : dict of str to dict of int to float
        By net and AU, the mean share of saliency inside the AU's region.
    area : dict of str to dict of int to float
        By net and AU, the region's share of the net's input. It is the focus of a map that is the same
        everywhere.
    synthetic : bool
    settings : Settings
    missing : list of str
        Nets, and AUs that no test frame has.
    """

    aus: tuple[int, ...]
    fold: int
    keys: dict[int, list[str]]
    pictures: dict[str, dict[int, NDArray[np.uint8]]]
    focus: dict[str, dict[int, float]]
    area: dict[str, dict[int, float]]
    synthetic: bool
    settings: Settings
    missing: list[str]

    def gaps(self) -> list[str]:
        """Name the nets, AUs and figures that are missing."""
        undefined = [
            f"{row['method']}: focus of AU {row['au']}" for row in self.rows() if np.isnan(row["focus"])
        ]
        return self.missing + undefined

    def rows(self) -> list[dict[str, Any]]:
        """Give a row for each net and AU."""
        return [
            {"method": method, "au": au, "focus": values[au], "area": self.area[method][au]}
            for method, values in self.focus.items()
            for au in self.aus
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the pictures as plain values, for JSON."""
        return {
            "figure": NAME,
            "synthetic": self.synthetic,
            "fold": self.fold,
            "frames": {f"AU{au}": keys for au, keys in self.keys.items()},
            "rows": json_value(self.rows()),
            "settings": dataclasses.asdict(self.settings),
            **machine.describe(),
        }

    def to_markdown(self) -> str:
        """Return the text for the terminal: the focus of each net and AU."""
        lines = [f"# {TITLE}, {self.settings.schedule}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        titles = [METHODS[method].title for method in self.focus]
        lines += [
            f"| AU | {' | '.join(titles)} | even saliency |",
            "|---" * (len(titles) + 2) + "|",
        ]
        even = self.area[next(iter(self.area))]
        for au in self.aus:
            cells = ["-" if np.isnan(v[au]) else f"{v[au]:.3f}" for v in self.focus.values()]
            lines.append(f"| {au} {AU_NAMES.get(au, '')} | {' | '.join(cells)} | {even[au]:.3f} |")
        means = [f"{mean_of_defined(list(values.values())):.3f}" for values in self.focus.values()]
        lines.append(f"| **Avg.** | {' | '.join(means)} | {np.mean(list(even.values())):.3f} |")
        lines += [
            "",
            f"- Focus: share of saliency inside the AU's region, mean of up to {FRAMES} test frames of fold"
            f" {self.fold} with the AU present; seed {self.settings.seed}",
            "",
        ]
        return "\n".join(lines)

    def draw(self) -> Figure:
        """Draw the faces, and the maps of each net below them."""
        from matplotlib.figure import Figure  # here, because it takes half a second to import

        figure = Figure(
            figsize=(1.25 * len(self.aus) + 0.6, 1.45 * len(self.pictures) + 0.4), layout="constrained"
        )
        axes = figure.subplots(len(self.pictures), len(self.aus), squeeze=False)
        for row, (name, pictures) in zip(axes, self.pictures.items(), strict=True):
            for axis, au in zip(row, self.aus, strict=True):
                axis.imshow(cv2.cvtColor(pictures[au], cv2.COLOR_BGR2RGB))
                axis.set_xticks([])
                axis.set_yticks([])
                if name == "face":
                    axis.set_title(f"AU{au}", fontsize=9)
                else:
                    axis.set_xlabel(f"{self.focus[name][au]:.2f}", fontsize=7, labelpad=2)
            row[0].set_ylabel("" if name == "face" else METHODS[name].title, fontsize=9)
        figure.suptitle(drawing.heading(self.settings, self.synthetic), fontsize=9)
        return figure

    def write(self, out: Path) -> list[Path]:
        """Write the picture and the numbers; return the files."""
        paths = drawing.save(self.draw(), out, NAME)
        paths.append(out / f"{NAME}.csv")
        with writing(paths[-1], newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["method", "au", "focus", "area"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows())
        paths.append(out / f"{NAME}.json")
        units.write_json(paths[-1], self.to_dict())
        return paths


def _spread(keys: list[str]) -> list[str]:
    """Take up to `FRAMES` keys, spread evenly."""
    count = min(FRAMES, len(keys))
    return [keys[index * len(keys) // count] for index in range(count)]


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> Figure4 | None:
    """Make the figure of the nets among `methods`; None if no fold has all of them finished."""
    nets = [method for method in methods if METHODS[method].net and method not in unavailable]
    folds = [
        fold
        for fold, path in fold_folders(out).items()
        if all(units.read_result(out, f"{path.name}/{method}") for method in nets)
    ]
    if not nets or not folds:
        return None
    fold = folds[0]
    test = load_predictions(out / f"fold{fold}" / nets[0])
    keys = {}
    for column, au in enumerate(test.aus):
        present = [
            key for key, label in zip(test.keys, test.labels[:, column], strict=True) if label == PRESENT
        ]
        if present and au in REGIONS:
            keys[au] = _spread(present)
    pictures: dict[str, dict[int, NDArray[np.uint8]]] = {"face": {}}
    focuses: dict[str, dict[int, float]] = {}
    areas: dict[str, dict[int, float]] = {}
    for method in nets:
        data = open_split(settings.fold(method, fold) / "test_lmdb")
        found = read_faces(data, {key for some in keys.values() for key in some})
        deploy = files_of(out, settings, method).deploy
        net = open_gradient_net(
            deploy, out / f"fold{fold}" / method / TRAIN_FOLDER / FINAL_STEM, data, batch=1
        )
        shape = net.input_shape[1:]
        pictures[method], focuses[method], areas[method] = {}, {}, {}
        for au, some in keys.items():
            column = test.aus.index(au)
            maps = [saliency_maps(net, found[key], [column])[0] for key in some]
            region = crop_region(au, found[some[0]].shape[0], shape)
            shares = [focus(one, region) for one in maps]
            focuses[method][au], areas[method][au] = mean_of_defined(shares), float(region.mean())
            face = np.asarray(centre(found[some[0]], shape), np.uint8)
            pictures[method][au] = overlay(face, maps[0])
            pictures["face"].setdefault(au, face)
    missing = [f"{method}: not available" for method in methods if method not in nets]
    missing += [f"AU {au}: in no test frame of fold {fold}" for au in test.aus if au not in keys]
    return Figure4(tuple(keys), fold, keys, pictures, focuses, areas, test.synthetic, settings, missing)
