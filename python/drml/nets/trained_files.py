"""The files that belong to trained weights.

Wherever the command line or Python asks for weights, these paths are accepted:

- the folder of a training (``drml train``): the weights are its ``final.caffemodel``, or, if the training is
  not finished, those of its newest whole snapshot;
- a ``.caffemodel`` or ``.h5`` file.

What else the net needs is found as follows, unless the caller names it:

- the net: ``deploy.prototxt`` in the folder of the weights, or else that of ``models/drml``;
- the AUs of the outputs, mean and scale: the recipe inside the weights (`drml.nets.recipe`). Weights without
  a recipe, such as those of stock Caffe, need the AUs from the caller; `drml.nets.preprocessing` says where
  their mean and scale come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drml.data.labels import list_aus
from drml.data.recipe import Recipe
from drml.io.checks import check_path
from drml.io.errors import UserError
from drml.io.shipped import find_shipped
from drml.nets import snapshots
from drml.nets.recipe import read_recipe

__all__ = [
    "DEPLOY_FILE",
    "FINAL_FILES",
    "TrainedFiles",
    "find_trained",
    "find_weights",
    "is_onnx",
    "no_recipe",
    "resolve_aus",
    "resolve_intensity_aus",
]

DEPLOY_FILE = "deploy.prototxt"
FINAL_FILES = ("final.caffemodel", "final.caffemodel.h5")
"""The last weights of a finished training, in its folder."""

_SOLVER_FILE = "solver.prototxt"  # that of a training
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

    def recipe(self) -> Recipe | None:
        """Return the recipe that the weights carry; None if they have none."""
        return read_recipe(self.weights)


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
        The folder holds no whole weights, or there is no deploy.prototxt; that of ``models/drml`` does not
        count for the folder of a training, whose net may be another one.

    Examples
    --------
    >>> find_trained("build/train").weights  # doctest: +SKIP
    PosixPath('build/train/final.caffemodel')
    """
    weights = find_weights(path)
    if net is not None:
        return TrainedFiles(weights, find_shipped(net))
    beside = weights.with_name(DEPLOY_FILE)
    if not beside.is_file() and weights.with_name(_SOLVER_FILE).is_file():
        raise UserError(
            f"{weights.parent}: the training has no {DEPLOY_FILE}, because there was none next to the net"
            f" that it trained, and none could be made of it; name the net to run"
            f" with --net, such as --net models/convnet/{DEPLOY_FILE}"
        )
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
    path = check_path(path, "weights")
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


def resolve_aus(
    weights: str | Path,
    recipe: Recipe | None,
    outputs: int,
    aus: Sequence[int] | None = None,
    *,
    net: str | Path | None = None,
) -> tuple[int, ...]:
    """Decide which AUs the outputs of a net are: those that the user names, or else those of its recipe.

    Parameters
    ----------
    weights : path-like
        The weights, for error messages.
    recipe : Recipe or None
        The recipe that the weights carry.
    outputs : int
        Number of probabilities of the net; 0 if it only estimates intensities, which gives an empty result.
    aus : sequence of int, optional
        The AUs that the user names.
    net : path-like, optional, keyword-only
        The net, for error messages.

    Returns
    -------
    tuple of int

    Raises
    ------
    UserError
        The number of AUs is not that of the outputs, or the weights carry no recipe and no AUs are named.

    Examples
    --------
    >>> resolve_aus("net.caffemodel", Recipe(au=(6, 12)), 2)
    (6, 12)
    >>> resolve_aus("net.caffemodel", None, 2, (9, 25))
    (9, 25)
    """
    name = weights if net is None else net
    if aus is None and outputs == 0:
        return ()
    if aus is not None:
        if outputs == 0:
            raise UserError(f"{name}: only estimates intensities, whose AUs are in its recipe; name no AUs")
        if len(aus) != outputs:
            raise UserError(f"{name}: {outputs} outputs, but {len(aus)} AUs given ({list_aus(aus)})")
        return tuple(aus)
    if recipe is None or not recipe.au:
        raise UserError(no_recipe(weights))
    if len(recipe.au) != outputs:
        raise UserError(
            f"{weights}: its recipe names {len(recipe.au)} AUs ({list_aus(recipe.au)}), but {name} has"
            f" {outputs} outputs; give the deploy.prototxt of its training with --net, or name the AUs with"
            " --aus"
        )
    return recipe.au


def resolve_intensity_aus(weights: str | Path, recipe: Recipe | None, outputs: int) -> tuple[int, ...]:
    """Find the AUs of a net's outputs of intensities: those of the recipe that its weights carry.

    Parameters
    ----------
    weights : path-like
        For error messages.
    recipe : Recipe or None
    outputs : int
        The number of these outputs; 0 gives an empty result.

    Raises
    ------
    UserError
        The recipe does not name as many AUs.
    """
    known = recipe.intensity_au if recipe is not None and outputs else ()
    if len(known) != outputs:
        raise UserError(
            f"{weights}: its net has {outputs} outputs of intensities, but its recipe names"
            f" {list_aus(known) or 'no AU'} for them; train it with drml train, or give the deploy.prototxt"
            " of its training with --net"
        )
    return known


def no_recipe(weights: str | Path) -> str:
    """Say that weights carry no recipe, and what to do."""
    weights = Path(weights)
    return (
        f"{weights}: carries no recipe, so it is not known which AUs its outputs are; name them"
        f" with --aus, such as --aus 1,2,4, or write a copy that knows them: drml show {weights} --set-aus"
        f" 1,2,4 --out {weights.with_name(f'named_{weights.name}')}"
    )
