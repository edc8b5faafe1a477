"""The section of the ROC and precision-recall curves, a small chart per AU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import PRESENT, UNKNOWN
from drml.evaluation import metrics
from drml.evaluation.scoring import PredictionTable
from drml.report.lines import STYLES, Series, legend, square_chart
from drml.report.markup import au_name, cell, escaped
from drml.report.page import Section

__all__ = ["curves_section", "draws"]

Point = tuple[float, float]
Column = tuple[NDArray[np.int8], NDArray[np.float64]]
"""Labels and probabilities of an AU, without the frames whose label is unknown."""


def draws(methods: Mapping[str, PredictionTable], lead: str = "") -> dict[str, PredictionTable]:
    """Choose the methods that one chart can show: `lead`, and those with the highest mean ROC-AUC.

    They stay in their order.
    """
    if len(methods) <= STYLES:
        return dict(methods)

    def mean(table: PredictionTable) -> float:
        return metrics.evaluate(table.labels, table.probabilities, table.aus).average("auc")

    means = {name: mean(table) for name, table in methods.items()}
    best = sorted(means, key=lambda name: (name != lead, -np.nan_to_num(means[name])))[:STYLES]
    return {name: table for name, table in methods.items() if name in best}


def _column(table: PredictionTable, au: int) -> Column | None:
    """Return an AU's known frames; None where the method has no such AU, or not both classes."""
    if au not in table.aus:
        return None
    at = table.aus.index(au)
    known = table.labels[:, at] != UNKNOWN
    labels, values = table.labels[known, at], table.probabilities[known, at]
    return (labels, values) if len(np.unique(labels)) > 1 else None


def _roc(column: Column) -> NDArray[np.float64]:
    return np.column_stack(metrics.roc_curve(*column))


def _pr(column: Column) -> NDArray[np.float64]:
    """Return the steps whose area is the average precision."""
    recall, precision = metrics.precision_recall_curve(*column)
    return np.column_stack([np.repeat(recall, 2)[1:-1], np.repeat(precision[1:], 2)])


def _at_threshold(column: Column, threshold: float) -> tuple[Point, Point | None]:
    """Return the points of both curves at the threshold; there is no precision where nothing is found."""
    present, found = column[0] == PRESENT, column[1] >= threshold
    recall = float(found[present].mean())
    precision = float(present[found].mean()) if found.any() else None
    return (float(found[~present].mean()), recall), None if precision is None else (recall, precision)


def _charts(
    name: str,
    aus: Sequence[int],
    methods: Mapping[str, PredictionTable],
    area: Callable[..., float],
    series: Callable[[Column, str, int], Series],
    chance: Callable[[Column], tuple[Point, Point]],
) -> str:
    parts = []
    for au in aus:
        columns = {
            method: column for method, table in methods.items() if (column := _column(table, au)) is not None
        }
        if not columns:
            parts.append(
                f"<figure><figcaption>{escaped(au_name(au))}: no curve, its test frames do not have both"
                " classes</figcaption></figure>"
            )
            continue
        areas = {method: area(*column) for method, column in columns.items()}
        told = "; ".join(f"{method} {cell(value)}" for method, value in areas.items())
        caption = au_name(au) if len(methods) > 1 else f"{au_name(au)}: {cell(next(iter(areas.values())))}"
        lines = [
            series(column, method, style)
            for style, method in enumerate(methods)
            if (column := columns.get(method)) is not None
        ]
        # The last one is drawn on top; the frames of all are the same ones.
        by_chance = chance(next(iter(columns.values())))
        parts.append(square_chart(caption, f"{name} of {au_name(au)}: {told}", lines, by_chance))
    return f'<div class="small{" many" if len(methods) > 1 else ""}">{"".join(parts)}</div>'


def curves_section(
    methods: Mapping[str, PredictionTable],
    threshold: float,
    *,
    lead: str = "",
    anchor: str = "curves",
    title: str = "",
) -> Section:
    """Return the curves of all AUs.

    Parameters
    ----------
    methods : mapping of str to PredictionTable
        By name, what each says of the test frames of all folds.
    threshold : float
        The point of the curves that is marked.
    lead : str, optional
        The method that is drawn in any case, where there are too many for a chart.
    anchor, title : str
        Of the section.
    """
    drawn = draws(methods, lead)
    aus = sorted({au for table in drawn.values() for au in table.aus})

    def roc(column: Column, name: str, style: int) -> Series:
        return Series(name, _roc(column), style, _at_threshold(column, threshold)[0])

    def pr(column: Column, name: str, style: int) -> Series:
        return Series(name, _pr(column), style, _at_threshold(column, threshold)[1])

    def base(column: Column) -> tuple[Point, Point]:
        rate = float((column[0] == PRESENT).mean())
        return (0.0, rate), (1.0, rate)

    several = len(drawn) > 1
    number = "" if several else ", and above each chart stands the area under it"
    left_out = [name for name in methods if name not in drawn]
    body = [
        f"<p>Test frames of all folds. A mark is the threshold {threshold:g}; dotted is chance{number}.</p>"
    ]
    if left_out:
        first = f"{escaped(lead)} and " if lead else ""
        body.append(
            f"<p>Drawn are {len(drawn)} methods, {first}those with the highest mean ROC-AUC;"
            f" not drawn: {escaped(', '.join(left_out))}.</p>"
        )
    if several:
        body.append(legend([(name, style) for style, name in enumerate(drawn)]))
    body += [
        "<h3>ROC</h3>",
        '<p class="soft">Across: the share of frames without the AU in which it is found; up: the share of'
        " frames with it.</p>",
        _charts("ROC curve", aus, drawn, metrics.roc_auc, roc, lambda column: ((0.0, 0.0), (1.0, 1.0))),
        "<h3>Precision and recall</h3>",
        '<p class="soft">Across: recall, the share of frames with the AU in which it is found; up: precision,'
        " the share of found ones that are right. Steps: the area is AP.</p>",
        _charts("Precision-recall curve", aus, drawn, metrics.average_precision, pr, base),
    ]
    return Section(anchor, title or "ROC and PR curves", "\n".join(body))
