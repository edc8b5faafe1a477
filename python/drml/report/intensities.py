"""The section of estimated intensities: their scores, bars of the ICC, and estimates by label."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from drml.data.labels import LEVELS
from drml.evaluation.intensity_table import TITLES, TRIVIAL
from drml.report.charts import Bar, bar_chart
from drml.report.formatting import au_name, decimals, figure_text, interval_of
from drml.report.rendering import Section, render, render_table
from drml.training.base_rates import REMARK
from drml.training.level_table import LEARNED_ICC, learned_nothing

__all__ = ["intensities_section", "intensity_tiles"]


_FIGURES = ("icc", "pcc", "mae", "mse")
"""The figures in the order of their columns: the last one may be beyond the edge of a small window."""


def intensity_tiles(average: Mapping[str, float | None]) -> list[tuple[str, str, str]]:
    """Return name, value and remark of the averages that stand at the top of a page."""
    return [
        ("ICC(3,1), Avg.", decimals(average["icc"]), "0 for any constant estimate"),
        ("PCC, Avg.", decimals(average["pcc"]), "of labels and estimates"),
        ("MAE, Avg.", decimals(average["mae"]), f"levels; {decimals(average['zero_mae'])} if always 0"),
    ]


def intensities_section(scores: dict[str, Any]) -> Section:
    """Return the section.

    Parameters
    ----------
    scores : dict
        The key ``"intensity"`` of the file of ``drml score --out``.
    """
    count = len(scores["folds"])
    captions = {"pooled": f"Pooled over {count} folds" if count > 1 else "Test set"}
    if scores["mean_of_folds"]:
        captions["mean_of_folds"] = f"Mean of {count} folds"
    pooled = scores["pooled"]
    bars = [
        Bar(f"AU {row['au']}", row["icc"], interval=interval_of(pooled, "icc", row["au"]))
        for row in pooled["aus"]
    ]
    warnings = [
        (f"{'The model' if count == 1 else fold['data'] + ': the model'} {REMARK}", _too_low(fold["scores"]))
        for fold in scores["folds"]
        if learned_nothing(_iccs(fold["scores"]))
    ]
    lines = ". Lines: 95% confidence intervals" if any(bar.interval for bar in bars) else ""
    body = render(
        "intensities.html",
        warnings=warnings,
        tables=[_scores(caption, scores[part]) for part, caption in captions.items()],
        chart=bar_chart(f"ICC(3,1){lines}", "", bars),
        by_level=[
            (au_name(row["au"]), _by_level(au_name(row["au"]), counts))
            for row, counts in zip(pooled["aus"], scores["confusion"], strict=True)
        ],
    )
    return Section("intensities", "Intensities", body)


def _iccs(scores: dict[str, Any]) -> list[float]:
    return [math.nan if row["icc"] is None else row["icc"] for row in scores["aus"]]


def _too_low(scores: dict[str, Any]) -> str:
    return f"its mean ICC(3,1) is {decimals(scores['average']['icc'])}, below {LEARNED_ICC}"


def _scores(caption: str, scores: dict[str, Any]) -> tuple[Markup, list[tuple[str, list[int]]]]:
    """Return the table, and for each figure the AUs that its average leaves out."""
    average = scores["average"]

    def cells(row: dict[str, Any], au: int | None) -> list[str]:
        return [decimals(row["level"]), *(figure_text(row[name], scores, name, au) for name in _FIGURES)]

    rows = [[au_name(row["au"]), str(row["known"]), *cells(row, row["au"])] for row in scores["aus"]]
    rows.append(["Avg.", "", *cells(average, None)])
    known = {name: title for name, title in TRIVIAL.items() if average[f"{name}_mse"] is not None}
    for name, title in known.items():
        figures = (decimals(average[f"{name}_{figure}"]) for figure in _FIGURES)
        rows.append([title, "", decimals(average["level"]), *figures])
    head = ["AU", "frames", "mean label", *(TITLES[name] for name in _FIGURES)]
    table = render_table(caption, head, rows, totals=1 + len(known))
    return table, [(TITLES[name], aus) for name, aus in scores["left_out_of_average"].items()]


def _by_level(name: str, counts: list[list[int]]) -> Markup:
    """Return a table of frames: labels in rows, rounded estimates in columns, shaded by share of the row."""
    rows = [[str(level), *map(str, row)] for level, row in zip(LEVELS, counts, strict=True)]
    classes = [[_tone(one, sum(row)) for one in row] for row in counts]
    return render_table(
        f"{name}: frames by label (rows) and rounded estimate (columns)",
        ["label", *map(str, LEVELS)],
        rows,
        classes=classes,
        kind="tones",
    )


def _tone(count: int, of: int) -> str:
    """Return the CSS class of a cell's colour: in fifths of the row's frames."""
    level = round(5 * count / of) if of else 0
    return f"more{level}" if level else ""
