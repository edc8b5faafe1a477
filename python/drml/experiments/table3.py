"""Table 3: on DISFA, methods fitted there and models that come from BP4D, for nets and linear methods alike.

A method has two columns, which say where its classifiers come from:

* BP4D: LSVM, APL and the nets as they were fitted on BP4D, for the AUs that both data sets have.
* DISFA: linear classifiers fitted on DISFA's training subjects: LSVM and APL on SIFT, and an LSVM on the
  features of a net from BP4D (`drml.experiments.transfer`).

The model from BP4D is that of the fold with the highest F1 on its validation set. It is not trained further.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scipy.special import expit

from drml.data.labels import list_aus
from drml.data.recipe_text import label_coding
from drml.evaluation import scoring
from drml.evaluation.predictions import Predictions, select_aus
from drml.experiments import detection_table, protocol, units
from drml.experiments.baseline import ESTIMATORS
from drml.experiments.bp4d_models import Source, best_model, weights_digest
from drml.experiments.fold_unit import cache_features
from drml.experiments.methods import DIRECT, METHODS, TRANSFERRED
from drml.experiments.nets import files_of
from drml.experiments.predictions import load_predictions, load_validation, save_predictions
from drml.experiments.settings import Settings, data_digest
from drml.experiments.sift import SIFT_WINDOW, sift_features
from drml.experiments.transfer import transfer
from drml.experiments.units import Unit, Workspace
from drml.io.errors import UsageError, UserError
from drml.io.files import digest

__all__ = ["PROTOCOLS", "chosen_methods", "make", "make_unit", "with_trainings"]

NAME = "table3"
TITLE = "Table 3: AU detection on DISFA"

PROTOCOLS = (
    "(BP4D): trained or fitted on BP4D and used as it is, on the AUs that both data sets have. (DISFA):"
    " linear classifiers fitted on DISFA's training subjects: of LSVM, APL and JPML on SIFT; of a net on the"
    " features of the layer that is named, which were learned on BP4D."
)
"""What the columns' titles mean."""


def with_trainings(out: Path, settings: Settings) -> Settings:
    """Return the settings with the schedule with which the nets were trained.

    Raises
    ------
    UserError
        The experiment does not exist, or is the one in `out`.
    """
    if settings.bp4d is None:
        raise UserError(f"{NAME}: no models to use; give the folder of table2 with --bp4d")
    there = Path(settings.bp4d)
    if there.resolve() == out.resolve():
        raise UsageError(f"{out}: is both --bp4d and --out; give another --out for the units on DISFA")
    trained = Settings.of(there)
    if trained.bp4d is not None:
        raise UserError(f"{there}: holds units on DISFA; give the folder of table2 with --bp4d")
    return dataclasses.replace(
        settings,
        scale=trained.scale,
        max_iter=trained.max_iter,
        train_batch=trained.train_batch,
        until_flat=trained.until_flat,
        balance=trained.balance,
        augment=trained.augment,
    )


def chosen_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Replace each method by its two columns: as it comes from BP4D, and fitted on DISFA."""
    return tuple(one for method in methods for one in TRANSFERRED.get(method, (method,)))


def make_unit(out: Path, settings: Settings, method: str, fold: int) -> Unit:
    """Return the unit that uses a model from BP4D on a fold of other data.

    Raises
    ------
    UserError
        The model is not available, or the data cannot be used.
    """
    source = best_model(settings, method)
    data = settings.fold(method, fold)
    if not source.weights.is_file():
        raise UserError(f"{source.weights}: missing; remove {source.folder}, and do it again")
    if METHODS[method].net:
        deploy = files_of(out, settings, method).deploy
        if source.config.get(deploy.name) != digest(deploy):
            raise UserError(
                f"{deploy}: not what {source.folder} was made with; give its models with --models"
            )
        config: dict[str, Any] = {deploy.name: digest(deploy)}
        refit = bool(settings.refit) and METHODS[method].transfer != DIRECT
        config |= {"refit": True} if refit else {}
        work = partial(_net, method=method, data=data, source=source, deploy=deploy, refit=refit)
    else:
        config = {"sift_window": SIFT_WINDOW}
        _check_features(source, data)
        work = partial(_linear, method=method, data=data, source=source, features=out / "features")
    name = f"fold{fold}/{method}"
    return Unit(
        name=name,
        kind=method,
        config={
            "method": method,
            "fold": fold,
            "seed": settings.seed,
            "net_fold": source.fold,
            "net_weights": weights_digest(source.weights),
            **config,
            "data_digest": data_digest(data),
        },
        notes={
            "command": shlex.join(["drml", "experiment", "unit", str(out), name]),
            "settings": dataclasses.asdict(settings),
        },
        work=work,
    )


def _check_features(source: Source, data: Path) -> None:
    """Check that a linear model was fitted to the features that it will be used on."""
    window = source.config.get("sift_window")
    if window != SIFT_WINDOW:
        raise UserError(
            f"{source.folder}: fitted to SIFT windows of {window} px, not {SIFT_WINDOW:g}; remove it, and do"
            " it again"
        )
    there, here = _face_size(source.result["protocol"]), _face_size(protocol.describe(data.parent))
    if there and here and there != here:
        raise UserError(
            f"{data}: faces of {here} px, but {source.folder} was fitted to faces of {there} px; prepare both"
            " data sets with the same --size"
        )


def _face_size(lines: Sequence[str]) -> str | None:
    """Return the size of the faces that a protocol names, such as ``200 x 200``."""
    found = re.search(r"\b([0-9]+ x [0-9]+) px", " ".join(lines))
    return found[1] if found else None


def _net(
    workspace: Workspace, method: str, data: Path, source: Source, deploy: Path, refit: bool
) -> dict[str, Any]:
    """Use a net: its outputs, or its features with a linear classifier."""
    protocol.check(data.parent, [int(data.name[4:])])
    way = METHODS[method].transfer
    workspace.log(f"uses {source.weights} ({way})")
    if way == DIRECT:
        aus = load_predictions(source.folder).aus
        test = scoring.predict(
            deploy, source.weights, data / "test_lmdb", aus=aus, progress=workspace.progress
        )
        held_out = _source_validation(source, test.aus)
    else:
        fold = int(data.name[4:])
        found = transfer(
            deploy,
            source.weights,
            data.parent,
            blob=way,
            folds=[fold],
            refit=refit,
            progress=workspace.progress,
        )
        assert found.validation is not None
        test, held_out = found.folds[0], found.validation[0]
    return _save(workspace, str(deploy), test, held_out, data, source)


def _linear(workspace: Workspace, method: str, data: Path, source: Source, features: Path) -> dict[str, Any]:
    """Use a linear model: its decisions on the SIFT features of the test faces."""
    protocol.check(data.parent, [int(data.name[4:])])
    workspace.log(f"uses {source.weights} ({DIRECT})")
    kept = cache_features(data, features, ["test"], progress=workspace.progress)
    found = sift_features(data / "test_lmdb", folder=kept, progress=workspace.progress)
    start = time.perf_counter()
    model = ESTIMATORS[METHODS[method].model].load(source.weights)
    probabilities = expit(model.decision_function(found.X))
    aus = load_predictions(source.folder).aus
    shared = tuple(au for au in aus if au in found.aus)
    if not shared:
        raise UserError(f"{data}: has none of the AUs of {source.folder} ({list_aus(aus)})")
    others = {
        "net": tuple(au for au in aus if au not in shared),
        "data": tuple(au for au in found.aus if au not in shared),
    }
    test = Predictions(
        weights=str(source.weights),
        data=str(data / "test_lmdb"),
        aus=shared,
        keys=found.keys,
        labels=found.Y[:, [found.aus.index(au) for au in shared]],
        probabilities=probabilities[:, [aus.index(au) for au in shared]],
        subjects=found.subjects or None,
        synthetic=found.synthetic,
        input={"features": f"SIFT at 49 landmarks, window {SIFT_WINDOW:g} px"},
        seconds=time.perf_counter() - start,
        not_scored={side: some for side, some in others.items() if some},
        subject_ids=found.subject_ids,
        coding=label_coding(data),
    )
    held_out = _source_validation(source, shared)
    return _save(workspace, METHODS[method].model, test, held_out, data, source)


def _source_validation(source: Source, aus: Sequence[int]) -> Predictions | None:
    """Return what a model that is used as it is predicts for its own validation faces, for these AUs.

    Its thresholds come from there, since nothing of it may depend on the other data set.
    """
    found = load_validation(source.folder)
    return None if found is None else select_aus(found, aus)


def _save(
    workspace: Workspace,
    model: str,
    test: Predictions,
    validation: Predictions | None,
    data: Path,
    source: Source,
) -> dict[str, Any]:
    # A model that was fitted to drawn faces says as little about real ones.
    test = dataclasses.replace(test, synthetic=test.synthetic or source.synthetic)
    return {
        **save_predictions(workspace, model, test, data, validation=validation),
        "net": {
            "unit": str(source.folder),
            "fold": source.fold,
            "seed": source.config.get("seed"),
            "validation_f1": source.validation_f1,
        },
    }


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> detection_table.DetectionTable | None:
    """Make the table from finished units, with notes on the models that were used; None if none is finished.

    The titles of its columns say where the classifiers come from.
    """
    table = detection_table.collect(NAME, TITLE, out, chosen_methods(methods), settings, unavailable)
    if table is None:
        return None
    columns = {
        method: column
        if METHODS[method].transfer
        else dataclasses.replace(column, title=f"{column.title} (DISFA)")
        for method, column in table.columns.items()
    }
    notes = [PROTOCOLS]
    for method, column in columns.items():
        # Folds that ran before all of BP4D's were finished may have used another model.
        folds = set()
        for fold in column.folds:
            net = (units.read_result(out, f"fold{fold}/{method}") or {}).get("net")
            if net:
                folds.add(net["fold"])
                f1, seed = net["validation_f1"], net["seed"]
                kind = "net" if METHODS[method].net else "model"
                said = (
                    f"{column.title}: the {kind} of fold {net['fold']} on BP4D (seed {seed}), whose"
                    f" validation F1 is the best, {f1:.3f}; not trained on DISFA"
                )
                if said not in notes:
                    notes.append(said)
        if len(folds) > 1:
            notes.append(
                f"{column.title}: not the same model on all folds; remove its units and run them again with"
                " the best one."
            )
    return dataclasses.replace(table, columns=columns, notes=[*notes, *table.notes])
