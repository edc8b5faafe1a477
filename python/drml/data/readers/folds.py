"""The subject-exclusive folds in use for BP4D and DISFA, as data, and how a fold is split."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from drml.io.errors import UserError

__all__ = ["BP4D_FOLDS", "DISFA_FOLDS", "Split", "deal", "split"]

# Female and male subjects by number: 41 names in rows are easier to misread.
BP4D_FOLDS: tuple[tuple[str, ...], ...] = tuple(
    (*(f"F{number:03d}" for number in women), *(f"M{number:03d}" for number in men))
    for women, men in (
        ((1, 2, 8, 9, 10, 16, 18, 23), (1, 4, 7, 8, 12, 14)),
        ((3, 5, 11, 13, 20, 22), (2, 5, 10, 11, 13, 16, 17, 18)),
        ((4, 6, 7, 12, 14, 15, 17, 19, 21), (3, 6, 9, 15)),
    )
)

DISFA_FOLDS: tuple[tuple[str, ...], ...] = tuple(
    tuple(f"SN{number:03d}" for number in fold)
    for fold in (
        (1, 2, 9, 10, 16, 26, 27, 30, 32),
        (6, 11, 12, 13, 18, 21, 24, 28, 31),
        (3, 4, 5, 7, 8, 17, 23, 25, 29),
    )
)


class Split(NamedTuple):
    """The subjects of one fold, each in exactly one of three groups, sorted by name."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def deal(subjects: Iterable[str], *, seed: int = 0, folds: int = 3) -> tuple[tuple[str, ...], ...]:
    """Deal subjects out into lists of nearly one length, as a set needs that has no folds of its own.

    Examples
    --------
    >>> [len(names) for names in deal("abcdefg")]
    [3, 2, 2]
    """
    names = sorted(set(subjects))
    if len(names) < folds:
        raise UserError(f"{len(names)} subjects for {folds} folds; at least one for each is needed")
    random.Random(f"{seed}/deal").shuffle(names)
    return tuple(tuple(sorted(names[fold::folds])) for fold in range(folds))


def split(
    subjects: Iterable[str],
    fold: int,
    *,
    folds: tuple[tuple[str, ...], ...] = BP4D_FOLDS,
    val_share: float = 0.2,
    seed: int = 0,
) -> Split:
    """Split the subjects at hand: list ``fold`` tests, the other lists train and validate.

    Parameters
    ----------
    subjects : iterable of str
        The subjects at hand; those in no list of ``folds`` are left out.
    fold : int
        1-based.
    folds : tuple of tuples, keyword-only
        The lists.
    val_share : float, keyword-only
        Share of the training *subjects* held out for validation, in [0, 1); at least one subject
        unless it is 0.
    seed : int, keyword-only
        Chooses which subjects validate. Each fold draws on its own.

    Returns
    -------
    Split

    Examples
    --------
    >>> split(["F001", "F003", "F004", "F005"], 1, val_share=0.3)
    Split(train=('F003', 'F005'), val=('F004',), test=('F001',))
    """
    if not 1 <= fold <= len(folds):
        raise UserError(f"fold {fold}: there are {len(folds)} folds, counted from 1")
    if not 0 <= val_share < 1:
        raise UserError(f"validation share {val_share}: give a number from 0 up to, not including, 1")
    at_hand = set(subjects)
    test = tuple(sorted(at_hand.intersection(folds[fold - 1])))
    others = sorted(
        at_hand.intersection(name for k, names in enumerate(folds, 1) if k != fold for name in names)
    )
    if not test:
        raise UserError(
            f"fold {fold}: none of the {len(at_hand)} subjects at hand is in its test list "
            f"({' '.join(folds[fold - 1])}); leave this fold out or add one of them"
        )
    needed = 2 if val_share else 1
    if len(others) < needed:
        raise UserError(
            f"fold {fold}: {len(others)} training subjects at hand, {needed} needed"
            f"{' (one trains, one validates)' if needed == 2 else ''}; leave this fold out or add subjects"
        )
    count = min(max(1, round(val_share * len(others))), len(others) - 1) if val_share else 0
    # A string seeds Python's generator through SHA-512: the same draw in every process and version.
    val = set(random.Random(f"{seed}/fold{fold}").sample(others, count))
    return Split(tuple(name for name in others if name not in val), tuple(sorted(val)), test)
