"""The prototxts of a method: those of its model, or variants with other region layers or another schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.experiments.methods import METHODS, Method, NetFiles, NotAvailable, net_files
from drml.experiments.settings import Settings
from drml.experiments.stopping import EVERY
from drml.io.errors import UserError
from drml.nets.prototxt import read_prototxt, set_batch_size, write_prototxt

__all__ = [
    "GRIDS_FOLDER",
    "SCHEDULE_FOLDER",
    "SPARSITY_FOLDER",
    "files_of",
    "region_layers",
    "write_schedule",
    "write_variant",
]

GRIDS_FOLDER = "grids"
SPARSITY_FOLDER = "sparsity"
SCHEDULE_FOLDER = "schedule"

SNAPSHOT = 500
"""Iterations from one snapshot to the next where a training may end early; one takes 450 MB, LCN's 1.1 GB."""


def files_of(out: Path, settings: Settings, method: str) -> NetFiles:
    """Return the prototxts of a net. Variants of a model are written to the experiment's folder.

    Raises
    ------
    NotAvailable
        They are missing, or a variant's model has no region layer.
    """
    known = METHODS[method]
    files = net_files(Path(settings.models), known.model or method, settings.scale)
    if known.change:
        folder = GRIDS_FOLDER if known.grid else SPARSITY_FOLDER
        files = write_variant(files, known, out / folder / method)
    if settings.train_batch or settings.until_flat:
        every = EVERY if settings.until_flat else None
        files = write_schedule(files, out / SCHEDULE_FOLDER / method, settings.train_batch, every)
    return files


def region_layers(net: Any) -> list[Any]:
    """Return the Region layers of a NetParameter, in their order."""
    return [layer for layer in net.layer if layer.type == "Region"]


def write_schedule(files: NetFiles, folder: Path, batch: int | None, every: int | None) -> NetFiles:
    """Write a solver and its net with another batch or other test passes. The deploy net stays the same.

    Parameters
    ----------
    files : NetFiles
    folder : Path
        Where to write them. Files that are already the same are left alone.
    batch : int or None
        Images of a batch in training.
    every : int or None
        Test the whole validation set each time after so many iterations, and write a snapshot each time after
        `SNAPSHOT`.

    Returns
    -------
    NetFiles
    """
    solver = read_prototxt(files.solver, "SolverParameter")
    net = read_prototxt(files.train_val)
    if batch:
        set_batch_size(net, batch)
    if every:
        solver.test_interval = every
        solver.snapshot = SNAPSHOT
        solver.test_initialization = False
        del solver.test_iter[:]
        solver.test_iter.append(0)
    target = folder / files.train_val.name
    _write_if_changed(net, target)
    _write_if_changed(read_prototxt(files.deploy), folder / files.deploy.name)
    _write_if_changed(solver, folder / files.solver.name, "SolverParameter")
    return NetFiles(folder / files.solver.name, target, folder / files.deploy.name)


def _write_if_changed(message: Any, target: Path, kind: str = "NetParameter") -> None:
    try:
        same = read_prototxt(target, kind) == message
    except UserError:  # missing, or half-written by a process that was killed
        same = False
    if not same:
        write_prototxt(message, target)


def write_variant(files: NetFiles, method: Method, folder: Path) -> NetFiles:
    """Write a net's prototxts with the method's changes to the Region layers. The solver stays the same.

    Parameters
    ----------
    files : NetFiles
    method : Method
        `grid` changes the number of patches in each direction; if it does not divide the map's size, patches
        have different sizes. `sparsity` adds a term to the objective, with a top that shows it; the deploy
        net does not get it.
    folder : Path
        Where to write the variants. Files that are already the same are left alone.

    Returns
    -------
    NetFiles
    """
    written = []
    for path in (files.train_val, files.deploy):
        net = read_prototxt(path)
        layers = region_layers(net)
        if not layers:
            raise NotAvailable(f"{method.name}: not available, {path} has no Region layer")
        for layer in layers:
            if method.grid:
                layer.region_param.grid_h = layer.region_param.grid_w = method.grid
            if method.sparsity and path == files.train_val:
                layer.region_param.group_sparsity = method.sparsity
                layer.top.append(f"{layer.name}_sparsity")
        net.name = f"{net.name} {method.change}"
        target = folder / path.name
        written.append(target)
        _write_if_changed(net, target)
    return NetFiles(files.solver, *written)
