"""Sections of an experiment's tables, methods in columns, and bars that compare the methods."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from drml.evaluation.metrics import AuScore
from drml.experiments.methods import METHODS
from drml.experiments.tables import FIGURES, SYNTHETIC, TRIVIAL, base_rates_note
from drml.report.charts import Bar, bar_chart
from drml.report.finished import MethodRuns
from drml.report.markup import au_name, cell, details, html_table, notes
from drml.report.page import Section

__all__ = ["averages", "bars_section", "table_section", "timing_section"]

_MARKS = {"f1": "all positive", "auc": "chance", "ap": "chance"}
_PARTS = {"pooled": "pooled over the folds", "mean_of_folds": "mean of the folds"}

Rows = list[tuple[str, list[float | None]]]


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


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
        means = [_mean([values[au][column] for au in shared]) for column in range(len(scores) + 1)]
        rows.append((f"Avg. of {' '.join(map(str, shared))}", means))
    return rows, len(rows) - len(aus)


def _score_table(caption: str, titles: Sequence[str], rows: Rows, sums: int) -> str:
    texts, classes = [], []
    for name, values in rows:
        texts.append([name, *map(cell, values)])
        # Of the methods: the trivial row, which is last, is none.
        top = max((cell(value) for value in values[:-1] if value is not None), default="")
        classes.append(["best" if cell(value) == top else "" for value in values[:-1]] + [""])
    return html_table(caption, ["AU", *titles, TRIVIAL], texts, sums=sums, classes=classes)


def table_section(table: dict[str, Any], anchor: str, title: str) -> Section:
    """Return a table of detection scores: F1-frame, ROC-AUC, AP, pooled and as the mean of folds."""
    methods = table["methods"]
    silent = {name: about["not_scored"] for name, about in methods.items()}
    body = [
        '<p class="soft">Underlined: the best method of the row. The last column says yes in every frame.</p>'
    ]
    several = "mean_of_folds" in table
    for part, over in _PARTS.items():
        if part not in table:
            continue
        content = ""
        for figure, name in FIGURES.items():
            rows, sums = _rows(table[part], figure, silent)
            caption = f"{name}, {over if several else 'one fold'}"
            titles = [methods[method]["title"] for method in table[part]]
            content += _score_table(caption, titles, rows, sums)
        body.append(content if part == "pooled" else details("Mean of the folds", content))
    body.append(notes([line for line in table["notes"] if line != SYNTHETIC]))
    return Section(anchor, title, "\n".join(body))


def averages(methods: Mapping[str, MethodRuns]) -> str:
    """Return the methods' averages as a table and as bars."""
    rows = []
    for one in methods.values():
        figures = [one.scores.average(name) for name in FIGURES]
        folds, seconds = ", ".join(map(str, one.folders)), sum(r["seconds"] for r in one.results.values())
        rows.append(
            [
                one.title,
                *map(_figure, figures),
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
            Bar(
                one.title, _plain(one.scores.average(figure)), _plain(one.scores.average(f"trivial_{figure}"))
            )
            for one in methods.values()
        ]
        charts.append(bar_chart(f"Mean {name}", _MARKS[figure], bars))
    table = html_table("Averages over the AUs, pooled over the folds", head, rows)
    remarks = [
        line
        for one in methods.values()
        for line in base_rates_note(one.title, one.at_base_rates, one.folders)
    ]
    return f'{table}{notes(remarks)}<div class="charts">{"".join(charts)}</div>'


def bars_section(methods: Mapping[str, MethodRuns], anchor: str, title: str) -> Section:
    """Return, for every AU, bars of the methods."""
    rows: dict[str, dict[int, AuScore]] = {
        one.title: {row.au: row for row in one.scores.rows} for one in methods.values()
    }
    aus = sorted({au for by_au in rows.values() for au in by_au})
    body = []
    for figure, name in FIGURES.items():
        charts = []
        for au in aus:
            bars = [
                Bar(
                    method,
                    _plain(getattr(by_au[au], figure)),
                    _plain(getattr(by_au[au], f"trivial_{figure}")),
                )
                for method, by_au in rows.items()
                if au in by_au
            ]
            charts.append(bar_chart(au_name(au), _MARKS[figure], bars, note=False))
        marks = f'<p class="soft">The upright marks: {_MARKS[figure]}.</p>'
        content = f'{marks}<div class="charts">{"".join(charts)}</div>'
        body.append(f"<h3>{name}</h3>{content}" if figure == "f1" else details(name, content))
    return Section(anchor, title, "\n".join(body))


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
        "Reading and decoding of images is not in it.",
        *sorted({row["machine"] for row in table["rows"]}),
    ]
    return Section(anchor, title, html_table("Milliseconds", head, rows) + notes([*lines, *table["notes"]]))


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _figure(value: float) -> str:
    return cell(_plain(value))
