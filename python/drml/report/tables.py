"""Sections of an experiment's tables, methods in columns, and bars that compare the methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from drml.evaluation.au_score import AuScore
from drml.experiments.methods import METHODS
from drml.experiments.table_kind import FIGURES, TRIVIAL
from drml.experiments.table_notes import SYNTHETIC, base_rates_note
from drml.io.figures import mean_of_defined
from drml.io.text import counted
from drml.report.charts import Bar, bar_chart
from drml.report.finished import MethodRuns
from drml.report.formatting import UNDEFINED, au_name, decimals, figure_text
from drml.report.rendering import Section, render, render_table

__all__ = ["averages", "bars_section", "table_section", "timing_section"]

_MARKS = {"f1": "all positive", "auc": "chance", "ap": "chance"}
_PARTS = {"pooled": "pooled over the folds", "mean_of_folds": "mean of the folds"}

_CHARTS = ("auc", "f1", "f1_chosen", "ap")
"""The figures of which there are bars."""

_FIRST = 3
"""How many of the figures are shown without unfolding."""

Rows = list[tuple[str, list[float | None], list[str]]]
"""Name, values and texts of each row: a value for each method, then the trivial one."""


def _rows(scores: Mapping[str, Any], figure: str, silent: Mapping[str, Sequence[int]]) -> tuple[Rows, int]:
    """Return AUs and averages with a value per method and the trivial one, and how many rows are averages."""
    by_au = {method: {row["au"]: row for row in one["aus"]} for method, one in scores.items()}
    most = max(scores.values(), key=lambda one: sum(row["known"] for row in one["aus"]))
    trivial = {row["au"]: row for row in most["aus"]}
    aus = sorted(
        {au for rows in by_au.values() for au in rows} | {au for some in silent.values() for au in some}
    )
    values = {
        au: [rows[au][figure] if au in rows else None for rows in by_au.values()]
        + [trivial[au][f"trivial_{figure}"] if au in trivial else None]
        for au in aus
    }

    def texts(of_row: list[float | None], au: int | None) -> list[str]:
        of_methods = zip(of_row, scores.values(), strict=False)  # the trivial value comes last
        return [*(figure_text(value, one, figure, au) for value, one in of_methods), decimals(of_row[-1])]

    rows: Rows = [(au_name(au), values[au], texts(values[au], au)) for au in aus]
    average = [one["average"][figure] for one in scores.values()]
    average.append(most["average"][f"trivial_{figure}"])
    rows.append(("Avg.", average, texts(average, None)))
    shared = [au for au in aus if all(au in known for known in by_au.values())]
    if shared and shared != aus:
        means: list[float | None] = [
            mean_of_defined(math.nan if (value := values[au][column]) is None else value for au in shared)
            for column in range(len(scores) + 1)
        ]
        rows.append((f"Avg. of {' '.join(map(str, shared))}", means, list(map(decimals, means))))
    return rows, len(rows) - len(aus)


def _score_table(caption: str, titles: Sequence[str], rows: Rows, totals: int) -> Markup:
    shown, classes = [], []
    for name, values, texts in rows:
        shown.append([name, *texts])
        # Of the methods: the trivial row, which is last, is none.
        cells = list(map(decimals, values))[:-1]
        top = max(cells)
        classes.append(["best" if cell == top != UNDEFINED else "" for cell in cells] + [""])
    return render_table(caption, ["AU", *titles, TRIVIAL], shown, totals=totals, classes=classes)


def _tables_of(table: dict[str, Any], part: str, caption: str) -> list[Markup]:
    """Return a table for each figure that a part has; tables of earlier versions have fewer."""
    methods = table["methods"]
    silent = {name: about["not_scored"] for name, about in methods.items()}
    found = []
    for figure in FIGURES.values():
        scores = table.get(part + ("_chosen" if figure.chosen else ""))
        if scores and all(figure.attribute in one["average"] for one in scores.values()):
            titles = [methods[method]["title"] for method in scores]
            rows = _rows(scores, figure.attribute, {method: silent[method] for method in scores})
            found.append(_score_table(f"{figure.title}, {caption}", titles, *rows))
    return found


def _folds_table(table: dict[str, Any]) -> list[Markup]:
    """Return the averages of each fold; nothing if there is one fold only, or in earlier versions."""
    rows = []
    for about in table["methods"].values():
        scores = about.get("fold_scores", {})
        for fold, of_fold in scores.items() if len(scores) > 1 else ():
            cells = [about["title"], fold]
            for name in ("auc", "f1", "f1_chosen"):
                one = of_fold.get("chosen" if FIGURES[name].chosen else "fixed")
                figure = FIGURES[name].attribute
                cells.append(figure_text(one["average"][figure], one, figure) if one else UNDEFINED)
            rows.append(cells)
    head = ["method", "fold", *(FIGURES[name].title for name in ("auc", "f1", "f1_chosen"))]
    return [render_table("Avg. of each fold", head, rows)] if rows else []


def table_section(table: dict[str, Any], anchor: str, title: str) -> Section:
    """Return a table of detection scores: each figure, pooled and as the mean of folds."""
    several = "mean_of_folds" in table
    pooled = _tables_of(table, "pooled", _PARTS["pooled"] if several else "one fold")
    body = render(
        "detection_table.html",
        pooled=pooled[:_FIRST],
        more=pooled[_FIRST:],
        means=_tables_of(table, "mean_of_folds", _PARTS["mean_of_folds"]) if several else [],
        folds=_folds_table(table),
        remarks=[line for line in table["notes"] if line != SYNTHETIC],
    )
    return Section(anchor, title, body)


def averages(methods: Mapping[str, MethodRuns]) -> Markup:
    """Return the methods' averages as a table and as bars."""
    rows = []
    for one in methods.values():
        figures = [_average(one, name) for name in FIGURES]
        folds, seconds = ", ".join(map(str, one.folders)), sum(r["seconds"] for r in one.results.values())
        rows.append(
            [
                one.title,
                *map(decimals, figures),
                str(len(one.table.keys)),
                folds,
                f"{seconds:.0f} s",
                str(len(one.table.aus)),
            ]
        )
    head = ["method", *(figure.title for figure in FIGURES.values()), "test frames", "folds", "time", "AUs"]
    charts = []
    for name in _CHARTS:
        figure = FIGURES[name]
        bars = [
            Bar(one.title, _average(one, name), one.scores.average(f"trivial_{figure.attribute}"))
            for one in methods.values()
        ]
        charts.append(bar_chart(f"Mean {figure.title}", _MARKS[figure.attribute], bars))
    remarks = [
        line
        for one in methods.values()
        for line in base_rates_note(one.title, one.at_base_rates, one.folders)
    ]
    return render(
        "averages.html",
        table=render_table("Averages over the AUs, pooled over the folds", head, rows),
        remarks=remarks,
        charts=charts,
    )


def _average(runs: MethodRuns, name: str) -> float:
    """Return the average of a figure; NaN where no thresholds were chosen."""
    scores = runs.chosen_scores if FIGURES[name].chosen else runs.scores
    return math.nan if scores is None else scores.average(FIGURES[name].attribute)


def bars_section(methods: Mapping[str, MethodRuns], anchor: str, title: str) -> Section:
    """Return, for every AU, bars of the methods."""
    aus = sorted({row.au for one in methods.values() for row in one.scores.rows})
    figures = []
    for name in _CHARTS:
        figure = FIGURES[name]
        scored = {one.title: one.chosen_scores if figure.chosen else one.scores for one in methods.values()}
        rows: dict[str, dict[int, AuScore]] = {
            title: {row.au: row for row in scores.rows} for title, scores in scored.items() if scores
        }
        charts = []
        for au in aus:
            bars = [
                Bar(
                    method,
                    getattr(by_au[au], figure.attribute),
                    getattr(by_au[au], f"trivial_{figure.attribute}"),
                )
                for method, by_au in rows.items()
                if au in by_au
            ]
            if bars:
                charts.append(bar_chart(au_name(au), _MARKS[figure.attribute], bars, explain_marks=False))
        if charts:
            figures.append({"title": figure.title, "marks": _MARKS[figure.attribute], "charts": charts})
    return Section(anchor, title, render("bars.html", figures=figures))


def timing_section(table: dict[str, Any], anchor: str, title: str) -> Section:
    """Return table 4: how long the nets take."""
    rows = [
        [METHODS[row["method"]].title, row["phase"], str(row["batch"])]
        + [f"{row[f'ms_per_{per}']:.2f} ± {row[f'std_per_{per}']:.2f}" for per in ("batch", "image")]
        for row in table["rows"]
    ]
    head = ["net", "phase", "batch", "ms a batch", "ms an image"]
    counts = {(one["trials"], one["iterations"]) for one in table["units"].values()}
    lines = [
        f"Mean ± standard deviation over {counted(trials, 'trial')} of"
        f" {counted(iterations, 'iteration')} each."
        for trials, iterations in sorted(counts)
    ]
    lines += [
        "The times do not include reading and decoding images.",
        *sorted({row["machine"] for row in table["rows"]}),
    ]
    body = render(
        "timing.html", table=render_table("Milliseconds", head, rows), remarks=[*lines, *table["notes"]]
    )
    return Section(anchor, title, body)
