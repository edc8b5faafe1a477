"""What every layout's writer needs: a folder that appears whole, several processes, the note inside."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from drml.data.labels import ALL_AUS
from drml.io.errors import UserError
from drml.io.files import making

__all__ = ["NOTE", "SynthSummary", "in_turn", "whole_folder", "work", "write_intensities"]

NOTE = "synthetic.json"

Unit = TypeVar("Unit")
Done = TypeVar("Done")


@dataclass(frozen=True)
class SynthSummary:
    """What a writer wrote.

    Attributes
    ----------
    out : str
        The folder.
    subjects, videos, frames : int
        Frames are coded frames.
    images, landmarks : int
        Frames that have an image, and those that have landmarks.
    unknown_codes : int
        Codes that are missing or marked as unknown.
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


def in_turn(folds: Sequence[Sequence[str]], count: int) -> list[str]:
    """Take `count` names from each of the folds in turn, so that few are spread over all; sorted."""
    turns = [fold[turn] for turn in range(max(map(len, folds))) for fold in folds if turn < len(fold)]
    return sorted(turns[:count])


def whole_folder(
    out: Path,
    what: str,
    options: dict[str, int],
    folders: Sequence[str],
    write: Callable[[Path], SynthSummary],
    overwrite: bool = False,
) -> SynthSummary:
    """Make a folder that appears when all is written.

    Parameters
    ----------
    out : Path
        It must be new or empty, or with `overwrite` a synthetic data set.
    what : str
        For the note: what the data are.
    options : dict
        For the note: how they were made.
    folders : sequence of str
        Folders to make in it.
    write : callable
        Fills the folder that it is given.
    overwrite : bool
        Whether a synthetic data set in `out` may be replaced; a real one never is.

    Raises
    ------
    UserError
        The folder is in use or cannot be written, or a drawing process was killed. Nothing is left.
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
            "see to the folder, its disk and its rights, or choose another"
        ) from error
    except BrokenProcessPool as error:
        raise UserError(f"{out}: a drawing process was killed (out of memory?); try fewer jobs") from error
    return summary


def _write_note(root: Path, what: str, more: dict[str, object]) -> None:
    """Write the note that says that all this is synthetic."""
    note = {"synthetic": True, "what": what, "action_units": list(ALL_AUS), **more}
    (root / NOTE).write_text(json.dumps(note, indent=2) + "\n")


def write_intensities(root: Path, rows: Iterable[tuple[str, str, int, np.ndarray]]) -> None:
    """Write the intensities that were drawn: rows of subject, task, frame and (15,) intensities."""
    with (root / "synthetic_intensities.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["subject", "task", "frame", *(f"AU{au}" for au in ALL_AUS)])
        for subject, task, frame, row in rows:
            table.writerow([subject, task, frame, *(f"{value:.2f}" for value in row)])


def work(write: Callable[[Unit], Done], units: Sequence[Unit], jobs: int) -> Iterator[Done]:
    """Write all units, in this process or in several (0: one per core); yield what comes of each as done."""
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(units))
    # One thread each, set before the fork: OpenCV's threads would not survive it. (Spawned processes
    # would run the caller's script again, which not every script stands.)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        if jobs == 1:
            yield from map(write, units)
            return
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, mp_context=context, initializer=_init_worker) as pool:
            try:
                for future in as_completed([pool.submit(write, unit) for unit in units]):
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
