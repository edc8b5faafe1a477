"""The sections of the scores: the head of the page, the tables, the charts by AU."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from drml.report.charts import Bar, bar_chart
from drml.report.markup import au_name, cell, escaped, html_table, tiles
from drml.report.page import Section, base_rates_warning, synthetic_warning
from drml.training.base_rates import REMARK, Separation


def head_section(scores: dict[str, Any], summary: dict[str, Any] | None) -> str:
    """Return the head of the page: what was tested, a warning of synthetic data, the averages."""
    folds = scores["folds"]
    subjects = sum(fold["subjects"] or 0 for fold in folds)
    what = f"{Path(scores['model']).name} with {', '.join(Path(fold['weights']).name for fold in folds)}"
    tested = f"{scores['frames']} frames" + (f" of {subjects} subjects" if subjects else "")
    parts = [
        "<h1>Facial action units: DRML on Caffe</h1>",
        f"<p>{escaped(what)}, tested on {escaped(tested)} in {len(folds)} fold{'s' if len(folds) > 1 else ''}"
        f" ({escaped(', '.join(fold['data'] for fold in folds))}).</p>",
    ]
    if scores["synthetic"] or (summary or {}).get("synthetic"):
        parts.append(synthetic_warning())
    average = scores["pooled"]["average"]
    # Only drml prepare's own test splits are known to be of other subjects than those trained on.
    apart = summary is not None and all(Path(fold["data"]).name.startswith("test") for fold in folds)
    people = f"{subjects} subjects" + (" never trained on" if apart else "") if subjects else ""
    shown = [
        ("ROC-AUC, Avg.", cell(average["auc"]), "0.5 is chance"),
        ("F1-frame, Avg.", cell(average["f1"]), f"{cell(average['trivial_f1'])} by saying yes always"),
        ("AP, Avg.", cell(average["ap"]), f"{cell(average['trivial_ap'])} at chance"),
        ("frames scored", str(scores["frames"]), people),
    ]
    return "\n".join([*parts, tiles(shown)])


def _score_table(caption: str, scores: dict[str, Any]) -> str:
    rows = [
        [
            au_name(row["au"]),
            str(row["known"]),
            *(cell(row[name]) for name in ("base_rate", "f1", "auc", "ap")),
        ]
        for row in scores["aus"]
    ]
    average = scores["average"]
    rows.append(["Avg.", "", *(cell(average[name]) for name in ("base_rate", "f1", "auc", "ap"))])
    trivial = (average[f"trivial_{name}"] for name in ("f1", "auc", "ap"))
    rows.append(["all positive (trivial)", "", cell(average["base_rate"]), *map(cell, trivial)])
    text = html_table(caption, ["AU", "frames", "base rate", "F1-frame", "ROC-AUC", "AP"], rows, sums=2)
    titles = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
    for name, aus in scores["left_out_of_average"].items():
        listed = ", ".join(f"AU {au}" for au in aus)
        text += f'<p class="soft">{titles[name]} is undefined for {escaped(listed)} and left out of Avg.</p>'
    return text


def _warnings(scores: dict[str, Any]) -> list[str]:
    """Return a warning for each fold whose model predicts the base rates."""
    found = []
    for fold in scores["folds"]:
        aucs = (row["auc"] for row in fold["scores"]["aus"])
        # Files of earlier versions have no spreads.
        known = (
            tuple(math.nan if value is None else value for value in values)
            for values in (aucs, fold.get("spreads", ()))
        )
        separation = Separation(*known)
        if separation.at_base_rates:
            who = "The model" if len(scores["folds"]) == 1 else f"{fold['data']}: the model"
            found.append(base_rates_warning(f"{who} {REMARK}", separation.to_text()))
    return found


def scores_section(scores: dict[str, Any]) -> Section:
    """Return the tables of scores: pooled, and the mean of folds where there are several."""
    parts = _warnings(scores)
    if scores["mean_of_folds"]:
        parts.append(_score_table(f"Pooled over {len(scores['folds'])} folds", scores["pooled"]))
        parts.append(_score_table(f"Mean of {len(scores['folds'])} folds", scores["mean_of_folds"]))
    else:
        parts.append(_score_table(f"Test set, F1 at threshold {scores['threshold']:g}", scores["pooled"]))
    parts.append(
        '<p class="soft">Frames whose label is unknown do not count. The trivial row says yes in every frame:'
        " a method has to beat it to have found anything.</p>"
    )
    return Section("scores", "Scores", "\n".join(parts))


def charts_section(scores: dict[str, Any]) -> Section:
    """Return bars of ROC-AUC, F1-frame and AP by AU."""
    rows = scores["pooled"]["aus"]

    def bars(figure: str) -> list[Bar]:
        return [Bar(f"AU {row['au']}", row[figure], row[f"trivial_{figure}"]) for row in rows]

    charts = [
        bar_chart("ROC-AUC", "chance", bars("auc")),
        bar_chart("F1-frame", "all positive", bars("f1")),
        bar_chart("AP", "chance", bars("ap")),
    ]
    return Section("bars", "By AU", f'<div class="charts">{"".join(charts)}</div>')
