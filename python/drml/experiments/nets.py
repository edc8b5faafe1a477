"""The prototxts of a method: those of its model, or variants of DRML's with another grid of patches."""

from __future__ import annotations

from pathlib import Path

from drml.errors import UserError
from drml.experiments.methods import METHODS, NetFiles, NotAvailable, net_files
from drml.experiments.settings import Settings
from drml.net import read_prototxt, write_prototxt

__all__ = ["GRIDS_FOLDER", "files_of", "write_variant"]

GRIDS_FOLDER = "grids"


def files_of(out: Path, settings: Settings, method: str) -> NetFiles:
    """Return a net's prototxts; those with another grid are written to the experiment's folder.

    Raises
    ------
    NotAvailable
        They are missing, or there is no grid in them.
    """
    known = METHODS[method]
    files = net_files(Path(settings.models), known.model or method, settings.scale)
    if not known.grid:
        return files
    return write_variant(files, known.grid, out / GRIDS_FOLDER / method, method)


def write_variant(files: NetFiles, grid: int, folder: Path, method: str) -> NetFiles:
    """Write a net's prototxts with `grid` x `grid` patches in its Region layers; the solver stays.

    Parameters
    ----------
    files : NetFiles
    grid : int
        Patches in each direction; sizes that do not divide the map's are patches of uneven size.
    folder : Path
        For the variants; what is there and the same is left as it is.
    method : str
        The variant's name.

    Returns
    -------
    NetFiles
    """
    written = []
    for path in (files.train_val, files.deploy):
        net = read_prototxt(path)
        layers = [layer for layer in net.layer if layer.type == "Region"]
        if not layers:
            raise NotAvailable(f"{method}: not available, {path} has no Region layer")
        for layer in layers:
            layer.region_param.grid_h = layer.region_param.grid_w = grid
        net.name = f"{net.name} {grid}x{grid}"
        target = folder / path.name
        written.append(target)
        try:
            same = read_prototxt(target) == net
        except UserError:  # missing, or half-written by a process that was killed
            same = False
        if not same:
            folder.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".partial")
            write_prototxt(net, part)
            part.replace(target)
    return NetFiles(files.solver, *written)
