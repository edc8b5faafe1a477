"""The sections of the data and of the time each stage took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from drml.io.errors import UserError
from drml.report.markup import cell, details, duration, escaped, html_table
from drml.report.page import Section


def _are_apart(splits: Iterable[dict[str, Any]]) -> bool:
    subjects = [subject for split in splits for subject in split["subjects"]]
    return len(set(subjects)) == len(subjects)


def data_section(summary: dict[str, Any]) -> Section:
    """Return what is in each split, and what was skipped, from the summary of ``drml prepare``."""
    parts = []
    kind = str(summary["kind"]).upper() + (" layout, synthetic" if summary.get("synthetic") else "")
    apart = all(_are_apart(splits.values()) for splits in summary["folds"].values())
    parts.append(
        f"<p>{escaped(kind)}: {summary['images']} faces registered out of {summary['frames']} frames."
        + (" No subject is in two splits of a fold." if apart else "")
        + "</p>"
    )
    for fold, splits in summary["folds"].items():
        rows = [
            [name, str(split["images"]), str(len(split["subjects"])), str(split["videos"])]
            for name, split in splits.items()
        ]
        parts.append(html_table(f"Fold {fold}", ["split", "images", "subjects", "videos"], rows))
    first, splits = next(iter(summary["folds"].items()))
    aus = [f"AU{au}" for au in summary["aus"]]
    rates = [[au, *(cell(split["base_rate"][au]) for split in splits.values())] for au in aus]
    parts.append(html_table(f"Share of frames with the AU, fold {first}", ["AU", *splits], rates))
    skipped = [[reason, str(count)] for reason, count in summary["skipped"].items()]
    if skipped:
        parts.append(html_table("Frames skipped", ["reason", "frames"], skipped))
    else:
        parts.append("<p>No frame was skipped.</p>")
    incomplete = [[reason, str(count)] for reason, count in summary.get("incomplete", {}).items()]
    if incomplete:
        parts.append(html_table("Frames kept with an unknown label", ["reason", "frames"], incomplete))
    lists = []
    for fold, splits in summary["folds"].items():
        for name, split in splits.items():
            lists.append(f"fold {fold} {name}: {' '.join(map(str, split['subjects']))}")
    parts.append(details("Subjects by split", f"<pre>{escaped(chr(10).join(lists))}</pre>"))
    return Section("data", "Data", "\n".join(parts))


def stages_section(stages: dict[str, Any]) -> Section:
    """Return a table of seconds by stage."""
    try:
        seconds = {str(name): float(value) for name, value in stages.items()}
    except (TypeError, ValueError):
        raise UserError('stages: expected an object of seconds by stage, such as {"train": 61.5}') from None
    rows = [[name, duration(value)] for name, value in seconds.items()]
    rows.append(["total", duration(sum(seconds.values()))])
    return Section("time", "Time", html_table("Time by stage", ["stage", "time"], rows, sums=1))
