"""Sets up a training's folder: the solver and its nets, with paths and the recipe filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drml
from drml.data.labels import UNKNOWN_LEVEL
from drml.data.manifest import iterate_manifest, manifest_path, read_columns
from drml.data.recipe_text import read_data_recipe
from drml.io.checks import check_whole
from drml.io.errors import UserError
from drml.nets.deploy import find_input_size, make_deploy
from drml.nets.intensity_head import add_intensities
from drml.nets.outputs import count_outputs, fit_outputs, set_label_count
from drml.nets.prototxt import data_paths, read_prototxt, write_prototxt
from drml.nets.trained_files import DEPLOY_FILE
from drml.training.augmentation import augment
from drml.training.class_weights import balance
from drml.training.f1_table import aus_of_data, columns_of_data
from drml.training.fold_data import read_fold
from drml.training.folder import SOLVER_FILE, holds_nets, net_fields, remove_training, take_nets_out
from drml.training.kept_options import check_same_options

__all__ = ["Changes", "set_up"]


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a training changes in the user's solver and nets; None leaves a setting as it is.

    Attributes
    ----------
    data : path, optional
        A fold's folder: each data path of the net becomes the entry of the same name in it.
    net : path, optional
        Replaces the solver's `net`.
    seed : int, optional
        `random_seed` of the solver, 0 or more.
    max_iter : int, optional
        `max_iter` of the solver, at least 1.
    num_aus : int, optional
        Number of the net's outputs; by default the number of AUs in the data's manifest.
    new_output : bool
        Rename the net's last layer, so that weights to start from do not reach it.
    balance : bool
        Weigh the positive terms of the loss by the training labels (`drml.training.class_weights`).
    augment : mapping of str to float, optional
        Random changes of the training images (`drml.training.augmentation`).
    start : str, optional
        The weights from which the training starts, in words, for the recipe of its snapshots.
    """

    data: str | Path | None = None
    net: str | Path | None = None
    seed: int | None = None
    max_iter: int | None = None
    num_aus: int | None = None
    new_output: bool = False
    balance: bool = False
    augment: Mapping[str, float] | None = None
    start: str | None = None


_NO_CHANGES = Changes()


def set_up(
    solver: str | Path,
    out: str | Path,
    changes: Changes = _NO_CHANGES,
    *,
    clear: bool = False,
    resumed: bool = False,
) -> Any:
    """Write the solver and its nets to a training's folder.

    If there is no deploy.prototxt next to the net, one is made of it (`drml.nets.deploy`).

    If the data have intensities, the nets estimate them (`drml.nets.intensity_head`).

    The nets get a ``recipe``: the version of this program, ``changes.start``, and the AUs of data that have a
    manifest but no recipe. Caffe adds what ``recipe.prototxt`` next to the data says, and stores it with the
    weights.

    Parameters
    ----------
    solver : path
        The user's solver.prototxt.
    out : path
        The folder; it is made if it is missing.
    changes : Changes
    clear : bool
        Remove an earlier training from the folder, once all input has been read and checked.
    resumed : bool
        The training in the folder continues: its class weights and augmentation must be the same.

    Returns
    -------
    SolverParameter
        The solver as it was written.

    Raises
    ------
    UserError
        The solver, a net or the data are missing or damaged, or a training would be resumed with other
        options. The folder is then left unchanged.
    """
    solver, out = Path(solver), Path(out).absolute()
    message = _read_solver(solver, changes)
    inside = take_nets_out(message)
    nets: dict[str, Any] = {}
    deploy: Any = None
    made: Any = None  # of the net, for one that has no deploy net next to it
    for field in net_fields(message):
        if field in inside:
            source, net = solver.with_name(field.get(message)), inside[field]
        else:
            source = _find_net(solver, field.get(message))
            net = read_prototxt(source)
        if changes.data is not None:
            read_fold(net, Path(changes.data))
        _redirect(net, source, Path(changes.data) if changes.data is not None else None)
        deploy_source = source.with_name(DEPLOY_FILE)
        if deploy is None and deploy_source.is_file():
            deploy = read_prototxt(deploy_source)
        renamed = _fit(net, source, changes)
        if field.index is None:
            _change_training(net, source, changes)
        _add_recipe(net, changes)
        if renamed and deploy is not None:
            try:
                fit_outputs(deploy, count_outputs(net), old=renamed)
            except UserError as error:
                raise UserError(f"{deploy_source}: {error}") from None
        made = _deploy_of(net) if made is None else made
        _estimate_intensities(net, source, [deploy if deploy is not None else made], changes)
        name = source.name if source.name != SOLVER_FILE else f"net_{source.name}"
        if name in nets and field.index is not None:
            name = f"{field.index}_{name}"
        if resumed and field.index is None and (out / name).is_file():
            check_same_options(read_prototxt(out / name), net, out / name)
        nets[name] = net
        field.set(message, out / name)
    deploy = made if deploy is None else deploy
    message.snapshot_prefix = str(out / (Path(message.snapshot_prefix).name or "drml"))
    out.mkdir(parents=True, exist_ok=True)
    if clear:
        remove_training(out)
    files = {**nets, SOLVER_FILE: message} | ({} if deploy is None else {DEPLOY_FILE: deploy})
    for name, content in files.items():
        write_prototxt(content, out / name)
    return message


def _read_solver(path: Path, changes: Changes) -> Any:
    """Read the user's solver and change what it says itself; its nets are not looked at."""
    message = read_prototxt(path, "SolverParameter")
    if changes.data is not None and not Path(changes.data).is_dir():
        raise UserError(
            f"{changes.data}: no such folder; give a fold that drml prepare wrote, such as OUT/fold1"
        )
    if changes.max_iter is not None:
        message.max_iter = check_whole(changes.max_iter, 1, "max_iter")
    if changes.seed is not None:
        message.random_seed = check_whole(changes.seed, 0, "seed")
    if changes.net is not None:
        message.net = str(changes.net)
        message.ClearField("net_param")
    if not net_fields(message) and not holds_nets(message):
        raise UserError(
            f'{path}: names no net; it needs a line such as net: "models/drml/train_val.prototxt"'
        )
    return message


def _find_net(solver: Path, path: str) -> Path:
    """Find a net's file as Caffe does, from the working directory, or beside the solver."""
    for place in (Path(path), solver.parent / path, solver.parent / Path(path).name):
        if place.is_file():
            return place
    raise UserError(f"{solver}: net {path} not found; start from the folder its path is relative to")


def _redirect(net: Any, net_file: Path, data: Path | None) -> None:
    """Make a net's data paths absolute, and let them lead to the fold `data` if one is given."""
    for entry in data_paths(net):
        now = Path(entry.path)
        path = (data / now.name if data is not None else now).absolute()
        if not path.exists():
            raise UserError(
                f"{path}: not found; layer '{entry.layer}' of {net_file} reads it"
                f" ({'run drml prepare, or give --data' if data is None else 'is --data a fold folder?'})"
            )
        entry.path = str(path)


def _fit(net: Any, source: Path, changes: Changes) -> str | None:
    """Give a net as many outputs as its data have AUs; return the last layer's old name if it changed."""
    occurrences, intensities = columns_of_data(net)
    if intensities and not occurrences:
        if changes.num_aus is not None:
            raise UserError(
                f"{changes.num_aus} AUs were asked for, but the data of {source} have intensities"
            )
        return None
    num_aus, new_output = changes.num_aus, changes.new_output
    known = len(aus_of_data(net)) or None
    if num_aus is not None and known is not None and num_aus != known:
        raise UserError(f"{num_aus} AUs were asked for, but the data that {source} reads have {known}")
    wanted = num_aus or known
    if wanted is None and not new_output:
        return None
    try:
        now = count_outputs(net)
    except UserError as error:
        # A net whose loss we do not know stays as it is, unless the user asked for the change.
        if num_aus is None and not new_output:
            return None
        raise UserError(f"{source}: {error}") from None
    if wanted in (None, now) and not new_output:
        return None
    set_label_count(net, wanted or now)
    try:
        return fit_outputs(net, wanted or now)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _change_training(net: Any, source: Path, changes: Changes) -> None:
    """Change what a net does in TRAIN alone."""
    try:
        if changes.balance:
            balance(net)
        if changes.augment is not None:
            augment(net, changes.augment)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _estimate_intensities(net: Any, source: Path, deploys: list[Any], changes: Changes) -> None:
    """Give a net, and its deploy nets, outputs for the intensities of its data, if they have any."""
    occurrences, intensities = columns_of_data(net)
    if not intensities:
        return
    try:
        # From biases far from the labels' mean, all units would first be pushed in one direction, and off.
        start = round(_mean_level(net), 3)
        for one in (net, *(deploy for deploy in deploys if deploy is not None)):
            add_intensities(
                one, len(intensities), occurrences=len(occurrences), fresh=changes.new_output, start=start
            )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    set_label_count(net, len(occurrences) + len(intensities))


def _mean_level(net: Any) -> float:
    """Return the mean of all known intensities in the training data of a net; 0 if none is known."""
    manifest = next(
        manifest_path(Path(entry.path))
        for entry in data_paths(net)
        if entry.field == "source" and manifest_path(Path(entry.path)).is_file()
    )
    count = len(read_columns(manifest)[0])
    levels = [
        level for row in iterate_manifest(manifest) for level in row.labels[count:] if level != UNKNOWN_LEVEL
    ]
    return sum(levels) / len(levels) if levels else 0.0


def _add_recipe(net: Any, changes: Changes) -> None:
    """Add to a net's own recipe what `drml.training` knows of it; what it has already stays."""
    net.recipe.program.append(f"drml {drml.__version__} (training)")
    if changes.start is not None:
        net.recipe.training.start = changes.start
    if not net.recipe.au and not any(
        _names_aus(entry.path) for entry in data_paths(net) if entry.field == "source"
    ):
        net.recipe.au.extend(_aus_of_outputs(net))


def _deploy_of(net: Any) -> Any:
    """Make the deploy net of a net that has none next to it; None if that cannot be done."""
    size = find_input_size(net)
    for entry in data_paths(net):
        recipe = read_data_recipe(entry.path) if size is None and entry.field == "source" else None
        if recipe is not None and recipe.input.face_size:
            size = (recipe.input.face_size, recipe.input.face_size)
    try:
        return None if size is None else make_deploy(net, size)
    except UserError:
        return None


def _names_aus(path: str) -> bool:
    recipe = read_data_recipe(path) if Path(path).exists() else None
    return recipe is not None and bool(recipe.au or recipe.intensity_au)


def _aus_of_outputs(net: Any) -> tuple[int, ...]:
    """Return the AUs that a net detects, in the order of its outputs; empty if they are not known."""
    aus = aus_of_data(net)
    try:
        return aus if count_outputs(net) == len(aus) else ()
    except UserError:
        return ()
