"""The subject-exclusive folds of BP4D and DISFA, and how the subjects of a fold are split."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import NamedTuple

from drml.io.checks import check_share
from drml.io.errors import UserError
from drml.io.text import counted

__all__ = [
    "BP4D_FOLDS",
    "DEALT_FOLDS",
    "DISFA_FOLDS",
    "FoldSubjects",
    "check_val_share",
    "deal_folds",
    "split_subjects",
]

DEALT_FOLDS = 3
"""Number of folds of a data set that has no folds of its own."""

# Female and male subjects by number, because a list of 41 names is easily misread.
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


class FoldSubjects(NamedTuple):
    """The subjects of a fold's three splits, each subject in exactly one of them, sorted by name."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def deal_folds(
    subjects: Iterable[str], *, seed: int = 0, folds: int = DEALT_FOLDS
) -> tuple[tuple[str, ...], ...]:
    """Divide subjects at random into folds of nearly equal size, for a data set without folds of its own.

    Raises
    ------
    UserError
        There are fewer subjects than folds.

    Examples
    --------
    >>> [len(names) for names in deal_folds("abcdefg")]
    [3, 2, 2]
    """
    names = sorted(set(subjects))
    if len(names) < folds:
        raise UserError(
            f"{counted(len(names), 'subject')} for {counted(folds, 'fold')};"
            " each fold needs at least one subject"
        )
    random.Random(f"{seed}/deal").shuffle(names)
    return tuple(tuple(sorted(names[fold::folds])) for fold in range(folds))


def check_val_share(val_share: float) -> None:
    """Raise `UserError` if the share of the validation subjects is not in [0, 1)."""
    check_share(val_share, "validation share")


def split_subjects(
    subjects: Iterable[str],
    fold: int,
    *,
    folds: tuple[tuple[str, ...], ...] = BP4D_FOLDS,
    val_share: float = 0.2,
    seed: int = 0,
) -> FoldSubjects:
    """Split subjects into training, validation and test subjects of one fold.

    Parameters
    ----------
    subjects : iterable of str
        The subjects that the data have; those in none of the ``folds`` are left out.
    fold : int
        Number of the fold, from 1.
    folds : tuple of tuples, keyword-only
        The test subjects of each fold.
    val_share : float, keyword-only
        Share of the training *subjects* held out for validation, in [0, 1); at least one subject
        unless it is 0.
    seed : int, keyword-only
        Determines which subjects are held out, for each fold independently.

    Returns
    -------
    FoldSubjects

    Raises
    ------
    UserError
        There is no such fold, or too few of the subjects are in its lists.

    Examples
    --------
    >>> split_subjects(["F001", "F003", "F004", "F005"], 1, val_share=0.3)
    FoldSubjects(train=('F003', 'F005'), val=('F004',), test=('F001',))
    """
    if not 1 <= fold <= len(folds):
        raise UserError(f"fold {fold}: there are {len(folds)} folds, counted from 1")
    check_val_share(val_share)
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
    return FoldSubjects(tuple(name for name in others if name not in val), tuple(sorted(val)), test)
