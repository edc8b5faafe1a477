"""The rows of a detection table: a row for each AU and each average, a value for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from drml.data.labels import AU_NAMES
from drml.evaluation.score_table import ScoreTable
from drml.io.figures import mean_of_defined

__all__ = ["FIGURES", "TRIVIAL", "markdown_rows", "table_rows"]

FIGURES = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
TRIVIAL = "all positive (trivial)"


def table_rows(
    scores: Mapping[str, ScoreTable], figure: str, not_scored: Mapping[str, Sequence[int]]
) -> list[tuple[str, dict[str, float]]]:
    """Return the rows of a figure.

    Parameters
    ----------
    scores : mapping of str to ScoreTable
        By method.
    figure : str
        One of `FIGURES`.
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


def markdown_rows(titles: Sequence[str], rows: Sequence[tuple[str, dict[str, float]]]) -> list[str]:
    """Return rows of `table_rows` as a Markdown table, with the titles of its methods above."""
    titles = [*titles, TRIVIAL]
    lines = [f"| AU | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name, values in rows:
        cells = ["-" if math.isnan(value) else f"{value:.3f}" for value in values.values()]
        label = f"**{name}**" if name.startswith("Avg.") else f"{name} {AU_NAMES.get(int(name), '')}".rstrip()
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines
