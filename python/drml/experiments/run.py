"""What ``drml experiment`` does: the missing units of an experiment, then its table or figure."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from drml.experiments import (
    detect,
    figure4,
    figure5,
    protocol,
    sparsity,
    table3,
    table4,
    tables,
    timing,
    units,
)
from drml.experiments.methods import GRIDS, METHODS, SPARSITY, TABLE2, TABLE3, NotAvailable
from drml.experiments.nets import GRIDS_FOLDER, SPARSITY_FOLDER
from drml.experiments.settings import SETTINGS_FILE, Settings, folds_of
from drml.io.errors import UserError

__all__ = ["KINDS", "Outcome", "collect", "plan", "run", "run_one"]


class Outcome(Protocol):
    """A table or a figure."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""

    def to_markdown(self) -> str:
        """Return what is printed."""

    def gaps(self) -> list[str]:
        """Name what is missing of the paper's."""

    def write(self, out: Path) -> list[Path]:
        """Write its files to the experiment's folder; return them."""


@dataclass(frozen=True)
class Kind:
    """A table or figure of the paper.

    Attributes
    ----------
    methods : tuple of str
        The paper's.
    by_fold : bool
        Each has a unit per fold; else one.
    collected : bool
        `collect` makes it.
    make : callable
        Makes it of finished units: folder, methods, settings, and why some methods are not available.
    transferred : bool
        Its nets are those of another experiment's folder. Units of both sorts are not mixed in one folder.
    variants : str
        The folder that its prototxts are written to. Without it in an experiment's folder, `collect` has
        nothing to make: the model that they are variants of is in other tables as well.
    """

    methods: tuple[str, ...]
    by_fold: bool
    collected: bool
    make: Callable[[Path, Sequence[str], Settings, Mapping[str, str]], Outcome | None]
    transferred: bool = False
    variants: str = ""


KINDS = {
    "table2": Kind(TABLE2, True, True, partial(tables.collect, "table2", "Table 2: AU detection on BP4D")),
    "table3": Kind(TABLE3, True, True, table3.make, transferred=True),
    "grid": Kind(
        GRIDS,
        True,
        True,
        partial(tables.collect, "grid", "Grid of the region layer (DRML itself has 8x8)", shared_folds=True),
        variants=GRIDS_FOLDER,
    ),
    "sparsity": Kind(SPARSITY, True, True, sparsity.make, variants=SPARSITY_FOLDER),
    "fig5": Kind(("drml", "alexnet"), True, True, figure5.make),
    "table4": Kind(("convnet", "alexnet", "drml", "lcn"), False, True, table4.make),
    # Computed from the nets anew each time, which takes minutes: not for a mere look at what is finished.
    "fig4": Kind(("drml", "convnet", "alexnet"), True, False, figure4.make),
}


def unit_of(out: Path, settings: Settings, name: str) -> units.Unit:
    """Return a unit by its name, such as ``fold1/drml`` or ``time/drml``."""
    folder, _, method = name.partition("/")
    if method in METHODS and folder.startswith("fold") and folder[4:].isdigit():
        fold = int(folder[4:])
        if METHODS[method].transfer:
            return table3.unit(out, settings, method, fold)
        if METHODS[method].net and settings.bp4d is not None:
            raise NotAvailable(f"{method}: not available, nets are not trained on these data")
        return detect.unit(out, settings, method, fold)
    if method in METHODS and folder == timing.FOLDER:
        if not METHODS[method].net:
            raise NotAvailable(f"{method}: not available, only nets are timed")
        return timing.unit(out, settings, method)
    raise UserError(f"unit '{name}': give a name as the plan has them, such as fold1/drml")


def plan(
    out: Path, settings: Settings, names: Sequence[str], methods: Sequence[str]
) -> tuple[list[units.Unit], dict[str, str]]:
    """Return the units of these folders (``fold1``, ``time``) and methods, and why some are not available.

    Raises
    ------
    UserError
        The data are at fault, a method is unknown, or none is available.
    """
    for method in methods:
        if method not in METHODS:
            raise UserError(f"method '{method}': {', '.join(METHODS)} are known")
    found: list[units.Unit] = []
    lacks: dict[str, str] = {}
    for name in names:
        for method in methods:
            try:
                found.append(unit_of(out, settings, f"{name}/{method}"))
            except NotAvailable as error:
                lacks[method] = str(error)
    if not found:
        raise NotAvailable(next(iter(lacks.values())))
    return found, lacks


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
) -> Outcome | list[str]:
    """Do what is missing of a table or figure, and write it.

    Parameters
    ----------
    name : str
        One of `KINDS`.
    out : path
        The experiment's folder; units and tables of several calls share it.
    settings : Settings
    methods : sequence of str, optional
        By default those of the paper's table.
    folds : tuple of int, optional
        By default all that the data have.
    jobs : int
        Units at a time.
    progress : bool
    only_plan : bool
        Do nothing: return the units as shell commands.

    Returns
    -------
    Outcome, or list of str

    Raises
    ------
    UserError
        Data, models or settings are at fault, or a unit failed; finished units stay.
    """
    out, kind = Path(out).absolute(), KINDS[name]
    chosen = tuple(methods or kind.methods)
    names = [timing.FOLDER]
    if kind.transferred:
        chosen = table3.chosen_methods(chosen)
        settings = table3.with_trainings(out, settings)
    if not kind.by_fold and (out / SETTINGS_FILE).exists():  # what is of trainings does not matter here
        there = Settings.of(out)
        settings = dataclasses.replace(settings, seed=there.seed, max_iter=there.max_iter)
    if kind.by_fold:
        if settings.data is None:
            raise UserError(f"{name}: no data to read; give them with --data")
        _refuse_a_mix(out, kind)
        chosen_folds = folds_of(Path(settings.data), folds)
        protocol.check(settings.data, chosen_folds)
        names = [f"fold{fold}" for fold in chosen_folds]
    settings = settings.after(out)
    work, lacks = plan(out, settings, names, chosen)
    missing = [unit for unit in work if not units.is_done(out, unit)]  # and refuse those of another config
    settings.keep(out)
    if only_plan:
        return [unit.notes["command"] for unit in missing]
    if progress:
        for lack in lacks.values():
            print(f"note: {lack}", file=sys.stderr)
    units.run_all(out, work, jobs=jobs, progress=progress)
    found = kind.make(out, chosen, settings, lacks)
    if found is None:
        raise UserError(f"{name}: no fold has all of {', '.join(chosen)} finished")
    found.write(out)
    return found


def _refuse_a_mix(out: Path, kind: Kind) -> None:
    """Refuse a folder whose units are of the other sort."""
    if not (out / SETTINGS_FILE).exists():
        return
    there = Settings.of(out)
    if there.data is not None and kind.transferred != (there.bp4d is not None):
        held = f"nets of {there.bp4d} used on other data" if there.bp4d else "nets trained on their own data"
        raise UserError(f"{out}: for {held}; give another --out")


def run_one(out: str | Path, name: str, *, progress: bool = True) -> None:
    """Do one unit of an experiment's folder, such as ``fold1/drml``: what a line of the plan does."""
    out = Path(out).absolute()
    units.run_unit(out, unit_of(out, Settings.of(out), name), progress=progress)


def collect(out: str | Path) -> list[Outcome]:
    """Write the tables and figures of what is finished in an experiment's folder.

    Raises
    ------
    UserError
        It is no such folder, or nothing is finished.
    """
    out = Path(out).absolute()
    settings = Settings.of(out)
    made = []
    for name, kind in KINDS.items():
        if not kind.collected or (kind.variants and not (out / kind.variants).exists()):
            continue
        if kind.by_fold and kind.transferred != (settings.bp4d is not None):
            continue
        every = tuple(one.name for one in METHODS.values() if not one.change and not one.transfer)
        found = kind.make(out, every if name in ("table2", "table3") else kind.methods, settings, {})
        if found is not None:
            found.write(out)
            made.append(found)
    if not made:
        raise UserError(f"{out}: nothing is finished yet")
    return made
