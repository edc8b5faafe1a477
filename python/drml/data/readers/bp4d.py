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

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.labels import BP4D_AUS
from drml.data.readers import Record, Scan, matlab
from drml.data.readers.bp4d_coding import CODES, DISTRUST, Coding, read_coding
from drml.data.readers.bp4d_edition import BP4D, INTENSITY_AUS, Edition, check_edition, of_sibling
from drml.data.readers.bp4d_folders import Recordings, find_recordings
from drml.data.readers.bp4d_landmarks import landmarks_of
from drml.data.readers.frames import NO_IMAGE, NO_IMAGE_SHORT, number_frames
from drml.data.readers.intensities import INTENSITIES, merge_labels, read_intensities
from drml.data.readers.unknown_codes import unknown_codes
from drml.io.errors import UsageError

__all__ = ["read", "read_edition"]


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = BP4D_AUS,
    intensity: int | None = None,
    unknown: str | None = None,
    levels: bool = False,
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
    intensity : int, optional, keyword-only
        Read the intensity codes, which the data set has of the AUs 6, 10, 12, 14 and 17, and count an AU as
        present from this intensity on, 1 to 5. By default, the occurrence codes are read.
    unknown : str, optional, keyword-only
        Codes that mean an unknown label here, in addition to those of the data set, such as ``"9,999"``.
    levels : bool, keyword-only
        Read the intensities themselves, 0 to 5, instead of labels of presence.
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
        intensity=intensity,
        unknown=unknown,
        levels=levels,
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
    intensity: int | None,
    unknown: str | None,
    levels: bool,
    first_frame: int,
    short_videos: int,
    landmarks: bool,
    progress: bool,
) -> Scan:
    """Read BP4D or BP4D+; parameters and errors are those of `read`."""
    by_intensity = levels or intensity is not None
    if by_intensity and not set(aus) <= set(INTENSITY_AUS):
        aus_of = ",".join(map(str, INTENSITY_AUS))
        raise UsageError(
            f"{edition.title} has intensity codes of the AUs {aus_of} alone; give"
            f" --aus {aus_of}, or some of them"
        )
    codes = unknown_codes(unknown, INTENSITIES if by_intensity else CODES)
    files = find_recordings(Path(root), edition.title, given, intensities=by_intensity, landmarks=landmarks)
    check_edition(edition, files)  # before anybody unpacks the archives of another data set
    files.check_unpacked()
    scan = Scan(tuple(aus), levels=levels)
    for name in tqdm(sorted(files.coding), desc="reading", unit="video", disable=not progress):
        coding = _read_coding(scan, edition, name, files.coding[name], intensity, codes)
        _add_recording(scan, edition, name, coding, files, first=first_frame, short=short_videos)
    for name in sorted(files.frames.keys() - files.coding.keys()):
        if name.split("_")[1] in edition.coded_tasks:
            frames, _ = number_frames(files.frames[name], short=short_videos)
            scan.skip("no coding", f"{name} (whole video)", len(frames))
    return scan


def _read_coding(
    scan: Scan,
    edition: Edition,
    name: str,
    files: Mapping[int, Path],
    intensity: int | None,
    unknown: frozenset[str],
) -> Coding:
    """Read the coding of a recording from its files by AU, or from its file of occurrence codes."""
    if scan.levels or intensity is not None:
        lowest, codes = None if scan.levels else intensity, unknown | {"9"}
        known = {au: read_intensities(files[au], lowest, unknown=codes) for au in scan.aus if au in files}
        return Coding(scan.aus, merge_labels(scan, name, known, INTENSITY_AUS), set())
    coding = read_coding(files[0], scan.aus, unknown=unknown)
    if DISTRUST in coding.aus and not edition.has_distrust:
        raise of_sibling(edition, files[0], f"{edition.title} has no column {DISTRUST}")
    return coding


def _add_recording(
    scan: Scan, edition: Edition, name: str, coding: Coding, files: Recordings, *, first: int, short: int
) -> None:
    subject, task = name.split("_")
    scan.coded[name] = len(coding.rows)
    found, missing = number_frames(files.frames.get(name, {}), first=first, short=short)
    hole = ", as in the data set as distributed" if {subject, name} & edition.holes else ""
    scan.skip("no coding", name, len(found.keys() - coding.rows.keys()))
    wanted = []
    for frame in sorted(coding.rows):
        key = f"{name}_{frame:04d}"
        if frame in coding.distrusted:
            scan.skip(f"codes not to be trusted (column {DISTRUST})", key)
        elif not scan.knows_any(coding.rows[frame]):
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
