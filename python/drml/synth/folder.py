"""Shared by the writers of both layouts: the output folder, its note, and several processes."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from drml.data.labels import ALL_AUS
from drml.io.errors import UserError
from drml.io.files import making
from drml.io.workers import WorkerPool

__all__ = [
    "NOTE",
    "SynthSummary",
    "pick_names",
    "run_units",
    "write_codes",
    "write_folder",
    "write_intensities",
]

NOTE = "synthetic.json"

Unit = TypeVar("Unit")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SynthSummary:
    """Summary of a data set that was written.

    Attributes
    ----------
    out : str
        The folder of the data set.
    subjects, videos, frames : int
        Numbers of subjects, videos and coded frames.
    images, landmarks : int
        Number of frames that have an image, and number of frames that have landmarks.
    unknown_codes : int
        Number of codes that are missing or marked as unknown.
    size : tuple of int
        Width and height of the images.
    seed : int
        The seed of the data set.
    rates : dict of int to float
        For each AU, the share of the known codes that are present.
    levels : dict of str to float
        Among the drawn intensities with which AUs are present, the share of each FACS intensity, A to E.
    kappas : dict of int to float
        For each AU, Cohen's kappa of the two coders; empty where there is only one.
    iccs : dict of int to float
        For each AU, ICC(3,1) of the two coders' intensities; empty where there is only one.
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
    levels: dict[str, float]
    kappas: dict[int, float] = field(default_factory=dict)
    iccs: dict[int, float] = field(default_factory=dict)


def pick_names(folds: Sequence[Sequence[str]], count: int) -> list[str]:
    """Pick `count` names, taking turns between the folds so that all folds are covered; sorted."""
    turns = [fold[turn] for turn in range(max(map(len, folds))) for fold in folds if turn < len(fold)]
    return sorted(turns[:count])


def write_folder(
    out: Path,
    what: str,
    options: dict[str, int],
    folders: Sequence[str],
    write: Callable[[Path], SynthSummary],
    overwrite: bool = False,
) -> SynthSummary:
    """Make the folder of a data set, which appears when everything in it is written.

    Parameters
    ----------
    out : Path
        The folder; it must be new or empty, or with `overwrite` a synthetic data set.
    what : str
        Description of the data, for the note.
    options : dict
        The options with which the data are drawn, for the note.
    folders : sequence of str
        Subfolders to make.
    write : callable
        Fills the folder, whose path is its argument.
    overwrite : bool
        Whether a synthetic data set in `out` may be replaced; a real one never is.

    Raises
    ------
    UserError
        The folder is not empty or cannot be written, or a worker process ended. Nothing is left.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / NOTE).is_file():
            raise UserError(f"{out}: already exists and is not a synthetic data set; choose another folder")
        if not overwrite:
            raise UserError(
                f"{out}: already exists and is not an empty folder; choose another, or replace it with"
                " --overwrite"
            )
    try:
        with making(out, folder=True, overwrite=overwrite) as part:
            for folder in folders:
                (part / folder).mkdir(parents=True)
            _write_note(part, what, {"options": options})
            summary = write(part)
            more = {key: value for key, value in asdict(summary).items() if key != "out"}
            _write_note(part, what, {"options": options, "summary": more})
    except OSError as error:
        place = error.filename or out
        raise UserError(
            f"{place}: cannot write the data set: {error.strerror or error}; "
            "check the permissions and the free space, or choose another folder"
        ) from error
    except BrokenProcessPool as error:
        raise UserError(f"{out}: a drawing process was killed (out of memory?); try fewer jobs") from error
    return summary


def _write_note(root: Path, what: str, more: dict[str, object]) -> None:
    """Write the note that marks the data as synthetic."""
    note = {"synthetic": True, "what": what, "action_units": list(ALL_AUS), **more}
    (root / NOTE).write_text(json.dumps(note, indent=2) + "\n")


def write_intensities(root: Path, rows: Iterable[tuple[str, str, int, np.ndarray]]) -> None:
    """Write the drawn intensities: rows of subject, task, frame and 15 intensities."""
    _write_rows(root / "synthetic_intensities.csv", rows, lambda value: f"{value:.2f}")


def write_codes(path: Path, rows: Iterable[tuple[str, str, int, np.ndarray]]) -> None:
    """Write a coder's codes: rows of subject, task, frame and 15 codes, such as 1 present and 0 absent."""
    _write_rows(path, rows, lambda value: str(int(value)))


def _write_rows(
    path: Path, rows: Iterable[tuple[str, str, int, np.ndarray]], text: Callable[[float], str]
) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["subject", "task", "frame", *(f"AU{au}" for au in ALL_AUS)])
        for subject, task, frame, row in rows:
            table.writerow([subject, task, frame, *map(text, row)])


def run_units(write: Callable[[Unit], Result], units: Sequence[Unit], jobs: int) -> Iterator[Result]:
    """Call `write` for all units, in `jobs` processes (0: one per core), and yield results as they finish."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(units))
    if jobs > 1:
        with WorkerPool(jobs, initializer=_init_worker) as pool:
            try:
                for future in as_completed([pool.submit(write, unit) for unit in units]):
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield from map(write, units)
    finally:
        cv2.setNumThreads(threads)


def _init_worker() -> None:
    cv2.setNumThreads(1)
    # Ctrl-C reaches every process of the terminal; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
