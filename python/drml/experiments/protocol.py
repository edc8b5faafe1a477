"""The evaluation protocol of prepared data: checks it on every run, and describes it for captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from drml.data.manifest import Manifest, read_manifest
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.listed import NO_SUBJECTS
from drml.experiments.settings import SPLITS
from drml.io.errors import UserError
from drml.io.limits import read_json

__all__ = ["check", "describe"]

_SUMMARY_FILE = "summary.json"

_OTHER_CODING = "as the reader of the data set gave them"


def check(data: str | Path, folds: Iterable[int]) -> None:
    """Check that no subject is in two splits of a fold or tested in two folds, and that test sets are whole.

    Parameters
    ----------
    data : path
        Folder of ``drml prepare``.
    folds : iterable of int

    Raises
    ------
    UserError
        The data break one of these rules. The message names the fold and the subject.
    """
    data = Path(data)
    images = {fold: split["test"]["images"] for fold, split in _summary(data).get("folds", {}).items()}
    tested: dict[str, int] = {}
    for fold in folds:
        folder = data / f"fold{fold}"
        manifests = {split: read_manifest(folder / f"{split}.csv") for split in SPLITS}
        people = {split: _people(manifest) for split, manifest in manifests.items()}
        for one, other in itertools.combinations(SPLITS, 2):
            if both := people[one] & people[other]:
                raise UserError(
                    f"{folder}: {min(both)} is in {one} and in {other}; prepare the data again: no subject"
                    " may be in two splits"
                )
        for person in sorted(people["test"]):
            if person in tested:
                raise UserError(
                    f"{folder}: {person} is tested in fold {tested[person]}, too; prepare the data again"
                )
            tested[person] = fold
        whole = images.get(str(fold))
        if whole is not None and whole != len(manifests["test"].rows):
            raise UserError(
                f"{folder / 'test.csv'}: {len(manifests['test'].rows)} frames, {data / _SUMMARY_FILE} says"
                f" {whole}; test frames are never sampled: prepare the data again"
            )


_DAMAGED = "damaged; prepare the data again"


def _people(manifest: Manifest) -> set[str]:
    """Return the subjects of a split. A picture without a subject counts as a subject of its own."""
    return {row.subject or row.source for row in manifest.rows.values()}


def _summary(data: Path) -> dict[str, Any]:
    path = data / _SUMMARY_FILE
    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: {_DAMAGED}")
    return found


def describe(data: str | Path) -> list[str]:
    """Describe how labels are coded, how faces are registered and which frames are used.

    Parameters
    ----------
    data : path
        Folder of ``drml prepare``.

    Returns
    -------
    list of str
        Lines for a table's caption.
    """
    data = Path(data)
    summary = _summary(data)
    if not summary:
        return [f"Labels, registration, sampling: not known, there is no {_SUMMARY_FILE} beside the folds."]
    try:
        kind, options = summary["kind"], dict(summary["options"])
        if "threshold" in options:  # as data were prepared before the option was renamed
            options["intensity"] = options["threshold"]
        coding = DATA_SETS[kind].describe_labels(options) if kind in DATA_SETS else _OTHER_CODING
        mixed = NO_SUBJECTS in summary.get("incomplete", {})
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{data / _SUMMARY_FILE}: {_DAMAGED}") from None
    size, positives, negatives = (options.get(name) for name in ("size", "positives", "negatives"))
    drawn = f"per AU and video up to {positives} with it and {negatives} without"
    if options.get("unsampled") == "mask":
        drawn += ", labels of AUs that a frame was not drawn for masked"
    apart = "No subject is in two of these, nor tested twice."
    if mixed:
        apart = f"{NO_SUBJECTS[0].upper()}{NO_SUBJECTS[1:]}."
    return [
        f"Labels: {coding}; unknown labels are in no figure.",
        f"Faces: 49 landmarks brought to a reference shape by a similarity transform, {size} x {size} px.",
        f"Training frames: {drawn}; validation, test: all. {apart}",
    ]
