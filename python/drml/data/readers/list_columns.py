"""The columns of a list of images, by their names in the first line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from drml.io import limits
from drml.io.errors import UserError

__all__ = ["Columns"]

_POINTS = re.compile(r"[xy][1-9][0-9]{0,2}")
_AU = re.compile(r"AU0{0,3}([1-9][0-9]{0,3})(_r)?$")
_INDEX = re.compile(r"Unnamed: [0-9]+")
_COUNTS = (49, 66, 68, 5)


class Columns:
    """The columns of a list: their positions by meaning.

    Columns without a name, and those that pandas names ``Unnamed: 0``, are the index of a DataFrame and are
    left out.

    Parameters
    ----------
    file : Path
        The list, for error messages.
    header : list of str
        The cells of its first line.
    aus : sequence of int or None
        The AUs to read; None: all.
    levels : bool
        Read the columns of intensities, ``AU1_r``, instead of those of occurrences.

    Attributes
    ----------
    path : int
        Position of the images' paths.
    subject : int or None
    aus : tuple of int
    labels : list of (int, int)
        AU and position.
    points : list of int
        Positions of x1, y1, x2, ...

    Raises
    ------
    UserError
        A column is missing, there twice, or unknown.
    """

    def __init__(
        self, file: Path, header: list[str], aus: Sequence[int] | None, *, levels: bool = False
    ) -> None:
        where = f"{file}: line 1"
        if len(header) > limits.LABELS:
            raise UserError(
                f"{where}: {len(header)} columns; at most {limits.LABELS} are read (docs/limits_python.md)"
            )
        header = ["" if _INDEX.fullmatch(name) else _AU.sub(r"AU\1\2", name) for name in header]
        twice = sorted({name for name in header if name and header.count(name) > 1})
        if twice:
            raise UserError(f"{where}: two columns are named {twice[0]!r}; remove one")
        if "path" not in header:
            raise UserError(f"{where}: no column 'path'; the header is {','.join(header)[:80]!r}")
        found = {
            int(match[1]): at
            for at, name in enumerate(header)
            if (match := _AU.fullmatch(name)) and bool(match[2]) == levels
        }
        if not found:
            example, kind = ("AU1_r, AU2_r", "intensity of an AU") if levels else ("AU1, AU2", "AU")
            raise UserError(f"{where}: no column of an {kind}; they are named {example} and so on")
        missing = [str(au) for au in aus or () if au not in found]
        if missing:
            raise UserError(f"{where}: no column for AU {', '.join(missing)}")
        unknown = [
            name
            for name in header
            if name not in ("", "path", "subject") and not _AU.fullmatch(name) and not _POINTS.fullmatch(name)
        ]
        if unknown:
            raise UserError(
                f"{where}: column {unknown[0]!r} is not one of path, subject, AU1 .., AU1_r .., x1, y1 .."
            )
        points = sum(bool(_POINTS.fullmatch(name)) for name in header)
        names = [f"{axis}{index}" for index in range(1, points // 2 + 1) for axis in "xy"]
        if points and (points // 2 not in _COUNTS or points % 2 or not set(names) <= set(header)):
            raise UserError(
                f"{where}: {points} columns of landmarks; they are x1, y1 .. for {_COUNTS[0]} points"
                f" (or {', '.join(map(str, _COUNTS[1:]))})"
            )
        self.path = header.index("path")
        self.subject = header.index("subject") if "subject" in header else None
        self.aus = tuple(found) if aus is None else tuple(aus)
        self.labels = [(au, found[au]) for au in self.aus]
        self.points = [header.index(name) for name in names]
