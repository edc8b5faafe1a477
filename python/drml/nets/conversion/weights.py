"""The weights of a converted net: only their order changes, nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.conversion.branches import Branches
from drml.nets.shapes import shape_text

__all__ = ["weights_to_branches", "weights_to_region"]


def weights_to_region(stored: Any, piece: Branches) -> None:
    """Replace the weights of the branches in a .caffemodel's message by those of the Region layer.

    Raises
    ------
    UserError
        The weights do not belong to the branches.
    """
    convolutions = _take(stored, piece.convolutions, 2 if piece.bias_term else 1)
    arrays = [np.stack([blobs[0] for blobs in convolutions])]
    if piece.bias_term:
        arrays.append(np.stack([blobs[1].ravel() for blobs in convolutions]))
    if piece.norms:
        norms = _take(stored, piece.norms, 3)
        factors = np.array([float(blobs[2].ravel()[0]) for blobs in norms])
        factor = factors.max()
        # Each branch has its own factor, but a Region has one for all; the sums are scaled to that.
        ratios = np.divide(factor, factors, out=np.zeros_like(factors), where=factors > 0)
        for index in range(2):
            sums = np.stack([blobs[index].ravel().astype(np.float64) for blobs in norms])
            arrays.append((sums * ratios[:, None]).astype(np.float32))
        arrays.append(np.array([factor], np.float32))
    if piece.scales:
        scales = _take(stored, piece.scales, 2)
        arrays += [np.stack([blobs[index].ravel() for blobs in scales]) for index in range(2)]
    _put(stored, piece.names, {piece.region: ("Region", arrays)})


def weights_to_branches(stored: Any, piece: Branches) -> None:
    """Replace the weights of the Region layer in a .caffemodel's message by those of its branches.

    Raises
    ------
    UserError
        The weights do not belong to the Region layer.
    """
    counts = [1, int(piece.bias_term), 3 if piece.norms else 0, 2 if piece.scales else 0]
    (arrays,) = _take(stored, [piece.region], sum(counts))
    patches = len(piece.convolutions)
    if arrays[0].ndim != 5 or arrays[0].shape[0] != patches:
        raise UserError(
            f"layer '{piece.region}' has weights of {shape_text(arrays[0].shape)},"
            f" not of {patches} patches; give the weights of this net"
        )
    new = {}
    ends = np.cumsum(counts)
    for index in range(patches):
        new[piece.convolutions[index]] = ("Convolution", [array[index] for array in arrays[: ends[1]]])
        if piece.norms:
            mean, variance, factor = arrays[ends[1] : ends[2]]
            new[piece.norms[index]] = ("Batch", [mean[index], variance[index], factor])
        if piece.scales:
            new[piece.scales[index]] = ("Scale", [array[index] for array in arrays[ends[2] :]])
    _put(stored, [piece.region], new)


def _array(blob: Any) -> NDArray[np.float32]:
    """Return the values of a BlobProto; the shapes in old files always have four axes."""
    values = blob.double_data if blob.double_data else blob.data
    old = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    shape = (blob.num, blob.channels, blob.height, blob.width) if old else tuple(blob.shape.dim)
    if len(values) != math.prod(shape):
        raise UserError(
            f"a blob of {shape} has {len(values)} values; the file is damaged; give whole weights"
        )
    return np.array(values, np.float32).reshape(shape)


def _take(stored: Any, names: Sequence[str], count: int) -> list[list[NDArray[np.float32]]]:
    """Return the blobs of some layers, each of which must have `count`."""
    found = {layer.name: layer for layer in stored.layer if layer.blobs}
    result = []
    for name in names:
        if name not in found:
            raise UserError(f"no weights for layer '{name}'; give the weights of this net")
        blobs = [_array(blob) for blob in found[name].blobs]
        if len(blobs) != count:
            raise UserError(
                f"layer '{name}' has {len(blobs)} blobs, not {count}; give the weights of this net"
            )
        result.append(blobs)
    return result


def _put(stored: Any, removed: Sequence[str], new: dict[str, tuple[str, list[NDArray[np.float32]]]]) -> None:
    """Take the layers `removed` out and add those in `new`: name -> type and blobs."""
    kept = [layer for layer in stored.layer if layer.name not in set(removed)]
    copies = [type(layer).FromString(layer.SerializeToString()) for layer in kept]
    del stored.layer[:]
    stored.layer.extend(copies)
    for name, (kind, arrays) in new.items():
        layer = stored.layer.add(name=name, type=kind)
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(np.ascontiguousarray(array, np.float32).ravel())
