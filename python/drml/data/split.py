"""Prepared data: finds the split that a path names, and reads its images and labels.

``drml prepare`` writes a folder such as ``data/drml`` with a folder for each fold (``fold1``), and in a fold
an LMDB and a manifest for each split (``train``, ``val``, ``test``). Wherever the command line or Python
asks for prepared data, these paths are accepted:

- ``data/drml``: the whole folder;
- ``data/drml/fold1``: one fold;
- ``data/drml/fold1/test_lmdb``: one split, named by its LMDB;
- ``data/drml/fold1/test.csv``: one split, named by its manifest. If rows of the manifest are deleted, their
  records are left out.

`find_split` and `find_folds` resolve them; where one split is wanted and a fold is given, its test split is
taken.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drml.data.lmdb import check_lmdb
from drml.data.manifest import LMDB_SUFFIX, Manifest, manifest_path, read_manifest
from drml.data.recipe_text import read_data_recipe
from drml.data.records import VERIFY, read_records
from drml.io.checks import check_path
from drml.io.errors import UserError

__all__ = [
    "SPLITS",
    "SYNTHETIC_FILE",
    "VERIFY",
    "Split",
    "find_folds",
    "find_split",
    "load_split",
    "open_split",
]

SPLITS = ("train", "val", "test")
"""The splits of a fold; a fold that was prepared with ``val_share=0`` has no ``val``."""

SYNTHETIC_FILE = "synthetic.json"
"""The file that marks a data set, and prepared data, as drawn."""

_FOLD = re.compile(r"fold([1-9][0-9]{0,3})")


@dataclass(frozen=True)
class Split:
    """One split of prepared data: an LMDB, and its manifest if there is one.

    Attributes
    ----------
    name : Path
        The path that the user gave.
    lmdb : Path
        The folder of the LMDB.
    manifest : Manifest or None
    selected : bool
        If True, only the records that the manifest lists belong to the split, and the LMDB must have all
        of them.
    synthetic : bool
        The faces are drawn, not photographed.
    intensity_aus : tuple of int
        The AUs of the intensities, which are the last labels of each record; empty if there are none.
    """

    name: Path
    lmdb: Path
    manifest: Manifest | None
    selected: bool
    synthetic: bool
    intensity_aus: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of records."""
        if self.selected and self.manifest is not None:
            return len(self.manifest.rows)
        return check_lmdb(self.lmdb)

    def count_subjects(self, keys: Sequence[str]) -> int | None:
        """Count the subjects of these records; None if no manifest names them."""
        rows = self.manifest.rows if self.manifest else {}
        return len({rows[key].subject for key in keys if key in rows}) or None

    def subjects_of(self, keys: Sequence[str]) -> list[str] | None:
        """Return the subject of each of these records; None if the manifest does not name them all."""
        rows = self.manifest.rows if self.manifest else {}
        subjects = [rows[key].subject if key in rows else "" for key in keys]
        return subjects if all(subjects) else None

    def records(
        self, *, intensities: bool = False
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int8]]]:
        """Read the records one by one, in the order of their keys.

        Parameters
        ----------
        intensities : bool, keyword-only
            Yield the intensities instead of the occurrences.

        Yields
        ------
        key : str
        image : ndarray of uint8, H x W x 3
            BGR.
        labels : ndarray of int8, shape (K,)
            1 (present), -1 (absent) or 0 (unknown), or intensities: 0 (absent) to 5, or 9 (unknown). All
            records have the same K.

        Raises
        ------
        UserError
            A record is damaged, or it disagrees with the manifest; the message names its key. Or the data
            have no labels of this kind.
        """
        if intensities and not self.intensity_aus:
            raise UserError(
                f"{self.lmdb}: has no intensities; prepare the data with --target intensity, or both"
            )
        for key, image, occurrences, levels in self.whole_records():
            if not len(occurrences) and not intensities:
                raise self.no_occurrences()
            yield key, image, levels if intensities else occurrences

    def no_occurrences(self) -> UserError:
        """Return the error of data whose labels are intensities alone, where occurrences are needed."""
        return UserError(
            f"{self.lmdb}: its labels are intensities, not occurrences; prepare the data with --target"
            " occurrence, or both"
        )

    def whole_records(
        self,
    ) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int8], NDArray[np.int8]]]:
        """Read the records as `records` does, with the labels of both kinds.

        Yields
        ------
        key, image
            As `records`.
        occurrences, intensities : ndarray of int8, shape (K,) and (L,)
            One of K and L may be 0.
        """
        count = len(self.intensity_aus)
        for key, image, labels in read_records(
            self.lmdb, self.manifest, selected=self.selected, intensities=count
        ):
            yield key, image, labels[: len(labels) - count], labels[len(labels) - count :]

    def batches(
        self, size: int, *, intensities: bool = False
    ) -> Iterator[tuple[list[str], list[NDArray[np.uint8]], NDArray[np.int8]]]:
        """Yield the keys, images and labels (N x K) of `size` records at a time; the last may be fewer."""
        records = self.records(intensities=intensities)
        while batch := list(itertools.islice(records, size)):
            keys, pictures, labels = zip(*batch, strict=True)
            yield list(keys), list(pictures), np.stack(labels)


def open_split(path: str | Path, split: str = "test") -> Split:
    """Open one split of prepared data.

    Parameters
    ----------
    path : path-like
        An LMDB folder, its manifest, a fold, or a folder of ``drml prepare`` with a single fold.
    split : {"train", "val", "test"}
        The split to take if `path` is not itself a split.

    Returns
    -------
    Split

    Raises
    ------
    UserError
        There is no such split, or its LMDB or manifest is damaged.
    """
    name = find_split(check_path(path, "data"), split)
    if name.suffix == ".csv":
        lmdb = name.with_name(name.stem + LMDB_SUFFIX)
        manifest: Manifest | None = read_manifest(name)
        if not lmdb.is_dir():
            raise UserError(
                f"{name}: there is no LMDB {lmdb}; a manifest only selects records of the LMDB next to it"
            )
    else:
        lmdb = Path(os.path.normpath(name))
        check_lmdb(lmdb)
        manifest_file = manifest_path(lmdb)
        # The CSV file is known to be the manifest only if the folder is named as drml prepare names it.
        named = lmdb.absolute().name.endswith(LMDB_SUFFIX)
        manifest = read_manifest(manifest_file) if named and manifest_file.is_file() else None
    # OUT/synthetic.json lies two levels above OUT/fold1/test_lmdb.
    folders = (lmdb, *lmdb.absolute().parents[:2])
    synthetic = any((folder / SYNTHETIC_FILE).is_file() for folder in folders)
    if manifest is not None:
        intensity_aus = manifest.intensity_aus
    else:
        recipe = read_data_recipe(lmdb)
        intensity_aus = recipe.intensity_au if recipe else ()
    return Split(name, lmdb, manifest, name.suffix == ".csv", synthetic, intensity_aus)


def load_split(
    path: str | Path, split: str = "test", *, target: str = "occurrence"
) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.str_]]:
    """Load the images, labels and subjects of one split of prepared data.

    All images are decoded into memory: 120 kB for each face of 200 x 200 pixels.

    Parameters
    ----------
    path : path-like
        An LMDB folder (``data/drml/fold1/test_lmdb``), its manifest (``data/drml/fold1/test.csv``), a fold
        (``data/drml/fold1``), or a folder of ``drml prepare`` with a single fold.
    split : {"train", "val", "test"}
        The split to load if `path` is a fold.
    target : {"occurrence", "intensity"}, keyword-only
        Which labels to load, of data that have both (``drml prepare --target``).

    Returns
    -------
    X : ndarray of uint8, shape (N, H, W, 3)
        The registered faces, with the channels in OpenCV's order: blue, green, red.
    y : ndarray of int8, shape (N, K)
        For each of the K AUs 1 (present), -1 (absent) or 0 (unknown); of intensities 0 (absent) to 5, or 9
        (unknown).
    subjects : ndarray of str, shape (N,)
        The subject of each face, as `sklearn.model_selection.GroupKFold` takes groups; empty strings if the
        LMDB has no manifest.

    Raises
    ------
    UserError
        There is no such split, it has no labels of this kind, or its LMDB or manifest is damaged.

    Examples
    --------
    >>> X, y, subjects = load_split("data/drml/fold1")  # doctest: +SKIP
    >>> X.shape, y.shape, subjects.shape  # doctest: +SKIP
    ((1800, 200, 200, 3), (1800, 12), (1800,))
    """
    if target not in ("occurrence", "intensity"):
        raise UserError(f"target {target!r}: choose one of occurrence, intensity")
    source = open_split(path, split)
    rows = source.manifest.rows if source.manifest else {}
    X = np.empty((0, 0, 0, 3), np.uint8)
    labels: list[NDArray[np.int8]] = []
    subjects: list[str] = []
    for key, image, values in source.records(intensities=target == "intensity"):
        if not labels:
            X = np.empty((source.size, *image.shape), np.uint8)
        if image.shape != X.shape[1:]:
            raise UserError(
                f"{source.lmdb}: record {key} is an image of {image.shape[1]}x{image.shape[0]} pixels, the"
                f" first one has {X.shape[2]}x{X.shape[1]}; {VERIFY}"
            )
        X[len(labels)] = image
        labels.append(values)
        subjects.append(rows[key].subject if key in rows else "")
    if not labels:
        raise UserError(f"{source.name}: the split has no records")
    return X, np.stack(labels), np.array(subjects, np.str_)


def find_split(path: str | Path, split: str = "test") -> Path:
    """Resolve a path that stands for one split of prepared data.

    Parameters
    ----------
    path : path-like
        An LMDB folder, a manifest, a fold, or a folder of ``drml prepare`` with a single fold.
    split : {"train", "val", "test"}
        The split to take if `path` is not itself a split.

    Returns
    -------
    Path
        An LMDB folder or a manifest, which need not exist: `open_split` checks that.

    Raises
    ------
    UserError
        `path` is a folder with several folds, or with something else in it, or the fold has no such split.

    Examples
    --------
    >>> find_split("data/drml/fold1/test.csv").as_posix()
    'data/drml/fold1/test.csv'
    """
    path = Path(path)
    if split not in SPLITS:
        raise UserError(f"split {split!r}: choose one of {', '.join(SPLITS)}")
    named = path.suffix == ".csv" or path.name.endswith(LMDB_SUFFIX)
    if named or not path.is_dir() or (path / "data.mdb").exists():
        return path
    folds = find_folds(path)
    if len(folds) > 1:
        names = ", ".join(fold.name for fold in folds)
        raise UserError(
            f"{path}: has several folds ({names}) where one is needed; give one, such as {folds[0]}"
        )
    found = folds[0] / f"{split}{LMDB_SUFFIX}"
    if not found.is_dir():
        raise UserError(
            f"{folds[0]}: has no {split} split (no folder {found.name}); prepare the data with one"
        )
    return found


def find_folds(path: str | Path) -> list[Path]:
    """Resolve a path that stands for one or more folds of prepared data.

    Parameters
    ----------
    path : path-like
        A folder of ``drml prepare``, or a fold in it.

    Returns
    -------
    list of Path
        The folders of the folds in ascending order, at least one.

    Raises
    ------
    UserError
        `path` is neither.
    """
    path = Path(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; prepare data with drml prepare")
    try:
        entries = list(path.iterdir())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if {f"{name}{LMDB_SUFFIX}" for name in SPLITS} & {entry.name for entry in entries}:
        return [path]
    numbers = {entry: match for entry in entries if (match := _FOLD.fullmatch(entry.name)) and entry.is_dir()}
    if not numbers:
        raise UserError(
            f"{path}: not prepared data; give a folder of drml prepare, a fold in it (fold1), or one split of"
            f" that (fold1/test{LMDB_SUFFIX})"
        )
    return sorted(numbers, key=lambda entry: int(numbers[entry][1]))
