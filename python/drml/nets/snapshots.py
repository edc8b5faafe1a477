"""Snapshots of a training: checks whether one is whole, and finds the newest whole one in a folder.

A .solverstate of this Caffe begins with the length and the CRC-32 of the rest, and has those of its weights
as well (the messages ``ResumeState`` and ``SolverState``; ``caffe_ext/training/snapshot_files.hpp``).
Snapshots of a stock Caffe have neither, and count as whole if they can be read.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.io.limits import ARRAY_BYTES, PROTO_BYTES, read_bytes
from drml.nets.pycaffe import new_message

__all__ = ["Snapshot", "newest", "read"]

_NAME = re.compile(r"_iter_(\d+)\.solverstate(\.h5)?$")
# Tag and length of SolverState.resume, then of its two fields of fixed size.
_TAG = b"\xc2\x3e"
_FIRST_PART = 17
# Bytes of a number or a name, and of the dataset `resume`, in HDF5.
_SHORT, _RESUME = 4096, 1 << 28


@dataclass(frozen=True)
class Snapshot:
    """A whole snapshot.

    Attributes
    ----------
    path : Path
        The .solverstate file.
    iteration : int
        Number of iterations until then.
    weights : Path
        Its .caffemodel or .h5 file.
    """

    path: Path
    iteration: int
    weights: Path


def newest(folder: str | Path) -> Snapshot | None:
    """Return the whole snapshot with the most iterations in a folder, or None.

    Snapshots that are cut short or damaged are ignored, and so are those of a loss that was not finite.
    """
    numbered = [
        (int(match[1]), path) for path in Path(folder).iterdir() if (match := _NAME.search(path.name))
    ]
    for _, path in sorted(numbered, reverse=True):
        try:
            return read(path)
        except UserError:
            continue
    return None


def read(path: str | Path) -> Snapshot:
    """Read a snapshot, and check it and its weights.

    Raises
    ------
    UserError
        The snapshot or its weights are missing, cut short or damaged.
    """
    path = Path(path)
    try:
        state = _read_hdf5(path) if path.suffix == ".h5" else _read_binary(path)
        weights = _weights(path, state)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    return Snapshot(path, state.iter, weights)


def _read_binary(path: Path) -> Any:
    from google.protobuf.message import DecodeError

    content = read_bytes(path, PROTO_BYTES)
    state = new_message("SolverState")
    first = new_message("SolverState")
    try:
        if content.startswith(_TAG):
            first.ParseFromString(content[:_FIRST_PART])
            body = memoryview(content)[_FIRST_PART:]
            if len(body) != first.resume.body_bytes:
                whole = _FIRST_PART + first.resume.body_bytes
                raise UserError(f"{path}: has {len(content)} bytes of {whole}: it is cut short")
            if zlib.crc32(body) != first.resume.body_crc:
                raise UserError(f"{path}: damaged: its bytes do not match their checksum")
        state.ParseFromString(content)
    except DecodeError:
        raise UserError(f"{path}: not a solverstate, or cut short") from None
    if not state.HasField("iter") or (state.HasField("resume") and not state.resume.HasField("body_crc")):
        raise UserError(f"{path}: not a solverstate, or its first bytes are damaged")
    return state


def _read_hdf5(path: Path) -> Any:
    import h5py
    from google.protobuf.message import DecodeError

    from drml.io.hdf5 import child, read_set

    state = new_message("SolverState")
    try:
        with h5py.File(path) as file:
            state.iter = int(read_set(child(file, "iter"), _SHORT).item())
            if "learned_net" in file:
                state.learned_net = _text(child(file, "learned_net"))
            if "resume" in file:
                state.resume.ParseFromString(read_set(child(file, "resume"), _RESUME).tobytes())
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, DecodeError) as error:
        raise UserError(f"{path}: not a solverstate in HDF5, or cut short ({error})") from None
    return state


def _text(found: Any) -> str:
    """Read a string in the form that Caffe writes: of fixed length, and in the file itself."""
    if found.shape != () or found.dtype.kind != "S" or found.dtype.itemsize > _SHORT or found.external:
        raise ValueError(f"'{found.name}' is not a name")
    return bytes(found[()]).decode()


def _weights(path: Path, state: Any) -> Path:
    """Find the weights at the path in the solverstate or else in its folder, as Caffe does."""
    named = Path(state.learned_net)
    fault = f"{path}: its weights {named} are missing"
    for place in (named, path.with_name(named.name)):
        if not place.is_file():
            continue
        if not state.resume.HasField("net_crc"):
            return place
        content = read_bytes(place, PROTO_BYTES if place.suffix != ".h5" else ARRAY_BYTES)
        if len(content) != state.resume.net_bytes:
            fault = f"{path}: its weights {place} have {len(content)} bytes of {state.resume.net_bytes}"
        elif zlib.crc32(content) != state.resume.net_crc:
            fault = f"{path}: its weights {place} do not match their checksum"
        else:
            return place
    raise UserError(fault)
