"""Finds, for a method, the model from BP4D with the best validation in another experiment's folder."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drml.experiments import units
from drml.experiments.baseline import ESTIMATORS
from drml.experiments.fold_unit import FIT_FOLDER, FIT_MODEL, TRAIN_FOLDER
from drml.experiments.methods import METHODS, NotAvailable
from drml.experiments.settings import Settings, fold_folders
from drml.io.files import digest
from drml.training.folder import FINAL_STEM

__all__ = ["Source", "best_model", "weights_digest"]


@dataclass(frozen=True)
class Source:
    """The model that is used: a finished unit of another experiment's folder."""

    folder: Path
    fold: int
    weights: Path
    validation_f1: float
    result: dict[str, Any]
    config: dict[str, Any]

    @property
    def synthetic(self) -> bool:
        """Whether it was fitted to drawn faces."""
        return bool(self.result["synthetic"])


def best_model(settings: Settings, method: str) -> Source:
    """Return the model with the highest F1 on its own validation set.

    Raises
    ------
    NotAvailable
        The settings name no experiment's folder, or it has no finished unit of the method.
    """
    known = METHODS[method]
    if settings.bp4d is None:
        what = "net" if known.net else "model"
        raise NotAvailable(f"{method}: not available, it uses a {what} from BP4D; see drml experiment table3")
    there = Path(settings.bp4d)
    found = []
    for fold, parent in fold_folders(there).items():
        folder, name = parent / known.model, f"{parent.name}/{known.model}"
        result = units.read_result(there, name)
        if result is None:
            continue
        if known.net:
            weights, f1 = folder / TRAIN_FOLDER / FINAL_STEM, result["validation"]["f1"]
        else:
            weights = folder / FIT_FOLDER / FIT_MODEL
            f1 = _validation_f1(known.model, weights)
        if f1 is not None:
            config = units.read_config(there, name)
            found.append(Source(folder, fold, weights, f1, result, config))
    if not found:
        raise NotAvailable(
            f"{method}: not available, no unit of {known.model} is finished in {there}; run drml experiment"
            f" table2 --methods {known.model} there"
        )
    return max(found, key=lambda one: (one.validation_f1, -one.fold))


def _validation_f1(method: str, model: Path) -> float | None:
    """Return the mean over the AUs of a linear model's F1 on its validation set; None if it is undefined.

    That of an AU is the highest of its candidates, by which it was chosen.
    """
    by_au = ESTIMATORS[method].load(model).validation_f1_
    best = [float(np.nanmax(figures)) for figures in by_au if not np.isnan(figures).all()]
    return float(np.mean(best)) if best else None


def weights_digest(path: Path) -> str:
    """Return the digest of a model's file."""
    return _digest(path, path.stat().st_mtime_ns)


@functools.cache
def _digest(path: Path, changed: int) -> str:
    """Compute the digest of weights once per process, not for each fold: they have up to 560 MB."""
    return digest(path)
