"""The data for ``--refit``: a fold whose training split has the validation subjects as well.

After everything has been chosen on the validation subjects, a model is trained again on training and
validation subjects together. The validation frames are sampled as the training frames were: the result has
the records and labels that ``drml prepare`` would have sampled without a validation split. The test split has
no part in it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.baselines.input import chunks
from drml.data.labels import unknown_values
from drml.data.landmark_files import landmarks_path, read_landmarks, write_landmarks
from drml.data.lmdb import read_lmdb, read_mean, write_lmdb, write_mean
from drml.data.manifest import LMDB_SUFFIX, Manifest, Row, read_manifest, write_manifest
from drml.data.recipe_text import read_data_recipe, write_data_recipe
from drml.data.sampling import draw, training_labels
from drml.experiments.protocol import SUMMARY_FILE, read_summary
from drml.io.errors import UserError
from drml.io.files import making

__all__ = ["joint_rows", "refit_fold", "sampled_validation"]


def sampled_validation(fold: Path) -> Manifest:
    """Return the validation records that training would use if their subjects were training subjects.

    Parameters
    ----------
    fold : Path
        A fold of ``drml prepare``.

    Returns
    -------
    Manifest
        Some of the rows of ``val.csv``, with the labels and draws that they would have in ``train.csv``.

    Raises
    ------
    UserError
        ``summary.json`` does not say how the training frames were sampled. All validation frames, with their
        natural base rates, would not fit to training frames that were sampled.
    """
    val = read_manifest(fold / "val.csv")
    options = read_summary(fold.parent).get("options", {})
    if not {"positives", "negatives"} <= options.keys():
        raise UserError(
            f"{fold.parent / SUMMARY_FILE}: does not say how training frames were sampled, so that validation"
            " frames cannot be sampled likewise; prepare the data again, or do without --refit"
        )
    rows = _sampled(val, options)
    return dataclasses.replace(val, rows={row.key: row for row in rows})


@contextmanager
def joint_rows(
    train: tuple[NDArray[Any], NDArray[np.int8]],
    val: NDArray[Any],
    val_keys: Sequence[str],
    fold: Path,
    folder: Path,
) -> Iterator[tuple[NDArray[Any], NDArray[np.int8]]]:
    """Provide the rows on which a linear method is fitted again: training rows, then sampled validation rows.

    Parameters
    ----------
    train : (X, Y)
        The training rows and the labels to which they are fitted.
    val : ndarray, shape (N, P)
        X of the validation records `val_keys`.
    val_keys : sequence of N str
    fold : Path
        Their fold.
    folder : Path
        Where a temporary file holds X, which is memory-mapped: it may be larger than the memory.

    Yields
    ------
    X, Y
    """
    sampled = sampled_validation(fold)
    chosen = [at for at, key in enumerate(val_keys) if key in sampled.rows]
    X, labels = train
    Y = np.concatenate([labels, sampled.drawn_labels(val_keys[at] for at in chosen)])
    shape = (len(Y), X.shape[1])
    with tempfile.NamedTemporaryFile(dir=folder, prefix="refit_", suffix=".npy") as file:
        head = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, {**head, "shape": shape})
        for rows in chunks(len(X)):
            file.write(np.asarray(X[rows], np.float32).tobytes())
        for rows in chunks(len(chosen)):
            file.write(np.asarray(val[chosen[rows]], np.float32).tobytes())
        file.flush()
        yield np.load(file.name, mmap_mode="r", allow_pickle=False), Y


def refit_fold(fold: Path, place: Path) -> Path:
    """Write a fold with training and validation subjects in its training split, unless it is there already.

    Parameters
    ----------
    fold : Path
        A fold of ``drml prepare`` with a validation split.
    place : Path
        The folder in which to make it; processes that share it wait for each other.

    Returns
    -------
    Path
        A folder of the fold's name, with ``train_lmdb``, ``train.csv``, landmarks, mean image and recipe of
        the joint split. Its validation split is a link to the fold's own: test passes of a training on it
        measure faces that the net is trained on.

    Raises
    ------
    UserError
        The fold is damaged or cannot be read.
    OSError
        The folder cannot be written; no part of it is left.
    """
    place.mkdir(parents=True, exist_ok=True)
    target = place / fold.name
    with (place / f"{fold.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            with making(target, folder=True) as partial:
                _write(fold.absolute(), partial)
    return target


def _write(fold: Path, out: Path) -> None:
    options = read_summary(fold.parent).get("options", {})
    train = read_manifest(fold / "train.csv")
    parts = [("train", row) for row in train.rows.values()]
    parts += [("val", row) for row in sampled_validation(fold).rows.values()]
    random.Random(f"{options.get('seed', 0)}/{fold.name}/refit").shuffle(parts)
    keys = [f"{at:08d}_{_name(row.key)}" for at, (_, row) in enumerate(parts)]
    with_draw = any(row.drawn is not None for _, row in parts)
    rows = (row._replace(key=key) for key, (_, row) in zip(keys, parts, strict=True))
    write_manifest(out / "train.csv", train.aus, rows, intensity_aus=train.intensity_aus, with_draw=with_draw)

    def items() -> Iterator[tuple[str, bytes, list[int]]]:
        readers = {
            split: read_lmdb(fold / f"{split}{LMDB_SUFFIX}", [row.key for one, row in parts if one == split])
            for split in ("train", "val")
        }
        for key, (split, row) in zip(keys, parts, strict=True):
            item = next(readers[split], None)
            if item is None or item.key != row.key:
                raise UserError(f"{fold / split}{LMDB_SUFFIX}: no record {row.key}; prepare the data again")
            yield key, item.image, list(row.labels)

    mean = read_mean(fold / "mean.binaryproto")
    channels, height, width = mean.shape
    write_lmdb(out / "train_lmdb", items(), shape=(channels, height, width))
    write_mean(out / "mean.binaryproto", mean)  # of the training subjects, as in the trainings before
    found = {split: landmarks_path(fold / f"{split}{LMDB_SUFFIX}") for split in ("train", "val")}
    if all(path.is_file() for path in found.values()):
        known = {split: read_landmarks(path) for split, path in found.items()}
        points = np.stack([known[split][row.key] for split, row in parts])
        write_landmarks(landmarks_path(out / "train_lmdb"), keys, points)
        (out / found["val"].name).symlink_to(found["val"])
    for name in ("val_lmdb", "val.csv"):
        (out / name).symlink_to(fold / name)
    recipe = read_data_recipe(fold)
    if recipe is not None:
        split = f"{recipe.data.split or fold.name}, training and validation subjects"
        data = dataclasses.replace(recipe.data, split=split, digest=None, records=len(parts))
        write_data_recipe(out, dataclasses.replace(recipe, data=data))


def _name(key: str) -> str:
    """Return a key without its position, which the joint split numbers anew."""
    return key.partition("_")[2]


def _sampled(manifest: Manifest, options: Mapping[str, Any]) -> list[Row]:
    """Return the rows that training would use if their subjects were training subjects, with its labels."""
    rows = list(manifest.rows.values())
    labels = np.array([row.labels for row in rows], np.int8)
    if options.get("all_frames"):
        known = labels != unknown_values(manifest.aus, manifest.intensity_aus)
        return [row for row, of_frame in zip(rows, known, strict=True) if of_frame.any()]
    positives, negatives = (
        len(rows) if (count := options.get(name)) is None else int(count)
        for name in ("positives", "negatives")
    )
    drawn = draw(
        [f"{row.subject}_{row.task}" if row.task else row.subject for row in rows],
        [int(row.frame) for row in rows],
        labels,
        manifest.aus,
        positives=positives,
        negatives=negatives,
        seed=int(options.get("seed", 0)),
        intensity_aus=manifest.intensity_aus,
    )
    unsampled = "keep" if options.get("unsampled") == "keep" else "mask"
    labels = training_labels(labels, drawn, unsampled, intensities=len(manifest.intensity_aus))
    aus, found = np.array(manifest.aus, int), []
    for row, of_frame, kept in zip(rows, drawn, labels.tolist(), strict=True):
        if not of_frame.any():
            continue
        # As in a manifest of drml prepare, the column is of occurrences alone.
        with_draw = unsampled == "keep" and len(aus)
        for_aus = tuple(aus[of_frame[: len(aus)]].tolist()) if with_draw else None
        found.append(row._replace(labels=tuple(kept), drawn=for_aus))
    return found
