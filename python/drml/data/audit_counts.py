"""Compares the numbers of subjects, videos and frames, and the base rates, with what is published."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from drml.data.audit_table import Audit, AuditRow
from drml.data.labels import PRESENT, UNKNOWN
from drml.data.readers import Scan
from drml.data.readers.data_set import DataSet
from drml.data.readers.published import Published
from drml.data.split import SYNTHETIC_FILE
from drml.io.errors import UserError
from drml.io.limits import read_json

__all__ = ["audit_counts", "read_note"]

_ROUNDING = 0.005  # published rates are rounded, and it is not said how unknown codes were counted
_COMPARABLE = 0.05  # if more than this share of the frames is missing, the rates are those of other frames
_NAMED = 8  # subjects or videos that a remark names


def audit_counts(source: DataSet, root: Path, scan: Scan, options: Mapping[str, Any]) -> Audit:
    """Compare the numbers of subjects, videos and frames, and the base rates.

    Parameters
    ----------
    source : DataSet
    root : Path
        The data set's folder, or the list of images.
    scan : Scan
        What its reader found there.
    options : mapping
        The options with which it was read.

    Raises
    ------
    UserError
        ``synthetic.json`` is damaged.
    """
    folder = root if root.is_dir() else root.parent
    drawn = (folder / SYNTHETIC_FILE).is_file()
    published = read_note(folder / SYNTHETIC_FILE) if drawn and scan.coded else source.published
    coded_as = {name: value for name, value in options.items() if name != "unknown"}  # changes no rate
    if published and not scan.aus:
        published = dataclasses.replace(published, rates={})  # intensities have none
    elif published and source.describe_labels(coded_as) != source.describe_labels({}):
        published = dataclasses.replace(published, rates={})  # those of other labels
    coded = scan.coded or Counter(record.video for record in scan.records)
    subject_of = {record.video: record.subject for record in scan.records}
    subjects: Counter[str] = Counter()
    for video, frames in coded.items():
        subjects[subject_of.get(video) or video.split("_")[0]] += frames
    rows = []
    lists = source.choose_folds().lists
    folds = lists.parts if lists else ()
    if not drawn and published:
        rows += _fold_rows(folds, subjects, published)
    known = [] if drawn or not published else [name for fold in folds for name in fold]
    frames = sum(coded.values())
    rows = [
        _count("subjects", published.subjects if published else None, len(subjects), _names(subjects, known)),
        _count("videos", published.videos if published else None, len(coded)),
        _count(
            "coded frames",
            published.frames if published else None,
            frames,
            _lengths(scan.coded, published),
        ),
        *rows,
        _usable(scan, frames),
        *_rate_rows(scan, published),
    ]
    return Audit(source.title, root, drawn, rows)


def _count(what: str, expected: int | None, found: int, remark: str = "") -> AuditRow:
    if expected is None:
        return AuditRow(what, "", f"{found:,}", None, remark)
    return AuditRow(what, f"{expected:,}", f"{found:,}", found == expected and not remark, remark)


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _names(found: Counter[str], known: list[str]) -> str:
    """Return a remark on subjects that are missing, or are not the data set's."""
    missing, others = sorted(set(known) - set(found)), sorted(set(found) - set(known)) if known else []
    parts = [
        f"missing {_shorten(missing)}" if missing else "",
        f"unknown {_shorten(others)}" if others else "",
    ]
    return ", ".join(filter(None, parts))


def _lengths(coded: dict[str, int], published: Published | None) -> str:
    """Return a remark on videos that have another number of frames than is published."""
    if published is None or published.video_frames is None:
        return ""
    wrong = [
        f"{video} has {frames}"
        for video, frames in coded.items()
        if frames != published.other_videos.get(video, published.video_frames)
    ]
    return _shorten(wrong)


def _fold_rows(
    folds: tuple[tuple[str, ...], ...], subjects: Counter[str], published: Published
) -> list[AuditRow]:
    return [
        _count(f"coded frames of fold {number}", expected, sum(subjects[name] for name in fold))
        for number, (fold, expected) in enumerate(zip(folds, published.fold_frames, strict=False), 1)
    ]


def _usable(scan: Scan, coded: int) -> AuditRow:
    reasons = ", ".join(f"{reason} {count}" for reason, count in scan.skipped.most_common())
    return AuditRow("usable frames", "", f"{len(scan.records):,}", None, reasons)


def _rate_rows(scan: Scan, published: Published | None) -> list[AuditRow]:
    """Compare the base rates: those of the usable frames, since only these are read as records."""
    if not scan.records:
        return []
    labels = np.stack([record.labels for record in scan.records])
    missing = max(0.0, 1 - len(labels) / published.frames) if published else 0.0
    rows = []
    for column, au in enumerate(scan.aus):
        known = int((labels[:, column] != UNKNOWN).sum())
        rate = float((labels[:, column] == PRESENT).sum() / known) if known else float("nan")
        expected = published.rates.get(au) if published else None
        found = f"{100 * rate:.1f}%" if known else "-"
        if expected is None:
            rows.append(AuditRow(f"base rate of AU{au}", "", found, None))
        elif missing > _COMPARABLE:
            remark = f"not comparable, {100 * missing:.0f}% of the frames are missing"
            rows.append(AuditRow(f"base rate of AU{au}", f"{100 * expected:.1f}%", found, None, remark))
        else:
            # The frames that are missing can change a rate by no more than their share.
            fits = bool(abs(rate - expected) <= _ROUNDING + missing)
            rows.append(AuditRow(f"base rate of AU{au}", f"{100 * expected:.1f}%", found, fits))
    return rows


def read_note(path: Path) -> Published | None:
    """Return what the note of drawn data, ``synthetic.json``, says of them; None if it has no summary.

    Raises
    ------
    UserError
        It is damaged.
    """
    try:
        note = read_json(path)
        if "summary" not in note:  # a mark alone, on data that somebody else drew
            return None
        summary = note["summary"]
        rates = {int(au): float(rate) for au, rate in summary["rates"].items()}
        counts = [int(summary[name]) for name in ("subjects", "videos", "frames")]
        if min(counts) < 1:
            raise ValueError(f"counts {counts}")
    except (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: cannot be read as the note of drawn data ({error}); draw the data again with drml synth"
        ) from None
    return Published(counts[0], counts[1], counts[2], rates=rates)
