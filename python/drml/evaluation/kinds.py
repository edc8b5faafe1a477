"""Which kinds of labels a net can be scored for: occurrences of AUs, their intensities, or both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drml.data.split import open_split
from drml.io.errors import UserError
from drml.nets.intensity_head import INTENSITIES
from drml.nets.prototxt import read_prototxt

__all__ = ["kinds_to_score"]


def kinds_to_score(
    deploy: str | Path, weights: Sequence[str | Path], data: Sequence[str | Path]
) -> tuple[bool, bool]:
    """Find out for which kinds of labels a net can be scored: those that the net and all data have.

    Parameters
    ----------
    deploy : path
        The net's deploy.prototxt.
    weights : sequence of path
        For error messages.
    data : sequence of path
        The test sets.

    Returns
    -------
    tuple of bool
        Whether occurrences are scored, and whether intensities are.

    Raises
    ------
    UserError
        Net and data have no kind in common.
    """
    tops = {str(top) for layer in read_prototxt(deploy).layer for top in layer.top}
    estimates = INTENSITIES in tops
    # A net that ends in neither is reported by what runs it.
    detects = "prob" in tops or not estimates
    splits = [open_split(one) for one in data]
    has_levels = all(split.intensity_aus for split in splits)
    has_occurrences = all(
        split.manifest is None or split.manifest.aus or not split.intensity_aus for split in splits
    )
    kinds = (detects and has_occurrences, estimates and has_levels)
    if not any(kinds):
        net = "estimates intensities" if estimates else "detects occurrences"
        labels = "intensities" if has_levels else "occurrences"
        raise UserError(
            f"{weights[0]}: {net}, but the labels of {data[0]} are {labels}; prepare the data with --target"
            " both"
        )
    return kinds
