"""Reads back what ``drml prepare`` wrote: pictures and labels, in batches.

The data are an LMDB folder (``fold1/test_lmdb``) or the manifest beside it (``fold1/test.csv``), which
selects records of that LMDB.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.data.lmdb import check_lmdb, read_lmdb
from drml.data.manifest import LMDB_SUFFIX, Manifest, manifest_beside, read_manifest
from drml.data.readers import images
from drml.io.errors import UserError

__all__ = ["SYNTHETIC_FILE", "VERIFY", "Data", "open_data"]

SYNTHETIC_FILE = "synthetic.json"
VERIFY = "run drml verify on it, or prepare the data again"
"""The way out that a fault in prepared data names."""


@dataclass(frozen=True)
class Data:
    """Records to run: an LMDB, and its manifest where there is one.

    Attributes
    ----------
    name : Path
        What the user gave.
    lmdb : Path
    manifest : Manifest or None
    selected : bool
        Only the records that the manifest lists, which then must all be there.
    synthetic : bool
        The data are drawn, not photographed.
    """

    name: Path
    lmdb: Path
    manifest: Manifest | None
    selected: bool
    synthetic: bool

    @property
    def size(self) -> int:
        """Number of records."""
        if self.selected and self.manifest is not None:
            return len(self.manifest.rows)
        return check_lmdb(self.lmdb)

    def subjects(self, keys: Sequence[str]) -> int | None:
        """Return of how many subjects these records are, where the manifest tells."""
        rows = self.manifest.rows if self.manifest else {}
        return len({rows[key].subject for key in keys if key in rows}) or None

    def records(self) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int8]]]:
        """Read record by record, in the order of the keys.

        Yields
        ------
        key : str
        image : ndarray of uint8, H x W x 3
            BGR.
        labels : ndarray of int8, shape (K,)
            1, -1 or 0; K is the same for all.

        Raises
        ------
        UserError
            A record is at fault, or the manifest says otherwise: named by its key.
        """
        count = 0
        missing = set(self.manifest.rows) if self.manifest else set()
        for key, data, values in read_lmdb(self.lmdb):
            labels = _labels(values, f"{self.lmdb}: record {key}")
            count = count or len(labels)
            if len(labels) != count:
                raise UserError(
                    f"{self.lmdb}: record {key} has {len(labels)} labels, others {count}; {VERIFY}"
                )
            if self.manifest is not None:
                if key not in self.manifest.rows:
                    if self.selected:
                        continue
                    raise UserError(f"{self.manifest.path}: key {key} of {self.lmdb} is missing; {VERIFY}")
                missing.discard(key)
                if self.manifest.rows[key].labels != tuple(labels.tolist()):
                    raise UserError(
                        f"{self.manifest.path}: key {key}: labels differ from those in {self.lmdb}; {VERIFY}"
                    )
            yield key, _decode(data, f"{self.lmdb}: record {key}"), labels
        if missing:
            raise UserError(f"{self.lmdb}: no record {min(missing)}, which its manifest lists; {VERIFY}")

    def batches(self, size: int) -> Iterator[tuple[list[str], list[NDArray[np.uint8]], NDArray[np.int8]]]:
        """Yield keys, pictures and labels (N x K) of `size` records at a time; the last may be fewer."""
        records = self.records()
        while batch := list(itertools.islice(records, size)):
            keys, pictures, labels = zip(*batch, strict=True)
            yield list(keys), list(pictures), np.stack(labels)


def _labels(values: Sequence[int], where: str) -> NDArray[np.int8]:
    """Check one record's labels."""
    if not len(values):
        raise UserError(f"{where} has no labels; {VERIFY}")
    for value in values:
        if value not in (PRESENT, ABSENT, UNKNOWN):
            raise UserError(f"{where} has the label {value}, none of -1, 0, 1; {VERIFY}")
    return np.asarray(values, np.int8)


def _decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an encoded picture to BGR as the layer that trains does; `where` is named if it cannot be."""
    image = None
    if data and not images.is_cut_jpeg(data):
        try:
            images.check_pixels(data)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise UserError(f"{where}: its image of {len(data)} bytes cannot be decoded; {VERIFY}")
    return np.asarray(image, np.uint8)


def open_data(data: str | Path) -> Data:
    """Find the LMDB and the manifest that `data` (one or the other) stands for.

    Raises
    ------
    UserError
        There is no such LMDB or manifest, or it is damaged.
    """
    name = Path(data)
    if name.suffix == ".csv":
        lmdb = name.with_name(name.stem + LMDB_SUFFIX)
        manifest: Manifest | None = read_manifest(name)
        if not lmdb.is_dir():
            raise UserError(f"{name}: no LMDB {lmdb} beside it; a manifest only selects records of its LMDB")
    else:
        lmdb = Path(os.path.normpath(name))
        check_lmdb(lmdb)
        beside = manifest_beside(lmdb)
        # Only of a folder named as prepare names it is the CSV beside it known to be the manifest.
        named = lmdb.absolute().name.endswith(LMDB_SUFFIX)
        manifest = read_manifest(beside) if named and beside.is_file() else None
    # OUT/synthetic.json lies two levels above OUT/fold1/test_lmdb.
    folders = (lmdb, *lmdb.absolute().parents[:2])
    synthetic = any((folder / SYNTHETIC_FILE).is_file() for folder in folders)
    return Data(name, lmdb, manifest, name.suffix == ".csv", synthetic)
