"""Table 3: on DISFA, the linear methods fitted there, and the best net of each kind from BP4D.

Each net is that of the BP4D fold with the highest F1 on its validation set. It is not trained any further. It
is used in two ways, each of which is a method: its outputs for the AUs that both data sets have, and its
features with a linear classifier per AU (`drml.experiments.transfer`).
"""

from __future__ import annotations

import dataclasses
import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from drml.evaluation import scoring
from drml.experiments import detection_table, protocol, units
from drml.experiments.fold_unit import TRAIN_FOLDER
from drml.experiments.methods import DIRECT, METHODS, TRANSFERRED, NotAvailable
from drml.experiments.nets import files_of
from drml.experiments.predictions import load_predictions, save_predictions
from drml.experiments.settings import Settings, data_digest
from drml.experiments.transfer import transfer
from drml.experiments.units import Unit, Workspace
from drml.io.errors import UsageError, UserError
from drml.io.files import digest
from drml.training.folder import FINAL_STEM

__all__ = ["chosen_methods", "make", "make_unit", "with_trainings"]

NAME = "table3"
TITLE = "Table 3: AU detection on DISFA"


@dataclass(frozen=True)
class _Source:
    """The net that is used: a finished unit of another experiment's folder."""

    folder: Path
    fold: int
    validation_f1: float
    synthetic: bool
    config: dict[str, Any]

    @property
    def weights(self) -> Path:
        return self.folder / TRAIN_FOLDER / FINAL_STEM


def with_trainings(out: Path, settings: Settings) -> Settings:
    """Return the settings with the schedule with which the nets were trained.

    Raises
    ------
    UserError
        The experiment does not exist, or is the one in `out`.
    """
    if settings.bp4d is None:
        raise UserError(f"{NAME}: no nets to use; give the folder of table2 with --bp4d")
    there = Path(settings.bp4d)
    if there.resolve() == out.resolve():
        raise UsageError(f"{out}: is both --bp4d and --out; give another --out for the units on DISFA")
    trained = Settings.of(there)
    if trained.bp4d is not None:
        raise UserError(f"{there}: holds units on DISFA; give the folder of table2 with --bp4d")
    return dataclasses.replace(settings, scale=trained.scale, max_iter=trained.max_iter)


def chosen_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """Replace each net by the two methods that use it."""
    return tuple(one for method in methods for one in TRANSFERRED.get(method, (method,)))


def _best(settings: Settings, method: str) -> _Source:
    """Return the net with the highest F1 on its own validation set."""
    net = METHODS[method].model
    if settings.bp4d is None:
        raise NotAvailable(f"{method}: not available, it uses a net from BP4D; see drml experiment {NAME}")
    there = Path(settings.bp4d)
    found = []
    for path in sorted(there.glob(f"fold[1-9]/{net}")):
        result = units.read_result(there, f"{path.parent.name}/{net}")
        f1 = None if result is None else result["validation"]["f1"]
        if result is not None and f1 is not None:
            config = units.read_config(there, f"{path.parent.name}/{net}")
            found.append(_Source(path, int(path.parent.name[4:]), f1, bool(result["synthetic"]), config))
    if not found:
        raise NotAvailable(f"{method}: not available, no unit of {net} is finished in {there}")
    return max(found, key=lambda one: (one.validation_f1, -one.fold))


@functools.cache
def _digest(path: Path, changed: int) -> str:
    """Compute the digest of weights once per process, not for each fold: they have up to 560 MB."""
    return digest(path)


def make_unit(out: Path, settings: Settings, method: str, fold: int) -> Unit:
    """Return the unit that uses a net from BP4D on a fold of other data.

    Raises
    ------
    UserError
        The net is not available, or the data cannot be used.
    """
    source = _best(settings, method)
    data = settings.fold(method, fold)
    deploy = files_of(out, settings, method).deploy
    if source.config.get(deploy.name) != digest(deploy):
        raise UserError(f"{deploy}: not what {source.folder} was made with; give its models with --models")
    if not source.weights.is_file():
        raise UserError(f"{source.weights}: missing; remove {source.folder}, and do it again")
    name = f"fold{fold}/{method}"
    return Unit(
        name=name,
        kind=method,
        config={
            "method": method,
            "fold": fold,
            "seed": settings.seed,
            "net_fold": source.fold,
            "net_weights": _digest(source.weights, source.weights.stat().st_mtime_ns),
            deploy.name: digest(deploy),
            "data_digest": data_digest(data),
        },
        notes={
            "command": shlex.join(["drml", "experiment", "unit", str(out), name]),
            "settings": dataclasses.asdict(settings),
        },
        work=partial(_work, method=method, data=data, source=source, deploy=deploy),
    )


def _work(workspace: Workspace, method: str, data: Path, source: _Source, deploy: Path) -> dict[str, Any]:
    protocol.check(data.parent, [int(data.name[4:])])
    way = METHODS[method].transfer
    workspace.log(f"uses {source.weights} ({way})")
    if way == DIRECT:
        aus = load_predictions(source.folder).aus
        test = scoring.predict(
            deploy, source.weights, data / "test_lmdb", aus=aus, progress=workspace.progress
        )
    else:
        fold = int(data.name[4:])
        found = transfer(
            deploy, source.weights, data.parent, blob=way, folds=[fold], progress=workspace.progress
        )
        test = found.folds[0]
    # A net that was trained on drawn faces says as little about real ones.
    test = dataclasses.replace(test, synthetic=test.synthetic or source.synthetic)
    return {
        **save_predictions(workspace, str(deploy), test, data),
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
    """Make the table from finished units, with notes on the nets that were used; None if none is finished."""
    table = detection_table.collect(NAME, TITLE, out, chosen_methods(methods), settings, unavailable)
    if table is None:
        return None
    notes = []
    for method, column in table.columns.items():
        # Folds that ran before all of BP4D's were finished may have used another net.
        nets = set()
        for fold in column.folds:
            net = (units.read_result(out, f"fold{fold}/{method}") or {}).get("net")
            if net:
                nets.add(net["fold"])
                f1, seed = net["validation_f1"], net["seed"]
                said = (
                    f"{column.title}: the net of fold {net['fold']} on BP4D (seed {seed}), whose validation"
                    f" F1 is the best, {f1:.3f}; not trained on DISFA"
                )
                if said not in notes:
                    notes.append(said)
        if len(nets) > 1:
            notes.append(
                f"{column.title}: not the same net on all folds; remove its units and run them again with the"
                " best one."
            )
    return dataclasses.replace(table, notes=[*notes, *table.notes])
