"""The files that belong to trained weights.

Wherever the command line or Python asks for weights, these paths are accepted:

- the folder of a training (``drml train``): the weights are its ``final.caffemodel``, or, if the training is
  not finished, those of its newest whole snapshot;
- a ``.caffemodel`` or ``.h5`` file.

What else the net needs is found as follows, unless the caller names it:

- the net: ``deploy.prototxt`` in the folder of the weights, or else that of ``models/drml``;
- mean and scale: see `drml.nets.preprocessing`;
- the AUs of the outputs: ``transform.json`` in the folder of the weights; or else the manifest of the data
  that the training in this folder read, if they are still there; or else BP4D's AUs if the net has 12 outputs
  and DISFA's if it has 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drml.data.labels import BP4D_AUS, DISFA_AUS, list_aus
from drml.data.manifest import manifest_path, read_manifest
from drml.io.errors import UserError
from drml.io.shipped import find_shipped
from drml.nets import snapshots
from drml.nets.preprocessing import read_trained_aus
from drml.nets.prototxt import data_paths, read_prototxt

__all__ = [
    "DEPLOY_FILE",
    "FINAL_FILES",
    "TrainedFiles",
    "find_trained",
    "find_weights",
    "is_onnx",
    "select_aus",
]

DEPLOY_FILE = "deploy.prototxt"
FINAL_FILES = ("final.caffemodel", "final.caffemodel.h5")
"""The last weights of a finished training, in its folder."""

_SHIPPED_DEPLOY = Path("models") / "drml" / DEPLOY_FILE


def is_onnx(path: str | Path) -> bool:
    """Whether a path names an ONNX file, which is net and weights in one."""
    return Path(path).suffix.lower() == ".onnx"


@dataclass(frozen=True)
class TrainedFiles:
    """The weights and the prototxt of a trained net; see `find_trained`.

    Attributes
    ----------
    weights : Path
        A .caffemodel or .h5 file.
    net : Path
        The deploy.prototxt.
    """

    weights: Path
    net: Path

    def training_aus(self) -> tuple[int, ...] | None:
        """Return the AUs that the net was trained for, if the folder of the weights tells."""
        return read_trained_aus(self.weights) or _aus_of_training_data(self.weights)


def find_trained(path: str | Path, net: str | Path | None = None) -> TrainedFiles:
    """Find the weights and the prototxt that a path stands for.

    Parameters
    ----------
    path : path-like
        The folder of a training, or a .caffemodel or .h5 file.
    net : path-like, optional
        The deploy.prototxt; by default the one in the folder of the weights, or else that of ``models/drml``.

    Returns
    -------
    TrainedFiles

    Raises
    ------
    UserError
        The folder holds no whole weights, or there is no deploy.prototxt.

    Examples
    --------
    >>> find_trained("build/train").weights  # doctest: +SKIP
    PosixPath('build/train/final.caffemodel')
    """
    weights = find_weights(path)
    if net is not None:
        return TrainedFiles(weights, find_shipped(net))
    beside = weights.with_name(DEPLOY_FILE)
    for found in (beside, find_shipped(_SHIPPED_DEPLOY)):
        if found.is_file():
            return TrainedFiles(weights, found)
    raise UserError(
        f"{weights}: neither {beside} nor {_SHIPPED_DEPLOY} exists; name the deploy.prototxt with --net"
    )


def find_weights(path: str | Path) -> Path:
    """Find the weights that a path stands for.

    Parameters
    ----------
    path : path-like
        The folder of a training, or a .caffemodel or .h5 file.

    Returns
    -------
    Path
        A file. If `path` is not a folder, it is returned as it is; whoever reads it checks it.

    Raises
    ------
    UserError
        The folder holds neither final weights nor a whole snapshot, or the file is an .onnx file.
    """
    path = Path(path)
    if is_onnx(path):
        raise UserError(
            f"{path}: an ONNX file, where Caffe's weights are needed; give a .caffemodel or .h5,"
            " or the folder of a training"
        )
    if not path.is_dir():
        return path
    for name in FINAL_FILES:
        if (path / name).is_file():
            return path / name
    try:
        snapshot = snapshots.newest(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if snapshot is None:
        raise UserError(
            f"{path}: holds neither {FINAL_FILES[0]} nor a whole snapshot; give the folder of a training"
            " (drml train), or a .caffemodel or .h5 file"
        )
    return snapshot.weights


def select_aus(
    path: str | Path, outputs: int, aus: Sequence[int] | None = None, trained: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Decide which AUs the outputs of a net are.

    Parameters
    ----------
    path : path-like
        The net, for error messages.
    outputs : int
        Number of outputs of the net.
    aus : sequence of int, optional
        The AUs that the user names.
    trained : sequence of int, optional
        The AUs that the net was trained for, if they are known.

    Returns
    -------
    tuple of int
        `aus`, or else `trained`, or else BP4D's AUs for 12 outputs and DISFA's for 8.

    Raises
    ------
    UserError
        The number of AUs is not that of the outputs, or the AUs are unknown.

    Examples
    --------
    >>> select_aus("deploy.prototxt", 8)
    (1, 2, 4, 6, 9, 12, 25, 26)
    >>> select_aus("deploy.prototxt", 2, trained=(6, 12))
    (6, 12)
    """
    if aus is not None:
        if len(aus) != outputs:
            raise UserError(f"{path}: {outputs} outputs, but {len(aus)} AUs given ({list_aus(aus)})")
        return tuple(aus)
    for known in (trained, BP4D_AUS, DISFA_AUS):
        if known is not None and len(known) == outputs:
            return tuple(known)
    raise UserError(
        f"{path}: which AUs its {outputs} outputs are is unknown; name them with --aus, such as --aus 1,2,4"
    )


def _aus_of_training_data(weights: Path) -> tuple[int, ...] | None:
    """Read the AUs in the manifest of the data that the training in the weights' folder read."""
    try:
        solver = read_prototxt(weights.with_name("solver.prototxt"), "SolverParameter")
        net = Path(solver.net or solver.train_net)
        net = net if net.is_file() else weights.with_name(net.name)
        for entry in data_paths(read_prototxt(net)):
            manifest = manifest_path(Path(entry.path))
            if entry.field == "source" and manifest.is_file():
                return read_manifest(manifest).aus
    except UserError:
        pass  # The data may have been moved; the user can still name the AUs.
    return None
