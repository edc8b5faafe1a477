"""The labels of DISFA: for each subject and AU a text file of intensities."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from drml.data.labels import ABSENT, DISFA_CODED_AUS, PRESENT, UNKNOWN
from drml.data.readers import Scan
from drml.io.errors import UserError
from drml.io.limits import read_text

__all__ = ["HIGHEST", "intensity_label", "read_labels", "read_subject"]

HIGHEST = 5
"""The highest intensity."""

_LABELS = re.compile(r"(SN\d{3})_au(\d+)\.txt", re.IGNORECASE)


def read_subject(scan: Scan, folder: Path, subject: str, intensity: int) -> dict[int, np.ndarray]:
    """Read a subject's label files: frame -> labels, for every frame that is in any of them."""
    files: dict[int, Path] = {}
    for path in sorted(folder.iterdir()):
        match = _LABELS.fullmatch(path.name)
        if not match:
            continue
        if match[1].upper() != subject:
            raise UserError(f"{path}: a label file of another subject; move it to its own folder")
        au = int(match[2])
        if au in files:
            raise UserError(f"{path}: a second file for AU {au} (the first is {files[au].name}); remove one")
        files[au] = path
    known = {au: read_labels(files[au], intensity) for au in scan.aus if au in files}
    rows: dict[int, np.ndarray] = {
        frame: np.full(len(scan.aus), UNKNOWN, np.int8) for frame in sorted(set().union(*known.values()))
    }
    for column, au in enumerate(scan.aus):
        for frame, label in known.get(au, {}).items():
            rows[frame][column] = label
        if au in known or au in DISFA_CODED_AUS:
            scan.lack(f"no label of AU{au}", subject, len(rows) - len(known.get(au, {})))
    return rows


def read_labels(path: Path, lowest: int) -> dict[int, int]:
    """Read one label file: frame -> label."""
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
        label = intensity_label(cells[1], lowest, where)
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


def intensity_label(text: str, lowest: int, where: str) -> int:
    """Return the label that an intensity stands for; raise `UserError` if it is none."""
    intensity = _whole(text)
    if intensity is None or intensity > HIGHEST:
        raise UserError(f"{where}: {text!r} is not an intensity, a whole number from 0 to {HIGHEST}")
    return PRESENT if intensity >= lowest else ABSENT


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None
