"""The methods of the paper's tables, and whether they can be run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drml.errors import UserError

__all__ = ["GRIDS", "METHODS", "TABLE2", "Method", "NetFiles", "NotAvailable", "net_files"]


class NotAvailable(UserError):
    """A method cannot be run here: what is missing, on one line."""


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    name : str
        As options and folders have it; for a net also its folder in ``models/``.
    title : str
        As the paper's tables have it.
    net : bool
        A network, else one of `drml.baselines`.
    model : str
        The folder in ``models/``, where it is not `name`.
    grid : int
        Patches in each direction of its region layers, where they are not those of the model.
    """

    name: str
    title: str
    net: bool = False
    model: str = ""
    grid: int = 0


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("lsvm", "LSVM"),
        Method("apl", "APL"),
        Method("jpml", "JPML"),
        Method("alexnet", "AlexNet", net=True),
        Method("convnet", "ConvNet", net=True),
        Method("lcn", "LCN", net=True),
        Method("drml", "DRML", net=True),
        *(
            Method(f"drml_{grid}x{grid}", f"DRML {grid}x{grid}", net=True, model="drml", grid=grid)
            for grid in (5, 6, 7, 9, 10)
        ),
    )
}

GRIDS = ("drml_5x5", "drml_6x6", "drml_7x7", "drml", "drml_9x9", "drml_10x10")
"""Of the paper's enumeration; 8x8 is the model's own."""

TABLE2 = ("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")


@dataclass(frozen=True)
class NetFiles:
    """A net's solver for a scale, the net it trains, and its deploy net."""

    solver: Path
    train_val: Path
    deploy: Path


def net_files(models: Path, name: str, scale: str) -> NetFiles:
    """Find a net's files for the scale ``paper`` or ``quick``.

    Raises
    ------
    NotAvailable
        One is missing.
    """
    prefix = "" if scale == "paper" else "quick_"
    folder = models / name
    files = NetFiles(
        folder / f"{prefix}solver.prototxt",
        folder / f"{prefix}train_val.prototxt",
        folder / "deploy.prototxt",
    )
    for path in (files.solver, files.train_val, files.deploy):
        if not path.is_file():
            raise NotAvailable(f"{name}: not available, {path} is missing")
    return files
