"""The data sets that can be prepared, and what is peculiar to each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from drml.data.labels import BP4D_AUS, DISFA_AUS
from drml.data.readers import Scan, bp4d, disfa, listed
from drml.data.readers.folds import BP4D_FOLDS, DISFA_FOLDS

__all__ = ["KINDS", "Kind"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A data set.

    Attributes
    ----------
    read : callable
        ``read(root, aus=..., progress=..., **options) -> Scan``.
    folds : tuple of tuple of str, or None
        Test subjects of each fold; None where they are dealt out by the seed.
    aus : tuple of int, or None
        The AUs of its labels, unless others are asked for; None: those that the data have.
    positives, negatives : int, or None
        Training frames for each AU and video; None: all. DISFA has one video a subject where BP4D has eight.
    """

    read: Callable[..., Scan]
    folds: tuple[tuple[str, ...], ...] | None
    aus: tuple[int, ...] | None
    positives: int | None
    negatives: int | None


KINDS: dict[str, Kind] = {
    "bp4d": Kind(bp4d.read, BP4D_FOLDS, BP4D_AUS, 100, 200),
    "disfa": Kind(disfa.read, DISFA_FOLDS, DISFA_AUS, 800, 1600),
    "images": Kind(listed.read, None, None, None, None),
}
