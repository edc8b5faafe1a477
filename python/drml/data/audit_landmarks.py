"""Compares a data set's landmarks with the faces that the face detector finds in a sample of its images."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from drml.data.audit_offsets import REACH, VideoSample
from drml.data.find_points_task import FramePoints, PointTask, find_in_frames, reader
from drml.data.landmark_check import LandmarkCheck, judge
from drml.data.readers import Record
from drml.data.readers.video import VideoFrame
from drml.data.task_lanes import process_count, run_tasks

__all__ = ["FRAMES", "compare_landmarks"]

FRAMES = 50
"""Number of frames that are drawn at random."""

_VIDEOS = 25  # at most; each has two of the frames, or more if there are fewer videos
_MOVING = 12  # frames of each video in which the face moves most, to find an offset in frame numbers
_APART = 2  # frames between two of these
_FIRST = 600  # frames of a video file that are read: it has to be decoded up to the last one
_FEW = 128  # images for which no processes are started


def compare_landmarks(
    records: Sequence[Record], *, ordered: bool, seed: int = 0, jobs: int = 0, progress: bool = True
) -> LandmarkCheck | None:
    """Run the face detector on a sample of the images, and compare.

    Parameters
    ----------
    records : sequence of Record
    ordered : bool, keyword-only
        Whether the records of a video follow each other in time, so that an offset in frame numbers can be
        looked for.
    seed : int, keyword-only
        Determines the sample.
    jobs : int, keyword-only
        Number of processes; 0 takes one for each core. The result does not depend on it.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    LandmarkCheck or None
        None if no record has landmarks.

    Raises
    ------
    UserError
        The face detector's model is not installed, or a worker process ended.
    """
    videos: dict[str, list[Record]] = {}
    for record in records:
        if record.landmarks is not None:
            videos.setdefault(record.video, []).append(record)
    if not videos:
        return None
    draw = random.Random(f"{seed}/audit")
    chosen = sorted(draw.sample(sorted(videos), min(_VIDEOS, len(videos))))
    tasks, drawn = [], {}
    for video in chosen:
        near = [
            one for one in videos[video] if not isinstance(one.image, VideoFrame) or one.image.index < _FIRST
        ]
        known = {one.frame: one for one in near or videos[video][:1]}
        drawn[video] = frozenset(draw.sample(sorted(known), min(-(-FRAMES // len(chosen)), len(known))))
        moving = _moving({frame: one.landmarks for frame, one in known.items()}) if ordered else []
        frames = [(frame, known[frame].image, None) for frame in sorted(drawn[video].union(moving))]
        tasks.append(PointTask(video, frames, ordered=False, begin=True))
    found = _detect(tasks, jobs, progress)
    samples = []
    for video in chosen:
        seen = [one for one in found[video] if one.points is not None]
        points = np.array([one.points for one in seen])
        given = {one.frame: np.asarray(one.landmarks, np.float64) for one in videos[video]}
        samples.append(VideoSample(video, [one.frame for one in seen], points, given, drawn[video]))
    return judge(samples, sum(map(len, drawn.values())))


def _detect(tasks: list[PointTask], jobs: int, progress: bool) -> dict[str, list[FramePoints]]:
    count = sum(len(task.frames) for task in tasks)
    jobs = 1 if count <= _FEW else process_count(jobs, len(tasks))
    found = {}
    with (
        tqdm(total=count, desc="checking landmarks", unit="frame", disable=not progress) as bar,
        reader,
        contextlib.closing(run_tasks(find_in_frames, tasks, jobs)) as results,
    ):
        for video, part in results:
            found[video] = part
            bar.update(len(part))
    return found


def _moving(landmarks: dict[int, Any]) -> list[int]:
    """Return the frames around which the landmarks move most, of those with neighbours on both sides."""
    steps = {
        frame: float(np.linalg.norm(landmarks[frame + 1] - points, axis=-1).mean())
        for frame, points in landmarks.items()
        if frame + 1 in landmarks
    }
    motion = {
        frame: sum(steps[frame + step] for step in range(-REACH, REACH))
        for frame in landmarks
        if all(frame + step in steps for step in range(-REACH, REACH))
    }
    chosen: list[int] = []
    for frame in sorted(motion, key=lambda one: (-motion[one], one)):
        if len(chosen) < _MOVING and all(abs(frame - other) >= _APART for other in chosen):
            chosen.append(frame)
    return chosen
