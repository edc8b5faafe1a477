"""The sections of the data and of the time each stage took."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from markupsafe import Markup

from drml.data.labels import INTENSITY_SUFFIX, LEVELS
from drml.experiments.protocol import describe_coding, describe_draw, describe_folds
from drml.io.errors import UserError
from drml.report.formatting import decimals, duration
from drml.report.rendering import Section, render, render_table


def _are_disjoint(splits: Iterable[dict[str, Any]]) -> bool:
    subjects = [subject for split in splits for subject in split["subjects"]]
    return len(set(subjects)) == len(subjects)


def data_section(summary: dict[str, Any]) -> Section:
    """Return the contents of each split and the skipped frames, from the summary of ``drml prepare``."""
    folds = summary["folds"]
    tables = [
        render_table(
            f"Fold {fold}",
            ["split", "images", "subjects", "videos"],
            [
                [name, str(split["images"]), str(len(split["subjects"])), str(split["videos"])]
                for name, split in splits.items()
            ],
        )
        for fold, splits in folds.items()
    ]
    first, splits = next(iter(folds.items()))
    aus = [f"AU{au}" for au in summary["aus"]]
    rates = [[au, *(decimals(split["base_rate"][au]) for split in splits.values())] for au in aus]
    body = render(
        "data.html",
        kind=str(summary["kind"]).upper() + (" layout, synthetic" if summary.get("synthetic") else ""),
        images=summary["images"],
        frames=summary["frames"],
        disjoint=all(_are_disjoint(splits.values()) for splits in folds.values()),
        folds=tables,
        base_rates=render_table(
            f"Share of frames with the AU among those with a known label, fold {first}",
            ["AU", *splits],
            rates,
        )
        if rates
        else "",
        levels=[
            _levels(f"Frames of each level, fold {first} {name}", split["levels"])
            for name, split in splits.items()
            if "levels" in split
        ],
        coding=describe_coding(summary),
        lists=describe_folds(summary),
        sampling=describe_draw(summary),
        drawn=_drawn(f"fold {first}", splits.get("train", {}).get("sampling")),
        skipped=_reasons("Frames skipped", summary["skipped"]),
        incomplete=_reasons("Frames kept with an unknown label", summary.get("incomplete", {})),
        subjects=[
            f"fold {fold} {name}: {' '.join(map(str, split['subjects']))}"
            for fold, splits in folds.items()
            for name, split in splits.items()
        ],
    )
    return Section("data", "Data", body)


def _levels(caption: str, counts: dict[str, dict[str, int]]) -> Markup:
    """Return a table of the frames of each level of intensity, by AU."""
    rows = [
        [au.removesuffix(INTENSITY_SUFFIX), *map(str, by_level.values())] for au, by_level in counts.items()
    ]
    return render_table(caption, ["AU", *map(str, LEVELS), "unknown"], rows)


def _drawn(fold: str, found: dict[str, Any] | None) -> list[Markup]:
    """Return tables of the labels that were drawn; none if none were left out, or if it is not known."""
    if not found or found["labels"]["drawn"] == found["labels"]["of"]:
        return []

    def share(count: dict[str, Any]) -> str:
        return f"{count['drawn']} of {count['of']}"

    def cells(count: dict[str, Any]) -> list[str]:
        return [share(count), decimals(count["share"])]

    levels = [
        [au.removesuffix(INTENSITY_SUFFIX), *map(share, by_level.values())]
        for au, by_level in found.get("levels", {}).items()
    ]
    positives, negatives = found["positives"], found["negatives"]
    rows = [[au, *cells(positives[au]), *cells(negatives[au])] for au in positives]
    rows.append(["all labels", *cells(found["labels"]), "", ""])
    rows.append(["frames", *cells(found["frames"]), "", ""])
    head = ["AU", "with the AU", "share", "without", "share"]
    tables = [render_table(f"Labels drawn for training, {fold}", head, rows, totals=2)]
    if levels:
        title = f"Frames of each level drawn for training, {fold}"
        tables.append(render_table(title, ["AU", *map(str, LEVELS)], levels))
    return tables


def _reasons(caption: str, counts: dict[str, int]) -> Markup | str:
    rows = [[reason, str(count)] for reason, count in counts.items()]
    return render_table(caption, ["reason", "frames"], rows) if rows else ""


def stages_section(stages: dict[str, Any]) -> Section:
    """Return a table of seconds by stage."""
    try:
        seconds = {str(name): float(value) for name, value in stages.items()}
    except (TypeError, ValueError):
        raise UserError('stages: expected an object of seconds by stage, such as {"train": 61.5}') from None
    rows = [[name, duration(value)] for name, value in seconds.items()]
    rows.append(["total", duration(sum(seconds.values()))])
    return Section("time", "Time", render_table("Time by stage", ["stage", "time"], rows, totals=1))
