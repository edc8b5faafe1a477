"""The sections of the scores: the head of the page, the tables, the charts by AU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from drml.evaluation.au_score import TITLES
from drml.experiments.table_kind import TRIVIAL
from drml.io.text import counted
from drml.report.charts import Bar, bar_chart
from drml.report.formatting import au_name, decimals, figure_text
from drml.report.rendering import Section, render, render_table
from drml.training.base_rates import REMARK, Separation


def head_section(
    scores: dict[str, Any], summary: dict[str, Any] | None, tiles: Sequence[tuple[str, str, str]]
) -> Markup:
    """Return the head of the page: what was tested, a warning of synthetic data, the averages as `tiles`.

    `scores` are those of the occurrences, or of the intensities.
    """
    folds = scores["folds"]
    subjects = sum(fold["subjects"] or 0 for fold in folds)
    # Only the test splits of drml prepare are known to have other subjects than those trained on.
    disjoint = summary is not None and all(Path(fold["data"]).name.startswith("test") for fold in folds)
    new = ", none of them trained on" if disjoint else ""
    people = counted(subjects, "subject") + new if subjects else ""
    return render(
        "scores_head.html",
        model=Path(scores["model"]).name,
        weights=[Path(fold["weights"]).name for fold in folds],
        frames=scores["frames"],
        subjects=subjects,
        data=[fold["data"] for fold in folds],
        synthetic=scores["synthetic"] or (summary or {}).get("synthetic", False),
        figures=[*tiles, ("frames scored", str(scores["frames"]), people)],
    )


def average_tiles(average: Mapping[str, float | None]) -> list[tuple[str, str, str]]:
    """Return name, value and remark of the averages that stand at the top of a page."""
    f1, ap = (decimals(average[f"trivial_{name}"]) for name in ("f1", "ap"))
    return [
        ("ROC-AUC, Avg.", decimals(average["auc"]), "0.5 is chance"),
        ("F1-frame, Avg.", decimals(average["f1"]), f"{f1} if all are predicted"),
        ("AP, Avg.", decimals(average["ap"]), f"{ap} by chance"),
    ]


def _score_table(caption: str, scores: dict[str, Any]) -> tuple[Markup, list[tuple[str, list[int]]]]:
    """Return the table, and for each figure the AUs that its average leaves out."""
    average = scores["average"]
    # Scores of earlier versions have no accuracy and no MCC.
    figures = {name: title for name, title in TITLES.items() if name in average}

    def cells(row: dict[str, Any], au: int | None) -> list[str]:
        rate = decimals(row["base_rate"])
        return [rate, *(figure_text(row[name], scores, name, au) for name in figures)]

    rows = [[au_name(row["au"]), str(row["known"]), *cells(row, row["au"])] for row in scores["aus"]]
    rows.append(["Avg.", "", *cells(average, None)])
    trivial = (decimals(average[f"trivial_{name}"]) for name in figures)
    rows.append([TRIVIAL, "", decimals(average["base_rate"]), *trivial])
    table = render_table(caption, ["AU", "frames", "base rate", *figures.values()], rows, totals=2)
    left_out = scores["left_out_of_average"]
    return table, [(title, left_out[name]) for name, title in figures.items() if name in left_out]


def _chosen_table(caption: str, fixed: dict[str, Any], chosen: dict[str, Any], folds: list[Any]) -> Markup:
    """Return F1 at the fixed and at the chosen thresholds."""
    rows = []
    for one, other in zip(fixed["aus"], chosen["aus"], strict=True):
        au = other["au"]
        values = [fold["thresholds"][str(au)] for fold in folds]
        span = f"{min(values):.3f}" + (f"-{max(values):.3f}" if len(values) > 1 else "")
        f1 = [figure_text(row["f1"], table, "f1", au) for row, table in ((one, fixed), (other, chosen))]
        rows.append([au_name(au), span, *f1, *(decimals(other[name]) for name in ("accuracy", "mcc"))])
    f1 = [figure_text(table["average"]["f1"], table, "f1") for table in (fixed, chosen)]
    rows.append(["Avg.", "", *f1, *(decimals(chosen["average"][name]) for name in ("accuracy", "mcc"))])
    head = ["AU", "threshold", "F1 at 0.5", "F1 at threshold", "accuracy", "MCC"]
    return render_table(caption, head, rows, totals=1)


def _warnings(scores: dict[str, Any]) -> list[tuple[str, str]]:
    """Return a remark and the figures behind it for each fold whose model predicts the base rates."""
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
            found.append((f"{who} {REMARK}", separation.to_text()))
    return found


def scores_section(scores: dict[str, Any]) -> Section:
    """Return the tables of scores: pooled, and the mean of folds where there are several."""
    count = len(scores["folds"])
    if scores["mean_of_folds"]:
        tables = [
            _score_table(f"Pooled over {count} folds", scores["pooled"]),
            _score_table(f"Mean of {count} folds", scores["mean_of_folds"]),
        ]
    else:
        tables = [_score_table(f"Test set, F1 at threshold {scores['threshold']:g}", scores["pooled"])]
    if known := scores.get("chosen_thresholds"):
        title = "Thresholds chosen for the best F1 on validation"
        for part, name in (("pooled", "test set"), ("mean_of_folds", f"mean of {count} folds")):
            if scores[part]:
                caption = f"{title}, {name}"
                tables.append((_chosen_table(caption, scores[part], known[part], known["folds"]), []))
    return Section("scores", "Scores", render("scores.html", warnings=_warnings(scores), tables=tables))


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
    return Section("bars", "By AU", render("charts.html", charts=charts))
