"""The patches that DRML does not need: scores and patch norms of nets trained with ``group_sparsity``."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data import registration
from drml.evaluation.saliency import centre
from drml.experiments import detection_table, drawing
from drml.experiments.fold_unit import TRAIN_FOLDER
from drml.experiments.methods import METHODS
from drml.experiments.nets import files_of, region_layers
from drml.experiments.settings import Settings
from drml.nets.prototxt import read_prototxt
from drml.nets.weights import read_blob
from drml.synth import Subject, render
from drml.training.folder import FINAL_STEM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OFF", "Patches", "Sparsity", "make"]

NAME = "sparsity"
TITLE = "Group sparsity of the region layer (DRML itself has lambda 0)"
OFF = 0.01
"""A patch is off if its norm is below this share of the largest: gradient steps never reach 0 exactly."""

_DRAWN_WIDTH = 1040  # pixels of the picture from which the face is registered
_FACE, _CROP = 600, 510  # of the registered face, and of DRML's crop of it: 170 of 200


@dataclass(frozen=True)
class Patches:
    """The patches of a method's region layer.

    Attributes
    ----------
    norms : dict of int to ndarray, shape (grid_h, grid_w)
        By fold, the norm of each patch's convolution weights.
    window : tuple of int
        Height and width of the net's input, and how many pixels of it on each side lie outside the patches.
    """

    norms: dict[int, NDArray[np.float64]]
    window: tuple[int, int, int]

    def relative(self, fold: int) -> NDArray[np.float64]:
        """Return the norms as shares of the largest one; 0 where all are 0."""
        norms = self.norms[fold]
        return norms / (norms.max() or 1)

    def off(self, fold: int) -> float:
        """Return the share of patches that are off."""
        return float((self.relative(fold) < OFF).mean())

    def mean_off(self) -> float:
        """Return the share of patches that are off, the mean of the folds."""
        return float(np.mean([self.off(fold) for fold in self.norms]))

    def mean_sum(self) -> float:
        """Return the sum of the norms, the mean of the folds."""
        return float(np.mean([norms.sum() for norms in self.norms.values()]))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "off": self.mean_off(),
            "norm_sum": self.mean_sum(),
            "folds": {
                str(fold): {
                    "off": self.off(fold),
                    "norm_sum": float(norms.sum()),
                    "norms": norms.tolist(),
                }
                for fold, norms in self.norms.items()
            },
        }


@dataclass(frozen=True)
class Sparsity(detection_table.DetectionTable):
    """A table of detection scores, and a picture of the patches below it.

    Attributes
    ----------
    patches : dict of str to Patches
        By method. Methods without a region layer are not in it.
    """

    patches: dict[str, Patches]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        found = {
            method: {"lambda": METHODS[method].sparsity, **patches.to_dict()}
            for method, patches in self.patches.items()
        }
        return {**super().to_dict(), "patches": found}

    def sections(self) -> list[str]:
        """Return the table of patches as lines of Markdown."""
        lines = [
            "## Patches",
            "",
            f"| method | lambda | patches off (norm below {OFF:.0%} of the largest) | sum of norms |",
            "|---|---|---|---|",
        ]
        for method, patches in self.patches.items():
            lines.append(
                f"| {METHODS[method].title} | {METHODS[method].sparsity:g} | {patches.mean_off():.1%}"
                f" | {patches.mean_sum():.3f} |"
            )
        return [*lines, ""] if self.patches else []

    def to_csv(self) -> str:
        """Return the lines of the table, and two more for each method's patches."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        for method, patches in self.patches.items():
            writer.writerow(["patches", "off", "", method, f"{patches.mean_off():.6f}", "", "", ""])
            writer.writerow(["patches", "norm_sum", "", method, f"{patches.mean_sum():.6f}", "", "", ""])
        return super().to_csv() + file.getvalue()

    def draw(self) -> Figure:
        """Draw each method's patches over a drawn face: norms as shares of the largest, mean of the folds."""
        from matplotlib.figure import Figure  # here, because it takes half a second to import

        figure = Figure(figsize=(3.1 * len(self.patches) + 0.6, 3.6), layout="constrained")
        axes = figure.subplots(1, len(self.patches), squeeze=False)[0]
        face = _drawn_face()
        for axis, (method, patches) in zip(axes, self.patches.items(), strict=True):
            height, width, margin = patches.window
            axis.imshow(face, cmap="gray", extent=(0, width, height, 0))
            shares = np.mean([patches.relative(fold) for fold in patches.norms], axis=0)
            extent = (margin, width - margin, height - margin, margin)
            shown = axis.imshow(shares, vmin=0, vmax=1, cmap="viridis", alpha=0.6, extent=extent)
            axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
            axis.set_title(
                f"$\\lambda$ = {METHODS[method].sparsity:g}: {patches.mean_off():.0%} off", fontsize=10
            )
        figure.colorbar(shown, ax=list(axes), shrink=0.8, label="norm of the patch / largest norm")
        figure.suptitle(drawing.heading(self.settings, self.synthetic), fontsize=10)
        return figure

    def write(self, out: Path) -> list[Path]:
        """Write the table as Markdown, CSV and JSON, and the picture; return the files."""
        paths = super().write(out)
        return [*paths, *drawing.save(self.draw(), out, NAME)] if self.patches else paths


def _drawn_face() -> NDArray[np.uint8]:
    """Draw a face, so that no person is shown; it is registered and cropped like all faces, and grey."""
    image, landmarks = render(Subject.draw("patches 0"), width=_DRAWN_WIDTH)
    face = centre(registration.register(image, landmarks, _FACE), (_CROP, _CROP))
    return np.asarray(cv2.cvtColor(face, cv2.COLOR_BGR2GRAY), np.uint8)


def _patches(out: Path, settings: Settings, method: str, folds: Sequence[int]) -> Patches | None:
    """Read the norms from a net's last weights; None if it has no region layer.

    If there are several such layers, it is the first one, whose patches lie on the face.
    """
    if not METHODS[method].net:
        return None
    net = read_prototxt(files_of(out, settings, method).deploy)
    layers = region_layers(net)
    if not layers:
        return None
    region = layers[0]
    grid = (region.region_param.grid_h, region.region_param.grid_w)
    norms = {}
    for fold in folds:
        weights = out / f"fold{fold}" / method / TRAIN_FOLDER / FINAL_STEM
        values = read_blob(weights, region.name).astype(np.float64)
        norms[fold] = np.sqrt((values**2).reshape(len(values), -1).sum(axis=1)).reshape(grid)
    return Patches(norms, _window(net))


def _window(net: Any) -> tuple[int, int, int]:
    """Return height and width of the input, and the margin on each side that the patches leave out.

    Convolutions before the first region layer take this margin; in DRML they have no stride and no padding.
    """
    margin = 0
    for layer in net.layer:
        if layer.type == "Region":
            break
        if layer.type == "Input":
            height, width = layer.input_param.shape[0].dim[2:]
        elif layer.type == "Convolution":
            margin += (layer.convolution_param.kernel_size[0] - 1) // 2
    return height, width, margin


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> Sparsity | None:
    """Make the table and the picture from finished units of `methods`; None if there are none."""
    table = detection_table.collect(NAME, TITLE, out, methods, settings, unavailable, shared_folds=True)
    if table is None:
        return None
    found = {
        method: _patches(out, settings, method, column.folds) for method, column in table.columns.items()
    }
    fields = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    return Sparsity(**fields, patches={method: one for method, one in found.items() if one is not None})
