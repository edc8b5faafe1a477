"""The evaluation of a model on one test set, or on several folds: what ``drml score`` prints and writes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from drml.data.labels import list_aus
from drml.evaluation.au_score import TITLES
from drml.evaluation.bootstrap import DRAWS, INTERVAL_TITLE
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import Predictions, separation_of
from drml.evaluation.score_table import ScoreTable
from drml.evaluation.text_table import format_table
from drml.evaluation.thresholds import ChosenThresholds
from drml.io.figures import json_value
from drml.io.files import writing
from drml.io.text import counted
from drml.nets.preprocessing import describe_preprocessing
from drml.training.base_rates import REMARK, Separation

__all__ = ["Evaluation", "given_options", "write_scores"]


@dataclass(frozen=True)
class Evaluation:
    """The scores of one test set, or of several folds.

    Attributes
    ----------
    model : str
        Path of the net's prototxt, or the name of the method.
    folds : list of Predictions
    fold_scores : list of ScoreTable
        One per fold.
    pooled : ScoreTable
        All test frames as one test; with one fold, its scores.
    mean : ScoreTable or None
        Mean of the folds' figures; None with one fold.
    threshold : float
        For F1-frame, a probability.
    options : dict
        The options of ``drml score`` that were given, as text, by name (mean, scale, aus, threshold);
        None for those that were not.
    command : list of str or None
        The command that repeats the evaluation, unless that is ``drml score``.
    chosen : ChosenThresholds or None
        The scores at thresholds that were chosen on validation splits, if they were asked for.
    interval_note : str
        Why there are no confidence intervals although they were asked for; otherwise empty.
    validation : list of Predictions or None
        The predictions for the validation split of each fold, on which the thresholds were chosen.
    """

    model: str
    folds: list[Predictions]
    fold_scores: list[ScoreTable]
    pooled: ScoreTable
    mean: ScoreTable | None
    threshold: float = THRESHOLD
    options: dict[str, str | None] = field(default_factory=dict)
    command: list[str] | None = None
    chosen: ChosenThresholds | None = None
    interval_note: str = ""
    validation: list[Predictions] | None = None

    @property
    def synthetic(self) -> bool:
        """Whether any of the data are synthetic."""
        return any(fold.synthetic for fold in self.folds)

    @cached_property
    def separations(self) -> list[Separation]:
        """How well the outputs tell the faces of each fold apart."""
        return [separation_of(fold) for fold in self.folds]

    @property
    def at_base_rates(self) -> list[int]:
        """The folds, counted from 0, whose model predicts the base rates."""
        return [index for index, one in enumerate(self.separations) if one.at_base_rates]

    def remarks(self) -> list[str]:
        """Return a line for each fold whose model predicts the base rates."""
        several = len(self.folds) > 1
        return [
            (f"{self.folds[index].data}: the model" if several else "The model")
            + f" {REMARK} ({self.separations[index].to_text()})"
            for index in self.at_base_rates
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the predictions of single frames as values that JSON can hold."""
        return {
            "model": self.model,
            "threshold": self.threshold,
            "options": self.options,
            "command": self.command,
            "synthetic": self.synthetic,
            "frames": sum(len(fold.keys) for fold in self.folds),
            "pooled": self.pooled.to_dict(),
            "mean_of_folds": self.mean.to_dict() if self.mean else None,
            **({"chosen_thresholds": self.chosen.to_dict()} if self.chosen else {}),
            "predicts_base_rates": len(self.at_base_rates) == len(self.folds),
            "folds": [
                _fold_to_dict(*one)
                for one in zip(self.folds, self.fold_scores, self.separations, strict=True)
            ],
        }

    def to_text(self) -> str:
        """Return the tables that ``drml score`` prints."""
        lines = [line for fold in self.folds for line in _describe(fold)]
        lines.append(f"F1-frame, accuracy and MCC at a threshold of {self.threshold:g}")
        chosen = self.chosen
        if self.mean is None:
            parts = [("", self.pooled, chosen and chosen.pooled)]
        else:
            count = len(self.folds)
            parts = [(f"Pooled over {count} folds", self.pooled, chosen and chosen.pooled)]
            parts += [(f"Mean of {count} folds", self.mean, chosen and chosen.mean)]
        for title, table, at_chosen in parts:
            lines += ["", *([title] if title else []), str(table)]
            if chosen and at_chosen:
                lines += ["", f"{title or 'Test set'}, {chosen.title}"]
                lines += [chosen.to_text(table, at_chosen)]
        if self.mean is not None:
            lines += ["", "Avg. of each fold", self._folds_to_text()]
        lines += [self.interval_note] if self.interval_note else []
        lines += ["", *remarks] if (remarks := self.remarks()) else []
        return "\n".join(lines) + "\n"

    def _folds_to_text(self) -> str:
        """Return a table with the averages of each fold, at both thresholds if some were chosen."""
        columns = [("auc", TITLES["auc"], self.fold_scores), ("f1", TITLES["f1"], self.fold_scores)]
        if self.chosen:
            columns.append(("f1", "F1 at threshold", self.chosen.fold_scores))
        with_intervals = any(scores.intervals for scores in self.fold_scores)
        head = [title + (INTERVAL_TITLE if with_intervals else "") for _, title, _ in columns]
        rows = [
            [fold.data, str(len(fold.keys)), *(scores[index].cell(figure) for figure, _, scores in columns)]
            for index, fold in enumerate(self.folds)
        ]
        return format_table(["fold", "frames", *head], rows, totals=0)


def _fold_to_dict(fold: Predictions, scores: ScoreTable, separation: Separation) -> dict[str, Any]:
    return {
        "weights": fold.weights,
        "data": fold.data,
        "synthetic": fold.synthetic,
        "frames": len(fold.keys),
        "subjects": fold.subjects,
        "labels": fold.coding,
        "input": fold.input,
        "not_scored": {side: list(aus) for side, aus in fold.not_scored.items()},
        **({"classifier": fold.classifier} if fold.classifier else {}),
        "seconds": round(fold.seconds, 3),
        "scores": scores.to_dict(),
        "spreads": json_value(separation.spreads),
        "predicts_base_rates": separation.at_base_rates,
    }


def _describe(fold: Predictions) -> list[str]:
    """Return lines that say what was scored, and on what."""
    subjects = f" of {counted(fold.subjects, 'subject')}" if fold.subjects else ""
    synthetic = ", SYNTHETIC DATA (drawn faces)" if fold.synthetic else ""
    lines = [
        f"{fold.data}: {counted(len(fold.keys), 'frame')}{subjects}{synthetic}",
        f"  weights {fold.weights}, {describe_preprocessing(fold.input)}",
        *([f"  labels: {fold.coding}"] if fold.coding else []),
    ]
    for side, aus in fold.not_scored.items():
        lines.append(f"  not scored, since only the {side} has them: {list_aus(aus)}")
    if fold.classifier:
        chosen = ", ".join(f"{au} {'-' if c is None else c}" for au, c in fold.classifier["c"].items())
        lines.append(f"  {fold.classifier['kind']} on {fold.classifier['blob']}, C: {chosen}")
        lines += [f"  {note}" for note in fold.classifier["notes"]]
    return lines


def given_options(
    *, mean: str | Path | None, scale: float | None, bootstrap: int, seed: int
) -> dict[str, str | None]:
    """Return the options of ``drml score`` that all kinds of labels share, as text; None for defaults."""
    return {
        "mean": None if mean is None else str(mean),
        "scale": None if scale is None else repr(scale),
        "bootstrap": None if bootstrap == DRAWS else str(bootstrap),
        "seed": None if seed == 0 else str(seed),
    }


def write_scores(path: str | Path, result: Evaluation | dict[str, Any]) -> None:
    """Write the scores as JSON.

    Parameters
    ----------
    path : path
        The file; it appears when it is complete, and replaces an existing one.
    result : Evaluation or dict
        The scores, or what their `to_dict` returns.

    Raises
    ------
    OSError
        The file cannot be written; no part of it is left.
    """
    figures = result.to_dict() if isinstance(result, Evaluation) else result
    with writing(path, encoding="utf-8") as file:
        json.dump(figures, file, indent=2, allow_nan=False)
        file.write("\n")
