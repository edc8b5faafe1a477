"""DISFA+, read into records: posed expressions of nine of DISFA's subjects, as a set to test nets on.

::

    ROOT/Labels/SN001/A1_AU1_TrailNo_1/AU1.txt      lines "000.jpg 0": image and intensity, 0 to 5
    ROOT/Images/SN001/A1_AU1_TrailNo_1/000.jpg      or in Trials/, or ROOT/SN001/Trials/A1_AU1_TrailNo_1/

A trial is a recording: it is the task of the records, and a record's frame is the number of its image.

The landmarks of DISFA+ (``A1_AU1_TrailNo_1_FaceCropped.mat``) are points of faces that are cropped and
stored in the same file, and do not fit the images. The faces are therefore registered by the points of the
face detector.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.labels import DISFA_CODED_AUS
from drml.data.readers import Record, Scan, images
from drml.data.readers.disfa_folders import subject_folders
from drml.data.readers.frames import FRAME_NAME, NO_IMAGE, add_frames
from drml.data.readers.intensities import INTENSITIES, intensity_label, merge_labels
from drml.data.readers.layout import Part, Place, check_unpacked, entries, find_folder, find_parts
from drml.data.readers.unknown_codes import unknown_codes
from drml.io.errors import UsageError, UserError
from drml.io.limits import read_text

__all__ = ["PARTS", "read"]

_TRIAL = re.compile(r".+_Tr(?:ai|ia)lNo_[0-9]+", re.IGNORECASE)  # the data set's own spelling is TrailNo
_LABELS = re.compile(r"AU([0-9]+)\.txt", re.IGNORECASE)
_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE)

_DISTRIBUTED, _BY_SUBJECT = "the data set as distributed", "a copy with a folder for each subject"


def _has_labels(folder: Path) -> bool:
    return any(_LABELS.fullmatch(path.name) for path in entries(folder))


def _has_images(folder: Path) -> bool:
    return any(images.is_image(path) for path in entries(folder))


def _trials(folder: Path, inner: Sequence[str], holds: Callable[[Path], bool]) -> dict[str, Path]:
    """Map each trial, such as ``SN001_A1_AU1_TrailNo_1``, to its folder.

    The trials of a subject are in its folder, or in a folder there of the subject's name or one in `inner`.
    """
    found: dict[str, Path] = {}
    for subject, own in subject_folders(folder).items():
        places = [own, *(path for name in (own.name, *inner) if (path := find_folder(own, name)))]
        for path in (path for place in places for path in entries(place)):
            if path.is_dir() and _TRIAL.fullmatch(path.name) and holds(path):
                add_frames(found, f"{subject}_{path.name}", path)
    return found


def _label_folders(folder: Path) -> dict[str, Path]:
    return _trials(folder, ("Labels",), _has_labels)


def _image_folders(folder: Path) -> dict[str, Path]:
    return _trials(folder, ("Trials", "Images"), _has_images)


PARTS = (
    Part(
        "coding",
        "folders such as SN001/A1_AU1_TrailNo_1 with files such as AU1.txt",
        lambda folder: bool(_label_folders(folder)),
        (Place("Labels", _DISTRIBUTED), Place(".", _BY_SUBJECT)),
    ),
    Part(
        "images",
        "folders such as SN001/A1_AU1_TrailNo_1 with images such as 000.jpg",
        lambda folder: bool(_image_folders(folder)) or any(map(_archived, entries(folder))),
        (Place("Images", _DISTRIBUTED), Place("Trials", _DISTRIBUTED), Place(".", _BY_SUBJECT)),
    ),
)
"""Where copies of DISFA+ have their parts."""


def _archived(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and bool(_SUBJECT.fullmatch(path.stem))


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = DISFA_CODED_AUS,
    intensity: int = 3,
    unknown: str | None = None,
    levels: bool = False,
    coding_folder: Path | str | None = None,
    image_folder: Path | str | None = None,
    landmarks: bool = True,
    progress: bool = False,
) -> Scan:
    """Read DISFA+'s folders.

    Parameters
    ----------
    root : path-like
        The folder that holds ``Labels`` and ``Images``, or a known variant.
    aus : sequence of int, keyword-only
        The AUs of each record's labels, in this order. Labels of AUs that DISFA+ does not code are unknown.
    intensity : int, keyword-only
        The lowest intensity at which an AU counts as present, 1 to 5.
    unknown : str, optional, keyword-only
        Codes that mean an unknown label here, such as ``"9,999"``.
    levels : bool, keyword-only
        Read the intensities themselves, 0 to 5, instead of labels of presence.
    coding_folder, image_folder : path-like, optional, keyword-only
        Folders to read instead of those that are found in `root`.
    landmarks : bool, keyword-only
        Must be false: the data set has no landmarks that fit its images.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    Scan
        Records in the order subject, trial, frame, without landmarks; skipped frames by reason; frames whose
        label is unknown because a file or line is missing, by AU.

    Raises
    ------
    UsageError
        Landmarks are asked for.
    UserError
        Folders are missing or ambiguous, or a label file is damaged; the message names the line.
    """
    if landmarks:
        raise UsageError(
            "DISFA+ has landmarks of cropped faces alone, which do not fit its images; prepare it with"
            " --points detector"
        )
    folders = find_parts(Path(root), "DISFA+", PARTS, {"coding": coding_folder, "images": image_folder})
    labels, frames = _label_folders(folders["coding"]), _image_folders(folders["images"])
    check_unpacked(
        folders["images"],
        lambda name: name.upper() if _SUBJECT.fullmatch(name) else None,
        {name.split("_")[0] for name in frames},
    )
    codes = unknown_codes(unknown, INTENSITIES)
    scan = Scan(tuple(aus), levels=levels)
    lowest = None if levels else intensity
    for name in tqdm(sorted(labels), desc="reading", unit="trial", disable=not progress):
        found = images.numbered(frames[name], FRAME_NAME) if name in frames else {}
        _add_trial(scan, name, _read_trial(scan, labels[name], name, lowest, codes), found)
    for name in sorted(frames.keys() - labels.keys()):
        scan.skip("no coding", f"{name} (whole trial)", len(images.numbered(frames[name], FRAME_NAME)))
    return scan


def _add_trial(scan: Scan, name: str, rows: dict[int, np.ndarray], found: dict[int, Path]) -> None:
    subject, _, trial = name.partition("_")
    scan.coded[name] = len(rows)
    scan.skip("no coding", name, len(found.keys() - rows.keys()))
    for frame in sorted(rows):
        key = f"{name}_{frame:04d}"
        if not scan.knows_any(rows[frame]):
            scan.skip("no known label", key)
        elif frame not in found:
            scan.skip(NO_IMAGE, key)
        else:
            scan.records.append(Record(key, found[frame], subject, trial, frame, rows[frame], None))


def _read_trial(
    scan: Scan, folder: Path, name: str, lowest: int | None, unknown: Container[str]
) -> dict[int, np.ndarray]:
    """Read a trial's label files: frame -> labels, for every frame that is in any of them."""
    files: dict[int, Path] = {}
    for path in entries(folder):
        if match := _LABELS.fullmatch(path.name):
            au = int(match[1])
            if au in files:
                raise UserError(
                    f"{path}: a second file for AU {au} (the first is {files[au].name}); remove one"
                )
            files[au] = path
    known = {au: _read_labels(files[au], lowest, unknown) for au in scan.aus if au in files}
    return merge_labels(scan, name, known, DISFA_CODED_AUS)


def _read_labels(path: Path, lowest: int | None, unknown: Container[str]) -> dict[int, int]:
    """Read one label file: number of the image -> label."""
    try:
        lines = read_text(path, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a label file ({error})") from None
    labels: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}: line {number}"
        cells = line.split()
        match = FRAME_NAME.fullmatch(Path(cells[0]).stem)
        if len(cells) != 2 or not match:
            raise UserError(
                f"{where}: {line.strip()[:80]!r} is not an image and its intensity, such as '000.jpg 0'"
            )
        frame = int(match[1])
        if frame in labels:
            raise UserError(f"{where}: image {frame} again; remove one of the lines")
        labels[frame] = intensity_label(cells[1], lowest, where, unknown)
    if not labels:
        raise UserError(f"{path}: the file is empty; lines such as '000.jpg 0' are needed")
    return labels
