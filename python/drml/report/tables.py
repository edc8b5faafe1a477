"""Sections of an experiment's tables, methods in columns, and bars that compare the methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from drml.evaluation.au_score import AuScore
from drml.experiments.methods import METHODS
from drml.experiments.table_notes import SYNTHETIC, base_rates_note
from drml.experiments.table_rows import FIGURES, TRIVIAL
from drml.io.figures import mean_of_defined
from drml.report.charts import Bar, bar_chart
from drml.report.finished import MethodRuns
from drml.report.formatting import UNDEFINED, au_name, decimals
from drml.report.rendering import Section, render, render_table

__all__ = ["averages", "bars_section", "table_section", "timing_section"]

_MARKS = {"f1": "all positive", "auc": "chance", "ap": "chance"}
_PARTS = {"pooled": "pooled over the folds", "mean_of_folds": "mean of the folds"}

Rows = list[tuple[str, list[float | None]]]


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
    rows: Rows = [(au_name(au), values[au]) for au in aus]
    average = [one["average"][figure] for one in scores.values()]
    rows.append(("Avg.", [*average, most["average"][f"trivial_{figure}"]]))
    shared = [au for au in aus if all(au in known for known in by_au.values())]
    if shared and shared != aus:
        means: list[float | None] = [
            mean_of_defined(math.nan if (value := values[au][column]) is None else value for au in shared)
            for column in range(len(scores) + 1)
        ]
        rows.append((f"Avg. of {' '.join(map(str, shared))}", means))
    return rows, len(rows) - len(aus)


def _score_table(caption: str, titles: Sequence[str], rows: Rows, totals: int) -> Markup:
    texts, classes = [], []
    for name, values in rows:
        cells = [name, *map(decimals, values)]
        texts.append(cells)
        # Of the methods: the trivial row, which is last, is none.
        top = max(cells[1:-1])
        classes.append(["best" if cell == top != UNDEFINED else "" for cell in cells[1:-1]] + [""])
    return render_table(caption, ["AU", *titles, TRIVIAL], texts, totals=totals, classes=classes)


def table_section(table: dict[str, Any], anchor: str, title: str) -> Section:
    """Return a table of detection scores: F1-frame, ROC-AUC, AP, pooled and as the mean of folds."""
    methods = table["methods"]
    silent = {name: about["not_scored"] for name, about in methods.items()}
    tables: dict[str, list[Markup]] = {}
    several = "mean_of_folds" in table
    for part in filter(table.__contains__, _PARTS):
        titles = [methods[method]["title"] for method in table[part]]
        tables[part] = [
            _score_table(
                f"{name}, {_PARTS[part] if several else 'one fold'}",
                titles,
                *_rows(table[part], figure, silent),
            )
            for figure, name in FIGURES.items()
        ]
    body = render(
        "detection_table.html",
        pooled=tables.get("pooled", []),
        folds=tables.get("mean_of_folds", []),
        remarks=[line for line in table["notes"] if line != SYNTHETIC],
    )
    return Section(anchor, title, body)


def averages(methods: Mapping[str, MethodRuns]) -> Markup:
    """Return the methods' averages as a table and as bars."""
    rows = []
    for one in methods.values():
        figures = [one.scores.average(name) for name in FIGURES]
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
    head = ["method", *FIGURES.values(), "test frames", "folds", "time", "AUs"]
    charts = []
    for figure, name in FIGURES.items():
        bars = [
            Bar(one.title, one.scores.average(figure), one.scores.average(f"trivial_{figure}"))
            for one in methods.values()
        ]
        charts.append(bar_chart(f"Mean {name}", _MARKS[figure], bars))
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


def bars_section(methods: Mapping[str, MethodRuns], anchor: str, title: str) -> Section:
    """Return, for every AU, bars of the methods."""
    rows: dict[str, dict[int, AuScore]] = {
        one.title: {row.au: row for row in one.scores.rows} for one in methods.values()
    }
    aus = sorted({au for by_au in rows.values() for au in by_au})
    figures = []
    for figure, name in FIGURES.items():
        charts = []
        for au in aus:
            bars = [
                Bar(
                    method,
                    getattr(by_au[au], figure),
                    getattr(by_au[au], f"trivial_{figure}"),
                )
                for method, by_au in rows.items()
                if au in by_au
            ]
            charts.append(bar_chart(au_name(au), _MARKS[figure], bars, explain_marks=False))
        figures.append({"title": name, "marks": _MARKS[figure], "charts": charts})
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
        f"Mean ± standard deviation over {trials} trials of {iterations} iterations each."
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
