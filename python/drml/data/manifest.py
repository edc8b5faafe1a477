"""Manifests: the CSV file next to each prepared LMDB, with one row for each record.

The columns are key, source, subject, task, frame, and one for each AU (``AU1``); labels are 1 (present),
-1 (absent) and 0 (unknown). The source is the image's path relative to the data set's folder, so that a
manifest does not depend on where the data set is; for a frame of a video, ``#`` and its index follow.
Manifests of older versions have absolute paths.
"""

from __future__ import annotations

import contextlib
import csv
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from drml.data.labels import ABSENT, PRESENT, UNKNOWN, is_au
from drml.io.errors import UserError
from drml.io.limits import LABELS, open_list

__all__ = [
    "LMDB_SUFFIX",
    "Manifest",
    "Row",
    "iterate_manifest",
    "manifest_path",
    "read_aus",
    "read_manifest",
    "write_manifest",
]

LMDB_SUFFIX = "_lmdb"

_FIXED = ["key", "source", "subject", "task", "frame"]
_LABELS = {str(value): value for value in (PRESENT, ABSENT, UNKNOWN)}


class Row(NamedTuple):
    """One record: its key, image, subject, task, frame, and K labels in {-1, 0, 1}."""

    key: str
    source: str
    subject: str
    task: str
    frame: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Manifest:
    """A manifest: its file, its K AUs, and its rows by key, in the order of the file."""

    path: Path
    aus: tuple[int, ...]
    rows: dict[str, Row]


def manifest_path(lmdb: Path) -> Path:
    """Return the path of an LMDB's manifest, which may not exist: ``fold1/test.csv`` for ``test_lmdb``."""
    path = Path(os.path.abspath(lmdb))  # noqa: PTH100 - "." needs a name, and links must keep theirs
    manifest = path.with_name(path.name.removesuffix(LMDB_SUFFIX) + ".csv")
    return lmdb.with_name(manifest.name) if lmdb.name else manifest


def write_manifest(path: str | Path, aus: Sequence[int], rows: Iterable[Row]) -> None:
    """Write a manifest.

    Raises
    ------
    OSError
        The file cannot be written; it may be incomplete.
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_FIXED, *(f"AU{au}" for au in aus)])
        writer.writerows([*row[:5], *row.labels] for row in rows)


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest that ``drml prepare`` wrote, or some of its rows.

    Raises
    ------
    UserError
        The file is missing or not a manifest, or a row is invalid; the message names its line.
    """
    path = Path(path)
    aus = read_aus(path)
    rows: dict[str, Row] = {}
    # Rows repeat the same few subjects, tasks and labels, so they share one object of each.
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    for line, row in _rows(path):
        if row.key in rows:
            raise UserError(f"{path}: line {line}: key {row.key} appears twice")
        rows[row.key] = row._replace(
            subject=sys.intern(row.subject),
            task=sys.intern(row.task),
            frame=sys.intern(row.frame),
            labels=known.setdefault(row.labels, row.labels),
        )
    return Manifest(path, aus, rows)


def iterate_manifest(path: str | Path) -> Iterator[Row]:
    """Read a manifest row by row, in the order of the file, in constant memory.

    Duplicate keys are not detected.

    Raises
    ------
    UserError
        As `read_manifest`, when the row is reached.
    """
    for _, row in _rows(Path(path)):
        yield row


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield each row with the number of its line."""
    with _reading(path), open_list(path) as file:
        reader = csv.reader(file)
        header = next(reader, [])
        _aus(path, header)
        for cells in reader:
            yield reader.line_num, _row(f"{path}: line {reader.line_num}", header, cells)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of reading into a `UserError`."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such manifest; give the CSV file that belongs to the LMDB") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a manifest ({error})") from None


def read_aus(path: str | Path) -> tuple[int, ...]:
    """Read the AUs that a manifest's header names.

    Raises
    ------
    UserError
        The file is missing or not a manifest.
    """
    path = Path(path)
    with _reading(path), open_list(path) as file:
        return _aus(path, next(csv.reader(file), []))


def _aus(path: Path, header: list[str]) -> tuple[int, ...]:
    names = header[len(_FIXED) :]
    good = len(names) <= LABELS and all(name.startswith("AU") and is_au(name[2:]) for name in names)
    if header[: len(_FIXED)] != _FIXED or not names or not good:
        raise UserError(f"{path}: not a manifest; its header is {','.join(_FIXED)},AU1,...")
    aus = tuple(int(name[2:]) for name in names)
    if len(set(aus)) != len(aus):
        raise UserError(f"{path}: not a manifest; an AU has two columns")
    return aus


def _row(where: str, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise UserError(f"{where}: {len(cells)} values, the header has {len(header)}")
    labels = []
    for name, cell in zip(header[len(_FIXED) :], cells[len(_FIXED) :], strict=True):
        if cell not in _LABELS:
            raise UserError(f"{where}: {cell!r} for {name}; labels are -1, 0 and 1")
        labels.append(_LABELS[cell])
    key, source, subject, task, frame = cells[: len(_FIXED)]
    return Row(key, source, subject, task, frame, tuple(labels))
