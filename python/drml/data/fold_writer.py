"""Writes one fold of prepared data: for each split an LMDB, a manifest and landmarks; and a mean image."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from drml.data.face_store import FaceStore
from drml.data.landmark_files import POINTS, landmarks_path, write_landmarks
from drml.data.lmdb import write_lmdb, write_mean
from drml.data.manifest import Row, write_manifest
from drml.data.plan import Plan
from drml.data.readers import Record, Scan
from drml.data.readers.images import source_name
from drml.data.sampling import count_drawn, count_labels, training_labels
from drml.io.errors import UserError

__all__ = ["write_fold", "write_split"]


def write_fold(
    plan: Plan, fold: int, faces: FaceStore, folder: Path, *, progress: bool = True
) -> dict[str, Any]:
    """Write a fold into the new folder `folder`.

    Returns
    -------
    dict
        Split -> its number of images, subjects, videos, known labels and base rates; for the training split
        also how many frames and labels were drawn.

    Raises
    ------
    UserError
        A split has no usable face, or a file cannot be written.
    """
    folder.mkdir()
    summary: dict[str, Any] = {}
    for name, subjects in plan.folds[fold]._asdict().items():
        if name == "val" and not subjects:  # val_share is 0
            continue
        chosen = _records_of(plan, name, subjects, faces)
        if not chosen:
            raise UserError(
                f"fold {fold}: the {name} split is empty, there is no usable frame of {', '.join(subjects)};"
                " leave this fold out or repair the data of these subjects"
            )
        if name == "train":
            random.Random(f"{plan.sampling.seed}/fold{fold}/order").shuffle(chosen)
        labels = np.stack([plan.records[index].labels for index in chosen])
        if name == "train":
            labels = training_labels(
                labels,
                plan.drawn[chosen],
                plan.sampling.unsampled,
                intensities=len(plan.scan.intensity_aus),
            )
            mean = sum(faces.sums[subject] for subject in subjects if subject in faces.sums) / len(chosen)
            write_mean(folder / "mean.binaryproto", np.asarray(mean).transpose(2, 0, 1))
        write_split(plan, faces, folder, name, chosen, labels, progress=progress)
        records = [plan.records[index] for index in chosen]
        summary[name] = _describe(subjects, records, labels, plan.scan)
        if name == "train":
            summary[name]["sampling"] = _count_drawn(plan, subjects, chosen)
    return summary


def _count_drawn(plan: Plan, subjects: Sequence[str], chosen: Sequence[int]) -> dict[str, Any]:
    """Count the drawn frames and labels among those of the training subjects.

    A frame that was drawn but whose image is broken counts as not drawn.
    """
    among, usable = set(subjects), set(chosen)
    indices = [index for index, record in enumerate(plan.records) if record.subject in among]
    labels = np.stack([plan.records[index].labels for index in indices])
    drawn = plan.drawn[indices] & np.array([[index in usable] for index in indices])
    return count_drawn(labels, drawn, plan.scan.aus, plan.scan.intensity_aus)


def _records_of(plan: Plan, split: str, subjects: Sequence[str], faces: FaceStore) -> list[int]:
    """Return the records of these subjects that have a face; for training only those that were sampled."""
    among, sampled = set(subjects), plan.sampled
    return [
        index
        for index, record in enumerate(plan.records)
        if record.subject in among and index in faces and (split != "train" or sampled[index])
    ]


def write_split(
    plan: Plan,
    faces: FaceStore,
    folder: Path,
    name: str,
    chosen: Sequence[int],
    labels: np.ndarray,
    *,
    progress: bool = True,
) -> None:
    """Write a split's database, manifest and landmarks: the records `chosen`, in this order."""
    records = [plan.records[index] for index in chosen]
    keys = [f"{position:08d}_{record.key}" for position, record in enumerate(records)]
    # With masked labels, those that are known are those that were drawn.
    with_draw = name == "train" and plan.sampling.unsampled == "keep" and not plan.sampling.all_frames
    with_draw = with_draw and bool(plan.scan.aus)
    aus = np.array(plan.scan.aus)

    def rows() -> Iterator[Row]:
        for key, index, row in zip(keys, chosen, labels.tolist(), strict=True):
            record = plan.records[index]
            drawn = tuple(aus[plan.drawn[index][: len(aus)]].tolist()) if with_draw else None
            source = source_name(plan.root, record.image)
            yield Row(key, source, record.subject, record.task, str(record.frame), tuple(row), drawn)

    write_manifest(
        folder / f"{name}.csv",
        plan.scan.aus,
        rows(),
        intensity_aus=plan.scan.intensity_aus,
        with_draw=with_draw,
    )

    def items() -> Iterator[tuple[str, bytes, list[int]]]:
        title = f"{folder.name} {name}"
        bar = tqdm(chosen, desc=title, unit="face", disable=not progress, leave=False)
        for key, index, row in zip(keys, bar, labels.tolist(), strict=True):
            yield key, faces.get(index), row

    database = folder / f"{name}_lmdb"
    write_lmdb(database, items(), shape=(3, plan.encoding.size, plan.encoding.size))
    points = [faces.landmarks(index) for index in chosen]
    known = [one for one in points if one is not None and len(one) == POINTS]
    if len(known) == len(points):  # otherwise there is no file, and commands that need it say so
        write_landmarks(landmarks_path(database), keys, np.stack(known))


def _describe(
    subjects: Sequence[str], records: Sequence[Record], labels: np.ndarray, scan: Scan
) -> dict[str, Any]:
    return {
        "images": len(records),
        "subjects": list(subjects),
        "videos": len({record.video for record in records}),
        **count_labels(labels, scan.aus, scan.intensity_aus),
    }
