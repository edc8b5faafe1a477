"""Runs the missing units of an experiment, then makes its table or figure: what ``drml experiment`` does."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drml.experiments import fold_unit, protocol, table3, timing, units
from drml.experiments.catalogue import EXPERIMENTS, Artifact, Experiment
from drml.experiments.methods import METHODS, NotAvailable, seed_name, split_seed
from drml.experiments.scheduler import run_units
from drml.experiments.settings import SETTINGS_FILE, Settings, folds_of
from drml.io.errors import UsageError, UserError

__all__ = ["collect", "plan", "run", "run_one"]


def unit_of(out: Path, settings: Settings, name: str) -> units.Unit:
    """Return the unit of a name such as ``fold1/drml``, ``fold1/drml_seed1`` or ``time/drml``."""
    folder, _, unit = name.partition("/")
    method, seed = split_seed(unit)
    if seed is not None and seed not in settings.more_seeds(method):
        raise UserError(
            f"unit '{name}': not one of the seeds of this experiment; see drml experiment --seeds"
        )
    if method in METHODS and folder.startswith("fold") and folder[4:].isdigit():
        fold = int(folder[4:])
        if METHODS[method].transfer:
            return table3.make_unit(out, settings, method, fold)
        if METHODS[method].net and settings.bp4d is not None:
            raise NotAvailable(f"{method}: not available, since nets are not trained on these data")
        return fold_unit.make_unit(out, settings, method, fold, seed=seed)
    if method in METHODS and folder == timing.FOLDER:
        if not METHODS[method].net:
            raise NotAvailable(f"{method}: not available, since only nets are timed")
        return timing.make_unit(out, settings, method)
    raise UserError(f"unit '{name}': no such unit; give a name that --plan prints, such as fold1/drml")


def plan(
    out: Path, settings: Settings, names: Sequence[str], methods: Sequence[str]
) -> tuple[list[units.Unit], dict[str, str]]:
    """Return the units of folders and methods, and the reasons why some methods are not available.

    Raises
    ------
    UserError
        The data cannot be used, a method is unknown, or no method is available.
    """
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"method '{method}': not known; choose from {', '.join(METHODS)}")
    found: list[units.Unit] = []
    unavailable: dict[str, str] = {}
    for name in names:
        for method in methods:
            try:
                found.append(unit_of(out, settings, f"{name}/{method}"))
                if name != timing.FOLDER:
                    found += [
                        unit_of(out, settings, f"{name}/{seed_name(method, seed)}")
                        for seed in settings.more_seeds(method)
                    ]
            except NotAvailable as error:
                unavailable[method] = str(error)
    if not found:
        raise NotAvailable(next(iter(unavailable.values())))
    return found, unavailable


def run(
    name: str,
    out: str | Path,
    settings: Settings,
    *,
    methods: Sequence[str] | None = None,
    folds: tuple[int, ...] | None = None,
    jobs: int = 1,
    progress: bool = True,
    only_plan: bool = False,
) -> Artifact | list[str]:
    """Run the missing units of a table or figure, and write the table or figure.

    Parameters
    ----------
    name : str
        One of `EXPERIMENTS`.
    out : path
        The experiment's folder. Several calls may share it, with their units and tables.
    settings : Settings
    methods : sequence of str, optional
        By default, the paper's.
    folds : tuple of int, optional
        By default, all folds of the data.
    jobs : int
        How many units run at the same time.
    progress : bool
    only_plan : bool
        Run nothing, and return the missing units as shell commands.

    Returns
    -------
    Artifact, or list of str

    Raises
    ------
    UserError
        Data, models or settings cannot be used, or a unit failed. Finished units are kept.
    """
    out, experiment = Path(out).absolute(), EXPERIMENTS[name]
    if experiment.by_fold:
        settings = dataclasses.replace(settings, target=experiment.target)
    chosen = tuple(methods or experiment.methods)
    names = [timing.FOLDER]
    if experiment.transferred:
        chosen = table3.chosen_methods(chosen)
        settings = table3.with_trainings(out, settings)
    if (
        not experiment.by_fold and (out / SETTINGS_FILE).exists()
    ):  # settings of trainings have no effect on times
        there = Settings.of(out)
        settings = dataclasses.replace(
            settings,
            seed=there.seed,
            max_iter=there.max_iter,
            refit=there.refit,
            train_batch=there.train_batch,
            balance=there.balance,
            augment=there.augment,
            until_flat=there.until_flat,
            target=there.target,
        )
    if experiment.by_fold:
        if settings.data is None:
            raise UserError(f"{name}: needs prepared data; give their folder with --data")
        _check_folder(out, experiment)
        chosen_folds = folds_of(Path(settings.data), folds)
        protocol.check_target(settings.data, chosen_folds, experiment.target)
        protocol.check(settings.data, chosen_folds)
        names = [f"fold{fold}" for fold in chosen_folds]
    settings = settings.after(out)
    work, unavailable = plan(out, settings, names, chosen)
    missing = [
        unit for unit in work if not units.is_finished(out, unit)
    ]  # raises for a unit with another config
    settings.keep(out)
    if only_plan:
        return [unit.notes["command"] for unit in missing]
    if progress:
        for reason in unavailable.values():
            print(f"note: {reason}", file=sys.stderr)
    run_units(out, work, jobs=jobs, progress=progress)
    found = experiment.make(out, chosen, settings, unavailable)
    if found is None:
        raise UserError(f"{name}: no fold has all of {', '.join(chosen)} finished")
    found.write(out)
    return found


def _check_folder(out: Path, experiment: Experiment) -> None:
    """Raise if the folder holds units with nets of another experiment and these have none, or the reverse."""
    if not (out / SETTINGS_FILE).exists():
        return
    there = Settings.of(out)
    if there.data is not None and experiment.transferred != (there.bp4d is not None):
        held = f"nets of {there.bp4d} used on other data" if there.bp4d else "nets trained on their own data"
        raise UserError(f"{out}: holds {held}; give another --out")


def run_one(
    out: str | Path,
    name: str,
    *,
    data: str | Path | None = None,
    data_alexnet: str | Path | None = None,
    models: str | Path | None = None,
    bp4d: str | Path | None = None,
    progress: bool = True,
) -> None:
    """Run one unit of an experiment's folder, such as ``fold1/drml``, as a line of the plan does.

    Parameters
    ----------
    out : path
    name : str
    data, data_alexnet, models, bp4d : path, optional
        Where these folders are on this machine; by default where they were when the plan was made. Their
        contents must be the same.
    progress : bool

    Raises
    ------
    UserError
        There is no such unit, its data cannot be used or are other data than those of the plan, or it fails.
    """
    out = Path(out).absolute()
    places = {"data": data, "data_alexnet": data_alexnet, "models": models, "bp4d": bp4d}
    given: dict[str, Any] = {
        key: str(Path(path).absolute()) for key, path in places.items() if path is not None
    }
    settings = dataclasses.replace(Settings.of(out), **given)
    units.run_unit(out, unit_of(out, settings, name), progress=progress)


def collect(out: str | Path) -> list[Artifact]:
    """Write the tables and figures of an experiment's folder from its finished units.

    Raises
    ------
    UserError
        The folder is no experiment's, or no unit is finished.
    """
    out = Path(out).absolute()
    settings = Settings.of(out)
    made = []
    for name, experiment in EXPERIMENTS.items():
        if not experiment.collected or (experiment.variants and not (out / experiment.variants).exists()):
            continue
        if experiment.by_fold and (
            experiment.transferred != (settings.bp4d is not None) or experiment.target != settings.target
        ):
            continue
        every = tuple(one.name for one in METHODS.values() if not one.change and not one.transfer)
        found = experiment.make(
            out, every if name in ("table2", "table3", "intensities") else experiment.methods, settings, {}
        )
        if found is not None:
            found.write(out)
            made.append(found)
    if not made:
        raise UserError(f"{out}: no unit is finished yet; run drml experiment first")
    return made
