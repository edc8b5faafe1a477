"""The section of test faces with their predictions: some spread evenly, the best and the worst."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import PRESENT, UNKNOWN
from drml.data.lmdb import read_lmdb
from drml.data.split import open_split
from drml.evaluation.predictions import PredictionTable
from drml.io.errors import UserError
from drml.report.pictures import data_url
from drml.report.rendering import Section, render

__all__ = ["choose", "extremes", "faces_section", "frame_losses"]

FACES = 8
EXTREMES = 4
"""How many of the best frames are shown, and how many of the worst."""


def choose(keys: Sequence[str], subject_of: Mapping[str, str], count: int = FACES) -> list[str]:
    """Choose frames without regard to the results: the middle frame of subjects spread over the test set.

    If there are fewer subjects than faces to show, the frames themselves are spread over the test set.

    Examples
    --------
    >>> choose(["a1", "a2", "a3", "b1"], {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, count=2)
    ['a2', 'b1']
    """
    by_subject: dict[str, list[str]] = {}
    for key in keys:
        by_subject.setdefault(subject_of.get(key, ""), []).append(key)
    middles = [some[len(some) // 2] for some in by_subject.values()]
    among = middles if len(middles) >= count else list(keys)
    if len(among) <= count:
        return among
    return [among[index * len(among) // count] for index in range(count)]


def frame_losses(table: PredictionTable) -> NDArray[np.float64]:
    """Return each frame's cross-entropy, the mean over its known AUs, shape (N,); NaN if no AU is known."""
    known = table.labels != UNKNOWN
    right = np.where(table.labels == PRESENT, table.probabilities, 1 - table.probabilities)
    loss = np.where(known, -np.log(np.clip(right, 1e-6, 1)), 0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count, loss / np.maximum(count, 1), np.nan)


def extremes(losses: NDArray[np.float64], videos: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the indices of the best and of the worst frames: at most one per video, and none in both.

    Examples
    --------
    >>> extremes(np.array([0.5, 0.1, 0.2, 0.9, np.nan]), ["a", "a", "b", "b", "c"])
    ([1, 2], [3, 0])
    """
    order = [int(index) for index in np.argsort(losses, kind="stable") if not np.isnan(losses[index])]

    def of_videos(ranked: Iterable[int], not_in: Sequence[int]) -> list[int]:
        found: dict[str, int] = {}
        for index in ranked:
            if index not in not_in:
                found.setdefault(videos[index], index)
            if len(found) == EXTREMES:
                break
        return list(found.values())

    best = of_videos(order, ())
    return best, of_videos(reversed(order), best)


def _face(
    key: str, image: bytes, subject: str, loss: float, table: PredictionTable, threshold: float
) -> dict[str, Any]:
    """Return a face as the template shows it."""
    row = table.keys.index(key)
    label = dict(zip(table.aus, table.labels[row].tolist(), strict=True))
    found = dict(zip(table.aus, (table.probabilities[row] >= threshold).tolist(), strict=True))
    outcomes = [
        ("hit", [au for au in table.aus if label[au] > 0 and found[au]]),
        ("missed", [au for au in table.aus if label[au] > 0 and not found[au]]),
        ("false", [au for au in table.aus if label[au] < 0 and found[au]]),
        ("unknown", [au for au in table.aus if label[au] == 0]),
    ]
    return {
        "key": key,
        "name": key.split("_", 1)[-1],
        "url": data_url(image, key),
        "subject": subject,
        "present": ", ".join(f"AU {au}" for au in table.aus if label[au] > 0),
        "loss": loss,
        "outcomes": [(name, aus) for name, aus in outcomes if aus or name != "unknown"],
    }


def faces_section(
    table: PredictionTable,
    source: str | Path,
    *,
    name: str,
    threshold: float,
    synthetic: bool,
    anchor: str = "faces",
    title: str = "",
) -> Section:
    """Return the section of faces, each with its hits, misses and false alarms.

    Parameters
    ----------
    table : PredictionTable
        The predictions of one fold's test frames.
    source : path
        The fold's LMDB, or the manifest that belongs to it.
    name : str
        What error messages call the predictions.
    threshold : float
    synthetic : bool
    anchor, title : str
        Of the section.

    Raises
    ------
    UserError
        The faces are missing, or belong to other frames.
    """
    data = open_split(source)
    records = data.manifest.rows if data.manifest else {}
    subjects = {key: records[key].subject for key in table.keys if key in records}
    videos = [f"{records[k].subject} {records[k].task}" if k in records else k for k in table.keys]
    losses = frame_losses(table)
    best, worst = ([table.keys[index] for index in some] for some in extremes(losses, videos))
    spread = choose(table.keys, subjects)
    found = {item.key: item.image for item in read_lmdb(data.lmdb, [*spread, *best, *worst])}
    if not found:
        raise UserError(f"{name}: none of its keys is in {data.lmdb}; score that data again")
    loss_of = dict(zip(table.keys, losses.tolist(), strict=True))
    groups = []
    for heading, remark, keys in (
        ("Spread over the test set", "Chosen without regard to the results.", spread),
        (
            "Best",
            f"The lowest loss (cross-entropy, mean over AUs) of {len(losses)} frames, at most one per video.",
            best,
        ),
        (
            "Worst",
            "The highest loss, at most one per video. Wrong labels and bad registrations show here first.",
            worst,
        ),
    ):
        faces = [
            _face(key, found[key], subjects.get(key, ""), loss_of[key], table, threshold)
            for key in keys
            if key in found
        ]
        if faces:
            groups.append(
                {"title": heading, "remark": remark, "faces": faces, "show_loss": keys is not spread}
            )
    body = render("faces.html", synthetic=synthetic, threshold=f"{threshold:g}", groups=groups)
    return Section(anchor, title or "Test faces", body)
