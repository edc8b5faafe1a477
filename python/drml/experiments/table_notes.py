"""The lines below a detection table: what its reader has to know about data, folds and undefined values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drml.data.labels import list_aus
from drml.evaluation.bootstrap import CONFIDENCE, DRAWS
from drml.experiments.settings import Settings
from drml.experiments.table_column import POOLED, Column, Scores
from drml.experiments.table_kind import Kind
from drml.training.base_rates import REMARK

__all__ = ["SYNTHETIC", "base_rates_note", "table_notes"]

SYNTHETIC = (
    "SYNTHETIC DATA: drawn faces. The figures say that the methods run and learn, and nothing of how well"
    " they find AUs in people."
)


_CLIPPED = (
    "Estimates are clipped to 0 to 5. Penalties of ridge regression, and the end of trainings that end early,"
    " are chosen on the validation subjects; test labels have no part in it."
)
_NOT_REFITTED = (
    "Models are fitted and trained on the training subjects; the validation subjects, on which parameters and"
    " thresholds were chosen, are not added afterwards (no --refit)."
)
_REFITTED = (
    "Refitted (--refit): after C, lambda, the iteration of nets and the thresholds were chosen on the"
    " validation subjects, models were fitted and trained again on training and validation subjects together."
)


def table_notes(
    columns: Sequence[Column], scores: Sequence[Scores], settings: Settings, kind: Kind
) -> list[str]:
    """Return the notes on a table.

    Parameters
    ----------
    columns : sequence of Column
        The table's methods.
    scores : sequence of ScoreTable or IntensityTable
        All that the table shows: pooled, and means of folds.
    settings : Settings
    kind : Kind
        What the table shows.

    Returns
    -------
    list of str
        A sentence or two each.
    """
    lines = [SYNTHETIC] if any(column.result.synthetic for column in columns) else []
    for line in (line for column in columns for line in column.protocol):
        if line not in lines:
            lines.append(line)
    for column in columns:
        frames = sum(len(fold.keys) for fold in column.result.folds)
        folds = ", ".join(map(str, column.folds))
        lines.append(
            f"{column.title}: {frames} test frames of fold {folds}; {sum(column.seconds):.0f} s;"
            f" {_normalisation(column.result.folds[0].input)}"
        )
    for column in columns:
        lines += base_rates_note(column.title, column.at_base_rates, column.folds)
    for column in columns:
        if column.not_scored:
            others = list_aus(column.not_scored)
            shared = list_aus(column.result.folds[0].aus)
            lines.append(
                f"{column.title}: the model has no output for {others}: -, left out of Avg., which is"
                f" that of {shared}; compare it with the row of that average alone."
            )
    lines += _one_sided(columns) if kind.thresholds else []
    if len({tuple(column.folds) for column in columns}) > 1:
        lines.append("The methods are not finished on the same folds: do not compare their figures yet.")
    lines += _undefined(scores, kind)
    lines += _thresholds(columns) if kind.thresholds else [_CLIPPED]
    lines += _uncertainty(columns, settings, kind)
    if kind.thresholds:
        lines.append(_REFITTED if settings.refit else _NOT_REFITTED)
    lines.append(f"{settings.schedule}, seed {settings.seed}.")
    return lines


def _undefined(scores: Sequence[Scores], kind: Kind) -> list[str]:
    """Name the AUs for which figures are undefined, in a line for all figures with the same AUs."""
    grouped: dict[str, list[str]] = {}
    for name, title in kind.titles.items():
        aus = sorted({au for one in scores for au in one.undefined.get(name, [])})
        if aus:
            grouped.setdefault(list_aus(aus), []).append(title)
    lines = []
    for named, titles in grouped.items():
        verb = "is" if len(titles) == 1 else "are"
        lines.append(f"-: {', '.join(titles)} {verb} undefined there ({named}); left out of Avg.")
    return lines


def _thresholds(columns: Sequence[Column]) -> list[str]:
    """Say at which thresholds frames count as predicted."""
    lines = [
        "Thresholds: 0.5, which for LSVM, APL, JPML and SVMs on features is a decision of 0; and, for each AU"
        " and fold, the one with the best F1 on the validation subjects. Test labels have no part in it."
    ]
    without = [column.title for column in columns if column.scores(POOLED, chosen=True) is None]
    if without:
        lines.append(
            f"{', '.join(without)}: no thresholds chosen on validation, since units of an earlier version"
            " kept no predictions for it; remove these units and run them again."
        )
    return lines


def _uncertainty(columns: Sequence[Column], settings: Settings, kind: Kind) -> list[str]:
    """Say what stands beside the figures: confidence intervals, or standard deviations over seeds."""
    lines = []
    single = [column for column in columns if len(column.results) == 1]
    if any(column.result.pooled.intervals for column in single):
        lines.append(
            f"In brackets: {CONFIDENCE:.0%} confidence intervals by bootstrap over the test subjects, {DRAWS}"
            " draws. They do not include the randomness of training."
        )
    lines += sorted({column.result.interval_note[2:] for column in columns if column.result.interval_note})
    for column in columns:
        if len(column.results) > 1:
            seeds = ", ".join(map(str, column.results))
            others = f"; figures, relations and saliency are those of seed {settings.seed}"
            lines.append(
                f"{column.title}: mean ± standard deviation (n - 1) over the seeds"
                f" {seeds}{others if kind.thresholds else ''}."
            )
    return lines


def base_rates_note(title: str, found: Sequence[int], folds: Iterable[int]) -> list[str]:
    """Return a note that a method predicts the base rates on the folds `found`, if there are any."""
    if not found:
        return []
    named = "" if len(found) == len(list(folds)) else f", fold {', '.join(map(str, found))}"
    return [f"{title}{named}: {REMARK}"]


def _one_sided(columns: Iterable[Column]) -> list[str]:
    """Name, for each fold, the AUs for which its test frames do not contain both classes."""
    found: dict[int, set[int]] = {}
    for column in columns:
        for index, fold in enumerate(column.folds):
            scores = column.result.fold_scores[index]
            found.setdefault(fold, set()).update(scores.undefined.get("auc", []))
    return [
        f"Fold {fold}: not both classes of {list_aus(sorted(aus))} in its test frames;"
        " ROC-AUC and AP are means of the other folds there."
        for fold, aus in sorted(found.items())
        if aus and len(found) > 1
    ]


def _normalisation(settings: Mapping[str, Any]) -> str:
    """Describe how a net's input is normalised or, for other methods, the features."""
    if "features" in settings:
        return f"features: {settings['features']}"
    return f"pixels: mean {settings['mean']} taken off, times {settings['scale']:.6g}"
