"""The folder of a training: the names of its files, the lock on it, and how it is cleared or renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.trained_files import DEPLOY_FILE, FINAL_FILES
from drml.training.f1_table import F1_FILE
from drml.training.level_table import ICC_FILE
from drml.training.log import LOG_FILE, LOSS_FILE

__all__ = [
    "FINAL_STEM",
    "SOLVER_FILE",
    "NetField",
    "holds_nets",
    "link_final",
    "locked",
    "net_fields",
    "remove_training",
    "rename_in_solver",
    "take_nets_out",
]

SOLVER_FILE = "solver.prototxt"
FINAL_STEM = FINAL_FILES[0]

_FILES = (
    LOG_FILE,
    LOSS_FILE,
    F1_FILE,
    ICC_FILE,
    SOLVER_FILE,
    DEPLOY_FILE,
    *FINAL_FILES,
    # Older versions wrote these.
    "transform.json",
    "mean.binaryproto",
)
_SNAPSHOTS = ("*_iter_*.caffemodel*", "*.solverstate*", "*_iter_*.partial")


@dataclass(frozen=True)
class NetField:
    """A field of a SolverParameter that names a net's file; `index` is None unless the field repeats."""

    name: str
    index: int | None = None

    def get(self, solver: Any) -> str:
        """Return the path that the field holds."""
        value = getattr(solver, self.name)
        return str(value if self.index is None else value[self.index])

    def set(self, solver: Any, path: Path) -> None:
        """Change the path that the field holds."""
        if self.index is None:
            setattr(solver, self.name, str(path))
        else:
            getattr(solver, self.name)[self.index] = str(path)


def net_fields(solver: Any) -> list[NetField]:
    """Return the fields of a SolverParameter that name a net's file: training nets first, then test nets."""
    fields = [NetField(name) for name in ("net", "train_net") if getattr(solver, name)]
    return fields + [NetField("test_net", index) for index in range(len(solver.test_net))]


_INSIDE = {"net_param": "net", "train_net_param": "train_net", "test_net_param": "test_net"}
"""Fields of a SolverParameter that hold a net, and those that name its file instead."""


def holds_nets(solver: Any) -> bool:
    """Return whether a SolverParameter holds a net itself, where others name a file."""
    return any(field.name in _INSIDE for field, _ in solver.ListFields())


def take_nets_out(solver: Any) -> dict[NetField, Any]:
    """Let a SolverParameter name files in place of the nets that it holds; return the nets by field.

    Test nets that it holds come before those in files, as for Caffe.
    """
    found: dict[NetField, Any] = {}
    for inside in ("net_param", "train_net_param"):
        if solver.HasField(inside):
            name = _INSIDE[inside]
            setattr(solver, name, f"{name}.prototxt")
            found[NetField(name)] = type(getattr(solver, inside)).FromString(
                getattr(solver, inside).SerializeToString()
            )
    tests = [type(net).FromString(net.SerializeToString()) for net in solver.test_net_param]
    found |= {NetField("test_net", index): net for index, net in enumerate(tests)}
    names = [f"test_net_{index}.prototxt" for index in range(len(tests))] + list(solver.test_net)
    for inside in _INSIDE:
        solver.ClearField(inside)
    solver.ClearField("test_net")
    solver.test_net.extend(names)
    return found


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other trainings out of a folder while the context lasts.

    The folder is made if it is missing, and then removed if it stays empty.

    Raises
    ------
    UserError
        Another training is running in the folder.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{out}: another training is running in this folder; wait until it ends, or stop it"
            ) from None
        yield
    finally:
        os.close(folder)
        if made and not any(out.iterdir()):
            out.rmdir()


def link_final(out: Path, weights: Path) -> Path:
    """Make ``final.caffemodel`` (or ``.h5``) a link to a training's last weights; return its path."""
    final = out / (FINAL_STEM + (".h5" if weights.suffix == ".h5" else ""))
    final.unlink(missing_ok=True)
    final.symlink_to(os.path.relpath(weights, out))
    return final


def remove_training(out: Path) -> None:
    """Remove the files that a training wrote to `out`; other files stay."""
    for path in [out / name for name in _FILES] + [path for one in _SNAPSHOTS for path in out.glob(one)]:
        path.unlink(missing_ok=True)


def rename_in_solver(folder: Path, final: Path) -> None:
    """Change the paths in the solver of a training's folder to those that hold once it is named `final`."""
    path = folder / SOLVER_FILE
    message = read_prototxt(path, "SolverParameter")
    for field in net_fields(message):
        field.set(message, final / Path(field.get(message)).name)
    message.snapshot_prefix = str(final / Path(message.snapshot_prefix).name)
    write_prototxt(message, path)
