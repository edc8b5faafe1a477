"""Sections of an experiment's figures: pictures with descriptions in words, and their numbers as tables."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from drml.experiments.methods import METHODS
from drml.report.finished import FinishedExperiment
from drml.report.formatting import au_name, decimals
from drml.report.pictures import read_picture
from drml.report.rendering import Section, render, render_table

__all__ = ["learning_curve_section", "losses_figure", "patches_figure", "saliency_section"]


def _titles(names: list[str]) -> str:
    return ", ".join(METHODS[name].title for name in names)


def saliency_section(
    experiment: FinishedExperiment, figure: dict[str, Any], anchor: str, title: str
) -> Section:
    """Return Figure 4: the picture, and the focus of each net and AU."""
    nets = list(dict.fromkeys(row["method"] for row in figure["rows"]))
    aus = sorted({row["au"] for row in figure["rows"]})
    focus = {(row["method"], row["au"]): row["focus"] for row in figure["rows"]}
    area = {row["au"]: row["area"] for row in figure["rows"] if row["method"] == nets[0]}
    alt = (
        f"Figure 4. Columns: AUs {', '.join(map(str, aus))}. Rows: a test face with the AU, then the same"
        f" face under the saliency maps of {_titles(nets)}, from blue (low) to red (high). The number below a"
        " map is its focus, as in the table."
    )
    rows = [
        [au_name(au), *(decimals(focus.get((net, au))) for net in nets), decimals(area[au])]
        for au in aus
        if au in area
    ]
    caption = f"Focus: share of saliency inside the AU's region, test frames of fold {figure['fold']}"
    body = render(
        "figure4.html",
        image=read_picture(experiment.folder / "fig4.png", alt),
        focus=render_table(caption, ["AU", *(METHODS[net].title for net in nets), "even saliency"], rows),
    )
    return Section(anchor, title, body)


def learning_curve_section(
    experiment: FinishedExperiment, figure: dict[str, Any], anchor: str, title: str
) -> Section:
    """Return the learning curve: the picture, and the images after which each method reached an AUC."""
    nets = [name for name in figure["curves"] if METHODS[name].net]
    alt = (
        "Learning curve. Left: mean validation AUC by the images that a net has seen in training, for"
        f" {_titles(nets)}. Right: that of the LSVM by the number of training frames. The table has the"
        " figures."
    )
    body = render(
        "learning_curve.html",
        image=read_picture(experiment.folder / "curve.png", alt),
        table=render_table("Mean validation AUC", figure["columns"], figure["rows"]),
        notes=figure["notes"],
    )
    return Section(anchor, title, body)


def losses_figure(experiment: FinishedExperiment, figure: dict[str, Any]) -> Markup:
    """Return Figure 5 as a picture with its numbers in words."""
    differences = figure["differences"]
    far = "; ".join(
        f"{METHODS[net].title} {decimals(one['frobenius'], 4)},"
        f" mean squared difference {decimals(one['mean_square'], 4)}"
        for net, one in differences.items()
    )
    alt = (
        f"Figure 5. (a) Training loss of {_titles(list(figure['losses']))} by iteration. The other"
        " panels are tables of the correlations between AUs in the labels and in the predictions of"
        f" {_titles(list(differences))}."
        f" Distance from the labels' table: {far}."
    )
    return render("figure5.html", image=read_picture(experiment.folder / "fig5.png", alt))


def patches_figure(experiment: FinishedExperiment, table: dict[str, Any]) -> Markup:
    """Return the picture of the patches of nets with group sparsity, and a table of how many are off."""
    patches = table["patches"]
    if not patches:
        return Markup("")
    rows = [
        [METHODS[method].title, f"{one['lambda']:g}", f"{one['off']:.1%}", decimals(one["norm_sum"])]
        for method, one in patches.items()
    ]
    alt = (
        f"The weight norms of the region layer's patches over a drawn face, for {_titles(list(patches))}, as"
        " shares of each net's largest norm. The table has the share of patches that are off."
    )
    head = ["method", "lambda", "patches off", "sum of norms"]
    return render(
        "patches.html",
        table=render_table("Patches whose norm is below 1% of the largest", head, rows),
        image=read_picture(experiment.folder / "sparsity.png", alt),
    )
