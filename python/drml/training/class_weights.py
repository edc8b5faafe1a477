"""Weights of the AUs in the loss, from the labels with which a net is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drml.data.labels import ABSENT, PRESENT
from drml.data.manifest import iterate_manifest, manifest_path, read_aus
from drml.io.errors import UserError
from drml.nets.deploy import in_phase

__all__ = ["LARGEST_RATIO", "balance", "class_weights", "count_labels", "read_class_weights"]

LARGEST_RATIO = 10.0
"""Ratios of negatives to positives beyond this, or below its inverse, count as this."""

_LOSSES = ("MultiLabelSigmoidCrossEntropyLoss", "MultiSigmoidCrossEntropyLoss")
_DATA = "MultiLabelData"


def class_weights(present: Sequence[int], absent: Sequence[int]) -> tuple[float, ...]:
    """Return the weight of each AU's positive term in the loss, higher for rarer AUs.

    It is the ratio of negatives to positives, limited to `LARGEST_RATIO` and its inverse, over the mean of
    these ratios, so that the weights are 1 on average. An AU that has no positives or no negatives has the
    weight 1 and no part in the mean: there is nothing to balance.

    Parameters
    ----------
    present, absent : sequence of int, length K
        How many training labels of each AU are 1 and -1.

    Returns
    -------
    tuple of float, length K

    Examples
    --------
    >>> class_weights([100, 300, 0], [300, 100, 400])
    (1.8, 0.2, 1.0)
    """
    ratios = [
        min(LARGEST_RATIO, max(1 / LARGEST_RATIO, without / with_)) if with_ and without else None
        for with_, without in zip(present, absent, strict=True)
    ]
    known = [ratio for ratio in ratios if ratio is not None]
    mean = sum(known) / len(known) if known else 1.0
    return tuple(1.0 if ratio is None else round(ratio / mean, 6) for ratio in ratios)


def count_labels(manifest: Path) -> tuple[list[int], list[int]]:
    """Count the labels of a manifest that are 1 and those that are -1, for each AU.

    Raises
    ------
    UserError
        It is missing or damaged.
    """
    count = len(read_aus(manifest))
    present, absent = [0] * count, [0] * count
    for row in iterate_manifest(manifest):
        for column, label in enumerate(row.labels[:count]):
            present[column] += label == PRESENT
            absent[column] += label == ABSENT
    return present, absent


def balance(net: Any) -> dict[int, float]:
    """Set the class weights of a net's losses, in place, from the labels of its training data.

    Parameters
    ----------
    net : NetParameter
        Its data layers name the data.

    Returns
    -------
    dict of int to float
        AU -> weight, in the order of the outputs.

    Raises
    ------
    UserError
        The net has no loss with class weights, reads no LMDB in TRAIN, or the LMDB has no manifest.
    """
    losses = [layer for layer in net.layer if layer.type in _LOSSES]
    if not losses:
        raise UserError(f"no layer of the types {', '.join(_LOSSES)}, whose positive terms have weights")
    sources = [
        Path(layer.multi_label_data_param.source)
        for layer in net.layer
        if layer.type == _DATA and in_phase(layer, "TRAIN")
    ]
    if not sources:
        raise UserError(f"no layer of the type {_DATA} in TRAIN, whose labels could be counted")
    manifest = manifest_path(sources[0])
    if not manifest.is_file():
        raise UserError(
            f"{sources[0]}: its manifest {manifest.name}, from which class weights are computed, is missing;"
            " prepare the data with drml prepare, or set pos_weight in the net"
        )
    if not read_aus(manifest):
        raise UserError(f"{sources[0]}: its labels are intensities, which have no class weights")
    weights = class_weights(*count_labels(manifest))
    for layer in losses:
        del layer.multi_label_loss_param.pos_weight[:]
        layer.multi_label_loss_param.pos_weight.extend(weights)
    return dict(zip(read_aus(manifest), weights, strict=True))


def read_class_weights(net: Any) -> tuple[float, ...]:
    """Return the weights of the positive terms in a net's loss, one for each output; empty if it has none."""
    for layer in net.layer:
        if layer.type in _LOSSES:
            return tuple(layer.multi_label_loss_param.pos_weight)
    return ()
