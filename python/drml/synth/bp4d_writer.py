"""Writes a synthetic data set in BP4D's own folder layout.

::

    OUT/AUCoding/AU_OCC/F001_T1.csv      header 0,1,2,4,...; then frame and 1 present, 0 absent, 9 unknown
    OUT/Sequences(2D+3D)/F001/T1/2440.jpg
    OUT/2DFeatures/F001_T1.mat           fit/pred: 49 points a frame, index = frame - 1
    OUT/synthetic.json                   not in BP4D: says that all this is synthetic, and how it was made
    OUT/synthetic_intensities.csv        not in BP4D: the intensities that were drawn

As in the real one, some codes are 9, some coded frames have no image and some no landmarks.
"""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from drml.errors import UserError
from drml.labels import ALL_AUS
from drml.synth.behaviour import MAX_TASKS, as_mapping, smooth_noise, thresholds, video_intensities
from drml.synth.identity import Subject
from drml.synth.mat_writer import write_fit
from drml.synth.render import render
from drml.synth.view import DEFAULT_WIDTH, LATENT, View, image_height

# Subjects in turn from each of the three folds in use with BP4D, women and men mixed, so that the
# first few of the list are already spread over all folds.
_FOLDS = (
    "F001 M001 F002 M004 F008 M007 F009 M008 F010 M012 F016 M014 F018 F023",
    "M002 F003 M005 F005 M010 F011 M011 F013 M013 F020 M016 F022 M017 M018",
    "F004 M003 F006 M006 F007 M009 F012 M015 F014 F015 F017 F019 F021",
)
MAX_SUBJECTS = 41

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_LATEST_START = 2500  # frame number at which the coded part of a video may start at the latest

# How often something is missing: a cell's code, a frame's codes, a frame's image, its landmarks.
_NO_CELL, _NO_CODES, _NO_IMAGE, _NO_LANDMARKS = 0.005, 0.005, 0.01, 0.01


@dataclass(frozen=True)
class SynthSummary:
    """What `write_bp4d` wrote.

    Attributes
    ----------
    out : str
        The folder.
    subjects, videos, frames : int
        Frames are coded frames.
    images, landmarks : int
        Frames that have an image, and those that have landmarks.
    unknown_codes : int
        Cells of the codings that hold 9.
    size : tuple of int
        Width and height of the images.
    seed : int
        The seed.
    rates : dict of int to float
        Share of present per AU among the known codes.
    """

    out: str
    subjects: int
    videos: int
    frames: int
    images: int
    landmarks: int
    unknown_codes: int
    size: tuple[int, int]
    seed: int
    rates: dict[int, float]


@dataclass(frozen=True, eq=False)
class _Video:
    """One unit of work."""

    root: Path
    subject: str
    task: int
    frames: int
    width: int
    seed: int
    limits: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.subject}_T{self.task + 1}"


@dataclass(frozen=True, eq=False)
class _Written:
    """What came of it."""

    video: _Video
    codes: np.ndarray
    intensities: np.ndarray
    start: int
    images: int
    landmarks: int


def write_bp4d(
    out: str | Path,
    *,
    subjects: int = MAX_SUBJECTS,
    tasks: int = MAX_TASKS,
    frames: int = 24,
    size: int = DEFAULT_WIDTH,
    seed: int = 0,
    jobs: int = 0,
    progress: bool = True,
) -> SynthSummary:
    """Write a synthetic data set in BP4D's layout.

    The folder appears when all is written; until then the data are in ``OUT.partial``, which is
    removed when anything goes wrong.

    Parameters
    ----------
    out : str or Path
        Folder to make; it must be new or empty.
    subjects : int
        How many of BP4D's 41 subject names, spread over its three folds.
    tasks : int
        How many of its 8 tasks.
    frames : int
        Coded frames per video.
    size : int
        Width of the images in pixels; the height follows from BP4D's 1040x1392.
    seed : int
        The same seed gives the same bytes.
    jobs : int
        Number of processes; 0 takes one per core. The result does not depend on it.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    SynthSummary

    Raises
    ------
    UserError
        If an option is out of range, the folder is not empty or cannot be written.
    """
    out = Path(out).resolve()
    _check_range("subjects", subjects, 1, MAX_SUBJECTS)
    _check_range("tasks", tasks, 1, MAX_TASKS)
    _check_range("frames", frames, 1, 9999 - _LATEST_START)
    _check_range("size", size, 64, 4160)
    _check_range("seed", seed, 0, 2**32 - 1)
    _check_range("jobs", jobs, 0, 1024)
    partial = out.parent / f"{out.name}.partial"
    options = {"subjects": subjects, "tasks": tasks, "frames": frames, "size": size, "seed": seed}
    try:
        _start(out, partial, options)
        try:
            summary = _write_all(out, partial, options, jobs, progress)
            partial.rename(out)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        place = error.filename or out
        raise UserError(
            f"{place}: cannot write the data set: {error.strerror or error}; "
            "see to the folder, its disk and its rights, or choose another"
        ) from error
    except BrokenProcessPool as error:
        raise UserError(f"{out}: a drawing process was killed (out of memory?); try fewer jobs") from error
    return summary


def subject_names(count: int) -> list[str]:
    """Names of `count` of BP4D's subjects, spread over its three folds, sorted."""
    folds = [fold.split() for fold in _FOLDS]
    turns = [fold[turn] for turn in range(max(map(len, folds))) for fold in folds if turn < len(fold)]
    return sorted(turns[:count])


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} is {value}; it goes from {low} to {high}")


def _start(out: Path, partial: Path, options: dict[str, int]) -> None:
    """Refuse what is in the way, then make the folders."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already exists and is not an empty folder; remove it or choose another")
    if partial.exists():
        # Only what an interrupted run of ours left behind is cleared away.
        if not (partial / "synthetic.json").is_file():
            raise UserError(f"{partial}: is in the way and not of our making; move it elsewhere")
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    _write_note(partial, {"options": options})
    for folder in ("AUCoding/AU_OCC", "Sequences(2D+3D)", "2DFeatures"):
        (partial / folder).mkdir(parents=True)


def _write_note(root: Path, more: dict[str, object]) -> None:
    note = {
        "synthetic": True,
        "what": "Procedurally drawn faces in BP4D's folder layout. No person is shown; not BP4D's data.",
        "action_units": list(ALL_AUS),
        **more,
    }
    (root / "synthetic.json").write_text(json.dumps(note, indent=2) + "\n")


def _write_all(out: Path, root: Path, options: dict[str, int], jobs: int, progress: bool) -> SynthSummary:
    limits = thresholds(options["tasks"])
    videos = [
        _Video(root, name, task, options["frames"], options["size"], options["seed"], limits)
        for name in subject_names(options["subjects"])
        for task in range(options["tasks"])
    ]
    done: list[_Written] = []
    total = len(videos) * options["frames"]
    with tqdm(total=total, unit="face", desc="drawing", disable=not progress, smoothing=0.1) as bar:
        for written in _work(videos, jobs):
            done.append(written)
            bar.update(written.video.frames)
    done.sort(key=lambda written: written.video.name)

    with (root / "synthetic_intensities.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["subject", "task", "frame", *(f"AU{au}" for au in ALL_AUS)])
        for one in done:
            for offset, row in enumerate(one.intensities):
                video = one.video
                values = [f"{value:.2f}" for value in row]
                table.writerow([video.subject, f"T{video.task + 1}", one.start + offset, *values])
    codes = np.concatenate([one.codes for one in done])
    known = np.maximum((codes != 9).sum(0), 1)
    summary = SynthSummary(
        out=str(out),
        subjects=options["subjects"],
        videos=len(done),
        frames=len(codes),
        images=sum(one.images for one in done),
        landmarks=sum(one.landmarks for one in done),
        unknown_codes=int((codes == 9).sum()),
        size=(options["size"], image_height(options["size"])),
        seed=options["seed"],
        rates={au: round(float(r), 4) for au, r in zip(ALL_AUS, (codes == 1).sum(0) / known, strict=True)},
    )
    _write_note(
        root, {"options": options, "summary": {k: v for k, v in asdict(summary).items() if k != "out"}}
    )
    return summary


def _work(videos: list[_Video], jobs: int) -> Iterator[_Written]:
    """Write all videos, in this process or in several; yield as they are done."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(videos))
    # One thread each, set before the fork: OpenCV's threads would not survive it. (Spawned processes
    # would run the caller's script again, which not every script stands.)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if jobs == 1:
            yield from map(_write_video, videos)
            return
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_init_worker) as pool:
            try:
                for future in as_completed([pool.submit(_write_video, video) for video in videos]):
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    finally:
        cv2.setNumThreads(threads)


def _init_worker() -> None:
    # Ctrl-C reaches every process of the terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _write_video(video: _Video) -> _Written:
    """Draw and write one video; all chance comes from the seed and the video's name."""
    subject = Subject.draw(video.subject, video.seed)
    habit = np.random.default_rng([video.seed, *video.subject.encode(), 2]).normal(size=len(ALL_AUS))
    rng = np.random.default_rng([video.seed, *video.name.encode()])
    intensities = video_intensities(rng, habit, video.task, video.frames, video.limits)
    place, moment = rng.normal(size=LATENT), smooth_noise(rng, video.frames, LATENT, 0.8)
    latent = np.sqrt(0.5) * (place + moment)
    seeds = rng.integers(2**31, size=video.frames)
    start = int(rng.integers(2, _LATEST_START))
    codes = np.where(intensities >= 1, 1, 0)
    codes[rng.random(codes.shape) < _NO_CELL] = 9
    codes[rng.random(video.frames) < _NO_CODES] = 9
    has_image = rng.random(video.frames) >= _NO_IMAGE
    has_landmarks = rng.random(video.frames) >= _NO_LANDMARKS

    folder = video.root / "Sequences(2D+3D)" / video.subject / f"T{video.task + 1}"
    folder.mkdir(parents=True)
    fits: dict[int, np.ndarray] = {}
    for t in range(video.frames):
        view = View.from_latent(latent[t], int(seeds[t]))
        image, points = render(subject, as_mapping(intensities[t]), view, width=video.width)
        if has_image[t]:
            (folder / f"{start + t:04d}.jpg").write_bytes(cv2.imencode(".jpg", image, _JPEG)[1].tobytes())
        if has_landmarks[t]:
            fits[start + t] = points
    write_fit(video.root / "2DFeatures" / f"{video.name}.mat", fits, start + video.frames - 1)
    with (video.root / "AUCoding" / "AU_OCC" / f"{video.name}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([0, *ALL_AUS])
        table.writerows([start + t, *row] for t, row in enumerate(codes.tolist()))
    return _Written(video, codes, intensities, start, int(has_image.sum()), len(fits))
