"""BP4D as distributed, in its variants -> records.

::

    ROOT/AUCoding/AU_OCC/F001_T1.csv            codes (or directly in AUCoding/)
    ROOT/Sequences(2D+3D)/F001/T1/2440.jpg      images (or 2D+3D/; names zero-padded or not)
    ROOT/2DFeatures/F001_T1.mat                 landmarks, 49 a frame

Frames without an image, landmarks or coding are part of the real set: they are skipped and counted. A
file that is itself at fault stops the reading with its name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from tqdm import tqdm

from drml import registration
from drml.datasets import Record, Scan
from drml.errors import UserError
from drml.labels import ABSENT, BP4D_AUS, PRESENT, UNKNOWN

__all__ = ["read"]

_SEQUENCES = ("Sequences(2D+3D)", "2D+3D", "Sequences")
_VIDEO = re.compile(r"([FM]\d{3})_(T\d+)", re.IGNORECASE)
_IMAGE_KINDS = {".jpg", ".jpeg", ".png"}
_CODES = {"1": PRESENT, "0": ABSENT, "9": UNKNOWN}


def read(root: Path | str, *, aus: Sequence[int] = BP4D_AUS, progress: bool = False) -> Scan:
    """Read BP4D's folders.

    Parameters
    ----------
    root : path-like
        The folder that holds ``AUCoding``, ``Sequences(2D+3D)`` and ``2DFeatures``.
    aus : sequence of int, keyword-only
        The AUs of each record's labels, in this order.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    Scan
        Records in the order subject, task, frame; skipped frames by reason.

    Raises
    ------
    UserError
        Folders are missing, or a coding or landmark file is at fault: named with line and value.
    """
    root = Path(root)
    coding, sequences, features = _folders(root)
    scan = Scan(tuple(aus))
    codings = _videos_of_files(coding, ".csv")
    if not codings:
        raise UserError(f"{coding}: no coding files; looked for names such as F001_T1.csv")
    landmark_files = _videos_of_files(features, ".mat")
    folders = _videos_of_folders(sequences)

    for video in tqdm(sorted(codings), desc="reading", unit="video", disable=not progress):
        rows = _read_coding(codings[video], scan.aus)
        images = _images(folders[video]) if video in folders else {}
        _add_video(scan, video, rows, images, landmark_files.get(video))
    for video in sorted(folders.keys() - codings.keys()):
        scan.skip("no coding", "{}_{} (whole video)".format(*video), len(_images(folders[video])))
    return scan


def _folders(root: Path) -> tuple[Path, Path, Path]:
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
            ("2DFeatures", features.is_dir()),
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


def _images(folder: Path) -> dict[int, Path]:
    """Map frame number -> image; ``0042.jpg`` and ``42.jpg`` are both frame 42."""
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in _IMAGE_KINDS or not (path.stem.isascii() and path.stem.isdigit()):
            continue
        frame = int(path.stem)
        if frame in found:
            names = sorted((found[frame].name, path.name))
            raise UserError(f"{folder}: frame {frame} has two images, {names[0]} and {names[1]}; remove one")
        found[frame] = path
    return found


def _add_video(
    scan: Scan,
    video: _Video,
    rows: dict[int, np.ndarray],
    images: dict[int, Path],
    landmark_file: Path | None,
) -> None:
    subject, task = video
    scan.skip("no coding", f"{subject}_{task}", len(images.keys() - rows.keys()))
    wanted = []
    for frame in sorted(rows):
        key = f"{subject}_{task}_{frame:04d}"
        if not rows[frame].any():
            scan.skip("no known label", key)
        elif frame not in images:
            scan.skip("no image", key)
        else:
            wanted.append((key, frame))
    if not wanted:
        return
    if landmark_file is None:
        scan.skip(_NONE, f"{subject}_{task} (whole video)", len(wanted))
        return
    landmarks = _Landmarks(landmark_file)
    try:
        faulty: list[tuple[str, int, str]] = []
        records = []
        for key, frame in wanted:
            points, reason = landmarks.of(frame)
            if points is not None:
                records.append(Record(key, images[frame], subject, task, frame, rows[frame], points))
            else:
                faulty.append((key, frame, reason))
        # Single frames without good landmarks are part of the real set; a file without any is broken.
        at_fault = [(frame, reason) for _, frame, reason in faulty if reason != _NONE]
        if at_fault and not records:
            frame, reason = at_fault[0]
            if reason == _WRONG_COUNT:
                reason = f"{landmarks.count(frame)} landmarks, 49 needed"
            raise UserError(
                f"{landmark_file}: no frame with good landmarks; frame {frame}: {reason};"
                " fetch this file again"
            )
        for key, _, reason in faulty:
            scan.skip(reason, key)
        scan.records += records
    finally:
        landmarks.close()


def _read_coding(path: Path, aus: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Read one coding file: frame -> labels."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a CSV file ({error})") from None
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise UserError(f"{path}: the file is empty; a header row of AU numbers is needed")
    header = [cell.strip() for cell in numbered[0][1].split(",")]
    columns: dict[int, int] = {}
    for index, cell in enumerate(header[1:], 1):
        if cell.isascii() and cell.isdigit():
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
        # A row that is shorter or longer is a damaged one; which of its values is missing is not known.
        if len(cells) != len(header) and (len(cells) < len(header) or "".join(cells[len(header) :]).strip()):
            raise UserError(f"{path}: line {number}: {len(cells)} values, the header has {len(header)}")
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


_NONE = "no landmarks"
_WRONG_COUNT = "landmarks of a wrong count"


class _Landmarks:
    """One landmark file: MATLAB's 7.3 (HDF5) or an older format."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        try:
            if h5py.is_hdf5(path):
                self._file = h5py.File(path, "r")
                self._of_index = self._from_hdf5(self._file)
            else:
                # Only the older format needs it, and it takes longer to import than all the rest.
                import scipy.io

                self._of_index = self._from_old(scipy.io.loadmat(path))
        except UserError:
            self.close()
            raise
        # The two libraries raise whatever their parsers trip over; the file is at fault each time.
        except Exception as error:
            self.close()
            raise UserError(
                f"{path}: cannot be read as a MATLAB file ({error or type(error).__name__})"
            ) from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _raw(self, frame: int) -> np.ndarray | None:
        try:
            array = self._of_index(frame - 1) if frame > 0 else None
        except Exception as error:
            raise UserError(
                f"{self._path}: landmarks of frame {frame} cannot be read ({error or type(error).__name__})"
            ) from None
        # HDF5 keeps MATLAB's [] as the list of its dimensions; every other matrix has two axes.
        if array is None or array.size == 0 or array.ndim != 2:
            return None
        # MATLAB's 49 x 2 arrives transposed from HDF5.
        return array.T if array.shape[0] == 2 else array

    def count(self, frame: int) -> int:
        """Give the number of points of a frame."""
        array = self._raw(frame)
        return 0 if array is None else max(array.shape)

    def of(self, frame: int) -> tuple[np.ndarray | None, str]:
        """Give a frame's points, or None and the reason."""
        points = self._raw(frame)
        if points is None:
            return None, _NONE
        if points.shape != (49, 2):
            return None, _WRONG_COUNT
        points = points.astype(np.float64) - 1  # MATLAB counts pixels from 1
        if not np.isfinite(points).all():
            return None, "landmarks that are not numbers"  # as some trackers write a lost face
        if registration.fault(points):
            return None, "degenerate landmarks"
        return points, ""

    def _from_hdf5(self, file: Any) -> Callable[[int], np.ndarray | None]:
        pred = file.get("fit/pred")
        if not isinstance(pred, h5py.Dataset):
            raise UserError(f"{self._path}: no fit/pred in it; the landmarks are expected there")
        if pred.dtype != h5py.ref_dtype:  # a single frame: MATLAB stores the array itself
            return lambda index: pred[()] if index == 0 else None
        references = pred[()].ravel()

        def of_index(index: int) -> np.ndarray | None:
            if index >= len(references) or not references[index]:
                return None
            return file[references[index]][()]

        return of_index

    def _from_old(self, contents: dict[str, Any]) -> Callable[[int], np.ndarray | None]:
        fit = contents.get("fit")
        if fit is None or fit.dtype.names is None or "pred" not in fit.dtype.names:
            raise UserError(f"{self._path}: no fit.pred in it; the landmarks are expected there")
        entries = fit["pred"].ravel()
        return lambda index: np.asarray(entries[index]) if index < len(entries) else None
