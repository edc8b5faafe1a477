"""A table in a training's folder to which each test pass adds rows; `f1_table` and `level_table` are such."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["AVERAGE", "PassTable"]

AVERAGE = "Avg."
"""The row of the mean over the outputs."""


class PassTable:
    """Writes the rows of a test pass as it ends; without a pass, there is no file.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Names of the net's outputs; if their number differs, they are ``output 0`` and so on.
    resumed : bool
        Append to the existing file.

    Attributes
    ----------
    last : dict
        The main figure by output, and its mean as `AVERAGE`, in the last pass of the first test net; NaN
        where undefined. Empty before the first pass.
    iteration : int
        Of the same pass; 0 before the first one.
    """

    file: ClassVar[str]
    header: ClassVar[Sequence[str]]

    def __init__(self, folder: Path, names: Sequence[str], *, resumed: bool) -> None:
        self._path = folder / self.file
        self._names = list(names)
        self.last: dict[str, float] = {}
        self.iteration = 0
        if not resumed:
            self._path.unlink(missing_ok=True)

    def _names_of(self, count: int) -> list[str]:
        """Name so many outputs."""
        return self._names if len(self._names) == count else [f"output {index}" for index in range(count)]

    def _append(self, rows: Iterable[Sequence[Any]]) -> None:
        with self._path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if not file.tell():
                writer.writerow(self.header)
            writer.writerows(rows)
