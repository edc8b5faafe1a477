"""Reads the records of a prepared LMDB: images and labels, checked against the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import ABSENT, LEVELS, PRESENT, UNKNOWN, UNKNOWN_LEVEL
from drml.data.lmdb import read_lmdb
from drml.data.manifest import Manifest
from drml.io.errors import UserError
from drml.io.image_headers import is_cut_image
from drml.io.opencv import decode_image
from drml.io.text import counted

__all__ = ["VERIFY", "read_records"]

VERIFY = "run drml verify on it, or prepare the data again"
"""What error messages about damaged prepared data advise."""


def read_records(
    lmdb: Path, manifest: Manifest | None, *, selected: bool, intensities: int = 0
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int8]]]:
    """Read the records of an LMDB one by one, in the order of their keys.

    Parameters
    ----------
    lmdb : Path
        The folder of the LMDB.
    manifest : Manifest or None
        Its manifest, with which the labels must agree; None if it has none.
    selected : bool, keyword-only
        Skip records that the manifest does not list; otherwise, such a record is an error.
    intensities : int, keyword-only
        How many of the labels, at the end, are intensities.

    Yields
    ------
    key : str
    image : ndarray of uint8, H x W x 3
        BGR.
    labels : ndarray of int8, shape (K + L,)
        K occurrences: 1 (present), -1 (absent) or 0 (unknown); then L intensities, 0 to 5 or 9 (unknown). All
        records have the same K.

    Raises
    ------
    UserError
        A record is damaged, or it disagrees with the manifest; the message names its key.
    """
    count = 0
    missing = set(manifest.rows) if manifest else set()
    for key, data, values in read_lmdb(lmdb):
        labels = _labels(values, f"{lmdb}: record {key}", intensities)
        count = count or len(labels)
        if len(labels) != count:
            raise UserError(
                f"{lmdb}: record {key} has {counted(len(labels), 'label')}, others {count}; {VERIFY}"
            )
        if manifest is not None:
            if key not in manifest.rows:
                if selected:
                    continue
                raise UserError(f"{manifest.path}: key {key} of {lmdb} is missing; {VERIFY}")
            missing.discard(key)
            if manifest.rows[key].labels != tuple(labels.tolist()):
                raise UserError(f"{manifest.path}: key {key}: labels differ from those in {lmdb}; {VERIFY}")
        yield key, _decode(data, f"{lmdb}: record {key}"), labels
    if missing:
        raise UserError(f"{lmdb}: no record {min(missing)}, which its manifest lists; {VERIFY}")


def _labels(values: Sequence[int], where: str, intensities: int) -> NDArray[np.int8]:
    """Check the labels of one record."""
    if not len(values):
        raise UserError(f"{where} has no labels; {VERIFY}")
    occurrences = len(values) - intensities
    if occurrences < 0:
        raise UserError(f"{where} has {counted(len(values), 'label')}, fewer than intensities; {VERIFY}")
    for value in values[occurrences:]:
        if value not in (*LEVELS, UNKNOWN_LEVEL):
            raise UserError(f"{where} has the intensity {value}; intensities are 0 to 5 and 9; {VERIFY}")
    for value in values[:occurrences]:
        if value not in (PRESENT, ABSENT, UNKNOWN):
            raise UserError(f"{where} has the label {value}; labels are -1, 0 and 1; {VERIFY}")
    return np.asarray(values, np.int8)


def _decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image to BGR as the `MultiLabelData` layer does; error messages begin with `where`."""
    try:
        image = None if is_cut_image(data) else decode_image(data)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if image is None:
        raise UserError(f"{where}: its image of {len(data)} bytes cannot be decoded; {VERIFY}")
    return np.asarray(image, np.uint8)
