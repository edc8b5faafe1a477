"""The folds that a user asks for: numbers of folds, a list of folds, or a rule for the subjects."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from drml.data.readers.fold_lists import FoldLists, read_fold_lists
from drml.data.readers.folds import DEALT_FOLDS, deal_folds
from drml.io.errors import UsageError, UserError
from drml.io.text import counted

__all__ = ["FoldChoice", "make_fold_lists"]

_RANDOM = re.compile(r"random:([1-9][0-9]{0,3})")


def make_fold_lists(scheme: str, subjects: Collection[str], *, seed: int) -> FoldLists:
    """Make lists from the subjects that the data have.

    Parameters
    ----------
    scheme : str
        ``loso`` tests each subject in a fold of its own, in the order of their names. ``random:K`` divides
        the subjects into K folds of nearly equal size.
    subjects : collection of str
    seed : int, keyword-only
        Determines the folds of ``random:K``.

    Raises
    ------
    UserError
        There are too few subjects.

    Examples
    --------
    >>> make_fold_lists("loso", ["bob", "ann"], seed=0).parts
    (('ann',), ('bob',))
    """
    if drawn := _RANDOM.fullmatch(scheme):
        parts = deal_folds(subjects, seed=seed, folds=int(drawn[1]))
        return FoldLists(f"{counted(len(parts), 'fold')} drawn at random, seed {seed}", parts)
    if len(set(subjects)) < 2:
        raise UserError("folds loso: the data have 1 subject, and at least 2 are needed; add subjects")
    return FoldLists("one subject left out", tuple((name,) for name in sorted(set(subjects))))


@dataclasses.dataclass(frozen=True)
class FoldChoice:
    """The folds that the user asked for, checked as far as that is possible before the data are read.

    Attributes
    ----------
    numbers : tuple of int or None
        The folds to write; None: all.
    lists : FoldLists or None
        None if the lists are made from the subjects.
    scheme : str
        How they are made then, as in `make_fold_lists`.
    file : str or None
        The name of the list or file that the user gave.
    """

    numbers: tuple[int, ...] | None
    lists: FoldLists | None
    scheme: str = ""
    file: str | None = None

    @classmethod
    def of(
        cls,
        folds: Sequence[int] | str | None,
        file: str | Path | None,
        *,
        own: FoldLists | None,
        shipped: Sequence[str] = (),
    ) -> FoldChoice:
        """Check what the user gave: numbers of folds or a scheme, and a list of folds.

        Parameters
        ----------
        folds : sequence of int, str or None
            Numbers of folds, ``loso``, ``random:K``, or None for all folds.
        file : str, path or None
            As in `read_fold_lists`.
        own : FoldLists or None, keyword-only
            The data set's own lists, which apply if there is no file and no scheme.
        shipped : sequence of str, keyword-only
            The names of the lists that ship with drml for this data set.

        Raises
        ------
        UsageError, UserError
            There is no such scheme or fold, or the file is invalid.
        """
        if isinstance(folds, str):
            if folds != "loso" and not (_RANDOM.fullmatch(folds) and folds != "random:1"):
                raise UsageError(
                    f"folds {folds!r}: give numbers of folds, such as 1,3; loso, for one fold per subject; or"
                    " random:K, for K folds drawn by the seed, 2 or more"
                )
            if file is not None:
                raise UsageError(
                    f"folds {folds}: not with a list of folds (folds_file {file}); give one of them"
                )
            return cls(None, None, folds)
        lists = own if file is None else read_fold_lists(file, shipped)
        numbers = None if folds is None else tuple(folds)
        scheme = "" if lists else f"random:{DEALT_FOLDS}"
        if numbers is not None:
            (lists or FoldLists("", ((),) * DEALT_FOLDS)).check_numbers(numbers)
        return cls(numbers, lists, scheme, None if file is None else str(file))

    def lists_of(self, subjects: Collection[str], *, seed: int) -> FoldLists:
        """Return the lists for the subjects that the data have; raise `UserError` if they do not fit."""
        lists = self.lists or make_fold_lists(self.scheme, subjects, seed=seed)
        lists.check_subjects(subjects)
        return lists
