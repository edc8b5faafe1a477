"""Joins prepared data sets: the faces of all of them, with the union of their AUs.

``drml join OUT SET SET`` makes a folder as ``drml prepare`` does. Fold k has the records of fold k of each
set: its training, validation and test splits are the unions of theirs. The labels of AUs that a set does not
have, occurrences or intensities, are unknown in its records. No image is decoded or encoded again.
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from drml.data.join_members import JOINED, Columns, Member, check_alike, check_apart, read_members
from drml.data.join_recipe import joined_lists, joined_options, joined_recipe, joined_sampling
from drml.data.labels import UNKNOWN, column_names, unknown_values
from drml.data.landmark_files import landmarks_path, read_landmarks, write_landmarks
from drml.data.lmdb import Item, read_lmdb, read_mean, write_lmdb, write_mean
from drml.data.manifest import Row, read_manifest, write_manifest
from drml.data.prepared_folder import FOLDS_FILE, SUMMARY_FILE
from drml.data.recipe_text import write_data_recipe
from drml.data.sampling import count_labels
from drml.data.split import SPLITS, SYNTHETIC_FILE
from drml.io.checks import check_path, check_whole
from drml.io.errors import UserError
from drml.io.files import check_inputs_kept, check_target, digest, making

__all__ = ["join"]

MEAN_FILE = "mean.binaryproto"


class _Record(NamedTuple):
    """A record of the joined split: the set that it is from, its row there, and its row in the joined one."""

    member: int
    old: Row
    new: Row


def join(
    sets: Sequence[Path | str],
    out: Path | str,
    *,
    seed: int = 0,
    progress: bool = True,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Join prepared data sets into one.

    Parameters
    ----------
    sets : sequence of path-like
        Two or more folders of ``drml prepare``, with the same target and folds, and with faces of the same
        size that were registered in the same way.
    out : path-like
        The folder to make. It appears when everything in it is complete, and not before.
    seed : int, keyword-only
        Determines the order of the training records.
    progress : bool, keyword-only
        Show progress bars.
    overwrite : bool, keyword-only
        Replace `out` if it is not empty.

    Returns
    -------
    dict
        The contents of ``OUT/summary.json``.

    Raises
    ------
    UserError
        The sets do not fit, a person would be in two splits, a file is damaged, or `out` cannot be written.
        `out` is then left as it was.

    Examples
    --------
    >>> summary = join(["data/drml", "data/disfa"], "data/both")  # doctest: +SKIP
    >>> summary["aus"]  # doctest: +SKIP
    [1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26]
    """
    out = check_path(out, "out")
    check_whole(seed, 0, "seed")
    check_target(out, folder=True, overwrite=overwrite)
    check_inputs_kept(out, sets)
    members = read_members(sets)
    check_alike(members)
    check_apart(members)
    columns = Columns(
        tuple(sorted({au for member in members for au in member.columns.aus})),
        tuple(sorted({au for member in members for au in member.columns.intensity_aus})),
    )
    try:
        with making(out, folder=True, overwrite=overwrite) as part:
            summary = _write(members, columns, part, seed=seed, progress=progress)
            (part / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from None
    return summary


def _write(
    members: Sequence[Member], columns: Columns, part: Path, *, seed: int, progress: bool
) -> dict[str, Any]:
    """Write all folds; return the summary."""
    drawn = [member.folder / SYNTHETIC_FILE for member in members if member.synthetic]
    if drawn:
        shutil.copyfile(drawn[0], part / SYNTHETIC_FILE)
    folds: dict[str, Any] = {}
    for fold in members[0].folds:
        folder = part / f"fold{fold}"
        folder.mkdir()
        folds[str(fold)] = {
            split: _write_split(members, columns, fold, split, folder, seed=seed, progress=progress)
            for split in SPLITS
            if any(member.has(fold, split) for member in members)
        }
        counts = [member.images(fold, "train") for member in members]
        means = [read_mean(member.folds[fold] / MEAN_FILE).astype(np.float64) for member in members]
        mean = sum(one * count for one, count in zip(means, counts, strict=True)) / sum(counts)
        write_mean(folder / MEAN_FILE, np.asarray(mean))
        write_data_recipe(folder, joined_recipe(members, columns, fold, folder / "train.csv"))
    lists = joined_lists(members)
    if lists is not None:
        lists.write(part / FOLDS_FILE, lists.subjects)
    skipped, incomplete = (
        sum((Counter(member.summary.get(name) or {}) for member in members), Counter())
        for name in ("skipped", "incomplete")
    )
    return {
        "kind": JOINED,
        "synthetic": bool(drawn),
        "aus": list(columns.aus),
        "intensity_aus": list(columns.intensity_aus),
        "options": joined_options(members) | {"seed": seed},
        **{
            name: sum(int(member.summary.get(name) or 0) for member in members)
            for name in ("frames", "images")
        },
        "sets": [member.to_dict() for member in members],
        "skipped": dict(skipped.most_common()),
        "incomplete": dict(incomplete.most_common()),
        "folds": folds,
        "fold_lists": None
        if lists is None
        else {
            "title": lists.title,
            "folds": len(lists.numbers),
            "sha256": digest(part / FOLDS_FILE),
        },
    }


def _write_split(
    members: Sequence[Member],
    columns: Columns,
    fold: int,
    split: str,
    folder: Path,
    *,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """Write the database, the manifest and the landmarks of a split; return what the summary says of it."""
    records = _records(
        members, columns, fold, split, f"{seed}/fold{fold}/order" if split == "train" else None
    )
    with_draw = any(record.new.drawn is not None for record in records)
    rows = [record.new for record in records]
    if with_draw:  # where a set has no draw of its own, every known label was drawn
        rows = [
            row if row.drawn is not None else row._replace(drawn=_known(row, columns.aus)) for row in rows
        ]
    write_manifest(
        folder / f"{split}.csv",
        columns.aus,
        rows,
        intensity_aus=columns.intensity_aus,
        with_draw=with_draw,
    )
    database = folder / f"{split}_lmdb"
    bar = tqdm(records, desc=f"{folder.name} {split}", unit="face", disable=not progress, leave=False)
    size = members[0].size
    write_lmdb(database, _items(members, fold, split, records, bar), shape=(3, size, size))
    _write_landmarks(members, fold, split, records, landmarks_path(database))
    labels = np.array([row.labels for row in rows], np.int8)
    summary = {
        "images": len(rows),
        "subjects": sorted({row.subject for row in rows}),
        "videos": len({(row.subject, row.task) for row in rows}),
        **count_labels(labels, columns.aus, columns.intensity_aus),
    }
    sampling = joined_sampling(members, columns, fold) if split == "train" else None
    return summary if sampling is None else summary | {"sampling": sampling}


def _records(
    members: Sequence[Member], columns: Columns, fold: int, split: str, order: str | None
) -> list[_Record]:
    """Return the records of a split, set by set, or in the random order that the text `order` determines."""
    found = []
    unknown = unknown_values(columns.aus, columns.intensity_aus).tolist()
    for index, member in enumerate(members):
        if not member.has(fold, split):
            continue
        place = {name: at for at, name in enumerate(column_names(*member.columns))}
        taken_from = [place.get(name) for name in column_names(*columns)]
        for row in read_manifest(member.folds[fold] / f"{split}.csv").rows.values():
            labels = tuple(
                other if at is None else row.labels[at] for at, other in zip(taken_from, unknown, strict=True)
            )
            new = row._replace(
                source=f"{member.name}/{row.source}", subject=member.person(row.subject), labels=labels
            )
            found.append((index, row, new))
    if order is not None:
        random.Random(order).shuffle(found)
    return [
        _Record(
            index,
            row,
            new._replace(key=f"{position:08d}_{members[index].name}-{row.key.partition('_')[2] or row.key}"),
        )
        for position, (index, row, new) in enumerate(found)
    ]


def _known(row: Row, aus: Sequence[int]) -> tuple[int, ...]:
    return tuple(au for au, label in zip(aus, row.labels, strict=False) if label != UNKNOWN)


def _items(
    members: Sequence[Member], fold: int, split: str, records: Sequence[_Record], bar: Any
) -> Iterator[tuple[str, bytes, Sequence[int]]]:
    """Yield keys, encoded images and labels of the joined records, each image as its set has it."""
    sources: dict[int, Iterator[Item]] = {}
    for index in {record.member for record in records}:
        keys = [record.old.key for record in records if record.member == index]
        sources[index] = read_lmdb(members[index].folds[fold] / f"{split}_lmdb", keys)
    for record in bar:
        lmdb = members[record.member].folds[fold] / f"{split}_lmdb"
        item = next(sources[record.member], None)
        if item is None or item.key != record.old.key:
            raise UserError(
                f"{lmdb}: its manifest lists {record.old.key}, which is not there; prepare it again"
            )
        if tuple(item.labels) != record.old.labels:
            raise UserError(
                f"{lmdb}: record {item.key}: its labels are not those of its manifest; prepare it again"
            )
        yield record.new.key, item.image, record.new.labels


def _write_landmarks(
    members: Sequence[Member], fold: int, split: str, records: Sequence[_Record], path: Path
) -> None:
    """Write the landmarks of a split if each set has them; if not, commands that need them say so."""
    files = {
        index: landmarks_path(members[index].folds[fold] / f"{split}_lmdb")
        for index in {record.member for record in records}
    }
    if not all(file.is_file() for file in files.values()):
        return
    points = {index: read_landmarks(file) for index, file in files.items()}
    for record in records:
        if record.old.key not in points[record.member]:
            raise UserError(f"{files[record.member]}: lacks {record.old.key}; prepare the data again")
    write_landmarks(
        path,
        [record.new.key for record in records],
        np.stack([points[record.member][record.old.key] for record in records]),
    )
