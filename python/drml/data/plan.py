"""Decides, before the first image is read, which record goes into which split and which frames train."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from drml.data import detector_points, sampling
from drml.data.readers import Record, Scan
from drml.data.readers.fold_choice import FoldChoice
from drml.data.readers.fold_lists import FoldLists
from drml.data.readers.folds import FoldSubjects
from drml.data.readers.video import VideoFrame
from drml.data.register_task import CHUNK, Encoding, Task, TaskFrame
from drml.data.sampling import Sampling
from drml.io.errors import UserError

__all__ = ["Plan", "make_plan"]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Which records are prepared, and for what.

    Attributes
    ----------
    root : Path
        The data set.
    scan : Scan
        What the reader found.
    records : list of Record
        The N records whose subjects are in a fold.
    lists : FoldLists
        The test subjects of all folds.
    folds : dict of int to FoldSubjects
        Number of each fold to write -> its subjects.
    drawn : ndarray of bool, shape (N, K + L)
        Which record was drawn for which AU, if its subject is a training subject.
    sampling : Sampling
    encoding : Encoding
    points : {"given", "detector"}
        The points that the faces are registered by.
    learned_on : frozenset of int
        Records on which the face detector is run to learn where its points lie in registered faces.
    """

    root: Path
    scan: Scan
    records: list[Record]
    lists: FoldLists
    folds: dict[int, FoldSubjects]
    drawn: np.ndarray
    sampling: Sampling
    encoding: Encoding
    points: str = "given"
    learned_on: frozenset[int] = frozenset()

    @property
    def sampled(self) -> np.ndarray:
        """Which records train if their subject is a training subject: bool, shape (N,)."""
        return np.asarray(self.drawn.any(axis=1))

    def training_records(self, fold: int) -> list[int]:
        """Return the records of the fold's training subjects."""
        subjects = set(self.folds[fold].train)
        return [index for index, record in enumerate(self.records) if record.subject in subjects]

    def tasks(self) -> Iterator[Task]:
        """Divide the frames that any fold needs into tasks for the worker processes."""
        whole = {name for fold in self.folds.values() for name in (*fold.val, *fold.test)}
        part = {name for fold in self.folds.values() for name in fold.train}
        sampled = self.sampled
        needed = [
            index
            for index, record in enumerate(self.records)
            if record.subject in whole or (record.subject in part and sampled[index])
        ]

        def source(index: int) -> tuple[str, Path | None]:
            image = self.records[index].image
            return self.records[index].subject, image.video if isinstance(image, VideoFrame) else None

        for (subject, _), group in itertools.groupby(needed, key=source):
            indices = list(group)
            for start in range(0, len(indices), CHUNK):
                frames = [
                    TaskFrame(
                        index,
                        self.records[index].image,
                        self.records[index].landmarks,
                        sampled=bool(sampled[index]),
                        detect=index in self.learned_on,
                    )
                    for index in indices[start : start + CHUNK]
                ]
                last = start + CHUNK >= len(indices)
                yield Task(subject, frames, self.encoding, self.points, last)

    def describe_options(self) -> dict[str, Any]:
        """Return folds, sampling and encoding as ``summary.json`` records them."""
        return {
            "folds": list(self.folds),
            **dataclasses.asdict(self.sampling),
            "points": self.points,
            "encoding": self.encoding.format,
            "size": self.encoding.size,
        }


def make_plan(
    root: Path,
    scan: Scan,
    choice: FoldChoice,
    sampling_: Sampling,
    encoding: Encoding,
    *,
    points: str = "given",
    learn: bool = True,
) -> Plan:
    """Divide the records of `scan` into the splits of the chosen folds, and draw the training frames.

    Records whose subject is in no fold are counted as skipped in `scan`. `learn` is whether to draw training
    frames on which the face detector is run.

    Raises
    ------
    UserError
        No record is left, the lists of folds do not fit, or a split would have no subjects.
    """
    lists = choice.lists_of({record.subject for record in scan.records}, seed=sampling_.seed)
    known = lists.subjects
    for record in scan.records:
        if record.subject not in known:
            scan.skip("subject in no fold", record.key)
    records = [record for record in scan.records if record.subject in known]
    if not records:
        reasons = ", ".join(f"{reason} {count}" for reason, count in scan.skipped.most_common())
        raise UserError(f"{root}: no usable frame ({reasons or 'none found'})")
    subjects = {record.subject for record in records}
    divided = {
        fold: lists.split(subjects, fold, val_share=sampling_.val_share, seed=sampling_.seed)
        for fold in choice.numbers or lists.numbers
    }
    drawn = sampling.draw(
        [record.video for record in records],
        [record.frame for record in records],
        np.stack([record.labels for record in records]),
        scan.aus,
        positives=len(records) if sampling_.positives is None else sampling_.positives,
        negatives=len(records) if sampling_.negatives is None else sampling_.negatives,
        seed=sampling_.seed,
        intensity_aus=scan.intensity_aus,
    )
    plan = Plan(root, scan, records, lists, divided, drawn, sampling_, encoding, points)
    if not learn:
        return plan
    training = {name for fold in divided.values() for name in fold.train}
    chosen = {int(index) for index in np.flatnonzero(plan.sampled) if records[index].subject in training}
    sample = detector_points.draw_sample(chosen, sampling_.seed)
    return dataclasses.replace(plan, learned_on=sample)
