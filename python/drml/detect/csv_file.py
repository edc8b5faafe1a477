"""A CSV file that grows by whole rows and survives an interruption."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from drml.io.errors import UserError
from drml.io.text import counted

__all__ = ["CsvFile", "partial_path"]


def partial_path(path: Path) -> Path:
    """Return the name of a CSV file that is not complete yet."""
    return path.with_name(path.name + ".partial")


class CsvFile:
    """A CSV file that grows by whole rows, named ``FILE.partial`` until it is complete.

    Use it in a ``with`` block. At the end of the block, the file receives its own name. If the user
    interrupts, the file also receives its name and keeps the rows so far. If the disk is full, the rows that
    fit stay in ``FILE.partial``, which the error names. Any other error removes the file.

    Parameters
    ----------
    path : Path
    header : sequence of str
        Names of the columns.
    overwrite : bool
        Replace a file named ``FILE.partial``.

    Raises
    ------
    UserError
        A file named ``FILE.partial`` exists: the rows of an earlier run, or a file of the user's.
    OSError
        The file cannot be written.
    """

    def __init__(self, path: Path, header: Sequence[str], *, overwrite: bool = False) -> None:
        self.path = path
        self.count = 0
        self._part = partial_path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._size = 0  # bytes of whole rows
        # Unbuffered, so that the content of the file is known at any moment.
        try:
            self._file = self._part.open("wb" if overwrite else "xb", buffering=0)
        except FileExistsError:
            raise UserError(
                f"{self._part}: exists; move it away or remove it, or replace it with --overwrite"
            ) from None
        try:
            self._append([header])
        except BaseException:
            self._file.close()
            self._part.unlink(missing_ok=True)
            raise

    def write(self, lines: Sequence[Sequence[str]]) -> None:
        """Append all of these rows or none of them.

        Raises
        ------
        OSError
            The disk is full; the error names the file that holds the rows so far.
        """
        self._append(lines)
        self.count += len(lines)

    def _append(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        # A file name may not be valid text: its bytes are written as they are.
        data = memoryview(text.getvalue().encode("utf-8", "surrogateescape"))
        size = self._size + len(data)
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            error.filename = str(self._part if self.count else self.path)
            raise
        self._size = size

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # A full disk or an interrupt may have left an incomplete row.
        os.ftruncate(self._file.fileno(), self._size)
        self._file.close()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._part.replace(self.path)
            if kind is not None:
                tqdm.write(f"kept: {self.path}: {counted(self.count, 'row')}", file=sys.stderr)
        elif not (isinstance(error, OSError) and self.count):
            self._part.unlink(missing_ok=True)
