"""Checks an LMDB against its manifest and landmarks: keys, order, labels, and that every image decodes."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from drml.data.labels import LEVELS, UNKNOWN_LEVEL, column_names
from drml.data.landmark_files import landmarks_path, read_landmarks
from drml.data.lmdb import Item, check_lmdb, read_lmdb
from drml.data.manifest import Row, iterate_manifest, manifest_path, read_columns
from drml.data.readers import images
from drml.data.registration import SIZE
from drml.io.errors import UserError
from drml.io.limits import read_json
from drml.io.text import counted

__all__ = ["verify"]

_BATCH = 512


def verify(
    lmdb_dir: Path | str,
    manifest: Path | str | None = None,
    *,
    size: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Check a prepared LMDB record by record, and that its landmarks, if it has any, have the same keys.

    Parameters
    ----------
    lmdb_dir : path-like
        The database's folder.
    manifest : path-like, optional
        Its CSV file; by default the one next to it (``train_lmdb`` -> ``train.csv``).
    size : int, optional, keyword-only
        Side that every image must have; by default that in the ``summary.json`` of the prepared folder, or
        200 if there is none.
    progress : bool, keyword-only
        Show a progress bar.

    Returns
    -------
    dict
        ``lmdb``, ``manifest``, ``records``, ``aus``, ``present`` / ``absent`` / ``unknown`` by AU; with
        intensities also ``levels``: by AU (``AU6_r``) and level the number of records.

    Raises
    ------
    UserError
        At the first fault; the message names the key of the record.
    """
    lmdb_dir = Path(lmdb_dir)
    entries = check_lmdb(lmdb_dir)
    manifest = _sibling(lmdb_dir) if manifest is None else Path(manifest)
    occurrences, intensities = read_columns(manifest)
    aus, levels = column_names(occurrences), column_names((), intensities)
    # Rows are read along with the records, so that memory does not grow with the database.
    rows = iterate_manifest(manifest)
    size = size or _prepared_size(lmdb_dir)
    counts = {value: [0] * len(aus) for value in (1, -1, 0)}
    by_level = {name: dict.fromkeys((*LEVELS, UNKNOWN_LEVEL), 0) for name in levels}
    checked = 0
    with tqdm(total=entries, desc="verifying", unit="face", disable=not progress) as bar:
        for batch in _batches(read_lmdb(lmdb_dir), size):
            for item, fault in batch:
                _compare(lmdb_dir, manifest, item, next(rows, None), aus, levels)
                if fault:
                    raise UserError(f"{lmdb_dir}: record {item.key}: {fault}")
                for column, value in enumerate(item.labels[: len(aus)]):
                    counts[value][column] += 1
                for name, value in zip(levels, item.labels[len(aus) :], strict=True):
                    by_level[name][value] += 1
                checked += 1
            bar.update(len(batch))
    if missing := next(rows, None):
        listed = checked + 1 + sum(1 for _ in rows)
        raise UserError(
            f"{lmdb_dir}: {counted(checked, 'record')}, {manifest} has {listed}; the first missing one"
            f" is {missing.key}"
        )
    landmarks = landmarks_path(lmdb_dir)
    keys = (row.key for row in iterate_manifest(manifest))
    if landmarks.is_file() and any(a != b for a, b in itertools.zip_longest(read_landmarks(landmarks), keys)):
        raise UserError(f"{landmarks}: its keys are not those of {manifest}; prepare the data again")
    return {
        "lmdb": str(lmdb_dir),
        "manifest": str(manifest),
        "records": checked,
        "aus": aus,
        "present": dict(zip(aus, counts[1], strict=True)),
        "absent": dict(zip(aus, counts[-1], strict=True)),
        "unknown": dict(zip(aus, counts[0], strict=True)),
        **({"levels": by_level} if levels else {}),
    }


def _sibling(lmdb_dir: Path) -> Path:
    manifest = manifest_path(lmdb_dir)
    if not manifest.is_file():
        raise UserError(f"{lmdb_dir}: its manifest {manifest.name} is missing; give the path of its CSV file")
    return manifest


def _prepared_size(lmdb_dir: Path) -> int:
    summary = lmdb_dir.resolve().parent.parent / "summary.json"
    try:
        return int(read_json(summary)["options"]["size"])
    except FileNotFoundError:
        return SIZE
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{summary}: cannot be read as the summary of a prepared set ({error})") from None


def _compare(
    lmdb_dir: Path,
    manifest: Path,
    item: Item,
    row: Row | None,
    aus: list[str],
    levels: list[str],
) -> None:
    where = f"{lmdb_dir}: record {item.key}"
    if row is None:
        raise UserError(f"{where} is not in {manifest}, which ends before it")
    if item.key != row.key:
        raise UserError(f"{where} where {manifest} has {row.key}: one is missing, or the order differs")
    names = [*aus, *levels]
    if len(item.labels) != len(names):
        raise UserError(f"{where}: {counted(len(item.labels), 'label')}, {manifest} has {len(names)}")
    for column, (name, value, expected) in enumerate(zip(names, item.labels, row.labels, strict=True)):
        if column < len(aus) and value not in (-1, 0, 1):
            raise UserError(f"{where}: label {value} for {name}; labels are -1, 0 and 1")
        if column >= len(aus) and value not in (*LEVELS, UNKNOWN_LEVEL):
            raise UserError(f"{where}: intensity {value} for {name}; intensities are 0 to 5, and 9")
        if value != expected:
            raise UserError(f"{where}: label {value} for {name}, {manifest} has {expected}")


def _batches(items: Iterator[Item], size: int) -> Iterator[list[tuple[Item, str | None]]]:
    """Decode batches in order, on all cores, as OpenCV releases the global interpreter lock."""

    def fault(item: Item) -> str | None:
        try:
            image, _ = images.decode_bgr(item.image)
        except (UserError, cv2.error) as error:
            return str(error)
        height, width = image.shape[:2]
        return None if (height, width) == (size, size) else f"{width}x{height} pixels, not {size}x{size}"

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        while batch := list(itertools.islice(items, _BATCH)):
            yield list(zip(batch, pool.map(fault, batch), strict=True))
