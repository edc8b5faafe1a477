"""The evaluation protocol of prepared data: checks it on every run, and describes it for captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from drml.data.labels import INTENSITY_SUFFIX
from drml.data.manifest import Manifest, read_columns, read_manifest
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.listed import NO_SUBJECTS
from drml.data.readers.targets import OCCURRENCE, describe_target
from drml.data.sampling import describe_sampling
from drml.experiments.settings import INTENSITY, SPLITS
from drml.io.errors import UserError
from drml.io.limits import read_json
from drml.io.text import counted

__all__ = [
    "SUMMARY_FILE",
    "check",
    "check_target",
    "describe",
    "describe_coding",
    "describe_draw",
    "describe_folds",
    "read_summary",
]

SUMMARY_FILE = "summary.json"

_NOT_RECORDED = (
    "An older version prepared the data and did not record which labels were drawn: linear methods are fitted"
    " to all labels of these frames. Prepare the data again to fit them to those drawn for their AU."
)
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
    images = {fold: split["test"]["images"] for fold, split in read_summary(data).get("folds", {}).items()}
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
                f"{folder / 'test.csv'}: {counted(len(manifests['test'].rows), 'frame')},"
                f" {data / SUMMARY_FILE} says {whole}; test frames are never sampled: prepare the data again"
            )


def check_target(data: str | Path, folds: Iterable[int], target: str | None) -> None:
    """Check that the labels of prepared data are those of an experiment: occurrences, or intensities alone.

    Parameters
    ----------
    data : path
        Folder of ``drml prepare``.
    folds : iterable of int
    target : str or None
        As in `drml.experiments.settings.Settings`.

    Raises
    ------
    UserError
        They are others.
    """
    for fold in folds:
        occurrences, intensities = read_columns(Path(data) / f"fold{fold}" / "train.csv")
        if target == INTENSITY and (occurrences or not intensities):
            raise UserError(
                f"{data}: not prepared with --target intensity, which drml experiment intensities needs"
            )
        if target is None and not occurrences:
            raise UserError(
                f"{data}: its labels are intensities; use drml experiment intensities, or prepare the data"
                " with --target occurrence"
            )


_DAMAGED = "damaged; prepare the data again"


def _people(manifest: Manifest) -> set[str]:
    """Return the subjects of a split. A picture without a subject counts as a subject of its own."""
    return {row.subject or row.source for row in manifest.rows.values()}


def read_summary(data: Path) -> dict[str, Any]:
    """Return the summary of a folder of ``drml prepare``; empty if there is none."""
    path = data / SUMMARY_FILE
    try:
        found = read_json(path)
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: {_DAMAGED}")
    return found


def describe_coding(summary: dict[str, Any]) -> str:
    """Say what the labels of prepared data mean, from the summary of ``drml prepare`` or ``drml join``."""
    if "sets" in summary:
        return _of_each((one["name"], describe_coding(one)) for one in summary["sets"])
    kind, options = summary["kind"], dict(summary["options"])
    if "threshold" in options:  # as data were prepared before the option was renamed
        options["intensity"] = options["threshold"]
    if kind not in DATA_SETS:
        return _OTHER_CODING
    return describe_target(DATA_SETS[kind], options.get("target", OCCURRENCE), options)


def describe_draw(summary: dict[str, Any]) -> str:
    """Say which training frames were sampled, from the summary of ``drml prepare`` or ``drml join``."""
    if "sets" in summary:
        return _of_each((one["name"], describe_draw(one)) for one in summary["sets"])
    return describe_sampling(summary["options"])


def _of_each(texts: Iterable[tuple[str, str]]) -> str:
    """Return one text for all joined sets, or, if they differ, the text of each with its name."""
    named = list(texts)
    if len({text for _, text in named}) == 1:
        return named[0][1]
    return "; ".join(f"{name}: {text}" for name, text in named)


def describe_folds(summary: dict[str, Any]) -> str | None:
    """Say which lists of subjects make the folds of prepared data; older versions did not record them."""
    lists = summary.get("fold_lists")
    if lists is None:
        return None
    return (
        f"Folds: {lists['title']} ({counted(int(lists['folds']), 'fold')}; folds.csv, SHA-256"
        f" {str(lists['sha256'])[:12]})."
    )


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
    summary = read_summary(data)
    if not summary:
        return [f"Labels, registration, sampling: not known, there is no {SUMMARY_FILE} beside the folds."]
    try:
        options = dict(summary["options"])
        coding, lists = describe_coding(summary), describe_folds(summary)
        draw = describe_draw(summary)
        mixed = NO_SUBJECTS in summary.get("incomplete", {})
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(f"{data / SUMMARY_FILE}: {_DAMAGED}") from None
    size = options.get("size")
    found = ", found by a model," if options.get("points") == "detector" else ""
    apart = "No subject is in two of these, nor tested twice."
    if mixed:
        apart = f"{NO_SUBJECTS[0].upper()}{NO_SUBJECTS[1:]}."
    return [
        f"Labels: {coding}; unknown labels are in no figure.",
        f"Faces: 49 landmarks{found} brought to a reference shape by a similarity transform,"
        f" {size} x {size} px.",
        f"Training frames: {draw}. Validation, test: all. {apart}",
        *_describe_shares(data, summary),
        *([lists] if lists else []),
    ]


def _describe_shares(data: Path, summary: dict[str, Any]) -> list[str]:
    """Say which share of the training frames and labels was drawn, in all folds together."""
    try:
        found = [fold.get("train", {}).get("sampling") for fold in summary.get("folds", {}).values()]
        if not found or None in found:
            sampled = not describe_draw(summary).startswith("all frames")
            kept = sampled and summary["options"].get("unsampled") == "keep"
            return [_NOT_RECORDED] if kept else []
        frames, labels = (_Share.of_folds(one[name] for one in found) for name in ("frames", "labels"))
        aus = ", ".join(
            f"{au} {_Share.of_folds(one['positives'][au] for one in found).percent}"
            f"/{_Share.of_folds(one['negatives'][au] for one in found).percent}"
            for au in found[0]["positives"]
        )
        levels = ", ".join(
            f"{au.removesuffix(INTENSITY_SUFFIX)} "
            + "/".join(
                _Share.of_folds(one["levels"][au][level] for one in found).percent for level in by_level
            )
            for au, by_level in found[0].get("levels", {}).items()
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UserError(f"{data / SUMMARY_FILE}: {_DAMAGED}") from None
    lines = [f"Drawn for training: {frames} frames and {labels} labels."]
    if labels.drawn < labels.of and levels:
        lines.append(f"Labels drawn of the levels 0 to 5, in %: {levels}.")
    if labels.drawn < labels.of and aus:
        lines.append(
            f"Labels drawn with/without the AU, in %: {aus}. LSVM, APL and JPML are fitted to these."
        )
    return lines


class _Share(NamedTuple):
    """How many frames or labels were drawn, and of how many."""

    drawn: int
    of: int

    @classmethod
    def of_folds(cls, counts: Iterable[dict[str, Any]]) -> _Share:
        """Add up the counts of the folds, as ``summary.json`` has them."""
        pairs = [(int(one["drawn"]), int(one["of"])) for one in counts]
        return cls(sum(drawn for drawn, _ in pairs), sum(of for _, of in pairs))

    @property
    def percent(self) -> str:
        """The share as a whole number of per cent, which is 100 only if all were drawn."""
        if not self.of:
            return "-"
        return str(min(round(100 * self.drawn / self.of), 99) if self.drawn < self.of else 100)

    def __str__(self) -> str:
        return f"{self.drawn:,} of {self.of:,}" + (f" ({self.percent}%)" if self.of else "")
