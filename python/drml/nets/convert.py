"""``drml convert``: nets with Region layers <-> nets with the branches of layers that the authors' nets have.

A converted net computes the same. Prototxt and .caffemodel files are rewritten as messages; Caffe itself only
determines the sizes of the maps (`drml.nets.probe.map_shape`).
"""

from __future__ import annotations

from pathlib import Path

from drml.io.errors import UserError
from drml.io.files import writing
from drml.nets.conversion.to_branches import to_branches
from drml.nets.conversion.to_region import to_region
from drml.nets.conversion.weights import weights_to_branches, weights_to_region
from drml.nets.prototxt import prototxt_text, read_prototxt
from drml.nets.weights import read_caffemodel

__all__ = ["TARGETS", "convert"]

TARGETS = ("region", "branches")


def convert(
    model: str | Path,
    out: str | Path,
    *,
    to: str,
    weights: str | Path | None = None,
    out_weights: str | Path | None = None,
    size: int | None = None,
) -> int:
    """Convert the prototxt of a net, and its weights if they are given.

    Parameters
    ----------
    model, out : path-like
        The prototxt to read and the one to write.
    to : {"region", "branches"}, keyword-only
        The form to convert to.
    weights, out_weights : path-like, optional
        The .caffemodel to read and the one to write; give both or neither.
    size : int, optional
        Side of the net's input in pixels, needed if the prototxt does not say it (a data layer without a
        crop).

    Returns
    -------
    int
        The number of Region layers that were converted.

    Raises
    ------
    UserError
        A file is missing or damaged, or the net has no such layers or some that have no counterpart. No file
        is written then.

    Examples
    --------
    >>> convert("models/drml/deploy.prototxt", "branches.prototxt", to="branches")  # doctest: +SKIP
    1
    """
    if (weights is None) != (out_weights is None):
        raise UserError("weights to read and a file to write them to need each other; give both, or neither")
    net = read_prototxt(model)
    stored = None if weights is None else read_caffemodel(weights)
    try:
        change = {"region": to_region, "branches": to_branches}[to]
        try:
            converted = change(net, size=size)
        except IndexError:
            raise UserError("a layer lacks a bottom, a top or a number that its type needs") from None
        if not converted:
            kind = "Region" if to == "branches" else "Splice"
            raise UserError(f"has no layer {kind} to convert")
    except UserError as error:
        raise UserError(f"{model}: {error}") from None
    if stored is not None:
        try:
            for branches in converted:
                (weights_to_region if to == "region" else weights_to_branches)(stored, branches)
        except UserError as error:
            raise UserError(f"{weights}: {error}") from None
    with writing(out, encoding="utf-8") as file:
        file.write(prototxt_text(net))
    if stored is not None and out_weights is not None:
        with writing(out_weights, "wb") as file:
            file.write(stored.SerializeToString())
    return len(converted)
