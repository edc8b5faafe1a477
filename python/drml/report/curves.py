"""The section of the ROC and precision-recall curves, a small chart per AU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from drml.data.labels import PRESENT, UNKNOWN
from drml.evaluation import metrics
from drml.evaluation.predictions import PredictionTable
from drml.evaluation.score_table import evaluate
from drml.report.formatting import au_name, decimals
from drml.report.lines import STYLES, Series, square_chart
from drml.report.rendering import Section, render

__all__ = ["curves_section", "select_methods"]

Point = tuple[float, float]
Column = tuple[NDArray[np.int8], NDArray[np.float64]]
"""Labels and probabilities of an AU, without the frames whose label is unknown."""


def select_methods(methods: Mapping[str, PredictionTable], lead: str = "") -> dict[str, PredictionTable]:
    """Select the methods that one chart can show: `lead`, and those with the highest mean ROC-AUC.

    Parameters
    ----------
    methods : mapping of str to PredictionTable
    lead : str, optional
        A method that is always selected.

    Returns
    -------
    dict of str to PredictionTable
        At most `drml.report.lines.STYLES` methods, in the order of `methods`.
    """
    if len(methods) <= STYLES:
        return dict(methods)

    def mean(table: PredictionTable) -> float:
        return evaluate(table.labels, table.probabilities, aus=table.aus).average("auc")

    means = {name: mean(table) for name, table in methods.items()}
    best = sorted(means, key=lambda name: (name != lead, -np.nan_to_num(means[name])))[:STYLES]
    return {name: table for name, table in methods.items() if name in best}


def _column(table: PredictionTable, au: int) -> Column | None:
    """Return an AU's known frames; None if the method has no such AU or the labels are all of one class."""
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
    """Return the points of both curves at the threshold; None for precision if nothing is predicted."""
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
) -> list[tuple[str, Markup | None]]:
    """Return a chart for each AU; None for one whose frames do not have both classes."""
    charts: list[tuple[str, Markup | None]] = []
    for au in aus:
        columns = {
            method: column for method, table in methods.items() if (column := _column(table, au)) is not None
        }
        if not columns:
            charts.append((au_name(au), None))
            continue
        areas = {method: area(*column) for method, column in columns.items()}
        words = "; ".join(f"{method} {decimals(value)}" for method, value in areas.items())
        caption = (
            au_name(au) if len(methods) > 1 else f"{au_name(au)}: {decimals(next(iter(areas.values())))}"
        )
        lines = [
            series(column, method, style)
            for style, method in enumerate(methods)
            if (column := columns.get(method)) is not None
        ]
        # All methods are tested on the same frames, so that any of them will do for the line of chance.
        by_chance = chance(next(iter(columns.values())))
        charts.append(
            (au_name(au), square_chart(caption, f"{name} of {au_name(au)}: {words}", lines, by_chance))
        )
    return charts


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
        By name, the predictions of the test frames of all folds.
    threshold : float
        The threshold whose point on each curve is marked.
    lead : str, optional
        A method that is drawn even if there are too many for a chart.
    anchor, title : str
        Of the section.
    """
    drawn = select_methods(methods, lead)
    aus = sorted({au for table in drawn.values() for au in table.aus})

    def roc(column: Column, name: str, style: int) -> Series:
        return Series(name, _roc(column), style, _at_threshold(column, threshold)[0])

    def pr(column: Column, name: str, style: int) -> Series:
        return Series(name, _pr(column), style, _at_threshold(column, threshold)[1])

    def base(column: Column) -> tuple[Point, Point]:
        rate = float((column[0] == PRESENT).mean())
        return (0.0, rate), (1.0, rate)

    body = render(
        "curves.html",
        threshold=f"{threshold:g}",
        several=len(drawn) > 1,
        lead=lead,
        drawn=[(name, style) for style, name in enumerate(drawn)],
        left_out=[name for name in methods if name not in drawn],
        roc=_charts("ROC curve", aus, drawn, metrics.roc_auc, roc, lambda column: ((0.0, 0.0), (1.0, 1.0))),
        pr=_charts("Precision-recall curve", aus, drawn, metrics.average_precision, pr, base),
    )
    return Section(anchor, title or "ROC and PR curves", body)
