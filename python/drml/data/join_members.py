"""The prepared data sets that are joined: what is read of each, and whether they fit."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from drml.data.manifest import LMDB_SUFFIX, iterate_manifest, read_columns
from drml.data.prepared_folder import SUMMARY_FILE
from drml.data.readers.targets import BOTH, INTENSITY, OCCURRENCE
from drml.data.recipe import Recipe
from drml.data.recipe_text import RECIPE_FILE, read_data_recipe
from drml.data.split import SPLITS, SYNTHETIC_FILE, find_folds
from drml.io.errors import UsageError, UserError
from drml.io.limits import read_json
from drml.io.text import counted

__all__ = ["JOINED", "Columns", "Member", "check_alike", "check_apart", "read_members"]

JOINED = "joined"
"""What a joined set has as its kind in ``summary.json``."""

_PEOPLE = {"bp4d": "bp4d", "bp4dplus": "bp4dplus", "disfa": "disfa", "disfaplus": "disfa"}
"""Kind -> whose people it shows. The people of DISFA+ are some of DISFA's, under the same names."""


class Columns(NamedTuple):
    """What the labels of a record are: occurrences of the AUs `aus`, then intensities of `intensity_aus`."""

    aus: tuple[int, ...]
    intensity_aus: tuple[int, ...]

    @property
    def target(self) -> str:
        """The ``--target`` of ``drml prepare`` that makes such labels."""
        if self.intensity_aus:
            return BOTH if self.aus else INTENSITY
        return OCCURRENCE


@dataclass(frozen=True)
class Member:
    """One of the prepared data sets that are joined.

    Attributes
    ----------
    folder : Path
    name : str
        Its name in keys and sources, which no other set has.
    people : str
        What is put before the names of its subjects. Sets of the same people share it.
    columns : Columns
    folds : dict of int to Path
    recipes : dict of int to Recipe
        Of each fold.
    summary : dict
        Its ``summary.json``.
    """

    folder: Path
    name: str
    people: str
    columns: Columns
    folds: dict[int, Path]
    recipes: dict[int, Recipe]
    summary: dict[str, Any]

    @property
    def size(self) -> int:
        """Side of the faces in pixels."""
        return int(self.summary["options"]["size"])

    @property
    def synthetic(self) -> bool:
        """Whether the faces are drawn."""
        return (self.folder / SYNTHETIC_FILE).is_file()

    def has(self, fold: int, split: str) -> bool:
        """Return whether a fold has a split; only the validation split may be missing."""
        return (self.folds[fold] / f"{split}{LMDB_SUFFIX}").is_dir()

    def images(self, fold: int, split: str) -> int:
        """Return the number of a split's records."""
        return sum(1 for _ in iterate_manifest(self.folds[fold] / f"{split}.csv"))

    def person(self, subject: str) -> str:
        """Return the name of a subject in the joined set; a record without a subject stays without."""
        return f"{self.people}-{subject}" if subject else ""

    def to_dict(self) -> dict[str, Any]:
        """Return what ``summary.json`` of the joined set says of this one."""
        return {
            "name": self.name,
            "folder": str(self.folder.absolute()),
            "kind": self.summary["kind"],
            "aus": list(self.columns.aus),
            "intensity_aus": list(self.columns.intensity_aus),
            "options": self.summary["options"],
        }


def read_members(sets: Sequence[Path | str]) -> list[Member]:
    """Read the sets that are to be joined.

    Raises
    ------
    UsageError
        There are fewer than two, or one is given twice.
    UserError
        One of them is no folder of ``drml prepare``, is damaged, or was joined itself.
    """
    folders = [Path(one) for one in sets]
    if len(folders) < 2:
        raise UsageError(f"{counted(len(folders), 'set')} to join; give at least two prepared folders")
    real = [folder.resolve() for folder in folders]
    for folder, one in zip(folders, real, strict=True):
        if real.count(one) > 1:
            raise UsageError(f"{folder}: given twice; give each set once")
    members: list[Member] = []
    for folder in folders:
        members.append(_read(folder, {member.name for member in members}))
    return members


def _read(folder: Path, taken: set[str]) -> Member:
    path = folder / SUMMARY_FILE
    try:
        summary = read_json(path)
        kind, size = str(summary["kind"]), int(summary["options"]["size"])
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no {path.name} in it; give a whole folder of drml prepare, with its folds"
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: cannot be read as the summary of a prepared set; prepare it again"
        ) from None
    if kind == JOINED:
        raise UserError(f"{folder}: was joined itself; join the sets that it was made of, all at once")
    if size < 1:
        raise UserError(f"{path}: faces of {size} pixels; prepare the data again")
    folds = {int(one.name.removeprefix("fold")): one for one in find_folds(folder)}
    recipes: dict[int, Recipe] = {}
    columns: set[Columns] = set()
    for number, fold in folds.items():
        for split in ("train", "test"):
            if not (fold / f"{split}{LMDB_SUFFIX}").is_dir():
                raise UserError(f"{fold}: has no {split} split; prepare the data again")
        recipe = read_data_recipe(fold)
        if recipe is None:
            raise UserError(
                f"{fold}: no {RECIPE_FILE}, which says how its faces were registered; prepare the data again"
            )
        recipes[number] = recipe
        columns.update(
            Columns(*read_columns(fold / f"{split}.csv"))
            for split in SPLITS
            if (fold / f"{split}{LMDB_SUFFIX}").is_dir()
        )
    if len(columns) != 1:
        raise UserError(f"{folder}: its splits have different AUs; prepare the data again")
    name = _free_name(kind if kind in _PEOPLE else folder.resolve().name, taken)
    return Member(folder, name, _PEOPLE.get(kind, name), columns.pop(), folds, recipes, summary)


def _free_name(wanted: str, taken: set[str]) -> str:
    """Return a name that no set has yet, of letters that keys may have."""
    base = re.sub("[^A-Za-z0-9.]+", "-", wanted).strip("-")[:40] or "set"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    return next(name for name in names if name not in taken)


def check_alike(members: Sequence[Member]) -> None:
    """Check that sets have labels of the same kinds, the same folds, and faces of one size and registration.

    Raises
    ------
    UserError
        They do not; the message says in what they differ.
    """
    first = members[0]
    for other in members[1:]:
        if other.columns.target != first.columns.target:
            ours, theirs = (_LABELS[one.columns.target] for one in (first, other))
            raise UserError(
                f"{other.folder}: its labels are {theirs}, those of {first.folder} {ours}; prepare both with"
                " the same --target"
            )
        if other.folds.keys() != first.folds.keys():
            ours, theirs = (", ".join(map(str, one.folds)) for one in (first, other))
            raise UserError(
                f"{other.folder}: has the folds {theirs}, {first.folder} has {ours}; prepare both with the"
                " same number of folds"
            )
        if other.size != first.size:
            raise UserError(
                f"{other.folder}: its faces have {other.size} x {other.size} pixels, those of {first.folder}"
                f" {first.size} x {first.size}; prepare both with the same --size"
            )
        for fold in first.folds:
            ours_by, theirs_by = (one.recipes[fold].registration for one in (first, other))
            if (ours_by.points, ours_by.target) != (theirs_by.points, theirs_by.target):
                raise UserError(
                    f"{other.folds[fold]}: its faces were registered by {_by(theirs_by.points)}, those of"
                    f" {first.folds[fold]} by {_by(ours_by.points)}; prepare both with the same --points"
                )


_LABELS = {OCCURRENCE: "occurrences", INTENSITY: "intensities", BOTH: "occurrences and intensities"}


def _by(points: str | None) -> str:
    return {"none": "nothing, they were only resized", "detector": "the detector's points"}.get(
        points or "", points or "unknown points"
    )


def check_apart(members: Sequence[Member]) -> None:
    """Check that no person is in two splits of a fold, nor tested in two folds.

    Raises
    ------
    UserError
        One is; the message names the person, the fold and the sets.
    """
    tested: dict[str, tuple[int, Path]] = {}
    for fold in members[0].folds:
        seen: dict[str, tuple[str, Path]] = {}
        for member, split in itertools.product(members, SPLITS):
            if not member.has(fold, split):
                continue
            rows = iterate_manifest(member.folds[fold] / f"{split}.csv")
            for person in sorted({member.person(row.subject) for row in rows} - {""}):
                before, where = seen.setdefault(person, (split, member.folder))
                if before != split:
                    raise UserError(
                        f"fold {fold}: {person} is in {before} ({where}) and in {split} ({member.folder});"
                        " prepare both with the same --folds-file and --val-share 0"
                    )
                if split == "test":
                    number, where = tested.setdefault(person, (fold, member.folder))
                    if number != fold:
                        raise UserError(
                            f"{person} is tested in fold {number} ({where}) and in fold {fold}"
                            f" ({member.folder}); prepare both with the same --folds-file"
                        )
