"""The rows of a table of scores: a row for each AU and each average, a value for each method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from drml.data.labels import AU_NAMES
from drml.evaluation.text_table import figure_cell
from drml.experiments.table_column import Column, OverSeeds, Scores
from drml.experiments.table_kind import Kind
from drml.io.figures import mean_of_defined

__all__ = [
    "CSV_COLUMNS",
    "fold_rows",
    "markdown_rows",
    "spread_of",
    "table_rows",
]

CSV_COLUMNS = ("over", "figure", "au", "method", "value", "low", "high", "deviation")


def table_rows(
    scores: Mapping[str, Scores], figure: str, not_scored: Mapping[str, Sequence[int]], kind: Kind
) -> list[tuple[str, dict[str, float]]]:
    """Return the rows of a figure.

    Parameters
    ----------
    scores : mapping of str to ScoreTable or IntensityTable
        By method.
    figure : str
        Attribute of the figure.
    not_scored : mapping of str to sequence of int
        By method, the AUs of the data that it has no output for.
    kind : Kind
        What the table shows.

    Returns
    -------
    list of (str, dict)
        An AU or ``Avg.``, and its values by method, then by trivial prediction; NaN for an undefined value.
        If the methods differ in their folds or AUs, the trivial values are those of the method with the most
        labels.
    """
    most = max(scores.values(), key=lambda one: sum(row.known for row in one.rows))
    aus = {row.au for one in scores.values() for row in one.rows}
    aus.update(au for method in scores for au in not_scored[method])
    by_au = {method: {row.au: row for row in one.rows} for method, one in scores.items()}
    known = {row.au: row for row in most.rows}
    trivial = kind.trivial_of(figure)
    rows = []
    for au in sorted(aus):
        values = {method: float(getattr(one.get(au), figure, math.nan)) for method, one in by_au.items()}
        for name in trivial:
            values[name] = float(getattr(known.get(au), f"{name}_{figure}", math.nan))
        rows.append((str(au), values))
    average = {method: one.average(figure) for method, one in scores.items()}
    rows.append(("Avg.", {**average, **{name: most.average(f"{name}_{figure}") for name in trivial}}))
    shared = set.intersection(*(set(one) for one in by_au.values()))
    if shared and shared != aus:
        names = [str(au) for au in sorted(shared)]
        of_shared = [values for name, values in rows if name in names]
        means = {
            method: mean_of_defined([values[method] for values in of_shared]) for method in (*by_au, *trivial)
        }
        rows.append((f"Avg. of {' '.join(names)}", means))
    return rows


def markdown_rows(
    titles: Sequence[str],
    scores: Mapping[str, Scores],
    figure: str,
    rows: Sequence[tuple[str, dict[str, float]]],
    kind: Kind,
) -> list[str]:
    """Return rows of `table_rows` as a Markdown table, with the titles of its methods above.

    Values have their confidence intervals, or their standard deviations over seeds.
    """
    head = [*titles, *kind.trivial_of(figure).values()]
    lines = [f"| AU | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for name, values in rows:
        texts = [
            (_cell(scores[method], figure, name) if method in scores else "") or figure_cell(value)
            for method, value in values.items()
        ]
        label = f"**{name}**" if name.startswith("Avg.") else f"{name} {AU_NAMES.get(int(name), '')}".rstrip()
        lines.append(f"| {label} | {' | '.join(texts)} |")
    return lines


def _cell(scores: Scores, figure: str, name: str) -> str:
    """Return the cell of an AU or of ``Avg.``; an empty text where the value alone has to do."""
    if name == "Avg.":
        return scores.cell(figure)
    column = _column_of(scores, name)
    return "" if column is None else scores.cell(figure, column)


def _column_of(scores: Scores, name: str) -> int | None:
    """Return the index of a row's AU; None for averages, and for AUs without scores."""
    return scores.aus.index(int(name)) if name.isdigit() and int(name) in scores.aus else None


def spread_of(scores: Scores | None, figure: str, name: str) -> tuple[float, float, float]:
    """Return the bounds of a value's confidence interval and its standard deviation over seeds, or NaN."""
    column = None if scores is None else _column_of(scores, name)
    if scores is None or (column is None and name != "Avg."):
        return math.nan, math.nan, math.nan
    if isinstance(scores, OverSeeds):
        return math.nan, math.nan, scores.deviation(figure, column)
    if scores.intervals is None or figure not in scores.intervals.average:
        return math.nan, math.nan, math.nan
    known = scores.intervals
    found = known.average[figure] if column is None else known.by_au[figure][column]
    return found.low, found.high, math.nan


def fold_rows(columns: Iterable[Column], kind: Kind) -> list[str]:
    """Return a Markdown table of the averages of each fold; nothing if there is one fold only."""
    shown = [column for column in columns if len(column.folds) > 1]
    if not shown:
        return []
    figures = [kind.figures[name] for name in kind.of_folds]
    head = ["method", "fold", *(figure.title for figure in figures)]
    lines = ["## Avg. of each fold", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for column in shown:
        for index, fold in enumerate(column.folds):
            cells = [column.title, str(fold)]
            for figure in figures:
                scores = column.fold_scores(index, chosen=figure.chosen)
                cells.append(figure_cell(math.nan) if scores is None else scores.cell(figure.attribute))
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]
