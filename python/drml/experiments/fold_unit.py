"""One method on one fold: fitted or trained on its training faces, scored on its test faces."""

from __future__ import annotations

import dataclasses
import fcntl
import math
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from drml.evaluation import scoring
from drml.evaluation.intensity_scoring import IntensityPredictions, predict_intensities
from drml.evaluation.kept_thresholds import keep_thresholds
from drml.evaluation.predictions import Predictions
from drml.evaluation.score_table import evaluate
from drml.experiments import lsvm_curve, protocol, stopping
from drml.experiments.baseline import run_baseline
from drml.experiments.images_seen import images_seen
from drml.experiments.methods import METHODS, NetFiles, NotAvailable, seed_name
from drml.experiments.nets import files_of
from drml.experiments.predictions import save_intensities, save_predictions
from drml.experiments.refit import refit_fold
from drml.experiments.ridge import run_ridge
from drml.experiments.settings import INTENSITY, SPLITS, Settings, data_digest
from drml.experiments.sift import SIFT_WINDOW, sift_features
from drml.experiments.units import Unit, Workspace, write_json
from drml.io import machine
from drml.io.files import digest
from drml.io.limits import read_json
from drml.nets import snapshots
from drml.nets.recipe import read_recipe
from drml.nets.trained_files import DEPLOY_FILE
from drml.training.folder import FINAL_STEM, rename_in_solver
from drml.training.start import AUTO
from drml.training.train import train

__all__ = ["FIT_FOLDER", "FIT_MODEL", "TRAIN_FOLDER", "cache_features", "make_unit"]

TRAIN_FOLDER = "train"
FIT_FOLDER = "fit"
FIT_MODEL = "model.npz"
SEARCH_FOLDER = "search"
"""With ``--refit``: the training on the training subjects alone, in which the iteration is chosen."""
REFIT_FOLDER = "refit"
"""The folds with training and validation subjects in one split, in the experiment's folder."""
_CHOSEN = "chosen.json"


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
    estimates = settings.target == INTENSITY
    if METHODS[method].intensities != estimates and not METHODS[method].net:
        what, wanted = ("detects occurrences", "intensities")
        if not estimates:
            what, wanted = ("estimates intensities", "occurrences")
        raise NotAvailable(f"{method}: not available, it {what}, and this experiment is on {wanted}")
    data = settings.fold(method, fold)
    refit = {"refit": True} if settings.refit else {}
    target = {"target": settings.target} if settings.target else {}
    name = f"fold{fold}/{method if seed is None else seed_name(method, seed)}"
    seed = settings.seed if seed is None else seed
    config: dict[str, Any] = {"method": method, "fold": fold, "seed": seed, **refit, **target}
    if METHODS[method].net:
        files = files_of(out, settings, method)
        config |= {
            "scale": settings.scale,
            "max_iter": settings.max_iter,
            **({"rule": stopping.ICC_RULE if estimates else stopping.RULE} if settings.until_flat else {}),
            **({"balance": True} if settings.balance else {}),
            **({"augment": settings.augment} if settings.augment else {}),
            **{path.name: digest(path) for path in (files.solver, files.train_val, files.deploy)},
        }
        place = out / REFIT_FOLDER / data_digest(data)[:12] if settings.refit else None
        work = partial(
            _network, method=method, data=data, settings=settings, seed=seed, files=files, refit=place
        )
    elif METHODS[method].curve:
        config |= {"sift_window": SIFT_WINDOW, "shares": list(lsvm_curve.SHARES)}
        work = partial(_curve, data=data, settings=settings, features=out / "features")
    elif estimates:
        config["sift_window"] = SIFT_WINDOW
        work = partial(_ridge, method=method, data=data, features=out / "features")
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
        refit=bool(settings.refit),
    )
    assert found.validation is not None
    (workspace.folder / FIT_FOLDER / "scores.json").unlink()  # the unit writes its own
    model = str(workspace.final / FIT_FOLDER / FIT_MODEL)
    held_out, test = (
        dataclasses.replace(one, weights=model) for one in (found.validation[0], found.folds[0])
    )
    return save_predictions(workspace, method, test, data, validation=held_out)


def _ridge(workspace: Workspace, method: str, data: Path, features: Path) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    kept = cache_features(data, features, SPLITS, progress=workspace.progress)
    workspace.log(f"fits {method}")
    found, held_out = run_ridge(
        data,
        workspace.folder / FIT_FOLDER,
        features=kept,
        jobs=machine.omp_threads(),
        progress=workspace.progress,
        overwrite=True,
    )
    (workspace.folder / FIT_FOLDER / "scores.json").unlink()  # the unit writes its own
    model = str(workspace.final / FIT_FOLDER / FIT_MODEL)
    test, held_out = (dataclasses.replace(one, weights=model) for one in (found.folds[0], held_out))
    return save_intensities(workspace, method, test, data, validation=held_out)


def _curve(workspace: Workspace, data: Path, settings: Settings, features: Path) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    kept = cache_features(data, features, ("train", "val"), progress=workspace.progress)
    return lsvm_curve.fit_on_shares(workspace, data, kept, settings.seed)


def _network(
    workspace: Workspace,
    method: str,
    data: Path,
    settings: Settings,
    seed: int,
    files: NetFiles,
    refit: Path | None,
) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    folder = workspace.folder / TRAIN_FOLDER
    chosen: dict[str, Any] = {}
    if settings.target == INTENSITY:
        _train(workspace, folder, data, settings, seed, files)
        found = _estimate(workspace, folder, data)
        return _finish(workspace, method, folder, data, found)
    if refit is None:
        _train(workspace, folder, data, settings, seed, files)
        held_out = _predict(workspace, files.deploy, folder / FINAL_STEM, data, "val")
    else:
        search = workspace.folder / SEARCH_FOLDER
        chosen = _search(workspace, search, data, settings, seed, files)
        held_out = _predict(workspace, files.deploy, search / chosen["weights"], data, "val")
        workspace.log(f"trains again on training and validation subjects, {chosen['iterations']} iterations")
        # The number of iterations is chosen, and the validation subjects are now in training: no early end.
        again = dataclasses.replace(settings, max_iter=chosen["iterations"], until_flat=None)
        _train(workspace, folder, refit_fold(data, refit), again, seed, files)
    weights = folder / FINAL_STEM
    workspace.log("scores")
    if read_recipe(weights) is not None:
        keep_thresholds(weights, held_out)
    test = _predict(workspace, files.deploy, weights, data, "test")
    found = save_predictions(workspace, str(files.deploy), test, data, validation=held_out)
    found = _finish(workspace, method, folder, data if refit is None else refit_fold(data, refit), found)
    if chosen:
        found["refit"] = chosen
        rename_in_solver(search, workspace.final.absolute() / SEARCH_FOLDER)
        _drop_weights(search)
    return found


def _estimate(workspace: Workspace, folder: Path, data: Path) -> dict[str, Any]:
    """Score the intensities of a trained net. The deploy net is the training's, which has these outputs."""
    workspace.log("scores")
    deploy, weights = folder / DEPLOY_FILE, folder / FINAL_STEM

    def predict(split: str) -> IntensityPredictions:
        found = predict_intensities(deploy, weights, data / f"{split}_lmdb", progress=workspace.progress)
        return dataclasses.replace(found, weights=str(workspace.final / TRAIN_FOLDER / FINAL_STEM))

    model = str(workspace.final / TRAIN_FOLDER / DEPLOY_FILE)
    return save_intensities(workspace, model, predict("test"), data, validation=predict("val"))


def _finish(
    workspace: Workspace, method: str, folder: Path, data: Path, found: dict[str, Any]
) -> dict[str, Any]:
    """Add what a training has seen to its unit's result, and keep only its last weights."""
    rename_in_solver(folder, workspace.final.absolute() / TRAIN_FOLDER)
    seen = images_seen(folder, data)
    _drop_snapshots(folder)
    protocol_lines = [*found["protocol"], f"{METHODS[method].title}: {seen.to_text()}."]
    return {**found, "training": seen.to_dict(), "protocol": protocol_lines}


def _search(
    workspace: Workspace, folder: Path, data: Path, settings: Settings, seed: int, files: NetFiles
) -> dict[str, Any]:
    """Train on the training subjects alone, and choose the iteration on the validation subjects."""
    kept = folder / _CHOSEN
    if kept.exists():
        chosen: dict[str, Any] = read_json(kept)
        if (folder / chosen["weights"]).is_file():
            return chosen
    _train(workspace, folder, data, settings, seed, files)
    chosen = _choose_iteration(workspace, folder, data, files)
    write_json(kept, chosen)
    return chosen


def _train(
    workspace: Workspace, folder: Path, data: Path, settings: Settings, seed: int, files: NetFiles
) -> None:
    """Train a net in a folder, or continue a training that was interrupted there."""
    if (folder / FINAL_STEM).exists():
        return
    newest = snapshots.newest(folder) if folder.is_dir() else None
    workspace.log(f"trains with {files.solver}" + (f", from {newest.path.name}" if newest else ""))
    train(
        files.solver,
        folder,
        data=data,
        net=files.train_val,
        seed=seed,
        max_iter=settings.max_iter,
        balance=bool(settings.balance),
        augment=settings.augment,
        snapshot=AUTO,
        progress=workspace.progress,
        stop=partial(stopping.validation_is_flat, folder) if settings.until_flat else None,
    )


def _predict(workspace: Workspace, deploy: Path, weights: Path, data: Path, split: str) -> Predictions:
    found = scoring.predict(deploy, weights, data / f"{split}_lmdb", progress=workspace.progress)
    return dataclasses.replace(found, weights=str(workspace.final / TRAIN_FOLDER / FINAL_STEM))


def _choose_iteration(workspace: Workspace, folder: Path, data: Path, files: NetFiles) -> dict[str, Any]:
    """Choose the snapshot with the highest mean ROC-AUC on the validation subjects; of equals the first.

    A solver without snapshots leaves the last weights only, and there is nothing to choose.
    """
    found = {
        int(path.name.rpartition("_iter_")[2].partition(".")[0]): path
        for path in folder.glob("*_iter_*.caffemodel*")
    }
    figures = {}
    for iterations, weights in sorted(found.items()):
        held_out = _predict(workspace, files.deploy, weights, data, "val")
        auc = evaluate(held_out.labels, held_out.probabilities, aus=held_out.aus).average("auc")
        figures[iterations] = -1.0 if math.isnan(auc) else auc
    best = max(sorted(figures), key=lambda iterations: figures[iterations])
    return {
        "iterations": best,
        "weights": found[best].name,
        "validation_auc": {str(iterations): auc for iterations, auc in figures.items()},
    }


def _drop_snapshots(folder: Path) -> None:
    """Remove all snapshots but the last weights: the paper's schedule writes 500 MB each 1,000 iterations."""
    last = (folder / FINAL_STEM).resolve()
    for path in [*folder.glob("*.solverstate"), *folder.glob("*_iter_*.caffemodel")]:
        if path.resolve() != last:
            path.unlink()


def _drop_weights(folder: Path) -> None:
    """Remove the weights of a training that served to choose the iteration; its tables stay."""
    for pattern in ("*.solverstate*", "*_iter_*.caffemodel*", f"{FINAL_STEM}*"):
        for path in folder.glob(pattern):
            path.unlink()
