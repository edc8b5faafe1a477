"""The occurrence codes of BP4D and BP4D+: a CSV file for each recording."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from drml.data.labels import ABSENT, PRESENT, UNKNOWN, is_au
from drml.io.errors import UserError
from drml.io.limits import read_text
from drml.io.text import counted

__all__ = ["CODES", "DISTRUST", "Coding", "read_coding"]

DISTRUST = 99
"""The column of BP4D+ that marks frames whose codes are not to be trusted."""

CODES: dict[str, int] = {"1": PRESENT, "0": ABSENT, "9": UNKNOWN}
"""Occurrence code -> label."""


class Coding(NamedTuple):
    """The codes of a recording.

    Attributes
    ----------
    aus : tuple of int
        The AUs that have a column, in its order.
    rows : dict of int to ndarray of int8, shape (K,)
        Frame -> labels of the K AUs that were asked for.
    distrusted : set of int
        Frames whose codes are marked as not to be trusted.
    """

    aus: tuple[int, ...]
    rows: dict[int, np.ndarray]
    distrusted: set[int]


def read_coding(
    path: Path, aus: Sequence[int], *, distrust: int = DISTRUST, unknown: Container[str] = ()
) -> Coding:
    """Read the occurrence codes of a recording.

    Parameters
    ----------
    path : Path
        A CSV file: a header row of AU numbers, then a row for each frame, which begins with its number.
    aus : sequence of int
        The AUs of the labels, in this order.
    distrust : int, keyword-only
        A column, named like an AU, in which any code but 0 marks a frame whose codes are not to be trusted.
        No frame is marked if the file has no such column.
    unknown : container of str, keyword-only
        Codes that mean unknown, in addition to 9.

    Returns
    -------
    Coding

    Raises
    ------
    UserError
        The file is damaged; the message names line and value.
    """
    try:
        lines = read_text(path, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a CSV file ({error})") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise UserError(f"{path}: the file is empty; a header row of AU numbers is needed")
    header = [cell.strip() for cell in numbered[0][1].split(",")]
    columns: dict[int, int] = {}
    for index, cell in enumerate(header[1:], 1):
        if is_au(cell):
            if int(cell) in columns:
                raise UserError(f"{path}: line {numbered[0][0]}: two columns for AU {int(cell)}; remove one")
            columns[int(cell)] = index
    missing = [str(au) for au in aus if au not in columns]
    if missing:
        raise UserError(
            f"{path}: line {numbered[0][0]}: no column for AU {', '.join(missing)}; "
            f"the header is {numbered[0][1].strip()[:80]!r}"
        )
    if len(numbered) == 1:
        raise UserError(f"{path}: no coded frame after the header")
    indices = [columns[au] for au in aus]
    mark = columns.get(distrust)
    rows: dict[int, np.ndarray] = {}
    distrusted: set[int] = set()
    first_line: dict[int, int] = {}
    for number, line in numbered[1:]:
        cells = line.split(",")
        # In a row with a wrong number of values it is unknown which value is missing.
        if len(cells) != len(header) and (len(cells) < len(header) or "".join(cells[len(header) :]).strip()):
            raise UserError(
                f"{path}: line {number}: {counted(len(cells), 'value')}, the header has {len(header)}"
            )
        try:
            frame = int(cells[0])
        except ValueError:
            raise UserError(f"{path}: line {number}: {cells[0]!r} is not a frame number") from None
        if frame < 0:
            raise UserError(f"{path}: line {number}: {frame} is not a frame number")
        if frame in rows:
            raise UserError(f"{path}: line {number}: frame {frame} again, first in line {first_line[frame]}")
        labels = np.empty(len(aus), np.int8)
        for position, index in enumerate(indices):
            cell = cells[index].strip()
            code = UNKNOWN if cell in unknown else CODES.get(cell)
            if code is None:
                raise UserError(
                    f"{path}: line {number}: {cell!r} for AU {aus[position]}; "
                    "codes are 1 (present), 0 (absent), 9 (unknown)"
                )
            labels[position] = code
        rows[frame] = labels
        first_line[frame] = number
        if mark is not None and cells[mark].strip() != "0":
            distrusted.add(frame)
    return Coding(tuple(columns), rows, distrusted)
