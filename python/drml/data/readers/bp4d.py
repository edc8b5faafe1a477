"""BP4D, as distributed or as copies of it have it, read into records.

::

    ROOT/AUCoding/AU_OCC/F001_T1.csv            codes
    ROOT/Sequences(2D+3D)/F001/T1/2440.jpg      images; their names are zero-padded or not
    ROOT/2DFeatures/F001_T1.mat                 landmarks, 49 a frame

`drml.data.readers.bp4d_folders.PARTS` lists the other places, and ``docs/data_sets.md`` the copies that have
them. A video, such as ``F001_T1.mp4``, may stand in for a folder of images: coded frame ``n`` is its ``n``-th
frame.

The real data set has frames without an image, landmarks or coding: they are skipped and counted. A file that
is damaged stops the reading, and the message names it. So does a recording that is not BP4D's: BP4D+ has
folders and file names of the same form, but other people and another numbering of the frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.labels import BP4D_AUS
from drml.data.readers import Record, Scan, matlab
from drml.data.readers.bp4d_coding import DISTRUST, read_coding
from drml.data.readers.bp4d_folders import Recordings, find_recordings
from drml.data.readers.bp4d_landmarks import landmarks_of
from drml.data.readers.frames import NO_IMAGE, NO_IMAGE_SHORT, number_frames
from drml.io.errors import UserError

__all__ = ["BP4D", "Edition", "read", "read_edition"]


@dataclasses.dataclass(frozen=True)
class Edition:
    """What tells BP4D and BP4D+ apart, which have folders and file names of the same form.

    Attributes
    ----------
    title : str
    subjects, tasks, coded_tasks : frozenset of str
        Those that the data set has, and the tasks that are coded.
    described : str
        The subjects and tasks in words, for messages.
    has_distrust : bool
        Whether the coding has a column that marks frames whose codes are not to be trusted.
    sibling, sibling_kind : str
        The other data set, and its name for ``drml prepare``.
    holes : frozenset of str
        Subjects and recordings of which the data set as distributed has no images or no landmarks.
    """

    title: str
    subjects: frozenset[str]
    tasks: frozenset[str]
    coded_tasks: frozenset[str]
    described: str
    has_distrust: bool
    sibling: str
    sibling_kind: str
    holes: frozenset[str] = frozenset()


def _tasks(*numbers: int) -> frozenset[str]:
    return frozenset(f"T{number}" for number in numbers)


BP4D = Edition(
    title="BP4D",
    subjects=frozenset([f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)]),
    tasks=_tasks(*range(1, 9)),
    coded_tasks=_tasks(*range(1, 9)),
    described="BP4D has the subjects F001 to F023 and M001 to M018 and the tasks T1 to T8",
    has_distrust=False,
    sibling="BP4D+",
    sibling_kind="bp4dplus",
)


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = BP4D_AUS,
    coding_folder: Path | str | None = None,
    image_folder: Path | str | None = None,
    landmark_folder: Path | str | None = None,
    first_frame: int = 1,
    short_videos: int = 0,
    landmarks: bool = True,
    progress: bool = False,
) -> Scan:
    """Read BP4D's folders.

    Parameters
    ----------
    root : path-like
        The folder that holds ``AUCoding``, ``Sequences(2D+3D)`` and ``2DFeatures``, or a known variant.
    aus : sequence of int, keyword-only
        The AUs of each record's labels, in this order.
    coding_folder, image_folder, landmark_folder : path-like, optional, keyword-only
        Folders to read instead of those that are found in `root`.
    first_frame : {0, 1}, keyword-only
        The number of the image that shows coded frame 1. With 0, coded frame n is image n - 1.
    short_videos : int, keyword-only
        How many frames fewer than its header says a video may have.
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
        Folders are missing or ambiguous, the data are those of BP4D+, or a file is damaged; the message names
        line and value.
    """
    folders = {"coding": coding_folder, "images": image_folder, "landmarks": landmark_folder}
    return read_edition(
        BP4D,
        root,
        folders,
        aus=aus,
        first_frame=first_frame,
        short_videos=short_videos,
        landmarks=landmarks,
        progress=progress,
    )


def read_edition(
    edition: Edition,
    root: Path | str,
    given: Mapping[str, Path | str | None],
    *,
    aus: Sequence[int],
    first_frame: int,
    short_videos: int,
    landmarks: bool,
    progress: bool,
) -> Scan:
    """Read BP4D or BP4D+; parameters and errors are those of `read`."""
    files = find_recordings(Path(root), edition.title, given, landmarks=landmarks)
    _check_edition(edition, files)
    scan = Scan(tuple(aus))
    for name in tqdm(sorted(files.coding), desc="reading", unit="video", disable=not progress):
        _add_recording(scan, edition, name, files, first=first_frame, short=short_videos)
    for name in sorted(files.frames.keys() - files.coding.keys()):
        if name.split("_")[1] in edition.coded_tasks:
            frames, _ = number_frames(files.frames[name], short=short_videos)
            scan.skip("no coding", f"{name} (whole video)", len(frames))
    return scan


def _check_edition(edition: Edition, files: Recordings) -> None:
    """Raise `UserError` if some recording shows that the data are those of another data set."""
    for name, path in files.names():
        subject, task = name.split("_")
        if subject not in edition.subjects or task not in edition.tasks:
            raise _other(edition, path, f"{name} is not a recording of {edition.title}")
    for name, path in files.coding.items():
        if name.split("_")[1] not in edition.coded_tasks:
            raise _other(edition, path, f"{edition.title} has no coding of {name}")


def _other(edition: Edition, path: Path, fault: str) -> UserError:
    return UserError(
        f"{path}: {fault}: {edition.described}. If this is a copy of {edition.sibling}, use drml prepare"
        f" {edition.sibling_kind}; if not, move the file out of the folder"
    )


def _add_recording(
    scan: Scan, edition: Edition, name: str, files: Recordings, *, first: int, short: int
) -> None:
    subject, task = name.split("_")
    coding = read_coding(files.coding[name], scan.aus)
    if DISTRUST in coding.aus and not edition.has_distrust:
        raise _other(edition, files.coding[name], f"{edition.title} has no column {DISTRUST}")
    scan.coded[name] = len(coding.rows)
    found, missing = number_frames(files.frames.get(name, {}), first=first, short=short)
    hole = ", as in the data set as distributed" if {subject, name} & edition.holes else ""
    scan.skip("no coding", name, len(found.keys() - coding.rows.keys()))
    wanted = []
    for frame in sorted(coding.rows):
        key = f"{name}_{frame:04d}"
        if frame in coding.distrusted:
            scan.skip(f"codes not to be trusted (column {DISTRUST})", key)
        elif not coding.rows[frame].any():
            scan.skip("no known label", key)
        elif frame not in found:
            scan.skip(NO_IMAGE_SHORT if missing else f"{NO_IMAGE}{hole}", key)
        else:
            wanted.append((key, frame))
    if not wanted:
        return
    if files.landmarks is None:
        scan.records += [
            Record(key, found[frame], subject, task, frame, coding.rows[frame], None) for key, frame in wanted
        ]
        return
    if name not in files.landmarks:
        scan.skip(f"{matlab.NO_LANDMARKS}{hole}", f"{name} (whole video)", len(wanted))
        return
    good, faulty = _read_landmarks(files.landmarks[name], [frame for _, frame in wanted])
    for key, frame in wanted:
        if frame in good:
            record = Record(key, found[frame], subject, task, frame, coding.rows[frame], good[frame])
            scan.records.append(record)
        else:
            scan.skip(faulty[frame], key)


def _read_landmarks(path: Path, frames: Sequence[int]) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    with matlab.open_mat(path) as contents:
        points_of = landmarks_of(path, contents)
        return matlab.check_landmarks(path, ((frame, points_of(frame)) for frame in frames), (49,))
