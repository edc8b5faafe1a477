"""Reads the finished units, tables and figures of an experiment's folder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from drml.evaluation.folds import pool
from drml.evaluation.predictions import Predictions, PredictionTable, separation_of
from drml.evaluation.score_table import ScoreTable
from drml.evaluation.thresholds import choose_thresholds
from drml.experiments import units
from drml.experiments.fold_unit import TRAIN_FOLDER
from drml.experiments.methods import METHODS
from drml.experiments.predictions import load_predictions, load_validation
from drml.experiments.settings import INTENSITY, SETTINGS_FILE, Settings, fold_folders
from drml.io.errors import UserError
from drml.report.inputs import read_json

__all__ = ["FinishedExperiment", "MethodRuns", "experiments_in"]


@dataclass(frozen=True)
class MethodRuns:
    """A method on the folds on which its units are finished.

    Attributes
    ----------
    name, title : str
    folders : dict of int to path
        The units' folders, by fold.
    results : dict of int to dict
        The content of each unit's ``result.json``.
    """

    name: str
    title: str
    folders: dict[int, Path]
    results: dict[int, dict[str, Any]]

    @cached_property
    def predictions(self) -> dict[int, Predictions]:
        """The predictions of each fold's test frames."""
        return {fold: load_predictions(folder) for fold, folder in self.folders.items()}

    @cached_property
    def table(self) -> PredictionTable:
        """The predictions of all folds."""
        folds = list(self.predictions.values())
        return PredictionTable(
            folds[0].aus,
            [key for fold in folds for key in fold.keys],
            np.concatenate([fold.labels for fold in folds]),
            np.concatenate([fold.probabilities for fold in folds]).astype(np.float64),
        )

    @cached_property
    def scores(self) -> ScoreTable:
        """The scores, pooled over the folds."""
        # In the predictions' own precision, as the tables have them.
        folds = self.predictions.values()
        return pool([(fold.labels, fold.probabilities) for fold in folds], aus=self.table.aus)

    @cached_property
    def chosen_scores(self) -> ScoreTable | None:
        """The same with thresholds chosen on validation; None if a unit has no predictions for it."""
        held_out = [load_validation(folder) for folder in self.folders.values()]
        known = [one for one in held_out if one is not None]
        if len(known) < len(held_out):
            return None
        return pool(
            [(fold.labels, fold.probabilities) for fold in self.predictions.values()],
            aus=self.table.aus,
            threshold=[choose_thresholds(one.labels, one.probabilities) for one in known],
        )

    @cached_property
    def at_base_rates(self) -> list[int]:
        """The folds on which the method predicts the base rates."""
        return [fold for fold, one in self.predictions.items() if separation_of(one).at_base_rates]

    @property
    def trainings(self) -> dict[int, Path]:
        """The trainings' folders, by fold; empty for a method without trainings."""
        there = {fold: folder / TRAIN_FOLDER for fold, folder in self.folders.items()}
        return {fold: folder for fold, folder in there.items() if folder.is_dir()}


@dataclass(frozen=True)
class FinishedExperiment:
    """An experiment's folder.

    Attributes
    ----------
    folder : path
    settings : dict
        As ``settings.json`` has them.
    methods : dict of str to MethodRuns
        The methods with a finished unit, except `variants`.
    variants : dict of str to MethodRuns
        Finished methods that are DRML with another grid or with group sparsity.
    """

    folder: Path
    settings: dict[str, Any]
    methods: dict[str, MethodRuns]
    variants: dict[str, MethodRuns]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def synthetic(self) -> bool:
        """Whether any of the data are drawn."""
        runs = [*self.methods.values(), *self.variants.values()]
        return any(bool(result.get("synthetic")) for one in runs for result in one.results.values())

    def written(self, name: str) -> dict[str, Any] | None:
        """Return the JSON of a table or figure; None if it was not made."""
        path = self.folder / f"{name}.json"
        return read_json(path, "what drml experiment writes") if path.is_file() else None


def _methods(folder: Path) -> dict[str, MethodRuns]:
    found = {}
    for method in METHODS.values():
        if method.curve:  # it has no predictions; the learning curve has its figures
            continue
        folders, results = {}, {}
        for fold, path in fold_folders(folder).items():
            result = units.read_result(folder, f"{path.name}/{method.name}")
            if result is not None:
                folders[fold], results[fold] = path / method.name, result
        if folders:
            found[method.name] = MethodRuns(method.name, method.title, folders, results)
    return found


def _read(folder: Path) -> FinishedExperiment:
    known = Settings.of(folder)
    if known.target == INTENSITY:
        raise UserError(
            f"{folder}: an experiment on intensities, of which there is no page; its table is intensities.md"
        )
    settings = dataclasses.asdict(known)
    found = _methods(folder)
    variants = {name: runs for name, runs in found.items() if METHODS[name].change}
    return FinishedExperiment(
        folder, settings, {n: r for n, r in found.items() if n not in variants}, variants
    )


def experiments_in(folder: Path) -> list[FinishedExperiment]:
    """Return the experiment in a folder, or the experiments in its subfolders.

    Raises
    ------
    UserError
        There is no experiment, or one is damaged.
    """
    if (folder / SETTINGS_FILE).is_file():
        return [_read(folder)]
    inside = sorted(path.parent for path in folder.glob(f"*/{SETTINGS_FILE}"))
    if not inside:
        raise UserError(f"{folder}: no {SETTINGS_FILE} in it; give the --out of drml experiment")
    return [_read(path) for path in inside]
