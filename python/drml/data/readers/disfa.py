"""DISFA, as distributed or with its frames extracted, read into records.

::

    ROOT/ActionUnit_Labels/SN001/SN001_au1.txt              lines "frame,intensity", frames from 1, 0 to 5
    ROOT/Videos_LeftCamera/LeftVideoSN001_comp.avi          and Videos_RightCamera/RightVideoSN001_comp.avi
    ROOT/Landmark_Points/SN001/tmp_frame_lm/SN001_0000_lm.mat   66 points, frames from 0
                                            l00001_lm.mat       or, for some subjects, from 1

A subject's frame ``n`` is line ``n`` of the labels, the n-th frame of the video, and the landmarks
``SN001_<n-1>`` or ``l<n>``. In a record, frames count from 1.

A folder of frames may stand in for a video: ``SN001``, ``LeftVideoSN001``, ``LeftVideoSN001_comp`` or
``LeftVideoSN001_comp.avi``; or the images of all subjects are in one folder: ``SN001_0001.png``. A frame's
name is a number, zero-padded or not, alone or after a prefix that ends in ``_``, ``-``, ``.``, or is "frame",
"image" or "img": ``1.png``, ``0001.jpg``, ``SN001_0001.jpg``, ``frame1.png``.
`drml.data.readers.disfa_folders.parts` lists the places, and ``docs/data_sets.md`` the copies that have them.

The data set has landmarks for one camera only. Users who read the other camera have to check whether they
fit, and can give landmarks of their own.

The real data set has frames without an image, landmarks or labels: they are skipped and counted. A file that
is damaged stops the reading, and the message names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.labels import DISFA_AUS
from drml.data.readers import Record, Scan, matlab
from drml.data.readers.disfa_folders import find_folders, find_frames, first_number, subject_folders
from drml.data.readers.disfa_labels import read_subject
from drml.data.readers.disfa_landmarks import landmark_files, read_points
from drml.data.readers.frames import NO_IMAGE, NO_IMAGE_SHORT, number_frames
from drml.data.readers.intensities import INTENSITIES
from drml.data.readers.unknown_codes import unknown_codes
from drml.data.readers.video import VideoFrame
from drml.io.errors import UserError

__all__ = ["INTENSITY", "read"]

INTENSITY = 3
"""Lowest intensity at which an AU counts as present: level C, as in the paper."""

_POINTS = (66, 68, 49)


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = DISFA_AUS,
    intensity: int = INTENSITY,
    unknown: str | None = None,
    levels: bool = False,
    camera: str = "left",
    coding_folder: Path | str | None = None,
    image_folder: Path | str | None = None,
    landmark_folder: Path | str | None = None,
    first_frame: int | None = None,
    short_videos: int = 0,
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
    unknown : str, optional, keyword-only
        Codes that mean an unknown label here, such as ``"9,999"``.
    levels : bool, keyword-only
        Read the intensities themselves, 0 to 5, instead of labels of presence.
    camera : {"left", "right"}, keyword-only
        The camera whose videos to read.
    coding_folder, image_folder, landmark_folder : path-like, optional, keyword-only
        Folders to read instead of those that are found in `root`.
    first_frame : {0, 1}, optional, keyword-only
        The number of the first frame in folders of extracted frames; by default 0 if any such folder has an
        image of that number, else 1.
    short_videos : int, keyword-only
        How many frames fewer than its header says a video may have.
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
        Folders are missing or ambiguous, or a label file, landmark file or video is damaged; the message
        names the line.
    """
    given = {"coding": coding_folder, "images": image_folder, "landmarks": landmark_folder}
    folders = find_folders(Path(root), camera, given, landmarks=landmarks)
    codes = unknown_codes(unknown, INTENSITIES)
    scan = Scan(tuple(aus), levels=levels)
    lowest = None if levels else intensity
    labels = subject_folders(folders["coding"])
    frames = find_frames(folders["images"], camera)
    first = first_number(frames) if first_frame is None else first_frame
    points = subject_folders(folders["landmarks"]) if landmarks else None
    coded: set[str] = set()
    for subject in tqdm(sorted(labels), desc="reading", unit="video", disable=not progress):
        rows = read_subject(scan, labels[subject], subject, lowest, codes)
        if rows:
            scan.coded[subject] = len(rows)
            numbered = number_frames(frames.get(subject, {}), first=first, short=short_videos)
            _add_subject(scan, subject, rows, *numbered, points)
            coded.add(subject)
    if not coded:
        raise UserError(
            f"{folders['coding']}: no label file of any AU asked for ({', '.join(map(str, aus))});"
            f" looked for names such as SN001_au{aus[0]}.txt"
        )
    for subject in sorted(frames.keys() - coded):
        uncoded, _ = number_frames(frames[subject], short=short_videos)
        scan.skip("no coding", f"{subject} (whole video)", len(uncoded))
    return scan


def _add_subject(
    scan: Scan,
    subject: str,
    rows: dict[int, np.ndarray],
    found: Mapping[int, Path | VideoFrame],
    missing: int,
    points: dict[str, Path] | None,
) -> None:
    """Add the records of a subject.

    `missing` is the number of frames that the video lacks; `points` is None if the landmarks are not to be
    read.
    """
    scan.skip("no coding", subject, len(found.keys() - rows.keys()))
    wanted = []
    for frame in rows:
        if frame in found:
            wanted.append(frame)
        else:
            scan.skip(NO_IMAGE_SHORT if missing else NO_IMAGE, f"{subject}_{frame:04d}")
    if points is None:
        scan.records += [
            Record(f"{subject}_{frame:04d}", found[frame], subject, "", frame, rows[frame], None)
            for frame in wanted
        ]
        return
    folder = points.get(subject)
    files = landmark_files(folder, subject) if folder is not None and wanted else {}
    if folder is None or not files:
        scan.skip(matlab.NO_LANDMARKS, f"{subject} (whole video)", len(wanted))
        return

    def raw() -> Iterator[tuple[int, np.ndarray | None]]:
        for frame in wanted:
            yield frame, read_points(files[frame]) if frame in files else None

    good, faulty = matlab.check_landmarks(folder, raw(), _POINTS)
    for frame in wanted:
        key = f"{subject}_{frame:04d}"
        if frame in good:
            scan.records.append(Record(key, found[frame], subject, "", frame, rows[frame], good[frame]))
        else:
            scan.skip(faulty[frame], key)
