"""BP4D, as distributed and in its variants, read into records.

::

    ROOT/AUCoding/AU_OCC/F001_T1.csv            codes (or directly in AUCoding/)
    ROOT/Sequences(2D+3D)/F001/T1/2440.jpg      images (or 2D+3D/; names zero-padded or not)
    ROOT/2DFeatures/F001_T1.mat                 landmarks, 49 a frame

The real data set has frames without an image, landmarks or coding: they are skipped and counted. A file that
is damaged stops the reading, and the message names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from drml.data.labels import ABSENT, BP4D_AUS, PRESENT, UNKNOWN, is_au
from drml.data.readers import Record, Scan, images, matlab
from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import MAT_BYTES, read_text
from drml.io.text import counted

__all__ = ["read"]

_SEQUENCES = ("Sequences(2D+3D)", "2D+3D", "Sequences")
_VIDEO = re.compile(r"([FM]\d{3})_(T\d+)", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+)")
_CODES = {"1": PRESENT, "0": ABSENT, "9": UNKNOWN}


def read(
    root: Path | str, *, aus: Sequence[int] = BP4D_AUS, landmarks: bool = True, progress: bool = False
) -> Scan:
    """Read BP4D's folders.

    Parameters
    ----------
    root : path-like
        The folder that holds ``AUCoding``, ``Sequences(2D+3D)`` and ``2DFeatures``.
    aus : sequence of int, keyword-only
        The AUs of each record's labels, in this order.
    landmarks : bool, keyword-only
        Read landmarks, and skip frames without any. If not, ``2DFeatures`` is neither needed nor read, and
        the records have no landmarks.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    Scan
        Records in the order subject, task, frame; skipped frames by reason.

    Raises
    ------
    UserError
        Folders are missing, or a coding or landmark file is damaged; the message names line and value.
    """
    root = Path(root)
    coding, sequences, features = _folders(root, landmarks)
    scan = Scan(tuple(aus))
    codings = _videos_of_files(coding, ".csv")
    if not codings:
        raise UserError(f"{coding}: no coding files; looked for names such as F001_T1.csv")
    landmark_files = _videos_of_files(features, ".mat") if landmarks else None
    folders = _videos_of_folders(sequences)

    for video in tqdm(sorted(codings), desc="reading", unit="video", disable=not progress):
        rows = _read_coding(codings[video], scan.aus)
        found = images.numbered(folders[video], _NUMBER) if video in folders else {}
        scan.coded["{}_{}".format(*video)] = len(rows)
        _add_video(scan, video, rows, found, landmark_files)
    for video in sorted(folders.keys() - codings.keys()):
        scan.skip(
            "no coding", "{}_{} (whole video)".format(*video), len(images.numbered(folders[video], _NUMBER))
        )
    return scan


def _folders(root: Path, landmarks: bool) -> tuple[Path, Path, Path]:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give BP4D's root")
    looked_for = f"AUCoding/, {' or '.join(f'{name}/' for name in _SEQUENCES[:2])}, 2DFeatures/"
    coding = root / "AUCoding"
    sequences = next((root / name for name in _SEQUENCES if (root / name).is_dir()), None)
    features = root / "2DFeatures"
    missing = [
        name
        for name, there in (
            ("AUCoding", coding.is_dir()),
            (f"{_SEQUENCES[0]} (or {_SEQUENCES[1]})", sequences is not None),
            ("2DFeatures", features.is_dir() or not landmarks),
        )
        if not there
    ]
    if missing or sequences is None:
        raise UserError(
            f"{root}: not BP4D's layout, {' and '.join(missing)} missing; looked for {looked_for} in it"
        )
    if (coding / "AU_OCC").is_dir():
        coding = coding / "AU_OCC"
    return coding, sequences, features


_Video = tuple[str, str]


def _video(name: str) -> _Video | None:
    match = _VIDEO.fullmatch(name)
    return (match[1].upper(), match[2].upper()) if match else None


def _videos_of_files(folder: Path, suffix: str) -> dict[_Video, Path]:
    found = {}
    for path in sorted(folder.iterdir()):
        video = _video(path.stem)
        if video and path.suffix.lower() == suffix:
            found[video] = path
    return found


def _videos_of_folders(sequences: Path) -> dict[_Video, Path]:
    found = {}
    for subject in sorted(path for path in sequences.iterdir() if path.is_dir()):
        for task in sorted(path for path in subject.iterdir() if path.is_dir()):
            video = _video(f"{subject.name}_{task.name}")
            if video:
                found[video] = task
    return found


def _add_video(
    scan: Scan,
    video: _Video,
    rows: dict[int, np.ndarray],
    found: dict[int, Path],
    landmark_files: dict[_Video, Path] | None,
) -> None:
    """Add the records of a video; `landmark_files` is None if the landmarks are not to be read."""
    subject, task = video
    scan.skip("no coding", f"{subject}_{task}", len(found.keys() - rows.keys()))
    wanted = []
    for frame in sorted(rows):
        key = f"{subject}_{task}_{frame:04d}"
        if not rows[frame].any():
            scan.skip("no known label", key)
        elif frame not in found:
            scan.skip("no image", key)
        else:
            wanted.append((key, frame))
    if not wanted:
        return
    if landmark_files is None:
        scan.records += [
            Record(key, found[frame], subject, task, frame, rows[frame], None) for key, frame in wanted
        ]
        return
    landmark_file = landmark_files.get(video)
    if landmark_file is None:
        scan.skip(matlab.NO_LANDMARKS, f"{subject}_{task} (whole video)", len(wanted))
        return
    with matlab.open_mat(landmark_file) as contents:
        points_of = _landmarks(landmark_file, contents)
        raw = ((frame, points_of(frame)) for _, frame in wanted)
        good, faulty = matlab.check_landmarks(landmark_file, raw, (49,))
    for key, frame in wanted:
        if frame in good:
            scan.records.append(Record(key, found[frame], subject, task, frame, rows[frame], good[frame]))
        else:
            scan.skip(faulty[frame], key)


def _read_coding(path: Path, aus: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Read one coding file: frame -> labels."""
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
    rows: dict[int, np.ndarray] = {}
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
            code = _CODES.get(cells[index].strip())
            if code is None:
                raise UserError(
                    f"{path}: line {number}: {cells[index].strip()!r} for AU {aus[position]}; "
                    "codes are 1 (present), 0 (absent), 9 (unknown)"
                )
            labels[position] = code
        rows[frame] = labels
        first_line[frame] = number
    return rows


def _landmarks(path: Path, contents: Any) -> Callable[[int], np.ndarray | None]:
    """Return a function from a frame to its entry in a landmark file, None if it has none."""
    with matlab.naming_file(path, "cannot be read as a MATLAB file"):
        of_index = _of_hdf5(path, contents) if isinstance(contents, h5py.File) else _of_mat5(path, contents)

    def of_frame(frame: int) -> np.ndarray | None:
        with matlab.naming_file(path, f"landmarks of frame {frame} cannot be read"):
            return of_index(frame - 1) if frame > 0 else None

    return of_frame


def _of_hdf5(path: Path, file: h5py.File) -> Callable[[int], np.ndarray | None]:
    try:
        pred = hdf5.child(file, "fit/pred")
    except KeyError:
        raise UserError(f"{path}: no fit/pred in it; the landmarks are expected there") from None
    values = hdf5.read_set(pred, MAT_BYTES)
    if values.dtype != h5py.ref_dtype:  # a single frame: MATLAB stores the array itself
        return lambda index: values if index == 0 else None
    references = values.ravel()

    def of_index(index: int) -> np.ndarray | None:
        if index >= len(references) or not references[index]:
            return None
        return hdf5.read_set(file[references[index]], MAT_BYTES)

    return of_index


def _of_mat5(path: Path, contents: dict[str, np.ndarray]) -> Callable[[int], np.ndarray | None]:
    if "frames" not in contents:
        raise UserError(f"{path}: no fit.pred in it; the landmarks are expected there")
    return lambda index: contents.get(f"pred {index}")
