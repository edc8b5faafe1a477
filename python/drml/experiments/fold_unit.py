"""One method on one fold: fitted or trained on its training faces, scored on its test faces."""

from __future__ import annotations

import dataclasses
import fcntl
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from drml.evaluation import scoring
from drml.evaluation.kept_thresholds import keep_thresholds
from drml.evaluation.predictions import Predictions
from drml.experiments import protocol
from drml.experiments.baseline import run_baseline
from drml.experiments.methods import METHODS, NetFiles, seed_name
from drml.experiments.nets import files_of
from drml.experiments.predictions import save_predictions
from drml.experiments.settings import SPLITS, Settings, data_digest
from drml.experiments.sift import SIFT_WINDOW, sift_features
from drml.experiments.units import Unit, Workspace
from drml.io import machine
from drml.io.files import digest
from drml.nets import snapshots
from drml.nets.recipe import read_recipe
from drml.training.folder import FINAL_STEM, rename_in_solver
from drml.training.train import AUTO, train

__all__ = ["FIT_FOLDER", "FIT_MODEL", "TRAIN_FOLDER", "cache_features", "make_unit"]

TRAIN_FOLDER = "train"
FIT_FOLDER = "fit"
FIT_MODEL = "model.npz"


def make_unit(out: Path, settings: Settings, method: str, fold: int, *, seed: int | None = None) -> Unit:
    """Return the unit that trains or fits a method on a fold and scores it.

    Parameters
    ----------
    out : Path
        The experiment's folder.
    settings : Settings
    method : str
        One of `METHODS` that is not used on other data than it was trained on.
    fold : int
    seed : int, optional
        Another seed than the experiment's, for a further training of a net.

    Returns
    -------
    Unit

    Raises
    ------
    UserError
        The method is not available here, or the data cannot be used.
    """
    data = settings.fold(method, fold)
    name = f"fold{fold}/{method if seed is None else seed_name(method, seed)}"
    seed = settings.seed if seed is None else seed
    config: dict[str, Any] = {"method": method, "fold": fold, "seed": seed}
    if METHODS[method].net:
        files = files_of(out, settings, method)
        config |= {
            "scale": settings.scale,
            "max_iter": settings.max_iter,
            **{path.name: digest(path) for path in (files.solver, files.train_val, files.deploy)},
        }
        work = partial(_network, data=data, settings=settings, seed=seed, files=files)
    else:
        config["sift_window"] = SIFT_WINDOW
        work = partial(_baseline, method=method, data=data, settings=settings, features=out / "features")
    return Unit(
        name=name,
        kind=method,
        config={**config, "data_digest": data_digest(data)},
        notes={
            "command": shlex.join(["drml", "experiment", "unit", str(out), name]),
            "settings": dataclasses.asdict(settings),
        },
        work=work,
    )


def cache_features(data: Path, features: Path, splits: Iterable[str], *, progress: bool = True) -> Path:
    """Compute the SIFT features of a fold's splits unless they are cached; return the folder of the cache.

    The methods share the features: the first one computes them, and the others wait.
    """
    kept = features / data.name
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for split in splits:
            lmdb = data / f"{split}_lmdb"
            sift_features(lmdb, folder=kept, jobs=machine.omp_threads(), progress=progress)
    return kept


def _baseline(
    workspace: Workspace, method: str, data: Path, settings: Settings, features: Path
) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    threads = machine.omp_threads()
    kept = cache_features(data, features, SPLITS, progress=workspace.progress)
    workspace.log(f"fits {method}")
    found = run_baseline(
        method,
        data,
        workspace.folder / FIT_FOLDER,
        features=kept,
        seed=settings.seed,
        jobs=threads,
        progress=workspace.progress,
        overwrite=True,
    )
    assert found.validation is not None
    (workspace.folder / FIT_FOLDER / "scores.json").unlink()  # the unit writes its own
    model = str(workspace.final / FIT_FOLDER / FIT_MODEL)
    held_out, test = (
        dataclasses.replace(one, weights=model) for one in (found.validation[0], found.folds[0])
    )
    return save_predictions(workspace, method, test, data, validation=held_out)


def _network(
    workspace: Workspace, data: Path, settings: Settings, seed: int, files: NetFiles
) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    folder = workspace.folder / TRAIN_FOLDER
    if not (folder / FINAL_STEM).exists():
        newest = snapshots.newest(folder) if folder.is_dir() else None
        workspace.log(f"trains with {files.solver}" + (f", from {newest.path.name}" if newest else ""))
        train(
            files.solver,
            folder,
            data=data,
            net=files.train_val,
            seed=seed,
            max_iter=settings.max_iter,
            snapshot=AUTO,
            progress=workspace.progress,
        )
    rename_in_solver(folder, workspace.final.absolute() / TRAIN_FOLDER)
    weights = folder / FINAL_STEM
    workspace.log("scores")

    final = str(workspace.final / TRAIN_FOLDER / weights.name)

    def predict(split: str) -> Predictions:
        found = scoring.predict(files.deploy, weights, data / f"{split}_lmdb", progress=workspace.progress)
        return dataclasses.replace(found, weights=final)

    held_out = predict("val")
    if read_recipe(weights) is not None:
        keep_thresholds(weights, held_out)
    test = predict("test")
    _drop_snapshots(folder)
    return save_predictions(workspace, str(files.deploy), test, data, validation=held_out)


def _drop_snapshots(folder: Path) -> None:
    """Remove all snapshots but the last weights: the paper's schedule writes 500 MB each 1,000 iterations."""
    last = (folder / FINAL_STEM).resolve()
    for path in [*folder.glob("*.solverstate"), *folder.glob("*_iter_*.caffemodel")]:
        if path.resolve() != last:
            path.unlink()
