"""How subjects are divided into folds, and the subjects of a fold into training, validation and test."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from drml.io.checks import check_share
from drml.io.errors import UserError
from drml.io.text import counted

__all__ = [
    "DEALT_FOLDS",
    "FoldSubjects",
    "check_val_share",
    "deal_folds",
    "split_subjects",
]

DEALT_FOLDS = 3
"""Number of folds of a data set that has no folds of its own."""


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
    folds: Sequence[Collection[str]],
    val: Collection[str] = (),
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
    folds : sequence of collections of str, keyword-only
        The test subjects of each fold.
    val : collection of str, keyword-only
        The validation subjects of all folds, none of which is in `folds`; by default, each fold holds out
        some of its training subjects.
    val_share : float, keyword-only
        Share of the training *subjects* held out for validation, in [0, 1); at least one subject
        unless it is 0. Without effect if `val` has subjects.
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
    >>> split_subjects("abcd", 1, folds=["a", "b", "cd"], val_share=0.3)
    FoldSubjects(train=('b', 'd'), val=('c',), test=('a',))
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
    fixed = at_hand.intersection(val)
    if val and not fixed:
        raise UserError(
            f"fold {fold}: none of the {len(at_hand)} subjects at hand is in its validation list"
            f" ({' '.join(sorted(val))}); leave this list out or add one of them"
        )
    needed = 2 if val_share and not val else 1
    if len(others) < needed:
        raise UserError(
            f"fold {fold}: {len(others)} training subjects at hand, {needed} needed"
            f"{' (one trains, one validates)' if needed == 2 else ''}; leave this fold out or add subjects"
        )
    if val:
        return FoldSubjects(tuple(others), tuple(sorted(fixed)), test)
    count = min(max(1, round(val_share * len(others))), len(others) - 1) if val_share else 0
    # A string seeds Python's generator through SHA-512: the same draw in every process and version.
    held_out = set(random.Random(f"{seed}/fold{fold}").sample(others, count))
    train = tuple(name for name in others if name not in held_out)
    return FoldSubjects(train, tuple(sorted(held_out)), test)
