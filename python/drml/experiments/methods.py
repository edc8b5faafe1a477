"""The methods of the paper's tables, and whether they can be run here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drml.io.errors import UserError

__all__ = [
    "DIRECT",
    "GRIDS",
    "METHODS",
    "SPARSITY",
    "TABLE2",
    "TABLE3",
    "TRANSFERRED",
    "Method",
    "NetFiles",
    "NotAvailable",
    "net_files",
]

DIRECT = "direct"


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
    sparsity : float
        ``group_sparsity`` of its region layers in training; 0: no such term.
    transfer : str
        Of a net that was trained on another data set: `DIRECT`, its own outputs of the AUs that both have; or
        the blob whose features a linear classifier per AU is fitted on. Its model is the method it was there.
    """

    name: str
    title: str
    net: bool = False
    model: str = ""
    grid: int = 0
    sparsity: float = 0
    transfer: str = ""

    @property
    def change(self) -> str:
        """What its prototxts change of those of `model`, such as ``5x5``; empty: nothing."""
        if self.grid:
            return f"{self.grid}x{self.grid}"
        return f"lambda {self.sparsity:g}" if self.sparsity else ""


# Titles, and the layer before the outputs, whose features are used on other data.
_NETS = {
    "alexnet": ("AlexNet", "fc7"),
    "convnet": ("ConvNet", "fc9"),
    "lcn": ("LCN", "fc9"),
    "drml": ("DRML", "fc9"),
}

# A patch loses its weights where lambda exceeds the length of the loss's gradient by them. On drawn faces, in
# the quick schedule, that is 0.01 to 0.1 at the border of the map, 0.2 in the middle and 0.55 at most. The
# paper's steps add up to 88 (rate over 1 - momentum) and norms begin at 0.96: a lambda below 0.011 would not
# bring them to 0.
_LAMBDAS = ("1e-2", "3e-2", "1e-1")

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("lsvm", "LSVM"),
        Method("apl", "APL"),
        Method("jpml", "JPML"),
        *(Method(net, title, net=True) for net, (title, _) in _NETS.items()),
        *(
            Method(f"drml_{grid}x{grid}", f"DRML {grid}x{grid}", net=True, model="drml", grid=grid)
            for grid in (5, 6, 7, 9, 10)
        ),
        *(
            Method(
                f"drml_l{text}", f"DRML lambda {float(text):g}", net=True, model="drml", sparsity=float(text)
            )
            for text in _LAMBDAS
        ),
        *(
            Method(f"{net}_{transfer}", f"{title} ({transfer})", net=True, model=net, transfer=transfer)
            for net, (title, blob) in _NETS.items()
            for transfer in (DIRECT, blob)
        ),
    )
}

TRANSFERRED: dict[str, tuple[str, ...]] = {
    net: tuple(one.name for one in METHODS.values() if one.transfer and one.model == net) for net in _NETS
}
"""By net, its methods on other data than it was trained on."""

GRIDS = ("drml_5x5", "drml_6x6", "drml_7x7", "drml", "drml_9x9", "drml_10x10")
"""Of the paper's enumeration; 8x8 is the model's own."""

SPARSITY = ("drml", *(f"drml_l{text}" for text in _LAMBDAS))
"""By lambda, the weight of the patches' norms in the objective; the model's own is 0."""

TABLE2 = ("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")

TABLE3 = ("lsvm", "apl", "alexnet", "convnet", "lcn", "drml")


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
