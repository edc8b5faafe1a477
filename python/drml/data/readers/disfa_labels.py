"""The labels of DISFA: for each subject and AU a text file of intensities."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

import numpy as np

from drml.data.labels import DISFA_CODED_AUS
from drml.data.readers import Scan
from drml.data.readers.intensities import merge_labels, read_intensities
from drml.io.errors import UserError

__all__ = ["read_subject"]

_LABELS = re.compile(r"(SN\d{3})_au(\d+)\.txt", re.IGNORECASE)


def read_subject(
    scan: Scan, folder: Path, subject: str, intensity: int | None, unknown: Container[str] = ()
) -> dict[int, np.ndarray]:
    """Read a subject's label files: frame -> labels, for every frame that is in any of them.

    `intensity` is the lowest one at which an AU counts as present; None for the intensities themselves.
    `unknown` are the codes of an unknown intensity.
    """
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
    known = {au: read_intensities(files[au], intensity, unknown=unknown) for au in scan.aus if au in files}
    return merge_labels(scan, subject, known, DISFA_CODED_AUS)
