"""The prototxts of a method: those of its model, or variants of DRML's with other region layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.experiments.methods import METHODS, Method, NetFiles, NotAvailable, net_files
from drml.experiments.settings import Settings
from drml.io.errors import UserError
from drml.nets.prototxt import read_prototxt, write_prototxt

__all__ = ["GRIDS_FOLDER", "SPARSITY_FOLDER", "files_of", "region_layers", "write_variant"]

GRIDS_FOLDER = "grids"
SPARSITY_FOLDER = "sparsity"


def files_of(out: Path, settings: Settings, method: str) -> NetFiles:
    """Return the prototxts of a net. Variants of a model are written to the experiment's folder.

    Raises
    ------
    NotAvailable
        They are missing, or a variant's model has no region layer.
    """
    known = METHODS[method]
    files = net_files(Path(settings.models), known.model or method, settings.scale)
    if not known.change:
        return files
    folder = GRIDS_FOLDER if known.grid else SPARSITY_FOLDER
    return write_variant(files, known, out / folder / method)


def region_layers(net: Any) -> list[Any]:
    """Return the Region layers of a NetParameter, in their order."""
    return [layer for layer in net.layer if layer.type == "Region"]


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
        try:
            same = read_prototxt(target) == net
        except UserError:  # missing, or half-written by a process that was killed
            same = False
        if not same:
            write_prototxt(net, target)
    return NetFiles(files.solver, *written)
