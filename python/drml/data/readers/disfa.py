"""DISFA, as distributed or with its frames extracted, read into records.

::

    ROOT/ActionUnit_Labels/SN001/SN001_au1.txt              lines "frame,intensity", frames from 1, 0 to 5
    ROOT/Videos_LeftCamera/LeftVideoSN001_comp.avi          and Videos_RightCamera/RightVideoSN001_comp.avi
    ROOT/Landmark_Points/SN001/tmp_frame_lm/SN001_0000_lm.mat   66 points, frames from 0
                                            l00001_lm.mat       or, for some subjects, from 1

A subject's frame ``n`` is line ``n`` of the labels, the n-th frame of the video, and the landmarks
``SN001_<n-1>`` or ``l<n>``. In a record, frames count from 1.

A folder of frames may stand in for a video: ``SN001``, ``LeftVideoSN001`` or ``LeftVideoSN001_comp``, in
``Videos_LeftCamera``, ``Images_LeftCamera`` or ``Frames_LeftCamera`` (and, for the left camera, in ``Images``
or ``Frames``). A frame's name is a number, zero-padded or not, alone or after a prefix that ends in ``_``,
``-``, ``.``, or is "frame", "image" or "img": ``1.png``, ``0001.jpg``, ``SN001_0001.jpg``, ``frame1.png``.
If a subject has both, the video is read.

The data set has landmarks for one camera only. Users who read the other camera have to check whether they
fit, and can give landmarks of their own.

The real data set has frames without an image, landmarks or labels: they are skipped and counted. A file that
is damaged stops the reading, and the message names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from drml.data.labels import ABSENT, DISFA_AUS, PRESENT, UNKNOWN
from drml.data.readers import Record, Scan, matlab
from drml.data.readers.disfa_folders import (
    Frames,
    find_folder,
    find_folders,
    find_frames,
    number_frames,
    subject_folders,
)
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES, read_text

__all__ = ["CODED_AUS", "INTENSITY", "read"]

CODED_AUS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""The AUs that DISFA codes. If one of these has no label file, the data set is incomplete."""
INTENSITY = 3
"""Lowest intensity at which an AU counts as present: level C, as in the paper."""

_HIGHEST = 5
_POINTS = (66, 68, 49)
_LABELS = re.compile(r"(SN\d{3})_au(\d+)\.txt", re.IGNORECASE)
_FROM_0 = re.compile(r"(SN\d{3})_(\d+)_lm\.mat", re.IGNORECASE)
_FROM_1 = re.compile(r"l_?(\d+)_lm\.mat", re.IGNORECASE)


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = DISFA_AUS,
    intensity: int = INTENSITY,
    camera: str = "left",
    landmark_folder: Path | str | None = None,
    first_frame: int | None = None,
    landmarks: bool = True,
    progress: bool = False,
) -> Scan:
    """Read DISFA's folders.

    Parameters
    ----------
    root : path-like
        The folder that holds ``ActionUnit_Labels``, ``Videos_LeftCamera`` and ``Landmark_Points``.
    aus : sequence of int, keyword-only
        The AUs of each record's labels, in this order. Labels of AUs that DISFA does not code are unknown.
    intensity : int, keyword-only
        The lowest intensity at which an AU counts as present, 1 to 5.
    camera : {"left", "right"}, keyword-only
        The camera whose videos to read.
    landmark_folder : path-like, optional, keyword-only
        Folder of landmarks to read instead of ``ROOT/Landmark_Points``, in the same layout.
    first_frame : {0, 1}, optional, keyword-only
        The number of the first frame in folders of extracted frames; by default 0 if any such folder has an
        image of that number, else 1.
    landmarks : bool, keyword-only
        Read landmarks, and skip frames without any. If not, ``Landmark_Points`` is neither needed nor read,
        and the records have no landmarks.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    Scan
        Records in the order subject, frame, with an empty task and keys such as ``SN001_0001``; skipped
        frames by reason; frames whose label is unknown because a file or line is missing, by AU.

    Raises
    ------
    UserError
        Folders are missing, or a label file, landmark file or video is damaged; the message names the line.
    """
    root = Path(root)
    coding, places, points = find_folders(root, camera, landmark_folder, landmarks)
    scan = Scan(tuple(aus))
    labels = subject_folders(coding)
    if not labels:
        raise UserError(f"{coding}: no folders of subjects; looked for names such as SN001")
    frames = find_frames(places, camera, first_frame)
    coded: set[str] = set()
    for subject in tqdm(sorted(labels), desc="reading", unit="video", disable=not progress):
        rows = _read_subject(scan, labels[subject], subject, intensity)
        if rows:
            scan.coded[subject] = len(rows)
            _add_subject(scan, subject, rows, frames.get(subject, {}), points)
            coded.add(subject)
    if not coded:
        raise UserError(
            f"{coding}: no label file of any AU asked for ({', '.join(map(str, aus))});"
            f" looked for names such as SN001_au{aus[0]}.txt"
        )
    for subject in sorted(frames.keys() - coded):
        scan.skip("no coding", f"{subject} (whole video)", len(number_frames(frames[subject])))
    return scan


# --- labels ---------------------------------------------------------------------------------------------


def _read_subject(scan: Scan, folder: Path, subject: str, intensity: int) -> dict[int, np.ndarray]:
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
    known = {au: _read_labels(files[au], intensity) for au in scan.aus if au in files}
    rows: dict[int, np.ndarray] = {
        frame: np.full(len(scan.aus), UNKNOWN, np.int8) for frame in sorted(set().union(*known.values()))
    }
    for column, au in enumerate(scan.aus):
        for frame, label in known.get(au, {}).items():
            rows[frame][column] = label
        if au in known or au in CODED_AUS:
            scan.lack(f"no label of AU{au}", subject, len(rows) - len(known.get(au, {})))
    return rows


def _read_labels(path: Path, lowest: int) -> dict[int, int]:
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
        intensity = _whole(cells[1])
        if intensity is None or intensity > _HIGHEST:
            raise UserError(f"{where}: {cells[1]!r} is not an intensity, a whole number from 0 to {_HIGHEST}")
        if frame in labels:
            raise UserError(f"{where}: frame {frame} again, first in line {line_of[frame]}")
        if frame < last:
            raise UserError(f"{where}: frame {frame} after frame {last}: out of order")
        labels[frame] = PRESENT if intensity >= lowest else ABSENT
        line_of[frame] = number
        last = frame
    if not labels:
        raise UserError(f"{path}: the file is empty; lines 'frame,intensity' are needed")
    return labels


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


# --- landmarks ------------------------------------------------------------------------------------------


def _landmark_files(folder: Path, subject: str) -> dict[int, Path]:
    """Map frame number (from 1) -> landmark file."""
    inner = find_folder(folder, "tmp_frame_lm") or folder
    found: dict[int, Path] = {}
    for path in sorted(inner.iterdir()):
        if match := _FROM_0.fullmatch(path.name):
            if match[1].upper() != subject:
                raise UserError(f"{path}: landmarks of another subject; move them to their own folder")
            frame = int(match[2]) + 1
        elif match := _FROM_1.fullmatch(path.name):
            frame = int(match[1])
        else:
            continue
        if frame in found:
            raise UserError(
                f"{path}: a second file for frame {frame} (the first is {found[frame].name}); remove one"
            )
        found[frame] = path
    return found


def _points(path: Path) -> np.ndarray:
    with matlab.open_mat(path) as contents, matlab.naming_file(path, "its pts cannot be read"):
        if "pts" not in contents:
            raise UserError(f"{path}: no pts in it; the landmarks are expected there")
        if isinstance(contents, h5py.File):
            return hdf5.read_set(hdf5.child(contents, "pts"), MAT_BYTES)
        return np.asarray(contents["pts"])


def _add_subject(
    scan: Scan, subject: str, rows: dict[int, np.ndarray], frames: Frames, points: Path | None
) -> None:
    """Add the records of a subject; `points` is None if the landmarks are not to be read."""
    found = number_frames(frames, max(rows))
    scan.skip("no coding", subject, len(found.keys() - rows.keys()))
    wanted = []
    for frame in rows:
        if frame in found:
            wanted.append(frame)
        else:
            scan.skip("no image", f"{subject}_{frame:04d}")
    if points is None:
        scan.records += [
            Record(f"{subject}_{frame:04d}", found[frame], subject, "", frame, rows[frame], None)
            for frame in wanted
        ]
        return
    folder = subject_folders(points).get(subject)
    files = _landmark_files(folder, subject) if folder is not None and wanted else {}
    if not files:
        scan.skip(matlab.NO_LANDMARKS, f"{subject} (whole video)", len(wanted))
        return

    def raw() -> Iterator[tuple[int, np.ndarray | None]]:
        for frame in wanted:
            yield frame, _points(files[frame]) if frame in files else None

    good, faulty = matlab.check_landmarks(points / subject, raw(), _POINTS)
    for frame in wanted:
        key = f"{subject}_{frame:04d}"
        if frame in good:
            scan.records.append(Record(key, found[frame], subject, "", frame, rows[frame], good[frame]))
        else:
            scan.skip(faulty[frame], key)
