"""Writes a synthetic data set in the folder layout of DISFA.

::

    OUT/ActionUnit_Labels/SN001/SN001_au1.txt           lines "frame,intensity", frames from 1, 0 to 5
    OUT/Videos_LeftCamera/LeftVideoSN001_comp.avi
    OUT/Videos_RightCamera/RightVideoSN001_comp.avi     the same frames from a little further to the right
    OUT/Landmark_Points/SN001/tmp_frame_lm/SN001_0000_lm.mat     pts: 66 points, frames from 0
                                           l00001_lm.mat         every third subject's: frames from 1
    OUT/synthetic.json                   not in DISFA: marks the data as synthetic, and records the options
    OUT/synthetic_intensities.csv        not in DISFA: the drawn intensities

The label of a frame is the drawn intensity, rounded. AUs that DISFA codes but the generator does not draw
(5, 20) have the label 0. AUs that the generator draws but DISFA does not code appear in the faces without
labels, as in reality. The landmarks are those of the left video. As in the real data set, some frames have no
landmarks, and a few videos end before their labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drml.data.labels import ALL_AUS, DISFA_CODED_AUS
from drml.data.readers.disfa import INTENSITY
from drml.data.readers.fold_lists import shipped_list
from drml.io.checks import check_whole
from drml.synth.behaviour import as_mapping, habit, video_views, watching_intensities
from drml.synth.folder import SynthSummary, pick_names, run_units, write_folder, write_intensities
from drml.synth.identity import Subject
from drml.synth.mat_writer import write_pts
from drml.synth.render import render
from drml.synth.statistics import MAX_TASKS, WATCHING_RATES, thresholds
from drml.synth.video_writer import write_video

MAX_SUBJECTS = 27
MAX_FRAMES = 4845
DEFAULT_FRAMES = 120
DEFAULT_WIDTH = 464
_ASPECT = 768 / 1024
_RATE = 20.0

_NO_LANDMARKS = 0.01  # share of frames without landmarks
_SHORT = 0.1  # share of videos that end early
_STEREO = 4.0  # degrees between the cameras


@dataclass(frozen=True, eq=False)
class _Video:
    """One unit of work: one subject."""

    root: Path
    subject: str
    frames: int
    size: tuple[int, int]
    seed: int
    limits: np.ndarray

    @property
    def from_1(self) -> bool:
        """Whether the landmark files of this subject are numbered from 1."""
        return int(self.subject[2:]) % 3 == 0


@dataclass(frozen=True, eq=False)
class _Written:
    """The result of a unit of work."""

    video: _Video
    intensities: np.ndarray
    images: int
    landmarks: int


def write_disfa(
    out: str | Path,
    *,
    subjects: int = MAX_SUBJECTS,
    frames: int = DEFAULT_FRAMES,
    size: int = DEFAULT_WIDTH,
    seed: int = 0,
    jobs: int = 0,
    progress: bool = True,
    overwrite: bool = False,
) -> SynthSummary:
    """Write a synthetic data set in DISFA's layout.

    The folder appears when everything in it is written. If anything goes wrong, nothing is left.

    Parameters
    ----------
    out : str or Path
        The folder to make; it must be new or empty.
    subjects : int
        How many of DISFA's 27 subject names, spread over its three folds.
    frames : int
        Coded frames per video, at most the real set's 4845.
    size : int
        Width of the images in pixels; the height follows from DISFA's 1024x768.
    seed : int
        The same seed gives the same bytes.
    jobs : int
        Number of processes; 0 takes one per core. The result does not depend on it.
    progress : bool
        Whether to show a progress bar.
    overwrite : bool
        Whether to replace a synthetic data set in `out`.

    Returns
    -------
    SynthSummary
        An AU counts as present from intensity 3 on.

    Raises
    ------
    UserError
        An option is out of range, or the folder is not empty or cannot be written.
    """
    out = Path(out).resolve()
    options = {"subjects": subjects, "frames": frames, "size": size, "seed": seed}
    check_whole(subjects, 1, "subjects", high=MAX_SUBJECTS)
    check_whole(frames, 1, "frames", high=MAX_FRAMES)
    check_whole(size, 96, "size", high=4160)
    check_whole(seed, 0, "seed", high=2**32 - 1)
    check_whole(jobs, 0, "jobs", high=1024)
    return write_folder(
        out,
        "Procedurally drawn faces in DISFA's folder layout. No person is shown; not DISFA's data.",
        options,
        ("ActionUnit_Labels", "Videos_LeftCamera", "Videos_RightCamera", "Landmark_Points"),
        lambda root: _write_all(out, root, options, jobs, progress),
        overwrite,
    )


def _write_all(out: Path, root: Path, options: dict[str, int], jobs: int, progress: bool) -> SynthSummary:
    limits = thresholds(MAX_TASKS, WATCHING_RATES)
    # All codecs accept even sizes, should users convert the videos.
    size = (options["size"] // 2 * 2, round(options["size"] * _ASPECT / 2) * 2)
    videos = [
        _Video(root, name, options["frames"], size, options["seed"], limits)
        for name in pick_names(shipped_list("disfa").parts, options["subjects"])
    ]
    results: list[_Written] = []
    total = len(videos) * options["frames"]
    with tqdm(total=total, unit="frame", desc="drawing", disable=not progress, smoothing=0.1) as bar:
        for result in run_units(_write_video, videos, jobs):
            results.append(result)
            bar.update(result.video.frames)
    results.sort(key=lambda result: result.video.subject)
    write_intensities(
        root,
        (
            (one.video.subject, "", frame, row)
            for one in results
            for frame, row in enumerate(one.intensities, 1)
        ),
    )
    present = np.concatenate([_levels(one.intensities) for one in results]) >= INTENSITY
    return SynthSummary(
        out=str(out),
        subjects=len(results),
        videos=len(results),
        frames=len(present),
        images=sum(one.images for one in results),
        landmarks=sum(one.landmarks for one in results),
        unknown_codes=0,
        size=size,
        seed=options["seed"],
        rates={au: round(float(rate), 4) for au, rate in zip(ALL_AUS, present.mean(0), strict=True)},
        levels=_level_shares(np.concatenate([_levels(one.intensities) for one in results])),
    )


def _level_shares(levels: np.ndarray) -> dict[str, float]:
    """Return the share of each FACS intensity, A to E or 1 to 5, among all but 0."""
    counts = np.bincount(levels.ravel(), minlength=6)[1:]
    return {name: round(float(n) / max(1, counts.sum()), 4) for name, n in zip("ABCDE", counts, strict=True)}


def _levels(intensities: np.ndarray) -> np.ndarray:
    """Round intensities to whole levels, half up."""
    return np.floor(intensities + 0.5).astype(int)


def _write_video(video: _Video) -> _Written:
    """Draw and write one subject; all random numbers follow from the seed and the subject's name."""
    # As in DISFA, about every other subject is a woman.
    female = int(video.subject[2:]) % 2 == 0
    subject = Subject.draw(video.subject, video.seed, female=female)
    rng = np.random.default_rng([video.seed, *video.subject.encode()])
    own = habit(video.seed, video.subject)
    intensities = watching_intensities(rng, own, video.frames, video.limits)
    views = video_views(rng, video.frames)
    has_landmarks = rng.random(video.frames) >= _NO_LANDMARKS
    missing = int(rng.integers(1, 4)) if rng.random() < _SHORT else 0
    images = max(1, video.frames - missing)

    folder = video.root / "Landmark_Points" / video.subject / "tmp_frame_lm"
    folder.mkdir(parents=True)
    width, height = video.size

    def pictures(yaw: float, landmarks: bool) -> Iterator[np.ndarray]:
        for t, view in enumerate(views):
            turned = replace(view, yaw=view.yaw + yaw)
            aus = as_mapping(intensities[t])
            image, points = render(subject, aus, turned, width=width, height=height, jaw=True)
            if landmarks and has_landmarks[t]:
                name = f"l{t + 1:05d}_lm.mat" if video.from_1 else f"{video.subject}_{t:04d}_lm.mat"
                write_pts(folder / name, points)
            # The landmarks cover the whole recording, but the video may lack its end.
            if t < images:
                yield image

    for side, yaw in (("Left", 0.0), ("Right", -_STEREO)):
        path = video.root / f"Videos_{side}Camera" / f"{side}Video{video.subject}_comp.avi"
        write_video(path, pictures(yaw, side == "Left"), video.size, _RATE)
    _write_labels(video, _levels(intensities))
    return _Written(video, intensities, images, int(has_landmarks.sum()))


def _write_labels(video: _Video, levels: np.ndarray) -> None:
    folder = video.root / "ActionUnit_Labels" / video.subject
    folder.mkdir()
    for au in DISFA_CODED_AUS:
        column = levels[:, ALL_AUS.index(au)] if au in ALL_AUS else np.zeros(len(levels), int)
        lines = [f"{frame},{level}\n" for frame, level in enumerate(column.tolist(), 1)]
        (folder / f"{video.subject}_au{au}.txt").write_text("".join(lines))
