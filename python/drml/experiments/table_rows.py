"""The rows of a detection table: a row for each AU and each average, a value for each method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from drml.data.labels import AU_NAMES
from drml.evaluation.bootstrap import INTERVAL_FIGURES
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.score_table import ScoreTable
from drml.evaluation.text_table import figure_cell
from drml.experiments.table_column import Column, SeedScores
from drml.io.figures import mean_of_defined

__all__ = [
    "CSV_COLUMNS",
    "FIGURES",
    "TRIVIAL",
    "Figure",
    "fold_rows",
    "markdown_rows",
    "spread_of",
    "table_rows",
]

TRIVIAL = "all positive (trivial)"


CSV_COLUMNS = ("over", "figure", "au", "method", "value", "low", "high", "deviation")


@dataclass(frozen=True)
class Figure:
    """A figure of the tables.

    Attributes
    ----------
    title : str
    attribute : str
        Its name in `drml.evaluation.au_score.AuScore`.
    chosen : bool
        Whether it is computed with the thresholds that were chosen on validation.
    """

    title: str
    attribute: str
    chosen: bool = False


_CHOSEN = "at thresholds chosen on validation"

FIGURES = {
    "auc": Figure("ROC-AUC", "auc"),
    "f1": Figure(f"F1-frame at {THRESHOLD}", "f1"),
    "f1_chosen": Figure(f"F1-frame {_CHOSEN}", "f1", chosen=True),
    "ap": Figure("AP", "ap"),
    "accuracy": Figure(f"Accuracy at {THRESHOLD}", "accuracy"),
    "accuracy_chosen": Figure(f"Accuracy {_CHOSEN}", "accuracy", chosen=True),
    "mcc": Figure(f"MCC at {THRESHOLD}", "mcc"),
    "mcc_chosen": Figure(f"MCC {_CHOSEN}", "mcc", chosen=True),
}
"""The figures of the tables by name, in their order."""


def table_rows(
    scores: Mapping[str, ScoreTable], figure: str, not_scored: Mapping[str, Sequence[int]]
) -> list[tuple[str, dict[str, float]]]:
    """Return the rows of a figure.

    Parameters
    ----------
    scores : mapping of str to ScoreTable
        By method.
    figure : str
        Name of a figure in `drml.evaluation.au_score.AuScore`.
    not_scored : mapping of str to sequence of int
        By method, the AUs of the data that it has no output for.

    Returns
    -------
    list of (str, dict)
        An AU or ``Avg.``, and its values by method and by ``trivial``; NaN for an undefined value. If the
        methods differ in their folds or AUs, the trivial values are those of the method with the most labels.
    """
    most = max(scores.values(), key=lambda one: sum(row.known for row in one.rows))
    aus = {row.au for one in scores.values() for row in one.rows}
    aus.update(au for method in scores for au in not_scored[method])
    by_au = {method: {row.au: row for row in one.rows} for method, one in scores.items()}
    trivial = {row.au: row for row in most.rows}
    rows = []
    for au in sorted(aus):
        values = {method: float(getattr(known.get(au), figure, math.nan)) for method, known in by_au.items()}
        values["trivial"] = float(getattr(trivial.get(au), f"trivial_{figure}", math.nan))
        rows.append((str(au), values))
    average = {method: one.average(figure) for method, one in scores.items()}
    rows.append(("Avg.", {**average, "trivial": most.average(f"trivial_{figure}")}))
    shared = set.intersection(*(set(known) for known in by_au.values()))
    if shared and shared != aus:
        names = [str(au) for au in sorted(shared)]
        of_shared = [values for name, values in rows if name in names]
        means = {
            method: mean_of_defined([values[method] for values in of_shared])
            for method in (*by_au, "trivial")
        }
        rows.append((f"Avg. of {' '.join(names)}", means))
    return rows


def markdown_rows(
    titles: Sequence[str],
    scores: Mapping[str, ScoreTable],
    figure: str,
    rows: Sequence[tuple[str, dict[str, float]]],
) -> list[str]:
    """Return rows of `table_rows` as a Markdown table, with the titles of its methods above.

    Values have their confidence intervals, or their standard deviations over seeds.
    """
    head = [*titles, TRIVIAL]
    lines = [f"| AU | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name, values in rows:
        cells = [
            _cell(scores[method], figure, name) if method in scores else ""
            for method in values
            if method != "trivial"
        ]
        texts = [
            cell or figure_cell(value) for cell, value in zip([*cells, ""], values.values(), strict=True)
        ]
        label = f"**{name}**" if name.startswith("Avg.") else f"{name} {AU_NAMES.get(int(name), '')}".rstrip()
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return lines


def _cell(scores: ScoreTable, figure: str, name: str) -> str:
    """Return the cell of an AU or of ``Avg.``; an empty text where the value alone has to do."""
    if name == "Avg.":
        return scores.cell(figure)
    column = _column_of(scores, name)
    return "" if column is None else scores.cell(figure, column)


def _column_of(scores: ScoreTable, name: str) -> int | None:
    """Return the index of a row's AU; None for averages, and for AUs without scores."""
    return scores.aus.index(int(name)) if name.isdigit() and int(name) in scores.aus else None


def spread_of(scores: ScoreTable | None, figure: str, name: str) -> tuple[float, float, float]:
    """Return the bounds of a value's confidence interval and its standard deviation over seeds, or NaN."""
    column = None if scores is None else _column_of(scores, name)
    if scores is None or (column is None and name != "Avg."):
        return math.nan, math.nan, math.nan
    if isinstance(scores, SeedScores):
        return math.nan, math.nan, scores.deviation(figure, column)
    if scores.intervals is None or figure not in INTERVAL_FIGURES:
        return math.nan, math.nan, math.nan
    known = scores.intervals
    found = known.average[figure] if column is None else known.by_au[figure][column]
    return found.low, found.high, math.nan


_OF_FOLDS = ("auc", "f1", "f1_chosen")


def fold_rows(columns: Iterable[Column]) -> list[str]:
    """Return a Markdown table of the averages of each fold; nothing if there is one fold only."""
    shown = [column for column in columns if len(column.folds) > 1]
    if not shown:
        return []
    head = ["method", "fold", *(FIGURES[name].title for name in _OF_FOLDS)]
    lines = ["## Avg. of each fold", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for column in shown:
        for index, fold in enumerate(column.folds):
            cells = [column.title, str(fold)]
            for name in _OF_FOLDS:
                scores = column.fold_scores(index, chosen=FIGURES[name].chosen)
                cells.append(
                    figure_cell(math.nan) if scores is None else scores.cell(FIGURES[name].attribute)
                )
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]
