"""Reads and writes the recipe that weights carry inside: .caffemodel, .h5 and .onnx files.

The file of weights alone is enough to use a net, because Caffe and ``drml export-onnx`` store the net's
recipe in it (`drml.data.recipe.Recipe`):

- a .caffemodel has it in the field ``recipe`` of its NetParameter, which stock Caffe skips;
- an .h5 file has it as bytes in the dataset ``recipe``;
- an .onnx file has it as text in the metadata property ``recipe``.

Neither Caffe nor ONNX is needed, and the values of the weights are not read: only the recipe's bytes are.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import IO

import numpy as np

from drml.data.labels import AU_NAMES
from drml.data.recipe import Recipe
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.files import making, temporary_path
from drml.io.limits import MEAN_BYTES, PROTO_BYTES, check_file
from drml.nets.protobuf_fields import Field, NotProtobufError, content_of, encode_field, fields_of, splice

__all__ = ["RECIPE", "read_recipe", "recipe_properties", "write_recipe"]

RECIPE = "recipe"
"""Name of the dataset of an .h5 file, and of the property of an .onnx file."""

_NET_RECIPE = 1000  # NetParameter.recipe
_ONNX_PROPERTY = 14  # ModelProto.metadata_props: messages of a key (1) and a value (2)
_RECIPE_BYTES = MEAN_BYTES + (1 << 20)


def read_recipe(weights: str | Path) -> Recipe | None:
    """Read the recipe in a file of weights.

    Parameters
    ----------
    weights : path-like
        A .caffemodel, .h5 or .onnx file.

    Returns
    -------
    Recipe or None
        None if the file has none: stock Caffe or an older version wrote it.

    Raises
    ------
    UserError
        The file is missing, not such a file, or damaged.

    Examples
    --------
    >>> recipe = read_recipe("build/demo/train/final.caffemodel")  # doctest: +SKIP
    >>> recipe.au, recipe.data.name  # doctest: +SKIP
    ((1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24), 'BP4D')
    """
    path = Path(weights)
    _check(path)
    try:
        if hdf5.is_hdf5(path):
            return _from_bytes(_read_hdf5(path))
        if path.suffix.lower() == ".onnx":
            text = _read_onnx(path)
            return None if text is None else Recipe.from_text(text.decode("utf-8"))
        with path.open("rb") as file:
            parts = _contents(file, _NET_RECIPE)
        return _from_bytes(b"".join(parts))  # protobuf merges repeated occurrences of a field
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except NotProtobufError:
        raise UserError(_damaged(path)) from None
    except ValueError as error:
        raise UserError(f"{path}: the recipe in it cannot be read ({error}); give whole weights") from None


def write_recipe(weights: str | Path, recipe: Recipe, out: str | Path | None = None) -> None:
    """Put a recipe into a file of weights in place of the one that it has; the weights stay as they are.

    The file appears when it is complete. If it is a link, such as the ``final.caffemodel`` of a training, a
    file of its own replaces the link, and the snapshot to which it led is not changed: the .solverstate of a
    snapshot contains a checksum of its weights.

    Parameters
    ----------
    weights : path-like
        A .caffemodel, .h5 or .onnx file.
    recipe : Recipe
    out : path-like, optional
        The file to write; by default `weights` itself.

    Raises
    ------
    UserError
        The file is missing, damaged or belongs to a snapshot, or `out` cannot be written.
    ValueError
        The recipe is not possible; see `Recipe.from_message`.

    Examples
    --------
    >>> recipe = read_recipe("final.caffemodel")  # doctest: +SKIP
    >>> chosen = dataclasses.replace(recipe, threshold=(0.4,) * len(recipe.au))  # doctest: +SKIP
    >>> write_recipe("final.caffemodel", chosen)  # doctest: +SKIP
    """
    path = Path(weights)
    _check(path)
    target = path if out is None else Path(out)
    _refuse_snapshot(target)
    # `making` would follow a link, so the new file gets a name of its own first and then replaces the link.
    whole = target if not target.is_symlink() else temporary_path(target)
    try:
        with making(whole, overwrite=True) as part:
            if hdf5.is_hdf5(path):
                shutil.copyfile(path, part)
                _write_hdf5(part, recipe.to_bytes(), path)
            elif path.suffix.lower() == ".onnx":
                splice(path, part, _is_recipe_property, _onnx_properties(recipe))
            else:
                splice(path, part, _is_net_recipe, encode_field(_NET_RECIPE, recipe.to_bytes()))
            shutil.copymode(path, part)
        if whole != target:
            whole.replace(target)
    except NotProtobufError:
        raise UserError(_damaged(path)) from None
    except OSError as error:
        if whole != target:
            whole.unlink(missing_ok=True)
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from None


def _check(path: Path) -> None:
    if not path.is_file():
        raise UserError(
            f"{path}: no such weights file; give a .caffemodel or .h5, or the folder of a training"
        )
    check_file(path, PROTO_BYTES if not hdf5.is_hdf5(path) else 2 * PROTO_BYTES)


def _damaged(path: Path) -> str:
    kind = "an ONNX file" if path.suffix.lower() == ".onnx" else "a .caffemodel"
    return f"{path}: not {kind}, or cut short; give whole weights"


def _refuse_snapshot(target: Path) -> None:
    """Refuse to change the weights of a snapshot: its solverstate has a checksum of them."""
    stem = target.name.removesuffix(".h5").removesuffix(".caffemodel")
    states = (target.with_name(f"{stem}.solverstate{suffix}") for suffix in ("", ".h5"))
    if not target.is_symlink() and any(state.is_file() for state in states):
        raise UserError(
            f"{target}: belongs to a snapshot from which a training can resume, and must stay as it is;"
            " write to another file, or copy it first"
        )


def _from_bytes(content: bytes) -> Recipe | None:
    recipe = Recipe.from_bytes(content)
    return None if recipe == Recipe() else recipe


def _contents(file: IO[bytes], number: int) -> list[bytes]:
    """Return the contents of all fields of a number."""
    return [content_of(file, one, _RECIPE_BYTES) for one in fields_of(file) if one.number == number]


def _is_net_recipe(_: IO[bytes], one: Field) -> bool:
    return one.number == _NET_RECIPE


def _read_onnx(path: Path) -> bytes | None:
    """Return the property ``recipe`` of an .onnx file, if it has one."""
    with path.open("rb") as file:
        entries = _contents(file, _ONNX_PROPERTY)
    return dict(map(_property, entries)).get(RECIPE)


def _property(content: bytes) -> tuple[str, bytes]:
    """Read a key and its value: fields 1 and 2 of ONNX's StringStringEntryProto."""
    found = {1: b"", 2: b""}
    entry = io.BytesIO(content)
    for one in fields_of(entry):
        found[one.number] = content_of(entry, one, _RECIPE_BYTES)
    return found[1].decode("utf-8"), found[2]


_OF_RECIPE = (RECIPE, "aus", "intensity_aus", "au_names")


def _is_recipe_property(file: IO[bytes], one: Field) -> bool:
    return one.number == _ONNX_PROPERTY and _property(content_of(file, one, _RECIPE_BYTES))[0] in _OF_RECIPE


def _onnx_properties(recipe: Recipe) -> bytes:
    values = recipe_properties(recipe)
    entries = (
        encode_field(1, key.encode()) + encode_field(2, value.encode()) for key, value in values.items()
    )
    return b"".join(encode_field(_ONNX_PROPERTY, entry) for entry in entries)


def recipe_properties(recipe: Recipe) -> dict[str, str]:
    """Return the recipe as metadata properties of an .onnx file: whole, and its AUs for other programs."""
    named = {f"AU{au}": AU_NAMES.get(au, "") for au in (*recipe.au, *recipe.intensity_au)}
    levels = ",".join(map(str, recipe.intensity_au))
    return {
        RECIPE: recipe.to_text(),
        "aus": ",".join(map(str, recipe.au)),
        **({"intensity_aus": levels} if levels else {}),
        "au_names": json.dumps(named),
    }


def _read_hdf5(path: Path) -> bytes:
    import h5py

    try:
        with h5py.File(path) as file:
            if RECIPE not in file:
                return b""
            found = hdf5.read_set(hdf5.child(file, RECIPE), _RECIPE_BYTES)
    except (KeyError, RuntimeError, OSError, AttributeError) as error:
        raise ValueError(str(error)) from None
    if found.dtype != np.uint8 or found.ndim != 1:
        raise ValueError("its dataset is not one of bytes")
    return found.tobytes()


def _write_hdf5(copy: Path, content: bytes, path: Path) -> None:
    """Write a recipe into a copy of the file `path`, which errors name."""
    import h5py

    try:
        file = h5py.File(copy, "r+")
    except OSError:
        raise UserError(f"{path}: damaged HDF5 file; give whole weights") from None
    try:
        with file:
            if RECIPE in file:
                del file[RECIPE]
            file.create_dataset(RECIPE, data=np.frombuffer(content, np.uint8))
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"{path}: damaged HDF5 file ({error}); give whole weights") from None
