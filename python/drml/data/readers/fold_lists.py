"""Lists that assign subjects to folds: those that ship with drml, and users' files.

A list is a CSV file with the header ``subject,part``. Its parts are either numbers from 1, and then fold k
tests the subjects of part k and trains with the others; or ``train``, ``test`` and optionally ``val``, and
then there is one fold. Lines that begin with ``#`` are comments, and the first one is the title, which
captions show. ``drml prepare`` writes the list that it used as ``folds.csv``.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from drml.data.readers.folds import FoldSubjects, split_subjects
from drml.io.errors import UserError
from drml.io.limits import open_list
from drml.io.text import counted

__all__ = ["FoldLists", "read_fold_lists", "shipped_list"]

FOLDER = Path(__file__).with_name("lists")
_HEADER = ["subject", "part"]
_TRAIN, _VAL, _TEST = "train", "val", "test"
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")
_EXAMPLES = 5  # subjects named in a message


@dataclasses.dataclass(frozen=True)
class FoldLists:
    """Which subjects each fold tests.

    Attributes
    ----------
    title : str
        What the lists are, for captions.
    parts : tuple of tuple of str
        The subjects of each part. Fold k tests part k and trains with the other parts.
    count : int or None
        Number of folds; None: one for each part.
    val : tuple of str
        Validation subjects; if there are none, each fold holds out some of its training subjects.
    file : str
        The user's file, in which a subject that the data do not have is a mistake. Empty for other lists:
        those that ship with drml name more subjects than an incomplete copy of a data set has.
    """

    title: str
    parts: tuple[tuple[str, ...], ...]
    count: int | None = None
    val: tuple[str, ...] = ()
    file: str = ""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of the folds, from 1."""
        return tuple(range(1, 1 + (self.count or len(self.parts))))

    @property
    def subjects(self) -> frozenset[str]:
        """All subjects of the lists."""
        return frozenset(self.val).union(*self.parts)

    def check_numbers(self, folds: Sequence[int]) -> None:
        """Raise `UserError` unless `folds` names at least one of the folds, and none twice."""
        if not folds or len(set(folds)) != len(folds):
            raise UserError(f"folds {list(folds)}: name at least one, each once")
        for fold in folds:
            if fold not in self.numbers:
                raise UserError(
                    f"fold {fold}: there {'is' if len(self.numbers) == 1 else 'are'}"
                    f" {counted(len(self.numbers), 'fold')}, counted from 1"
                )

    def check_subjects(self, subjects: Collection[str]) -> None:
        """Raise `UserError` if the lists are a user's and name subjects that the data do not have."""
        unknown = sorted(self.subjects.difference(subjects)) if self.file else []
        if unknown:
            more = f" and {len(unknown) - _EXAMPLES} more" if len(unknown) > _EXAMPLES else ""
            raise UserError(
                f"{self.file}: the data have no subject {', '.join(unknown[:_EXAMPLES])}{more}; correct the"
                f" names, which are like {min(subjects, default='(none)')}, or remove these lines"
            )

    def split(self, subjects: Iterable[str], fold: int, *, val_share: float, seed: int) -> FoldSubjects:
        """Split the subjects that the data have; see `split_subjects`.

        `val_share` has no effect if the lists have validation subjects.
        """
        self.check_numbers([fold])
        return split_subjects(subjects, fold, folds=self.parts, val=self.val, val_share=val_share, seed=seed)

    def write(self, path: Path, subjects: Collection[str]) -> None:
        """Write the lists as a file that `read_fold_lists` reads, with those of the given subjects only."""
        names: Sequence[str] = (_TEST, _TRAIN) if self.count == 1 else [str(part) for part in self.numbers]
        rows = [(subject, name) for name, part in zip(names, self.parts, strict=True) for subject in part]
        rows += [(subject, _VAL) for subject in self.val]
        with path.open("w", newline="", encoding="utf-8") as file:
            file.write(f"# {' '.join(self.title.split())}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([_HEADER, *sorted(row for row in rows if row[0] in subjects)])


def shipped_list(name: str) -> FoldLists:
    """Read a list that ships with drml, such as ``fera2015``."""
    return _read(FOLDER / f"{name}.csv")


def read_fold_lists(source: str | Path, shipped: Sequence[str] = ()) -> FoldLists:
    """Read a list that the user named.

    Parameters
    ----------
    source : str or path
        Name of a list that ships with drml, or a CSV file.
    shipped : sequence of str
        The names of the lists that are for this data set.

    Returns
    -------
    FoldLists

    Raises
    ------
    UserError
        The file cannot be read or is invalid; the message names the line.
    """
    if str(source) in shipped:
        return shipped_list(str(source))
    return dataclasses.replace(_read(Path(source), shipped), file=str(source))


def _read(path: Path, shipped: Sequence[str] = ()) -> FoldLists:
    found: dict[str, tuple[str, int]] = {}
    title = f"as in {path.name}"
    try:
        with open_list(path) as file:
            lines = list(enumerate(file, 1))
    except FileNotFoundError:
        names = f", or the name of a list: {', '.join(shipped)}" if shipped else ""
        raise UserError(f"{path}: no such file; give a CSV file of {','.join(_HEADER)}{names}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a list of folds ({error})") from None
    if lines and lines[0][1].startswith("#"):
        title = lines[0][1].lstrip("#").strip() or title
    rows = [(number, line) for number, line in lines if line.strip() and not line.startswith("#")]
    if not rows or [cell.strip() for cell in rows[0][1].split(",")] != _HEADER:
        raise UserError(
            f"{path}: not a list of folds; its first line, after comments, is {','.join(_HEADER)}"
        )
    for number, line in rows[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        where = f"{path}: line {number}"
        if len(cells) != 2 or not cells[0] or not _is_part(cells[1]):
            raise UserError(
                f"{where}: '{line.strip()}'; give a subject, a comma, and the number of the fold that tests"
                f" it, or {_TRAIN}, {_VAL} or {_TEST}"
            )
        subject, part = cells
        if subject in found:
            raise UserError(
                f"{where}: subject {subject} is in line {found[subject][1]}, too; list each subject once"
            )
        found[subject] = part, number
    return _with_parts(path, title, {subject: part for subject, (part, _) in found.items()})


def _is_part(text: str) -> bool:
    return text in (_TRAIN, _VAL, _TEST) or bool(_NUMBER.fullmatch(text))


def _with_parts(path: Path, title: str, part_of: dict[str, str]) -> FoldLists:
    """Return the lists of a file; `part_of` is subject -> part."""
    parts: dict[str, list[str]] = {}
    for subject in sorted(part_of):
        parts.setdefault(part_of[subject], []).append(subject)
    words = [name for name in (_TRAIN, _VAL, _TEST) if name in parts]
    if not words:
        numbers = sorted(map(int, parts))
        if len(numbers) < 2 or numbers != list(range(1, len(numbers) + 1)):
            raise UserError(
                f"{path}: its parts are {', '.join(map(str, numbers)) or 'none'}; number the folds 1, 2 and"
                " so on, without a gap, at least 2 of them"
            )
        return FoldLists(title, tuple(tuple(parts[str(number)]) for number in numbers))
    if len(words) < len(parts) or _TRAIN not in parts or _TEST not in parts:
        raise UserError(
            f"{path}: its parts are {', '.join(sorted(parts))}; use numbers alone, or {_TRAIN}, {_TEST} and,"
            f" optionally, {_VAL}"
        )
    return FoldLists(title, (tuple(parts[_TEST]), tuple(parts[_TRAIN])), 1, tuple(parts.get(_VAL, ())))
