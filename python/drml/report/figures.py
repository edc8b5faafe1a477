"""Sections of an experiment's figures: the pictures with text alternatives, and their numbers as tables."""

from __future__ import annotations

from typing import Any

from drml.experiments.methods import METHODS
from drml.report.finished import Experiment
from drml.report.markup import au_name, cell, escaped, html_table, scrolling
from drml.report.page import Section
from drml.report.pictures import picture

__all__ = ["losses_figure", "patches_figure", "saliency_section"]


def _titles(names: list[str]) -> str:
    return ", ".join(METHODS[name].title for name in names)


def saliency_section(experiment: Experiment, figure: dict[str, Any], anchor: str, title: str) -> Section:
    """Return Figure 4: the picture, and the focus of each net and AU."""
    nets = list(dict.fromkeys(row["method"] for row in figure["rows"]))
    aus = sorted({row["au"] for row in figure["rows"]})
    focus = {(row["method"], row["au"]): row["focus"] for row in figure["rows"]}
    area = {row["au"]: row["area"] for row in figure["rows"] if row["method"] == nets[0]}
    alt = (
        f"Figure 4. Columns: AUs {', '.join(map(str, aus))}. Rows: a test face with the AU, and over it the"
        f" saliency maps of {_titles(nets)}, blue to red. Below a map is its focus, as in the table."
    )
    rows = [
        [au_name(au), *(cell(focus.get((net, au))) for net in nets), cell(area[au])]
        for au in aus
        if au in area
    ]
    caption = f"Focus: share of saliency inside the AU's region, test frames of fold {figure['fold']}"
    body = [
        "<p>How much each pixel moves an AU's score: |d score / d pixel|. <i>Even saliency</i> is the focus"
        " of a map without preference.</p>",
        scrolling("Figure 4", picture(experiment.folder / "fig4.png", alt)),
        html_table(caption, ["AU", *(METHODS[net].title for net in nets), "even saliency"], rows),
    ]
    return Section(anchor, title, "\n".join(body))


def losses_figure(experiment: Experiment, figure: dict[str, Any]) -> str:
    """Return Figure 5 as a picture, described by its numbers."""
    differences = figure["differences"]
    far = "; ".join(
        f"{METHODS[net].title} {cell(one['frobenius'], 4)}, mean square {cell(one['mean_square'], 4)}"
        for net, one in differences.items()
    )
    alt = (
        f"Figure 5. (a) Training losses of {_titles(list(figure['losses']))} by iteration. Then tables"
        f" of the AUs' correlations in the labels and in the predictions of {_titles(list(differences))}."
        f" Distances from the labels' table: {far}."
    )
    image = picture(experiment.folder / "fig5.png", alt)
    return f'<h3>Figure 5</h3>{scrolling("Figure 5", image)}<p class="soft">{escaped(alt)}</p>'


def patches_figure(experiment: Experiment, table: dict[str, Any]) -> str:
    """Return the patches of nets with group sparsity: the picture, and how many are off."""
    patches = table["patches"]
    if not patches:
        return ""
    rows = [
        [METHODS[method].title, f"{one['lambda']:g}", f"{one['off']:.1%}", cell(one["norm_sum"])]
        for method, one in patches.items()
    ]
    alt = (
        f"The norms of the region layer's patches over a drawn face, for {_titles(list(patches))}, as shares"
        " of each net's largest. How many are off is in the table."
    )
    head = ["method", "lambda", "patches off", "sum of norms"]
    return html_table("Patches whose norm is below 1% of the largest", head, rows) + scrolling(
        "Patches", picture(experiment.folder / "sparsity.png", alt)
    )
