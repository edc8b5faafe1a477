"""Your own images, listed in a CSV file, read into records.

::

    path,subject,AU1,AU2,AU12,x1,y1,x2,y2, ... ,x68,y68
    anna/01.jpg,anna,1,-1,0,310.5,220.0, ...

``path`` and at least one AU are required. Paths are relative to the folder of the CSV file and must stay
inside it. Labels are 1 (present), -1 (absent), and 0 or an empty cell (unknown); with ``labels="01"`` they
are 1 (present), 0 (absent), and 9 or an empty cell (unknown). ``unknown`` declares more codes for unknown.
Columns ``AU1_r`` hold intensities: 0 (absent) to 5, whole numbers, and 9 or an empty cell (unknown).
``subject`` keeps the images of one person in one split. Landmarks are 49, 66, 68 or 5 points in pixels of the
upright image, counted from 0. An image without landmarks must be a registered face. Tables that pandas wrote
are read as they are: ``AU01``, ``1.0``, ``nan`` for an empty cell, and a column of row numbers.
"""

from __future__ import annotations

import csv
import os
import re
import zlib
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data import registration
from drml.data.labels import ABSENT, PRESENT, UNKNOWN, UNKNOWN_LEVEL
from drml.data.readers import Record, Scan
from drml.data.readers.intensities import INTENSITIES, intensity_label
from drml.data.readers.list_columns import Columns
from drml.data.readers.unknown_codes import unknown_codes
from drml.io import limits
from drml.io.errors import UserError
from drml.io.orientation import MIRRORED, UPRIGHT, orientation, stored_size, turn_points
from drml.io.text import counted

__all__ = ["GROUPS", "LABELS", "LANDMARK_PIXELS", "NO_SUBJECTS", "read"]

LABELS: dict[str, dict[str, int]] = {
    "signed": {"1": PRESENT, "-1": ABSENT, "0": UNKNOWN, "": UNKNOWN},
    "01": {"1": PRESENT, "0": ABSENT, "9": UNKNOWN, "": UNKNOWN},
}
"""Notation -> cell of a list -> label."""

GROUPS = 30
"""Number of groups that stand for the subjects if a list has none."""

NO_SUBJECTS = "no subjects given, so that a person may be in several splits"

LANDMARK_PIXELS = ("upright", "stored")
"""Pixels that landmarks of a list refer to: those of the image turned as its file says, or as stored."""

_MISSING = {"nan", "NaN", "NAN", "<NA>", "NA", "None", "null"}  # as pandas and other programs write it
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0*")  # as pandas writes whole numbers of a column with missing values
_LONGEST = 200  # letters of a subject; keys of an LMDB have at most 511 bytes


def read(
    root: Path | str,
    *,
    aus: Sequence[int] | None = None,
    labels: str = "signed",
    unknown: str | None = None,
    levels: bool = False,
    images_anywhere: bool = False,
    landmark_pixels: str = "upright",
    progress: bool = False,
) -> Scan:
    """Read a list of images.

    Parameters
    ----------
    root : path-like
        The CSV file.
    aus : sequence of int, optional, keyword-only
        The AUs of each record's labels; by default all AUs of the list, in its order.
    labels : {"signed", "01"}, keyword-only
        How labels are written; see `LABELS`.
    unknown : str, optional, keyword-only
        Codes that mean an unknown label here, in addition to those of `labels`, such as ``"9,999"``.
    levels : bool, keyword-only
        Read the columns of intensities, ``AU1_r``, instead of those of occurrences, ``AU1``.
    images_anywhere : bool, keyword-only
        Allow images outside the folder of the list.
    landmark_pixels : {"upright", "stored"}, keyword-only
        What the landmarks refer to if an image's file says that it has to be turned (EXIF orientation): the
        image after it is turned, as viewers show it, or the pixels as they are stored.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    Scan
        Records in the order subject, line; images without a known label are skipped. A record's landmarks are
        of shape (49, 2) or (5, 2), or None.

    Raises
    ------
    UserError
        The file is not such a list, or a line has an invalid label, landmarks that are not numbers, or an
        image that does not exist; the message names the line and the value.
    """
    path = Path(root)
    declared = unknown_codes(unknown, INTENSITIES if levels else LABELS[labels])
    unknown_levels = {"", str(UNKNOWN_LEVEL), *declared}
    notation = LABELS[labels] | dict.fromkeys(declared, UNKNOWN)
    try:
        with limits.open_list(path) as file:
            reader = csv.reader(file)
            header = [cell.strip() for cell in next(reader, [])]
            columns = Columns(path, header, aus, levels=levels)
            rows = []
            for cells in reader:
                if any(cells):
                    if len(cells) != len(header):
                        where = f"{path}: line {reader.line_num}"
                        raise UserError(
                            f"{where}: {counted(len(cells), 'value')}, the header has {len(header)}"
                        )
                    rows.append((reader.line_num, [_cell(cell) for cell in cells]))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a CSV file that lists images and their labels") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a list of images ({error})") from None
    if not rows:
        raise UserError(f"{path}: no image after the header")
    scan = Scan(columns.aus, levels=levels)
    if columns.subject is None:
        scan.lack(NO_SUBJECTS, str(path), len(rows))
    seen: dict[Path, int] = {}
    zeros: int | None = None
    absent = False
    for line, cells in tqdm(rows, desc="reading", unit="image", disable=not progress):
        where = f"{path}: line {line}"
        image = path.parent / cells[columns.path]
        if not images_anywhere and not _inside(cells[columns.path]):
            raise UserError(
                f"{where}: image {cells[columns.path]!r} is outside of the list's folder; move the list,"
                " or give --images-anywhere if you trust its author"
            )
        if "\0" in cells[columns.path] or not cells[columns.path] or not image.is_file():
            raise UserError(f"{where}: image {cells[columns.path]!r} is not there (looked for {image})")
        if image in seen:
            raise UserError(f"{where}: image {cells[columns.path]!r} again, first in line {seen[image]}")
        seen[image] = line
        if levels:
            values = np.array(
                [_level(where, au, cells[at], unknown_levels) for au, at in columns.labels], np.int8
            )
        else:
            values = np.array(
                [_label(where, au, cells[at], notation, labels) for au, at in columns.labels], np.int8
            )
        if zeros is None and not levels and any(cells[at] == "0" for _, at in columns.labels):
            zeros = line
        absent = absent or bool((values == ABSENT).any())
        landmarks = _landmarks(where, [cells[at] for at in columns.points])
        if landmarks is not None and landmark_pixels == "stored":
            landmarks = _turned(image, landmarks)
        subject = cells[columns.subject] if columns.subject is not None else _group(cells[columns.path])
        if not subject:
            raise UserError(f"{where}: no subject; give each image one, or none of them")
        if len(subject) > _LONGEST:
            raise UserError(
                f"{where}: a subject's name of {len(subject)} letters; at most {_LONGEST} go into a key"
            )
        key = f"{re.sub('[^A-Za-z0-9.-]+', '-', subject)}_{line:04d}"
        if not scan.knows_any(values):
            scan.skip("no known label", key)
            continue
        scan.records.append(Record(key, image, subject, "", line, values, landmarks))
    if labels == "signed" and zeros is not None and not absent:
        raise UserError(
            f"{path}: line {zeros}: labels 0, and no -1 in the whole list; if 0 means absent here, give"
            " --labels 01, else write -1 for absent"
        )
    scan.records.sort(key=lambda record: (record.subject, record.frame))
    return scan


def _cell(text: str) -> str:
    """Return the text of a cell without what programs add to it.

    Examples
    --------
    >>> _cell(" -1.0 "), _cell("nan"), _cell("310.50")
    ('-1', '', '310.50')
    """
    text = text.strip()
    if text in _MISSING:
        return ""
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _label(where: str, au: int, cell: str, notation: Mapping[str, int], name: str) -> int:
    value = notation.get(cell)
    if value is None:
        hint = "; is --labels 01 right?" if name == "01" else ""
        known = ", ".join(one or "nothing" for one in notation)
        raise UserError(f"{where}: {cell!r} for AU{au}; labels are {known}{hint}")
    return value


def _level(where: str, au: int, cell: str, unknown: Container[str]) -> int:
    return intensity_label(cell, None, f"{where}: AU{au}_r", unknown)


def _landmarks(where: str, cells: list[str]) -> np.ndarray | None:
    """Read the landmarks of a line; None if all its cells are empty."""
    if not any(cells):
        return None
    try:
        points = np.array([float(cell) for cell in cells]).reshape(-1, 2)
    except ValueError:
        wrong = next(cell for cell in cells if not _is_number(cell))
        raise UserError(f"{where}: {wrong!r} is not a coordinate of a landmark") from None
    fault = registration.fault(points)
    if fault:
        raise UserError(f"{where}: {fault}")
    return points if len(points) == 5 else registration.to49(points)


def _turned(image: Path, landmarks: np.ndarray) -> np.ndarray:
    """Return landmarks of an image's stored pixels as those of the upright image."""
    try:
        data = limits.read_bytes(image, limits.IMAGE_BYTES)
        stored, size = orientation(data), stored_size(data)
    except (OSError, UserError):
        return landmarks  # the image is reported when it is registered
    if stored == UPRIGHT or size is None:
        return landmarks
    turned = turn_points(landmarks, stored, *size)
    return turned[registration.mirror_order(len(turned))] if stored in MIRRORED else turned


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _inside(path: str) -> bool:
    """Return whether a path of the list stays below the list's folder; symbolic links are not resolved.

    Examples
    --------
    >>> _inside("a/../b.png"), _inside("a/../../b.png"), _inside("/b.png")
    (True, False, False)
    """
    return not Path(path).is_absolute() and not os.path.normpath(path).startswith("..")


def _group(path: str) -> str:
    """Assign an image to a group by its path in the list alone, so that the group is always the same."""
    return f"group{zlib.crc32(path.encode()) % GROUPS + 1:02d}"
