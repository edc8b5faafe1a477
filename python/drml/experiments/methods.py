"""The methods of the paper's tables, and whether they can be run here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from drml.io.errors import UserError

__all__ = [
    "CURVE",
    "DIRECT",
    "GRIDS",
    "INTENSITIES",
    "METHODS",
    "SPARSITY",
    "TABLE2",
    "TABLE3",
    "TRANSFERRED",
    "Method",
    "NetFiles",
    "NotAvailable",
    "net_files",
    "seed_name",
    "split_seed",
]

DIRECT = "direct"


class NotAvailable(UserError):
    """A method cannot be run here. The message says what is missing."""


@dataclass(frozen=True)
class Method:
    """A method of the paper, or a variant of one.

    Attributes
    ----------
    name : str
        The name in options and folders; for a net also its folder in ``models/``.
    title : str
        The name in the paper's tables.
    net : bool
        Whether it is a network or one of `drml.baselines`.
    model : str
        The folder in ``models/``, if it is not `name`.
    grid : int
        The number of patches in each direction of the region layers; 0 for the model's own.
    sparsity : float
        ``group_sparsity`` of the region layers in training; 0 for none.
    transfer : str
        How a model of another data set is used: `DIRECT` takes its own outputs for the AUs that both data
        sets have; for a net, the name of a blob fits a linear classifier per AU on that blob. `model` is then
        the method that was trained. "" for a method that is trained on the data themselves.
    curve : bool
        Whether it is fitted on growing shares of the training frames, for the learning curve alone.
    intensities : bool
        Whether it estimates intensities, and cannot detect occurrences. A net is trained for either.
    """

    name: str
    title: str
    net: bool = False
    model: str = ""
    grid: int = 0
    sparsity: float = 0
    transfer: str = ""
    curve: bool = False
    intensities: bool = False

    @property
    def change(self) -> str:
        """How it differs from `model`, such as ``5x5`` for other prototxts; "" if it does not differ."""
        if self.curve:
            return "by training frames"
        if self.grid:
            return f"{self.grid}x{self.grid}"
        return f"lambda {self.sparsity:g}" if self.sparsity else ""


_LINEAR = {"lsvm": "LSVM", "apl": "APL", "jpml": "JPML"}

# Titles, and the layer before the outputs, whose features `transfer` uses.
_NETS = {
    "alexnet": ("AlexNet", "fc7"),
    "convnet": ("ConvNet", "fc9"),
    "lcn": ("LCN", "fc9"),
    "drml": ("DRML", "fc9"),
}

# A patch loses its weights if lambda exceeds the length of the loss's gradient with respect to them. On drawn
# faces and in the quick schedule, that length is 0.01 to 0.1 at the border of the map, 0.2 in the middle and
# 0.55 at most. The steps of the paper's schedule add up to 88 (rate over 1 - momentum) and norms begin at
# 0.96, so that a lambda below 0.011 would not bring them to 0.
_LAMBDAS = ("1e-2", "3e-2", "1e-1")

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *(Method(name, title) for name, title in _LINEAR.items()),
        Method("ridge", "Ridge", intensities=True),
        Method("lsvm_curve", "LSVM", model="lsvm", curve=True),
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
            Method(f"{name}_{DIRECT}", f"{title} (BP4D)", model=name, transfer=DIRECT)
            for name, title in _LINEAR.items()
        ),
        *(
            Method(f"{net}_{transfer}", f"{title} ({where})", net=True, model=net, transfer=transfer)
            for net, (title, blob) in _NETS.items()
            for transfer, where in ((DIRECT, "BP4D"), (blob, f"{blob}, DISFA"))
        ),
    )
}

TRANSFERRED: dict[str, tuple[str, ...]] = {
    **{name: (name, f"{name}_{DIRECT}") for name in _LINEAR},
    **{
        net: tuple(one.name for one in METHODS.values() if one.transfer and one.model == net) for net in _NETS
    },
}
"""For each method of table 2, those of table 3: fitted on DISFA, and used as it comes from BP4D."""

GRIDS = ("drml_5x5", "drml_6x6", "drml_7x7", "drml", "drml_9x9", "drml_10x10")
"""The grids that the paper compares; 8x8 is the model's own."""

SPARSITY = ("drml", *(f"drml_l{text}" for text in _LAMBDAS))
"""DRML with different values of lambda, the weight of the patches' norms in the objective; 0 is its own."""

_SEED = re.compile(r"(?P<method>.+)_seed(?P<seed>[0-9]+)")


def seed_name(method: str, seed: int) -> str:
    """Return the name of a method's unit for a further seed, such as ``drml_seed1``."""
    return f"{method}_seed{seed}"


def split_seed(name: str) -> tuple[str, int | None]:
    """Return the method of a unit's name, and its seed; None for the experiment's own seed.

    Examples
    --------
    >>> split_seed("drml_5x5_seed2"), split_seed("drml")
    (('drml_5x5', 2), ('drml', None))
    """
    found = _SEED.fullmatch(name)
    return (found["method"], int(found["seed"])) if found else (name, None)


CURVE = ("lsvm_curve", "alexnet", "convnet", "lcn", "drml")
"""The methods of the learning curve."""

INTENSITIES = ("ridge", "convnet", "drml")
"""The methods that estimate intensities, by default; the other nets can be named."""

TABLE2 = ("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")

TABLE3 = ("lsvm", "apl", "alexnet", "convnet", "lcn", "drml")


@dataclass(frozen=True)
class NetFiles:
    """The prototxts of a net: the solver of a schedule, the net that it trains, and the deploy net."""

    solver: Path
    train_val: Path
    deploy: Path


def net_files(models: Path, name: str, scale: str) -> NetFiles:
    """Find the prototxts of a net for the schedule ``paper`` or ``quick``.

    Raises
    ------
    NotAvailable
        A file is missing.
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
