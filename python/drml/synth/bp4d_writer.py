"""Writes a synthetic data set in the folder layout of BP4D.

::

    OUT/AUCoding/AU_OCC/F001_T1.csv      header 0,1,2,4,...; then frame and 1 present, 0 absent, 9 unknown
    OUT/AUCoding/AU_INT/AU06/F001_T1_AU06.csv   lines "frame,intensity", 0 to 5, 9 unknown; AUs 6, 10, 12, 14,
    17 OUT/Sequences(2D+3D)/F001/T1/2440.jpg OUT/2DFeatures/F001_T1.mat           fit/pred: 49 points a frame,
    index = frame - 1 OUT/synthetic.json                   not in BP4D: marks the data as synthetic, and
    records the options OUT/synthetic_intensities.csv        not in BP4D: the drawn intensities
    OUT/synthetic_second_coder.csv       not in BP4D: what a second coder makes of the same frames
    OUT/synthetic_second_coder_levels.csv    not in BP4D: the same as intensities, 0 to 5

As in the real data set, some codes are 9, and some coded frames have no image or no landmarks; AU_OCC and
AU_INT hold one coder's codes, and the landmarks are a tracker's. In the clear-cut set (``clean=True``) every
AU is clearly present or absent, the codes follow the drawn intensities without an error, and the landmarks
are a careful annotator's.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from drml.data.labels import ALL_AUS, BP4D_INTENSITY_AUS, UNKNOWN_LEVEL
from drml.io.checks import check_whole
from drml.synth.behaviour import as_mapping, clear_intensities, habit, video_views
from drml.synth.coders import agreement, draw_levels, level_agreement
from drml.synth.events import graded_intensities, level_shares, levels_of
from drml.synth.folder import (
    SynthSummary,
    pick_names,
    run_units,
    write_codes,
    write_folder,
    write_intensities,
)
from drml.synth.identity import Subject
from drml.synth.mat_writer import write_fit
from drml.synth.render import render
from drml.synth.statistics import MAX_TASKS, thresholds
from drml.synth.tracker import landmark_errors
from drml.synth.view import DEFAULT_WIDTH, image_height

# The subjects of the three folds that are in use with BP4D, women and men mixed, so that a few subjects
# already cover all folds.
_FOLDS = (
    "F001 M001 F002 M004 F008 M007 F009 M008 F010 M012 F016 M014 F018 F023",
    "M002 F003 M005 F005 M010 F011 M011 F013 M013 F020 M016 F022 M017 M018",
    "F004 M003 F006 M006 F007 M009 F012 M015 F014 F015 F017 F019 F021",
)
MAX_SUBJECTS = 41

_LEVEL_FOLDERS = {au: f"AUCoding/AU_INT/AU{au:02d}" for au in BP4D_INTENSITY_AUS}

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]
_LATEST_START = 2500  # highest frame number at which the coded part of a video may start

# Shares of missing single codes, of frames without codes, without an image and without landmarks.
_NO_CELL, _NO_CODES, _NO_IMAGE, _NO_LANDMARKS = 0.005, 0.005, 0.01, 0.01


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
    clean: bool

    @property
    def name(self) -> str:
        return f"{self.subject}_T{self.task + 1}"


@dataclass(frozen=True, eq=False)
class _Written:
    """The result of a unit of work."""

    video: _Video
    codes: np.ndarray
    judged: np.ndarray  # (coders, frames, AUs): levels 0 to 5, before codes were lost
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
    clean: bool = False,
    jobs: int = 0,
    progress: bool = True,
    overwrite: bool = False,
) -> SynthSummary:
    """Write a synthetic data set in BP4D's layout.

    The folder appears when everything in it is written. If anything goes wrong, nothing is left.

    Parameters
    ----------
    out : str or Path
        The folder to make; it must be new or empty.
    subjects : int
        How many of BP4D's 41 subjects, from all three folds.
    tasks : int
        How many of BP4D's 8 tasks.
    frames : int
        Coded frames per video.
    size : int
        Width of the images in pixels; the height follows from BP4D's 1040x1392.
    seed : int
        The same seed gives the same bytes.
    clean : bool
        Draw the clear-cut set: no intensity near the border of presence, no coder who errs, and landmarks as
        a careful annotator sets them.
    jobs : int
        Number of processes; 0 takes one per core. The result does not depend on it.
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether to replace a synthetic data set in `out`.

    Returns
    -------
    SynthSummary

    Raises
    ------
    UserError
        An option is out of range, or the folder is not empty or cannot be written.
    """
    out = Path(out).resolve()
    options = {"subjects": subjects, "tasks": tasks, "frames": frames, "size": size, "seed": seed}
    if clean:
        options["clean"] = True
    check_whole(subjects, 1, "subjects", high=MAX_SUBJECTS)
    check_whole(tasks, 1, "tasks", high=MAX_TASKS)
    check_whole(frames, 1, "frames", high=9999 - _LATEST_START)
    check_whole(size, 64, "size", high=4160)
    check_whole(seed, 0, "seed", high=2**32 - 1)
    check_whole(jobs, 0, "jobs", high=1024)
    return write_folder(
        out,
        "Procedurally drawn faces in BP4D's folder layout. No person is shown; not BP4D's data.",
        options,
        ("AUCoding/AU_OCC", *_LEVEL_FOLDERS.values(), "Sequences(2D+3D)", "2DFeatures"),
        lambda root: _write_all(out, root, options, jobs, progress),
        overwrite,
    )


def subject_names(count: int) -> list[str]:
    """Return the names of `count` of BP4D's subjects, from all three folds, sorted."""
    return pick_names([fold.split() for fold in _FOLDS], count)


def _write_all(out: Path, root: Path, options: dict[str, int], jobs: int, progress: bool) -> SynthSummary:
    limits = thresholds(options["tasks"])
    videos = [
        _Video(
            root,
            name,
            task,
            options["frames"],
            options["size"],
            options["seed"],
            limits,
            clean=bool(options.get("clean")),
        )
        for name in subject_names(options["subjects"])
        for task in range(options["tasks"])
    ]
    results: list[_Written] = []
    total = len(videos) * options["frames"]
    with tqdm(total=total, unit="face", desc="drawing", disable=not progress, smoothing=0.1) as bar:
        for result in run_units(_write_video, videos, jobs):
            results.append(result)
            bar.update(result.video.frames)
    results.sort(key=lambda result: result.video.name)

    write_intensities(
        root,
        (
            (one.video.subject, f"T{one.video.task + 1}", one.start + offset, row)
            for one in results
            for offset, row in enumerate(one.intensities)
        ),
    )
    agreed: dict[int, float] = {}
    iccs: dict[int, float] = {}
    if not options.get("clean"):
        for name, lowest in (("synthetic_second_coder", 1), ("synthetic_second_coder_levels", None)):
            write_codes(
                root / f"{name}.csv",
                (
                    (one.video.subject, f"T{one.video.task + 1}", one.start + offset, row)
                    for one in results
                    for offset, row in enumerate(one.judged[1] if lowest is None else one.judged[1] >= lowest)
                ),
            )
        judged = np.concatenate([one.judged for one in results], axis=1)
        agreed = _by_au(agreement(*(judged > 0)))
        iccs = _by_au(level_agreement(*judged))
    codes = np.concatenate([one.codes for one in results])
    known = np.maximum((codes != 9).sum(0), 1)
    return SynthSummary(
        out=str(out),
        subjects=options["subjects"],
        videos=len(results),
        frames=len(codes),
        images=sum(one.images for one in results),
        landmarks=sum(one.landmarks for one in results),
        unknown_codes=int((codes == 9).sum()),
        size=(options["size"], image_height(options["size"])),
        seed=options["seed"],
        rates={au: round(float(r), 4) for au, r in zip(ALL_AUS, (codes == 1).sum(0) / known, strict=True)},
        levels={
            level: round(share, 4)
            for level, share in level_shares(np.concatenate([one.intensities for one in results])).items()
        },
        kappas=agreed,
        iccs=iccs,
    )


def _by_au(agreed: np.ndarray) -> dict[int, float]:
    """Return the agreement of both coders on each AU; AUs for which it is undefined are left out."""
    values = zip(ALL_AUS, agreed, strict=True)
    return {au: round(float(value), 4) for au, value in values if np.isfinite(value)}


def _write_video(video: _Video) -> _Written:
    """Draw and write one video; all random numbers follow from the seed and the video's name."""
    subject = Subject.draw(video.subject, video.seed)
    own = habit(video.seed, video.subject)
    rng = np.random.default_rng([video.seed, *video.name.encode()])
    draw = clear_intensities if video.clean else graded_intensities
    intensities = draw(rng, own, video.task, video.frames, video.limits)
    views = video_views(rng, video.frames)
    start = int(rng.integers(2, _LATEST_START))
    if video.clean:
        judged = levels_of(intensities)[None]
        errors = [None] * video.frames
    else:
        judged = draw_levels(rng, intensities)
        errors = list(landmark_errors(rng, video.frames))
    codes = np.where(judged[0] > 0, 1, 0)
    codes[rng.random(codes.shape) < _NO_CELL] = 9
    codes[rng.random(video.frames) < _NO_CODES] = 9
    has_image = rng.random(video.frames) >= _NO_IMAGE
    has_landmarks = rng.random(video.frames) >= _NO_LANDMARKS

    folder = video.root / "Sequences(2D+3D)" / video.subject / f"T{video.task + 1}"
    folder.mkdir(parents=True)
    fits: dict[int, np.ndarray] = {}
    for t in range(video.frames):
        aus = as_mapping(intensities[t])
        image, points = render(subject, aus, views[t], width=video.width, landmark_errors=errors[t])
        if has_image[t]:
            (folder / f"{start + t:04d}.jpg").write_bytes(cv2.imencode(".jpg", image, _JPEG)[1].tobytes())
        if has_landmarks[t]:
            fits[start + t] = points
    write_fit(video.root / "2DFeatures" / f"{video.name}.mat", fits, start + video.frames - 1)
    with (video.root / "AUCoding" / "AU_OCC" / f"{video.name}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([0, *ALL_AUS])
        table.writerows([start + t, *row] for t, row in enumerate(codes.tolist()))
    levels = np.where(codes == 9, UNKNOWN_LEVEL, judged[0])
    for au, place in _LEVEL_FOLDERS.items():
        column = levels[:, ALL_AUS.index(au)].tolist()
        lines = (f"{start + t},{level}\n" for t, level in enumerate(column))
        (video.root / place / f"{video.name}_AU{au:02d}.csv").write_text("".join(lines))
    return _Written(video, codes, judged, intensities, start, int(has_image.sum()), len(fits))
