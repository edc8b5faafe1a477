"""Files of intensities, 0 to 5, as DISFA, DISFA+ and BP4D have them: one for each recording and AU."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from pathlib import Path

import numpy as np

from drml.data.labels import ABSENT, LEVELS, PRESENT, UNKNOWN, UNKNOWN_LEVEL
from drml.data.readers import Scan
from drml.io.errors import UserError
from drml.io.limits import read_text

__all__ = ["INTENSITIES", "intensity_label", "merge_labels", "read_intensities"]

INTENSITIES: dict[str, int] = {"0": ABSENT} | {str(code): PRESENT for code in LEVELS[1:]}
"""The codes of intensities, none of which can mean unknown."""


def read_intensities(path: Path, lowest: int | None, *, unknown: Container[str] = ()) -> dict[int, int]:
    """Read a file of intensities, with lines "frame,intensity" in ascending order.

    Parameters
    ----------
    path : Path
    lowest : int or None
        The lowest intensity at which the AU counts as present; None for the intensities themselves.
    unknown : container of str, keyword-only
        The codes of an unknown intensity.

    Returns
    -------
    dict of int to int
        Frame, from 1, -> label, or intensity.

    Raises
    ------
    UserError
        The file is damaged; the message names line and value.
    """
    try:
        lines = read_text(path, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a label file ({error})") from None
    labels: dict[int, int] = {}
    line_of: dict[int, int] = {}
    last = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 2:
            raise UserError(f"{where}: {line.strip()[:80]!r} is not 'frame,intensity'")
        frame = _whole(cells[0])
        if frame is None or frame < 1:
            raise UserError(f"{where}: {cells[0]!r} is not a frame number, 1 or more")
        label = intensity_label(cells[1], lowest, where, unknown)
        if frame in labels:
            raise UserError(f"{where}: frame {frame} again, first in line {line_of[frame]}")
        if frame < last:
            raise UserError(f"{where}: frame {frame} after frame {last}: out of order")
        labels[frame] = label
        line_of[frame] = number
        last = frame
    if not labels:
        raise UserError(f"{path}: the file is empty; lines 'frame,intensity' are needed")
    return labels


def intensity_label(text: str, lowest: int | None, where: str, unknown: Container[str] = ()) -> int:
    """Return the label that an intensity stands for; raise `UserError` if it is none.

    With `lowest` None, that is the intensity itself. `unknown` are the codes of an unknown intensity.
    """
    if text in unknown:
        return UNKNOWN_LEVEL if lowest is None else UNKNOWN
    intensity = _whole(text)
    if intensity is None or intensity > LEVELS[-1]:
        raise UserError(f"{where}: {text!r} is not an intensity, a whole number from 0 to {LEVELS[-1]}")
    if lowest is None:
        return intensity
    return PRESENT if intensity >= lowest else ABSENT


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def merge_labels(
    scan: Scan, name: str, known: Mapping[int, Mapping[int, int]], expected: Container[int]
) -> dict[int, np.ndarray]:
    """Put the labels of a recording together, which are in one file for each AU.

    Parameters
    ----------
    scan : Scan
        Its AUs give the order of the labels. Frames that some AU's file lacks are counted as incomplete.
    name : str
        The recording, as an example of what is incomplete.
    known : mapping of int to mapping of int to int
        AU -> frame -> label, for the AUs that have a file.
    expected : container of int
        The AUs that the data set codes: if one of them has no file, the recording is incomplete.

    Returns
    -------
    dict of int to ndarray of int8, shape (K,)
        Frame -> labels, for each frame that is in any file, in ascending order.
    """
    rows: dict[int, np.ndarray] = {
        frame: np.full(len(scan.aus), scan.unknown, np.int8) for frame in sorted(set().union(*known.values()))
    }
    for column, au in enumerate(scan.aus):
        for frame, label in known.get(au, {}).items():
            rows[frame][column] = label
        if au in known or au in expected:
            scan.lack(f"no label of AU{au}", name, len(rows) - len(known.get(au, {})))
    return rows
