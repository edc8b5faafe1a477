"""The section of the relation tables: which AUs occur together, in the labels and in the predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from drml.evaluation import relations
from drml.evaluation.predictions import PredictionTable
from drml.report.formatting import decimals
from drml.report.rendering import Section, render, render_table

__all__ = ["relations_section"]


def _tone(value: float, diagonal: bool) -> str:
    """Return the CSS class of a cell's colour, which repeats what the number in the cell says."""
    level = 0 if diagonal or math.isnan(value) else round(5 * value)
    return f"{'more' if level > 0 else 'less'}{abs(level)}" if level else ""


def _table(caption: str, table: NDArray[np.float64], aus: Sequence[int]) -> Markup:
    rows = [[f"AU {au}", *(decimals(value, 2) for value in row)] for au, row in zip(aus, table, strict=True)]
    classes = [[_tone(value, i == j) for j, value in enumerate(row)] for i, row in enumerate(table)]
    return render_table(caption, ["", *map(str, aus)], rows, classes=classes, kind="tones")


def relations_section(
    methods: Mapping[str, PredictionTable], shown: str, *, anchor: str = "relations", title: str = ""
) -> Section:
    """Return the relation tables, and the distances of the predictions' tables from that of the labels.

    Parameters
    ----------
    methods : mapping of str to PredictionTable
    shown : str
        The method whose table is shown at once; the other tables are folded up.
    anchor, title : str
        Of the section.
    """
    distances, folded = [], []
    main = methods[shown]
    truth = relations.relations(main.labels)
    open_tables = [_table(f"Labels of {len(main.labels)} test frames", truth, main.aus)]
    for name, one in methods.items():
        found = relations.relations(one.labels, one.probabilities)
        own = truth if np.array_equal(one.labels, main.labels) else relations.relations(one.labels)
        apart = relations.compare(own, found)
        figures = (decimals(value, 4) for value in (apart.frobenius, apart.mean_square))
        distances.append([name, *figures, str(apart.entries)])
        table = _table(f"Predictions of {name}", found, one.aus)
        if name == shown:
            open_tables.append(table)
        else:
            folded.append((f"Predictions of {name}", table))
    head = ["predictions of", "Frobenius norm / entries", "mean squared difference", "entries"]
    body = render(
        "relations.html",
        tables=open_tables,
        folded=folded,
        distances=render_table("Distance from the labels' table", head, distances),
    )
    return Section(anchor, title or "AU relations", body)
