"""A column of a table of scores: a method's evaluations, one per seed, and the scores that it shows."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from drml.evaluation.au_table import AuTable
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.folds import mean_of_folds
from drml.evaluation.intensity_scoring import IntensityEvaluation, evaluate_intensity_folds
from drml.evaluation.intensity_table import IntensityTable
from drml.evaluation.results import Evaluation
from drml.evaluation.score_table import ScoreTable
from drml.evaluation.text_table import figure_cell
from drml.experiments import units
from drml.experiments.methods import METHODS, seed_name
from drml.experiments.predictions import load_intensities, load_predictions, load_validation
from drml.experiments.settings import Settings
from drml.io.figures import json_value

__all__ = [
    "MEAN",
    "POOLED",
    "Column",
    "OverSeeds",
    "Scores",
    "SeedIntensities",
    "SeedScores",
    "evaluate_intensity_units",
    "evaluate_units",
    "over_seeds",
    "read_column",
]

POOLED = "pooled"
MEAN = "mean_of_folds"


Scores: TypeAlias = ScoreTable | IntensityTable


@dataclass(frozen=True, repr=False)
class OverSeeds(AuTable):
    """The mean of the scores of several seeds, with the standard deviation over the seeds.

    Attributes
    ----------
    by_seed : dict of int to AuTable
        The scores of each seed, on the same test frames.
    """

    by_seed: Mapping[int, AuTable] | None = None

    def deviation(self, figure: str, column: int | None = None) -> float:
        """Return the sample standard deviation (n - 1) of an AU's figure, or of the average, over the seeds.

        It is NaN if fewer than two seeds have the figure.
        """
        values = [_value(one, figure, column) for one in (self.by_seed or {}).values()]
        defined = [value for value in values if not math.isnan(value)]
        return statistics.stdev(defined) if len(defined) > 1 else math.nan

    def cell(self, figure: str, column: int | None = None) -> str:
        """Return a figure with its standard deviation, such as ``0.732 ± 0.011``."""
        deviation = self.deviation(figure, column)
        spread = "" if math.isnan(deviation) else f" ± {deviation:.3f}"
        return figure_cell(_value(self, figure, column)) + spread

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold, with deviations and the averages of each seed."""
        figures = self.kind.figures
        return {
            **super().to_dict(),
            "standard_deviation": {
                "aus": [
                    {"au": au, **{name: json_value(self.deviation(name, column)) for name in figures}}
                    for column, au in enumerate(self.aus)
                ],
                "average": {name: json_value(self.deviation(name)) for name in figures},
            },
            "seeds": {
                str(seed): {name: json_value(one.average(name)) for name in figures}
                for seed, one in (self.by_seed or {}).items()
            },
        }


def _value(scores: Any, figure: str, column: int | None) -> float:
    return float(scores.average(figure) if column is None else getattr(scores.rows[column], figure))


@dataclass(frozen=True, repr=False)
class SeedScores(OverSeeds, ScoreTable):
    """The mean of the scores of occurrences of several seeds."""


@dataclass(frozen=True, repr=False)
class SeedIntensities(OverSeeds, IntensityTable):
    """The mean of the scores of intensities of several seeds."""


def over_seeds(scores: Mapping[int, Scores]) -> Scores:
    """Return the scores of the only seed, or the mean of several seeds with their standard deviation.

    Parameters
    ----------
    scores : mapping of int to ScoreTable or IntensityTable
        By seed, at least one, of the same AUs and test frames.

    Returns
    -------
    ScoreTable or IntensityTable
        A `SeedScores` or `SeedIntensities` if there are several seeds.
    """
    first, *others = scores.values()
    if not others:
        return first
    mean: AuTable = mean_of_folds([first, *others])
    # Every seed has the same test frames, whose counts are not those of all seeds together.
    rows = tuple(
        replace(row, **{name: getattr(one, name) for name in first.kind.counts})
        for row, one in zip(mean.rows, first.rows, strict=True)
    )
    made = SeedIntensities if isinstance(first, IntensityTable) else SeedScores
    return made(rows, first.named, None, dict(scores))


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes
    ----------
    title : str
    results : dict of int to Evaluation or IntensityEvaluation
        By seed. The first one is the experiment's own; only nets have more.
    folds : list of int
        The folds of every evaluation.
    seconds : list of float
        Duration of each unit.
    protocol : list of str
        Lines on the evaluation protocol.
    """

    title: str
    results: dict[int, Evaluation | IntensityEvaluation]
    folds: list[int]
    seconds: list[float]
    protocol: list[str]

    @property
    def result(self) -> Evaluation | IntensityEvaluation:
        """The evaluation of the first seed."""
        return next(iter(self.results.values()))

    @property
    def not_scored(self) -> tuple[int, ...]:
        """AUs of the data that the method has no output for."""
        return self.result.folds[0].not_scored.get("data", ())

    @property
    def at_base_rates(self) -> list[int]:
        """The folds on which the method predicts the base rates, with any seed."""
        found = {index for result in self.results.values() for index in result.at_base_rates}
        return [self.folds[index] for index in sorted(found)]

    def scores(self, part: str, *, chosen: bool = False) -> Scores | None:
        """Return the scores pooled over the folds (`POOLED`), or the mean of the folds (`MEAN`).

        Parameters
        ----------
        part : str
        chosen : bool
            With the thresholds that were chosen on validation, instead of 0.5.

        Returns
        -------
        ScoreTable, IntensityTable or None
            None without these thresholds; for the mean, also with a single fold.
        """
        return self._take(lambda one: one.pooled if part == POOLED else one.mean, chosen)

    def fold_scores(self, index: int, *, chosen: bool = False) -> Scores | None:
        """Return the scores of one fold, counted from 0."""
        return self._take(lambda one: one.fold_scores[index], chosen)

    def thresholds(self) -> dict[str, Any]:
        """Return the thresholds that were chosen on validation: by seed, fold and AU."""
        aus = self.result.pooled.aus
        return {
            str(seed): {
                str(fold): {str(au): value for au, value in zip(aus, values, strict=True)}
                for fold, values in zip(self.folds, result.chosen.by_fold, strict=True)
            }
            for seed, result in self.results.items()
            if isinstance(result, Evaluation) and result.chosen
        }

    def _take(self, choose: Callable[[Any], Scores | None], chosen: bool) -> Scores | None:
        found: dict[int, Scores] = {}
        for seed, result in self.results.items():
            source = getattr(result, "chosen", None) if chosen else result
            table = None if source is None else choose(source)
            if table is None:
                return None
            found[seed] = table
        return over_seeds(found)


def read_column(
    out: Path, method: str, folds: Sequence[int], results: Mapping[int, Mapping[str, Any]], settings: Settings
) -> tuple[Column, list[str]]:
    """Read a method's column from finished units.

    Parameters
    ----------
    out : Path
        The experiment's folder.
    method : str
    folds : sequence of int
        The folds of the column, on which the unit of the experiment's own seed is finished.
    results : mapping of int to dict
        The results of these units, by fold.
    settings : Settings

    Returns
    -------
    column : Column
        With the further seeds that are finished on all of the folds.
    missing : list of str
        A line for each seed that is not.
    """
    evaluate: Callable[..., Any] = evaluate_units if settings.target is None else evaluate_intensity_units
    found: dict[int, Evaluation | IntensityEvaluation] = {settings.seed: evaluate(out, method, folds)}
    seconds = [float(results[fold]["seconds"]) for fold in folds]
    missing = []
    for seed in settings.more_seeds(method):
        name = seed_name(method, seed)
        more = [units.read_result(out, f"fold{fold}/{name}") for fold in folds]
        lacking = [str(fold) for fold, one in zip(folds, more, strict=True) if one is None]
        if lacking:
            missing.append(f"{method}: seed {seed} is not finished on fold {', '.join(lacking)}")
            continue
        found[seed] = evaluate(out, name, folds)
        seconds += [float(one["seconds"]) for one in more if one is not None]
    protocol = [line for fold in folds for line in results[fold]["protocol"]]
    return Column(METHODS[method].title, found, list(folds), seconds, protocol), missing


def evaluate_units(out: Path, name: str, folds: Sequence[int]) -> Evaluation:
    """Score the predictions of finished units, at 0.5 and at thresholds that were chosen on validation.

    Parameters
    ----------
    out : Path
        The experiment's folder.
    name : str
        Of the units: a method, or a method with a seed.
    folds : sequence of int

    Returns
    -------
    Evaluation
        Without chosen thresholds if a unit has no predictions for its validation faces.
    """
    folders = [out / f"fold{fold}" / name for fold in folds]
    held_out = [one for folder in folders if (one := load_validation(folder)) is not None]
    return evaluate_folds(
        name,
        [load_predictions(folder) for folder in folders],
        validation=held_out if len(held_out) == len(folders) else None,
        bootstrap=DRAWS,
    )


def evaluate_intensity_units(out: Path, name: str, folds: Sequence[int]) -> IntensityEvaluation:
    """Score the estimated intensities of finished units; the parameters are those of `evaluate_units`."""
    folders = [out / f"fold{fold}" / name for fold in folds]
    return evaluate_intensity_folds(name, [load_intensities(folder) for folder in folders], bootstrap=DRAWS)
