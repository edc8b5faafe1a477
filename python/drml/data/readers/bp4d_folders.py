"""The folders of BP4D and BP4D+: where copies have coding, images and landmarks, and their recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from drml.data.readers.frames import VIDEOS, add_frames
from drml.data.readers.layout import Part, Place, check_unpacked, entries, find_folder, find_parts

__all__ = ["IMAGES_AND_LANDMARKS", "INTENSITIES", "OCCURRENCES", "Recordings", "find_recordings"]

_SUBJECT = re.compile(r"[FM]\d{3}", re.IGNORECASE)
_TASK = re.compile(r"T\d{1,2}", re.IGNORECASE)
_AU = re.compile(r"AU\d{1,2}", re.IGNORECASE)
_INTENSITY = re.compile(r"([FM]\d{3}_T\d{1,2})_AU(\d{1,2})\.csv", re.IGNORECASE)
_RECORDING = re.compile(r"([FM]\d{3})_(T\d{1,2})", re.IGNORECASE)

_DISTRIBUTED, _FERA, _FOLDER = "the data set as distributed", "FERA 2015's copy", "a copy of the frames alone"


def _recording(name: str) -> str | None:
    """Return ``F001_T1``, or None if this is not the name of a recording."""
    return name.upper() if _RECORDING.fullmatch(name) else None


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    """Map each recording to its file of this kind."""
    return {
        name: path
        for path in entries(folder)
        if path.suffix.lower() == suffix and path.is_file() and (name := _recording(path.stem))
    }


def _intensity_files(folder: Path) -> dict[str, dict[int, Path]]:
    """Map each recording to its files of intensities by AU."""
    found: dict[str, dict[int, Path]] = {}
    for inner in entries(folder):
        if inner.is_dir() and _AU.fullmatch(inner.name):
            for path in entries(inner):
                if match := _INTENSITY.fullmatch(path.name):
                    found.setdefault(match[1].upper(), {})[int(match[2])] = path
    return found


def _has_images(folder: Path) -> bool:
    for path in entries(folder):
        if path.is_file():
            packed = path.suffix.lower() == ".zip"
            if (packed and _archived(path.stem)) or (_is_video(path) and _recording(path.stem)):
                return True
        elif _SUBJECT.fullmatch(path.name) and any(_is_task(one) for one in entries(_subject_folder(path))):
            return True
    return False


def _archived(name: str) -> str | None:
    """Return the subject or recording that an archive of this name holds, or None."""
    return name.upper() if _SUBJECT.fullmatch(name) or _RECORDING.fullmatch(name) else None


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def _is_task(path: Path) -> bool:
    name = path.stem if _is_video(path) else path.name if path.is_dir() else ""
    return bool(_TASK.fullmatch(name) or _RECORDING.fullmatch(name))


OCCURRENCES = Part(
    "coding",
    "files such as F001_T1.csv",
    lambda folder: bool(_files(folder, ".csv")),
    (
        Place("AUCoding/AU_OCC", _DISTRIBUTED),
        Place("AUCoding", _FERA),
        Place("BP4D-AUCoding/AU_OCC", _FERA),
        Place("BP4D-AUCoding", _FERA),
        Place("Labels/OCC", _FOLDER),
    ),
)
"""Where copies of BP4D and BP4D+ have the occurrence codes."""

INTENSITIES = Part(
    "coding",
    "files such as AU06/F001_T1_AU06.csv",
    lambda folder: bool(_intensity_files(folder)),
    (
        Place("AUCoding/AU_INT", _DISTRIBUTED),
        Place("AU_INT", _FERA),
        Place("BP4D-AUCoding/AU_INT", _FERA),
        Place("Labels/INT", _FOLDER),
    ),
)
"""Where copies of BP4D and BP4D+ have the intensity codes."""

IMAGES_AND_LANDMARKS = (
    Part(
        "images",
        "folders such as F001/T1 or videos such as F001_T1.mp4",
        _has_images,
        (
            Place("Sequences(2D+3D)", _DISTRIBUTED),
            Place("2D+3D", _DISTRIBUTED),
            Place("Sequences", _DISTRIBUTED),
            Place("BP4D-training", _FERA),
            Place("videos", _FOLDER),
            Place(".", _FOLDER),
        ),
    ),
    Part(
        "landmarks",
        "files such as F001_T1.mat",
        lambda folder: bool(_files(folder, ".mat")),
        (Place("2DFeatures", _DISTRIBUTED), Place("BP4D-fpoints", _FERA)),
    ),
)
"""Where copies of BP4D and BP4D+ have the other parts."""


class Recordings(NamedTuple):
    """The files of a data set by recording, such as ``F001_T1``.

    Attributes
    ----------
    coding : dict of str to dict of int to Path
        Files of intensities by AU, or the file of occurrence codes under the number 0.
    frames : dict of str to Path
        Videos, or folders of images.
    landmarks : dict of str to Path, or None
        None if they are not to be read.
    images : Path
        The folder of the videos and images.
    """

    coding: dict[str, dict[int, Path]]
    frames: dict[str, Path]
    landmarks: dict[str, Path] | None
    images: Path

    def names(self) -> Iterator[tuple[str, Path]]:
        """Yield each recording that has coding, images or landmarks, and one of its files."""
        for name, files in self.coding.items():
            yield name, next(iter(files.values()))
        yield from self.frames.items()
        yield from (self.landmarks or {}).items()

    def check_unpacked(self) -> None:
        """Raise `UserError` if images are still in archives."""
        subjects = {name.split("_")[0] for name in self.frames}
        check_unpacked(self.images, _archived, subjects | self.frames.keys())


def find_recordings(
    root: Path,
    title: str,
    given: Mapping[str, Path | str | None],
    *,
    intensities: bool = False,
    landmarks: bool = True,
) -> Recordings:
    """Find the files of all recordings.

    Parameters
    ----------
    root : Path
        The data set's folder.
    title : str
        The data set's name, for messages.
    given : mapping of str to path-like or None
        Folders that the user gave for some of the parts.
    intensities : bool, keyword-only
        Whether the coding is that of intensities instead of occurrences.
    landmarks : bool, keyword-only
        Whether to find the landmarks.

    Raises
    ------
    UserError
        A part is missing or ambiguous, or a recording has its frames twice.
    """
    others = [part for part in IMAGES_AND_LANDMARKS if landmarks or part.name != "landmarks"]
    parts = find_parts(root, title, [INTENSITIES if intensities else OCCURRENCES, *others], given)
    frames = _find_frames(parts["images"])
    points = _files(parts["landmarks"], ".mat") if landmarks else None
    if intensities:
        return Recordings(_intensity_files(parts["coding"]), frames, points, parts["images"])
    codes = {name: {0: path} for name, path in _files(parts["coding"], ".csv").items()}
    return Recordings(codes, frames, points, parts["images"])


def _subject_folder(folder: Path) -> Path:
    """Return the folder of a subject's recordings, which an archive may have unpacked one level too deep."""
    inner = find_folder(folder, folder.name)
    return folder if inner is None else inner


def _find_frames(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in entries(folder):
        if _is_video(path) and (name := _recording(path.stem)):
            add_frames(found, name, path)
        elif path.is_dir() and _SUBJECT.fullmatch(path.name):
            subject = path.name.upper()
            for inner in filter(_is_task, entries(_subject_folder(path))):
                name = inner.stem if inner.is_file() else inner.name
                add_frames(found, _recording(name) or f"{subject}_{name.upper()}", inner)
    return found
