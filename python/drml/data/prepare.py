"""From a data set on disk to what training reads: registered faces in LMDBs, by fold and split.

Each face is registered once, whatever the number of folds that use it, and goes encoded into one
scratch file; the folds are then written from there. ``OUT`` appears when everything in it is complete.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
from tqdm import tqdm

import drml
from drml.data import registration, sampling
from drml.data.labels import PRESENT, UNKNOWN
from drml.data.landmark_files import POINTS, landmarks_beside, write_landmarks
from drml.data.lmdb import write_lmdb, write_mean
from drml.data.manifest import Row, write_manifest
from drml.data.readers import Record, Scan, disfa
from drml.data.readers import folds as fold_lists
from drml.data.readers.exclude import exclude as leave_out
from drml.data.readers.kinds import KINDS
from drml.data.readers.video import VideoFrame
from drml.data.register_faces import CHUNK, Faces, Task, register_all
from drml.data.split import SYNTHETIC_FILE
from drml.io.errors import UserError
from drml.io.files import check_target, making

__all__ = ["prepare", "prepare_bp4d", "prepare_disfa", "prepare_images"]

_SCRATCH, _SUMMARY = "faces.scratch", "summary.json"
_LARGEST = 4096  # side of a face in pixels: far beyond use, and within what JPEG and Caffe can hold


@dataclasses.dataclass(frozen=True)
class _Options:
    folds: tuple[int, ...]
    seed: int
    val_share: float
    positives: int | None
    negatives: int | None
    unsampled: str
    encoding: str
    size: int
    max_broken: float
    exclude: str | None


def prepare(
    kind: str,
    root: Path | str,
    out: Path | str,
    *,
    folds: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    val_share: float = 0.2,
    positives: int | None = None,
    negatives: int | None = None,
    unsampled: str = "keep",
    encoding: str = "jpg",
    size: int = registration.SIZE,
    jobs: int = 0,
    progress: bool = True,
    aus: Sequence[int] | None = None,
    max_broken: float = 0.05,
    overwrite: bool = False,
    exclude: Path | str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Prepare a data set: register, split, sample; write LMDBs, mean images, manifests, landmarks.

    Parameters
    ----------
    kind : {"bp4d", "disfa", "images"}
        Which data set (see :mod:`drml.data.readers.kinds`).
    root : path-like
        Its folder; of images the CSV file that lists them.
    out : path-like
        The folder to make. It appears when everything in it is complete, and not before.
    folds : sequence of int, keyword-only
        Which of the three folds to write.
    seed : int, keyword-only
        Fixes the validation subjects, the sampled frames and the order of the training set.
    val_share : float, keyword-only
        Share of the training subjects held out for validation; 0 writes no validation set.
    positives, negatives : int, optional, keyword-only
        Training frames for each AU and video; by default the kind's.
    unsampled : {"keep", "mask"}, keyword-only
        Labels of a training frame for which it was not drawn stay, or become unknown.
    encoding : {"jpg", "png"}, keyword-only
        How the faces are stored.
    size : int, keyword-only
        Side of the registered faces in pixels.
    jobs : int, keyword-only
        Processes; 0 takes one for each core at hand.
    progress : bool, keyword-only
        Show progress bars.
    aus : sequence of int, optional, keyword-only
        AUs of the labels, in order; by default the kind's.
    max_broken : float, keyword-only
        Broken images are skipped and named; beyond this share of all frames the run stops.
    overwrite : bool, keyword-only
        Replace a non-empty ``out``.
    exclude : path-like, optional, keyword-only
        List of frames to leave out (see :mod:`drml.data.readers.exclude`).
    reading : mapping, optional, keyword-only
        Options of this kind's reader alone, such as DISFA's ``threshold`` and ``camera``.

    Returns
    -------
    dict
        What ``OUT/summary.json`` holds.

    Raises
    ------
    UserError
        Input is at fault, a split would be empty, or ``out`` cannot be written. ``out`` is then as it was.
    """
    if kind not in KINDS:
        raise UserError(f"data set {kind!r}: it is one of {', '.join(KINDS)}")
    of_kind = KINDS[kind]
    aus = of_kind.aus if aus is None else aus
    positives = of_kind.positives if positives is None else positives
    negatives = of_kind.negatives if negatives is None else negatives
    reading = dict(reading or {})
    options = _Options(
        tuple(folds),
        seed,
        val_share,
        positives,
        negatives,
        unsampled,
        encoding,
        size,
        max_broken,
        None if exclude is None else str(exclude),
    )
    root, out = Path(root), Path(out)
    _check(options, root, out, overwrite)
    started = time.monotonic()
    scan = of_kind.read(root, aus=aus, progress=progress, **reading)
    if exclude is not None:
        leave_out(scan, exclude)
    run = _plan(kind, root, scan, of_kind.folds, options, reading, progress)
    try:
        with making(out, folder=True, overwrite=overwrite) as part:
            summary = _write(run, part, jobs)
            summary["seconds"] = round(time.monotonic() - started, 1)
            (part / _SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from None
    return summary


def prepare_bp4d(root: Path | str, out: Path | str, **options: Any) -> dict[str, Any]:
    """Prepare BP4D; see :func:`prepare` for the options."""
    return prepare("bp4d", root, out, **options)


def prepare_disfa(
    root: Path | str,
    out: Path | str,
    *,
    threshold: int = disfa.THRESHOLD,
    camera: str = disfa.CAMERAS[0],
    landmark_folder: Path | str | None = None,
    first_frame: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Prepare DISFA; see :func:`drml.data.readers.disfa.read` and, for the other options, :func:`prepare`."""
    reading = {
        "threshold": threshold,
        "camera": camera,
        "landmark_folder": None if landmark_folder is None else str(landmark_folder),
        "first_frame": first_frame,
    }
    return prepare("disfa", root, out, reading=reading, **options)


def prepare_images(
    root: Path | str,
    out: Path | str,
    *,
    labels: str = "signed",
    images_anywhere: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Prepare images of one's own; see :func:`drml.data.readers.listed.read` and, for options, `prepare`.

    Folds are dealt out by the seed, subject by subject.
    """
    reading = {"labels": labels, "anywhere": images_anywhere}
    return prepare("images", root, out, reading=reading, **options)


def _check(options: _Options, root: Path, out: Path, overwrite: bool) -> None:
    """Refuse what can be refused before any work."""
    if not options.folds or len(set(options.folds)) != len(options.folds):
        raise UserError(f"folds {list(options.folds)}: name at least one, each once")
    if options.encoding not in ("jpg", "png"):
        raise UserError(f"encoding {options.encoding!r}: it is 'jpg' or 'png'")
    if options.unsampled not in ("keep", "mask"):
        raise UserError(f"unsampled labels: {options.unsampled!r} is neither 'keep' nor 'mask'")
    counts = [1 if count is None else count for count in (options.positives, options.negatives)]
    if min(counts) < 0 or sum(counts) == 0:
        raise UserError(
            f"{options.positives} positives and {options.negatives} negatives a video: nothing to draw"
        )
    if not 16 <= options.size <= _LARGEST:
        raise UserError(f"faces of {options.size} pixels: give 16 to {_LARGEST}")
    if not 0 <= options.max_broken <= 1:
        raise UserError(f"share of broken images {options.max_broken}: give a number from 0 to 1")
    check_target(out, folder=True, overwrite=overwrite)
    resolved = out.resolve()
    if root.exists() and (resolved == root.resolve() or resolved in root.resolve().parents):
        raise UserError(f"{out}: the data set itself lies there; choose another folder")


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """What is to be done: all of it is known before the first image is read."""

    kind: str
    root: Path
    scan: Scan
    records: list[Record]
    splits: dict[int, fold_lists.Split]
    drawn: np.ndarray  # bool, records x AUs: which record trains for which AU
    options: _Options
    reading: dict[str, Any]
    progress: bool

    @property
    def sampled(self) -> np.ndarray:
        """Which records train, if their subject does."""
        return np.asarray(self.drawn.any(axis=1))


def _plan(
    kind: str,
    root: Path,
    scan: Scan,
    lists: tuple[tuple[str, ...], ...] | None,
    options: _Options,
    reading: dict[str, Any],
    progress: bool,
) -> _Run:
    if lists is None:
        lists = fold_lists.deal({record.subject for record in scan.records}, seed=options.seed)
    known = {name for names in lists for name in names}
    for record in scan.records:
        if record.subject not in known:
            scan.skip("subject in no fold", record.key)
    records = [record for record in scan.records if record.subject in known]
    if not records:
        reasons = ", ".join(f"{reason} {count}" for reason, count in scan.skipped.most_common())
        raise UserError(f"{root}: no usable frame ({reasons or 'none found'})")
    subjects = {record.subject for record in records}
    splits = {
        fold: fold_lists.split(subjects, fold, folds=lists, val_share=options.val_share, seed=options.seed)
        for fold in options.folds
    }
    drawn = sampling.draw(
        [record.video for record in records],
        [record.frame for record in records],
        np.stack([record.labels for record in records]),
        scan.aus,
        positives=len(records) if options.positives is None else options.positives,
        negatives=len(records) if options.negatives is None else options.negatives,
        seed=options.seed,
    )
    return _Run(kind, root, scan, records, splits, drawn, options, reading, progress)


def _write(run: _Run, folder: Path, jobs: int) -> dict[str, Any]:
    scratch = folder / _SCRATCH
    with Faces(scratch) as faces:
        register_all(
            list(_tasks(run)),
            faces,
            jobs=jobs,
            max_broken=run.options.max_broken,
            progress=run.progress,
        )
        written = {
            str(fold): _write_fold(run, fold, faces, folder / f"fold{fold}") for fold in run.options.folds
        }
    scratch.unlink()
    mark = run.root / SYNTHETIC_FILE
    if mark.is_file():
        shutil.copyfile(mark, folder / mark.name)
    skipped = run.scan.skipped.copy()
    skipped["broken image"] += len(faces.broken)
    return {
        "kind": run.kind,
        "root": str(run.root),
        "synthetic": mark.is_file(),
        "aus": list(run.scan.aus),
        "options": {**dataclasses.asdict(run.options), "folds": list(run.options.folds), **run.reading},
        "versions": _versions(),
        "frames": len(run.records) + run.scan.skipped.total(),
        "images": faces.count,
        "skipped": dict((+skipped).most_common()),
        "incomplete": dict(run.scan.incomplete.most_common()),
        "skipped_examples": run.scan.examples,
        "broken": [{"image": one.image, "fault": one.fault} for one in faces.broken],
        "converted": dict(faces.converted.most_common()),
        "converted_examples": faces.converted_examples,
        "folds": written,
    }


def _versions() -> dict[str, str]:
    return {
        "drml": drml.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "lmdb": lmdb.__version__,
    }


def _tasks(run: _Run) -> Iterator[Task]:
    """Cut the frames that any fold needs into portions."""
    whole = {name for split in run.splits.values() for name in (*split.val, *split.test)}
    part = {name for split in run.splits.values() for name in split.train}
    sampled = run.sampled
    needed = [
        index
        for index, record in enumerate(run.records)
        if record.subject in whole or (record.subject in part and sampled[index])
    ]

    def source(index: int) -> tuple[str, Path | None]:
        image = run.records[index].image
        return run.records[index].subject, image.video if isinstance(image, VideoFrame) else None

    for (subject, _), group in itertools.groupby(needed, key=source):
        indices = list(group)
        for start in range(0, len(indices), CHUNK):
            frames = [
                (index, run.records[index].image, run.records[index].landmarks, bool(sampled[index]))
                for index in indices[start : start + CHUNK]
            ]
            last = start + CHUNK >= len(indices)
            yield Task(subject, frames, run.options.encoding, run.options.size, last)


def _write_fold(run: _Run, fold: int, faces: Faces, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    sampled = run.sampled
    summary: dict[str, Any] = {}
    for name, subjects in run.splits[fold]._asdict().items():
        if name == "val" and not subjects:  # the user asked for none
            continue
        among = set(subjects)
        chosen = [
            index
            for index, record in enumerate(run.records)
            if record.subject in among and index in faces and (name != "train" or sampled[index])
        ]
        if not chosen:
            raise UserError(
                f"fold {fold}: the {name} set is empty, no usable frame of {', '.join(subjects)}; "
                "leave this fold out or mend their data"
            )
        if name == "train":
            random.Random(f"{run.options.seed}/fold{fold}/order").shuffle(chosen)
        labels = np.stack([run.records[index].labels for index in chosen])
        if name == "train":
            labels = sampling.training_labels(labels, run.drawn[chosen], run.options.unsampled)
            mean = sum(faces.sums[subject] for subject in subjects if subject in faces.sums) / len(chosen)
            write_mean(folder / "mean.binaryproto", np.asarray(mean).transpose(2, 0, 1))
        _write_split(run, faces, folder, name, chosen, labels)
        summary[name] = _describe(subjects, [run.records[index] for index in chosen], labels, run.scan.aus)
    return summary


def _write_split(
    run: _Run, faces: Faces, folder: Path, name: str, chosen: list[int], labels: np.ndarray
) -> None:
    """Write a split's database, manifest and landmarks: the records ``chosen``, in this order."""
    records = [run.records[index] for index in chosen]
    keys = [f"{position:08d}_{record.key}" for position, record in enumerate(records)]
    write_manifest(
        folder / f"{name}.csv",
        run.scan.aus,
        (
            Row(key, str(record.image.absolute()), record.subject, record.task, str(record.frame), tuple(row))
            for key, record, row in zip(keys, records, labels.tolist(), strict=True)
        ),
    )

    def items() -> Iterator[tuple[str, bytes, list[int]]]:
        title = f"{folder.name} {name}"
        bar = tqdm(chosen, desc=title, unit="face", disable=not run.progress, leave=False)
        for key, index, row in zip(keys, bar, labels.tolist(), strict=True):
            yield key, faces.get(index), row

    database = folder / f"{name}_lmdb"
    write_lmdb(database, items(), shape=(3, run.options.size, run.options.size))
    points = [faces.landmarks(index) for index in chosen]
    known = [one for one in points if one is not None and len(one) == POINTS]
    if len(known) == len(points):  # else there is no file, and what needs it says so
        write_landmarks(landmarks_beside(database), keys, np.stack(known))


def _describe(
    subjects: tuple[str, ...], records: list[Record], labels: np.ndarray, aus: tuple[int, ...]
) -> dict[str, Any]:
    known = (labels != UNKNOWN).sum(axis=0)
    present = (labels == PRESENT).sum(axis=0)
    return {
        "images": len(records),
        "subjects": list(subjects),
        "videos": len({record.video for record in records}),
        "known": {f"AU{au}": int(n) for au, n in zip(aus, known, strict=True)},
        "base_rate": {
            f"AU{au}": round(float(p / n), 4) if n else None
            for au, p, n in zip(aus, present, known, strict=True)
        },
    }
