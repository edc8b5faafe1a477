"""Manifests: the CSV file next to each prepared LMDB, with one row for each record.

The columns are key, source, subject, task, frame, and one for each label: occurrences (``AU1``) are 1
(present), -1 (absent) and 0 (unknown); intensities (``AU1_r``), which follow, are 0 (absent) to 5 and 9
(unknown). The source is the image's path relative to the data set's folder, so that a manifest does not
depend on where the data set is; for a frame of a video, ``#`` and its index follow. Manifests of older
versions have absolute paths.

If the labels of AUs for which a training frame was not sampled were kept (``--unsampled keep``), a last
column ``drawn`` lists the AUs for which the frame was sampled, such as ``1 12``. Without this column, every
label that is known was sampled. The column does not tell for which intensities a frame was sampled.
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

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import (
    ABSENT,
    INTENSITY_SUFFIX,
    LEVELS,
    PRESENT,
    UNKNOWN,
    UNKNOWN_LEVEL,
    column_names,
    is_au,
)
from drml.io.errors import UserError
from drml.io.limits import LABELS, open_list
from drml.io.text import counted

__all__ = [
    "LMDB_SUFFIX",
    "Manifest",
    "Row",
    "iterate_manifest",
    "manifest_path",
    "read_aus",
    "read_columns",
    "read_manifest",
    "write_manifest",
]

LMDB_SUFFIX = "_lmdb"

_FIXED = ["key", "source", "subject", "task", "frame"]
_DRAWN = "drawn"
_LABELS = {str(value): value for value in (PRESENT, ABSENT, UNKNOWN)}
_INTENSITIES = {str(value): value for value in (*LEVELS, UNKNOWN_LEVEL)}


class Row(NamedTuple):
    """One record: its key, image, subject, task, frame, and labels.

    The labels are K occurrences in {-1, 0, 1}, followed by L intensities in {0, 1, 2, 3, 4, 5, 9}. `drawn`
    lists the AUs for which the frame was sampled; it is None if these are all whose label is known.
    """

    key: str
    source: str
    subject: str
    task: str
    frame: str
    labels: tuple[int, ...]
    drawn: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Manifest:
    """A manifest: its file, the K AUs of its occurrences, its rows by key, the L AUs of its intensities.

    The rows are in the order of the file.
    """

    path: Path
    aus: tuple[int, ...]
    rows: dict[str, Row]
    intensity_aus: tuple[int, ...] = ()

    def drawn_labels(self, keys: Iterable[str]) -> NDArray[np.int8]:
        """Return the labels that were sampled, to which the linear methods are fitted.

        Parameters
        ----------
        keys : iterable of str
            The keys of N records that the manifest lists.

        Returns
        -------
        ndarray of int8, shape (N, K)
            1, -1 or 0. A label is also 0 if the frame was not sampled for its AU.
        """
        rows = [self.rows[key] for key in keys]
        count = len(self.aus)
        labels = np.array([row.labels[:count] for row in rows], np.int8).reshape(len(rows), count)
        for at, row in enumerate(rows):
            if row.drawn is not None:
                labels[at, [au not in row.drawn for au in self.aus]] = UNKNOWN
        return labels

    def levels(self, keys: Iterable[str]) -> NDArray[np.int8]:
        """Return the intensities of N records that the manifest lists: N x L, 0 to 5 or 9 (unknown)."""
        count = len(self.aus)
        labels = [self.rows[key].labels[count:] for key in keys]
        return np.array(labels, np.int8).reshape(len(labels), len(self.intensity_aus))


def manifest_path(lmdb: Path) -> Path:
    """Return the path of an LMDB's manifest, which may not exist: ``fold1/test.csv`` for ``test_lmdb``."""
    path = Path(os.path.abspath(lmdb))  # noqa: PTH100 - "." needs a name, and links must keep theirs
    manifest = path.with_name(path.name.removesuffix(LMDB_SUFFIX) + ".csv")
    return lmdb.with_name(manifest.name) if lmdb.name else manifest


def write_manifest(
    path: str | Path,
    aus: Sequence[int],
    rows: Iterable[Row],
    *,
    intensity_aus: Sequence[int] = (),
    with_draw: bool = False,
) -> None:
    """Write a manifest; `with_draw` adds the column of the AUs for which each frame was sampled.

    Raises
    ------
    OSError
        The file cannot be written; it may be incomplete.
    """
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_FIXED, *column_names(aus, intensity_aus), *([_DRAWN] if with_draw else [])])
        for row in rows:
            drawn = [" ".join(map(str, row.drawn or ()))] if with_draw else []
            writer.writerow([*row[: len(_FIXED)], *row.labels, *drawn])


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest that ``drml prepare`` wrote, or some of its rows.

    Raises
    ------
    UserError
        The file is missing or not a manifest, or a row is invalid; the message names its line.
    """
    path = Path(path)
    aus, intensity_aus = read_columns(path)
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
            drawn=None if row.drawn is None else known.setdefault(row.drawn, row.drawn),
        )
    return Manifest(path, aus, rows, intensity_aus)


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
        columns = _columns(path, header)
        for cells in reader:
            yield reader.line_num, _row(f"{path}: line {reader.line_num}", header, *columns, cells)


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
    """Read the AUs whose occurrence a manifest's header names; errors are those of `read_columns`."""
    return read_columns(path)[0]


def read_columns(path: str | Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Read the AUs that a manifest's header names: those of its occurrences, and those of its intensities.

    Raises
    ------
    UserError
        The file is missing or not a manifest.
    """
    path = Path(path)
    with _reading(path), open_list(path) as file:
        return _columns(path, next(csv.reader(file), []))


def _columns(path: Path, header: list[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    names = header[len(_FIXED) : -1 if header[-1:] == [_DRAWN] else None]
    numbers = [name.removeprefix("AU").removesuffix(INTENSITY_SUFFIX) for name in names]
    good = len(names) <= LABELS and all(name.startswith("AU") for name in names) and all(map(is_au, numbers))
    if header[: len(_FIXED)] != _FIXED or not names or not good:
        raise UserError(f"{path}: not a manifest; its header is {','.join(_FIXED)},AU1,...")
    if len(set(names)) != len(names):
        raise UserError(f"{path}: not a manifest; an AU has two columns")
    intensities = [name.endswith(INTENSITY_SUFFIX) for name in names]
    if intensities != sorted(intensities):
        raise UserError(f"{path}: not a manifest; a column of occurrences follows one of intensities")
    aus = tuple(map(int, numbers))
    occurrences = intensities.count(False)
    return aus[:occurrences], aus[occurrences:]


def _row(
    where: str,
    header: list[str],
    aus: tuple[int, ...],
    intensity_aus: tuple[int, ...],
    cells: list[str],
) -> Row:
    if len(cells) != len(header):
        raise UserError(f"{where}: {counted(len(cells), 'value')}, the header has {len(header)}")
    labels = []
    for au, cell in zip(aus, cells[len(_FIXED) :], strict=False):
        if cell not in _LABELS:
            raise UserError(f"{where}: {cell!r} for AU{au}; labels are -1, 0 and 1")
        labels.append(_LABELS[cell])
    drawn = _drawn(where, dict(zip(aus, labels, strict=True)), cells[-1]) if header[-1] == _DRAWN else None
    for au, cell in zip(intensity_aus, cells[len(_FIXED) + len(aus) :], strict=False):
        if cell not in _INTENSITIES:
            raise UserError(
                f"{where}: {cell!r} for AU{au}{INTENSITY_SUFFIX}; intensities are 0 to 5, and 9 (unknown)"
            )
        labels.append(_INTENSITIES[cell])
    key, source, subject, task, frame = cells[: len(_FIXED)]
    return Row(key, source, subject, task, frame, tuple(labels), drawn)


def _drawn(where: str, labels: dict[int, int], text: str) -> tuple[int, ...]:
    """Read the AUs for which a frame was sampled; their labels must be known."""
    known = {str(au): au for au, label in labels.items() if label != UNKNOWN}
    names = text.split()
    for name in names:
        if name not in known:
            raise UserError(
                f"{where}: {name!r} in the column {_DRAWN}; give AUs whose label is known, or none"
            )
    return tuple(known[name] for name in names)
