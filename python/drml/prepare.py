"""From a data set on disk to what training reads: registered faces in LMDBs, by fold and split.

Each face is registered once, whatever the number of folds that use it, and goes encoded into one
scratch file; the folds are then written from there. Only encoded images of a few chunks are ever in
memory. Everything grows in ``OUT.partial``, which becomes ``OUT`` in the last step.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import lmdb
import numpy as np
from tqdm import tqdm

import drml
from drml import lmdb_io, registration, sampling
from drml.datasets import Record, Scan, bp4d, images
from drml.datasets import folds as fold_lists
from drml.errors import UserError
from drml.labels import BP4D_AUS, PRESENT, UNKNOWN

__all__ = ["prepare_bp4d"]

_CHUNK = 32  # faces a task of a worker: some 400 ms of work, some 500 kB of answer
_PRINTED = 10  # broken images named on the terminal; the summary names all
_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class _Options:
    folds: tuple[int, ...]
    seed: int
    val_share: float
    positives: int
    negatives: int
    unsampled: str
    encoding: str
    size: int
    max_broken: float


def prepare_bp4d(
    root: Path | str,
    out: Path | str,
    *,
    folds: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    val_share: float = 0.2,
    positives: int = 100,
    negatives: int = 200,
    unsampled: str = "keep",
    encoding: str = "jpg",
    size: int = registration.SIZE,
    jobs: int = 0,
    progress: bool = True,
    aus: Sequence[int] = BP4D_AUS,
    max_broken: float = 0.05,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Prepare BP4D: register, split into folds, sample, write LMDBs, mean images and manifests.

    Parameters
    ----------
    root : path-like
        BP4D's root (see :mod:`drml.datasets.bp4d`).
    out : path-like
        The folder to make. It appears when everything in it is complete, and not before.
    folds : sequence of int, keyword-only
        Which of the three folds to write.
    seed : int, keyword-only
        Fixes the validation subjects, the sampled frames and the order of the training set.
    val_share : float, keyword-only
        Share of the training subjects held out for validation; 0 writes no validation set.
    positives, negatives : int, keyword-only
        Training frames for each AU and video.
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
    aus : sequence of int, keyword-only
        AUs of the labels, in order.
    max_broken : float, keyword-only
        Broken images are skipped and named; beyond this share of all frames the run stops.
    overwrite : bool, keyword-only
        Replace a non-empty ``out``.

    Returns
    -------
    dict
        What ``OUT/summary.json`` holds.

    Raises
    ------
    UserError
        Input is at fault, a split would be empty, or ``out`` cannot be written. ``out`` is then as it was.
    """
    options = _Options(
        tuple(folds), seed, val_share, positives, negatives, unsampled, encoding, size, max_broken
    )
    root, out = Path(root), Path(out)
    if out.is_symlink():  # the folder it leads to is the one that is made
        out = out.resolve()
    _check(options, root, out, overwrite)
    started = time.monotonic()
    scan = bp4d.read(root, aus=aus, progress=progress)
    run = _plan("bp4d", root, scan, fold_lists.BP4D_FOLDS, options, progress)
    partial = out.with_name(out.name + ".partial")
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        summary = _write(run, partial, jobs)
        summary["seconds"] = round(time.monotonic() - started, 1)
        (partial / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        _put_in_place(partial, out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return summary


def _check(options: _Options, root: Path, out: Path, overwrite: bool) -> None:
    """Refuse what can be refused before any work."""
    if not options.folds or len(set(options.folds)) != len(options.folds):
        raise UserError(f"folds {list(options.folds)}: name at least one, each once")
    if options.encoding not in ("jpg", "png"):
        raise UserError(f"encoding {options.encoding!r}: it is 'jpg' or 'png'")
    if options.unsampled not in ("keep", "mask"):
        raise UserError(f"unsampled labels: {options.unsampled!r} is neither 'keep' nor 'mask'")
    if options.positives < 0 or options.negatives < 0 or options.positives + options.negatives == 0:
        raise UserError(
            f"{options.positives} positives and {options.negatives} negatives a video: nothing to draw"
        )
    if options.size < 16:
        raise UserError(f"faces of {options.size} pixels: give 16 or more")
    if not 0 <= options.max_broken <= 1:
        raise UserError(f"share of broken images {options.max_broken}: give a number from 0 to 1")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: there is a file of this name; choose another folder")
    if out.name in ("", ".."):
        raise UserError(f"{out}: name a folder that is to be made")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UserError(f"{out}: not empty; choose another folder, or say that it is to be replaced")
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
    progress: bool

    @property
    def sampled(self) -> np.ndarray:
        """Which records train, if their subject does."""
        return np.asarray(self.drawn.any(axis=1))


def _plan(
    kind: str,
    root: Path,
    scan: Scan,
    lists: tuple[tuple[str, ...], ...],
    options: _Options,
    progress: bool,
) -> _Run:
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
        positives=options.positives,
        negatives=options.negatives,
        seed=options.seed,
    )
    return _Run(kind, root, scan, records, splits, drawn, options, progress)


def _write(run: _Run, folder: Path, jobs: int) -> dict[str, Any]:
    scratch = folder / "faces.scratch"
    with _Faces(scratch) as faces:
        _register_all(run, faces, jobs)
        written = {
            str(fold): _write_fold(run, fold, faces, folder / f"fold{fold}") for fold in run.options.folds
        }
    scratch.unlink()
    mark = run.root / "synthetic.json"
    if mark.is_file():
        shutil.copyfile(mark, folder / mark.name)
    skipped = run.scan.skipped.copy()
    skipped["broken image"] += len(faces.broken)
    return {
        "kind": run.kind,
        "root": str(run.root),
        "synthetic": mark.is_file(),
        "aus": list(run.scan.aus),
        "options": {**dataclasses.asdict(run.options), "folds": list(run.options.folds)},
        "versions": _versions(),
        "frames": len(run.records) + run.scan.skipped.total(),
        "images": faces.count,
        "skipped": dict((+skipped).most_common()),
        "skipped_examples": run.scan.examples,
        "broken": [{"image": str(path), "fault": fault} for path, fault in faces.broken],
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


def _put_in_place(partial: Path, out: Path) -> None:
    if not out.is_dir():
        partial.rename(out)
        return
    # Aside, not away: should the second step fail, the first is taken back.
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    out.rename(old)
    try:
        partial.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


class _Faces:
    """The registered faces, encoded, in one scratch file; and what was noticed on the way.

    Sums of the sampled faces are kept by subject, in whole numbers: every fold's mean image is a sum over
    its training subjects, exact and independent of the order in which processes answer.
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("w+b")
        self._place: dict[int, tuple[int, int]] = {}
        self._end = 0
        self.sums: dict[str, np.ndarray] = {}
        self.broken: list[tuple[Path, str]] = []
        self.converted: Counter[str] = Counter()
        self.converted_examples: dict[str, list[str]] = {}

    def __enter__(self) -> _Faces:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, index: int) -> bool:
        return index in self._place

    @property
    def count(self) -> int:
        return len(self._place)

    def add(self, index: int, data: bytes) -> None:
        self._file.write(data)
        self._place[index] = (self._end, len(data))
        self._end += len(data)

    def get(self, index: int) -> bytes:
        at, length = self._place[index]
        data = os.pread(self._file.fileno(), length, at)
        if len(data) != length:
            raise OSError("the scratch file has become shorter")
        return data

    def flush(self) -> None:
        self._file.flush()


@dataclasses.dataclass(frozen=True)
class _Task:
    """A worker's portion: frames of one subject."""

    subject: str
    frames: list[tuple[int, Path, np.ndarray, bool]]  # index, image, landmarks, whether it is sampled
    encoding: str
    size: int


@dataclasses.dataclass(frozen=True)
class _Answer:
    subject: str
    faces: list[tuple[int, bytes]]
    notes: list[tuple[Path, str]]
    broken: list[tuple[Path, str]]
    total: np.ndarray | None  # sum of the sampled faces as decoded again, uint32 (size, size, 3)


def _register_task(task: _Task) -> _Answer:
    faces: list[tuple[int, bytes]] = []
    notes: list[tuple[Path, str]] = []
    broken: list[tuple[Path, str]] = []
    total: np.ndarray | None = None
    for index, path, landmarks, sampled in task.frames:
        try:
            image, note = images.load_bgr(path)
            face = registration.register(image, landmarks, task.size)
        except UserError as error:
            broken.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        if note:
            notes.append((path, note))
        data = encode(face, task.encoding)
        faces.append((index, data))
        if sampled:
            if total is None:
                total = np.zeros(face.shape, np.uint32)
            # The mean is that of the images which training will see, so after the loss of encoding.
            total += cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return _Answer(task.subject, faces, notes, broken, total)


def encode(image: np.ndarray, encoding: str = "jpg") -> bytes:
    """Encode a face as it is stored: JPEG of quality 95, or PNG."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if encoding == "jpg" else []
    done, data = cv2.imencode(f".{encoding}", image, parameters)
    if not done:
        raise ValueError(f"OpenCV cannot encode as {encoding}")
    return bytes(data)


def _start_worker() -> None:
    # As many processes as cores: threads inside each would only get in each other's way. An interrupt
    # reaches the whole group; the parent is the one to act on it.
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tasks(run: _Run) -> Iterator[_Task]:
    """Cut the frames that any fold needs into portions."""
    whole = {name for split in run.splits.values() for name in (*split.val, *split.test)}
    part = {name for split in run.splits.values() for name in split.train}
    sampled = run.sampled
    frames: list[tuple[int, Path, np.ndarray, bool]] = []
    subject = ""
    for index, record in enumerate(run.records):
        if record.subject not in whole and not (record.subject in part and sampled[index]):
            continue
        if frames and (len(frames) == _CHUNK or record.subject != subject):
            yield _Task(subject, frames, run.options.encoding, run.options.size)
            frames = []
        subject = record.subject
        frames.append((index, record.image, record.landmarks, bool(sampled[index])))
    if frames:
        yield _Task(subject, frames, run.options.encoding, run.options.size)


def _register_all(run: _Run, faces: _Faces, jobs: int) -> None:
    tasks = list(_tasks(run))
    wanted = sum(len(task.frames) for task in tasks)
    jobs = min(jobs if jobs > 0 else len(os.sched_getaffinity(0)), max(1, len(tasks)))
    with (
        tqdm(total=wanted, desc="registering", unit="face", disable=not run.progress) as bar,
        contextlib.closing(_answers(tasks, jobs)) as answers,
    ):
        for answer in answers:
            for index, data in answer.faces:
                faces.add(index, data)
            if answer.total is not None:
                known = faces.sums.setdefault(answer.subject, np.zeros(answer.total.shape, np.int64))
                known += answer.total
            for path, note in answer.notes:
                faces.converted[note] += 1
                examples = faces.converted_examples.setdefault(note, [])
                if len(examples) < 5:
                    examples.append(str(path))
            for path, fault in answer.broken:
                faces.broken.append((path, fault))
                if len(faces.broken) <= _PRINTED:
                    tqdm.write(f"skipped: {path}: {fault}", file=sys.stderr)
            if len(faces.broken) > run.options.max_broken * wanted:
                path, fault = faces.broken[0]
                raise UserError(
                    f"{path}: {fault}; {len(faces.broken)} of {wanted} images are broken so far, more than "
                    f"{run.options.max_broken:.0%}: mend the data set or allow more"
                )
            bar.update(len(answer.faces) + len(answer.broken))
    faces.broken.sort()
    faces.flush()
    if len(faces.broken) > _PRINTED:
        print(f"skipped: {len(faces.broken)} broken images in all; summary.json names them", file=sys.stderr)
    for note, count in faces.converted.most_common():
        print(
            f"converted: {count} images ({note}), such as {faces.converted_examples[note][0]}",
            file=sys.stderr,
        )


def _answers(tasks: list[_Task], jobs: int) -> Generator[_Answer]:
    """Work through the tasks, a bounded number of them at a time."""
    if jobs == 1:
        yield from map(_register_task, tasks)
        return
    # Forking a process that already runs threads (OpenCV's, tqdm's) can hang: start afresh.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker)
    try:
        waiting: set[concurrent.futures.Future[_Answer]] = set()
        left = iter(tasks)
        while True:
            for task in left:
                waiting.add(pool.submit(_register_task, task))
                if len(waiting) >= 3 * jobs:
                    break
            if not waiting:
                return
            done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except concurrent.futures.process.BrokenProcessPool:
        raise UserError("a worker process was ended from outside (out of memory?); try fewer jobs") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _write_fold(run: _Run, fold: int, faces: _Faces, folder: Path) -> dict[str, Any]:
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
            lmdb_io.write_mean(folder / "mean.binaryproto", np.asarray(mean).transpose(2, 0, 1))
        _write_split(run, faces, folder, name, chosen, labels)
        summary[name] = _describe(subjects, [run.records[index] for index in chosen], labels, run.scan.aus)
    return summary


def _write_split(
    run: _Run, faces: _Faces, folder: Path, name: str, chosen: list[int], labels: np.ndarray
) -> None:
    """Write a split's database and manifest: the records ``chosen``, in this order."""
    records = [run.records[index] for index in chosen]
    keys = [f"{position:08d}_{record.key}" for position, record in enumerate(records)]
    with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "source", "subject", "task", "frame", *(f"AU{au}" for au in run.scan.aus)])
        for key, record, row in zip(keys, records, labels.tolist(), strict=True):
            source = record.image.absolute()
            writer.writerow([key, source, record.subject, record.task, record.frame, *row])

    def items() -> Iterator[tuple[str, bytes, list[int]]]:
        title = f"{folder.name} {name}"
        bar = tqdm(chosen, desc=title, unit="face", disable=not run.progress, leave=False)
        for key, index, row in zip(keys, bar, labels.tolist(), strict=True):
            yield key, faces.get(index), row

    lmdb_io.write_lmdb(folder / f"{name}_lmdb", items(), shape=(3, run.options.size, run.options.size))


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
