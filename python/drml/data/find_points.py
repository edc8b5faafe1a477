"""Finds the points of the face in every frame of a data set, for sets that have no landmarks.

The face detector and the landmark model run in all processes. Their results go into a folder from which a
second preparation takes them (`drml.data.point_cache`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.detector_points import PointFinder
from drml.data.find_points_task import CHUNK, FramePoints, PointTask, find_in_frames, reader
from drml.data.point_cache import FOUND, NO_FACE, PointCache, VideoPoints, stamp
from drml.data.readers import Record, Scan, images
from drml.data.readers.video import VideoFrame
from drml.data.task_lanes import process_count, run_tasks
from drml.io.errors import UserError
from drml.io.text import counted

__all__ = ["NO_FACE_FOUND", "PointReport", "find_points"]

NO_FACE_FOUND = "no face found"
"""The reason for which a frame is skipped."""


@dataclasses.dataclass(frozen=True)
class PointReport:
    """How many faces were found.

    Attributes
    ----------
    frames, faces : int
        Number of frames, and of those in which the subject's face was found.
    cached : int
        Number of frames whose points were found before.
    per_second : float or None
        Frames a second in which points were found now; None if there were none.
    processes : int
    faceless : list of str
        The videos in which no face was found at all.
    """

    frames: int
    faces: int
    cached: int
    per_second: float | None
    processes: int
    faceless: list[str]

    def describe(self) -> str:
        """Return the report as one line."""
        rate = ""
        if self.per_second is not None:
            rate = f", the others at {self.per_second:.1f} frames/s with {counted(self.processes, 'core')}"
        missing = f"; no face in any frame of {', '.join(self.faceless[:5])}" if self.faceless else ""
        more = f" and {len(self.faceless) - 5} others" if len(self.faceless) > 5 else ""
        return (
            f"points found in {self.faces} of {self.frames} frames ({self.cached} from an earlier"
            f" preparation{rate}){missing}{more}"
        )


def find_points(
    scan: Scan,
    root: Path,
    finder: PointFinder,
    *,
    ordered: bool,
    folder: Path,
    jobs: int = 0,
    progress: bool = True,
) -> PointReport:
    """Find the points of the face in each record's image; they become its landmarks.

    Records in whose image no face is found are removed and counted as skipped. If an image cannot be decoded,
    its record has no landmarks, so that the registration reports it.

    Parameters
    ----------
    scan : Scan
    root : Path
        The data set, relative to which images are named.
    finder : PointFinder
        Of this process; each worker opens its own.
    ordered : bool, keyword-only
        Whether the records of a video follow each other in time. If so, the face is the one that goes on from
        the frame before (`FaceFollower`). If not, it is the one that the record's landmarks belong to, or
        without any the largest.
    folder : Path, keyword-only
        Keeps the points; see `PointCache`.
    jobs : int, keyword-only
        Number of processes; 0 takes one for each core. The result does not depend on it.
    progress : bool, keyword-only
        Show a progress bar.

    Raises
    ------
    UserError
        `folder` has the points of other images or cannot be written, or a worker process ended.
    """
    cache = PointCache(folder, finder.name, finder.count)
    videos: dict[str, list[Record]] = {}
    for record in scan.records:
        videos.setdefault(record.video, []).append(record)
    done: dict[str, VideoPoints] = {}
    tasks: list[PointTask] = []
    for video, records in tqdm(videos.items(), desc="looking up", unit="video", disable=not progress):
        known = (
            cache.get(video, _names(root, records), _stamps(records)) if cache.path(video).exists() else None
        )
        if known is None:
            tasks += _divide(video, records, ordered)
        else:
            done[video] = known
    cached = sum(len(one.names) for one in done.values())
    frames = sum(len(task.frames) for task in tasks)
    jobs = process_count(jobs, len(tasks))
    started = time.monotonic()
    parts: dict[str, list[FramePoints]] = {}
    with (
        tqdm(total=frames, desc="finding faces", unit="frame", disable=not progress) as bar,
        reader,  # of this process, which reads the images if there is no other
        contextlib.closing(run_tasks(find_in_frames, tasks, jobs)) as results,
    ):
        for video, part in results:
            parts.setdefault(video, []).extend(part)
            bar.update(len(part))
            if len(parts[video]) == len(videos[video]):
                records, found = videos[video], sorted(parts.pop(video), key=lambda one: one.frame)
                done[video] = _joined(_names(root, records), _stamps(records), found, finder.count)
                _put(cache, video, done[video])
    seconds = time.monotonic() - started
    faceless = _apply(scan, videos, done)
    return PointReport(
        frames=sum(map(len, videos.values())),
        faces=len(scan.records),
        cached=cached,
        per_second=round(frames / seconds, 1) if frames and seconds > 0 else None,
        processes=jobs,
        faceless=faceless,
    )


def _names(root: Path, records: Sequence[Record]) -> list[str]:
    names = (images.source_name(root, record.image) for record in records)
    return [name.encode("ascii", "backslashreplace").decode() for name in names]


def _stamps(records: Sequence[Record]) -> list[tuple[int, int]]:
    videos: dict[Path, tuple[int, int]] = {}
    found = []
    for record in records:
        image = record.image
        if isinstance(image, VideoFrame):
            videos[image.video] = videos.get(image.video) or stamp(image)
            found.append(videos[image.video])
        else:
            found.append(stamp(image, record.landmarks))
    return found


def _divide(video: str, records: Sequence[Record], ordered: bool) -> list[PointTask]:
    frames = [(one.frame, one.image, one.landmarks) for one in records]
    return [
        PointTask(video, frames[start : start + CHUNK], ordered, start == 0)
        for start in range(0, len(frames), CHUNK)
    ]


def _put(cache: PointCache, video: str, found: VideoPoints) -> None:
    try:
        cache.put(video, found)
    except OSError as error:
        raise UserError(
            f"{cache.folder}: cannot be written ({error.strerror or error}); free space or name another"
            " folder with --points-cache"
        ) from None


def _apply(scan: Scan, videos: dict[str, list[Record]], done: dict[str, VideoPoints]) -> list[str]:
    """Give the points to the records, and leave out those without a face; return videos without any."""
    kept, faceless = [], []
    for video, records in videos.items():
        found = done[video]
        if not (found.states != NO_FACE).any():
            faceless.append(video)
        for record, state, points in zip(records, found.states.tolist(), found.points, strict=True):
            if state == NO_FACE:
                scan.skip(NO_FACE_FOUND, record.key)
            else:
                kept.append(dataclasses.replace(record, landmarks=points if state == FOUND else None))
    scan.records[:] = kept
    return faceless


def _joined(
    names: list[str], stamps: Sequence[tuple[int, int]], found: Sequence[FramePoints], count: int
) -> VideoPoints:
    nothing = np.zeros((count, 2))
    return VideoPoints(
        names,
        np.array(stamps, np.int64).reshape(-1, 2),
        np.array([one.state for one in found], np.int8),
        np.array([one.box for one in found], np.float64).reshape(-1, 4),
        np.array([nothing if one.points is None else one.points for one in found]).reshape(-1, count, 2),
    )
