"""Sampling of training frames: for each AU and video, a number of frames with the AU and one without.

A frame that is sampled for one AU is not thereby sampled for the others: by default, its labels of those AUs
become unknown in the training split. Of intensities, the frames of each level from 1 to 5 are those with the
AU, so that the rare levels are not lost among the frequent ones. Only the training split is sampled; the
validation and test splits keep every frame and every label.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from drml.data.labels import (
    ABSENT,
    LEVELS,
    PRESENT,
    UNKNOWN,
    UNKNOWN_LEVEL,
    column_names,
    unknown_values,
)
from drml.data.readers.folds import check_val_share
from drml.io.checks import check_whole
from drml.io.errors import UserError

__all__ = [
    "UNSAMPLED",
    "Sampling",
    "count_drawn",
    "count_labels",
    "describe_sampling",
    "draw",
    "draw_video",
    "training_labels",
]

UNSAMPLED = ("mask", "keep")
"""How to treat the labels of AUs for which a frame was not sampled; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sampling:
    """What is drawn at random when a data set is prepared: validation subjects and training frames.

    Attributes
    ----------
    val_share : float
        Share of the training subjects held out for validation, in [0, 1); 0 writes no validation split.
    positives, negatives : int, optional
        Number of training frames with and without each AU, for each AU and video; of intensities, with each
        level from 1 to 5 and with level 0. By default the data set's
        (see `drml.data.readers.kinds.DATA_SETS`), for a list of your own images all.
    unsampled : {"mask", "keep"}
        How to treat the labels of AUs for which a frame was not sampled: make them unknown, as the paper's
        loss expects it, or keep them. The linear methods are fitted to the sampled labels in both cases.
    all_frames : bool
        Do not sample: train with every frame that has a label, and with all its labels.
    seed : int
        Determines the validation subjects, the sampled frames, the order of the training split, and the folds
        of a data set that has none of its own.

    Raises
    ------
    UserError
        A value is out of range.

    Examples
    --------
    >>> Sampling(positives=10, negatives=20).unsampled
    'mask'
    """

    val_share: float = 0.2
    positives: int | None = None
    negatives: int | None = None
    unsampled: str = UNSAMPLED[0]
    all_frames: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_val_share(self.val_share)
        for name, count in (("positives", self.positives), ("negatives", self.negatives)):
            if count is not None:
                check_whole(count, 0, name)
            if count is not None and self.all_frames:
                raise UserError(f"{name} {count}: nothing is sampled with all_frames; give one of the two")
        if self.positives == self.negatives == 0:
            raise UserError("positives 0 and negatives 0: there would be no training frames")
        _check_unsampled(self.unsampled)


def _check_unsampled(unsampled: str) -> None:
    if unsampled not in UNSAMPLED:
        raise UserError(f"unsampled {unsampled!r}: choose one of {', '.join(UNSAMPLED)}")


def draw_video(
    labels: np.ndarray,
    video: str,
    aus: Sequence[int],
    *,
    positives: int = 100,
    negatives: int = 200,
    seed: int = 0,
    intensity_aus: Sequence[int] = (),
) -> np.ndarray:
    """Draw the training frames of one video for each AU.

    Parameters
    ----------
    labels : ndarray, shape (N, K + L)
        +1, -1 or 0 for each frame of the video, in the order of their numbers; then intensities.
    video : str
        The video's name. Name, seed and AU determine the draw, whatever else is drawn.
    aus : sequence of int
        The K AUs.
    positives, negatives : int, keyword-only
        How many frames with and without each AU; all of them if there are fewer.
    seed : int, keyword-only
        The seed of the draw.
    intensity_aus : sequence of int, keyword-only
        The L AUs of the intensities. Of each level from 1 to 5, as many frames are drawn as `positives`.

    Returns
    -------
    ndarray of bool, shape (N, K + L)
        Which frame was drawn for which AU. A frame trains if it was drawn for any AU.

    Examples
    --------
    >>> labels = np.array([[1], [-1], [-1], [0]], np.int8)
    >>> draw_video(labels, "F001_T1", [12], positives=1, negatives=1).sum()
    np.int64(2)
    """
    if positives < 0 or negatives < 0:
        raise UserError(f"{positives} positives and {negatives} negatives: counts cannot be negative")
    labels = np.asarray(labels)
    drawn = np.zeros(labels.shape, bool)
    occurrence = ((PRESENT, positives), (ABSENT, negatives))
    intensity = tuple((level, positives if level else negatives) for level in reversed(LEVELS))
    for column, name in enumerate(column_names(aus, intensity_aus)):
        # A string seeds through SHA-512: the same draw in every process and version.
        generator = random.Random(f"{seed}/{video}/{name}")
        for value, count in occurrence if column < len(aus) else intensity:
            rows = np.flatnonzero(labels[:, column] == value).tolist()
            drawn[generator.sample(rows, min(count, len(rows))), column] = True
    return drawn


def draw(
    videos: Sequence[str],
    frames: Sequence[int],
    labels: np.ndarray,
    aus: Sequence[int],
    *,
    positives: int = 100,
    negatives: int = 200,
    seed: int = 0,
    intensity_aus: Sequence[int] = (),
) -> np.ndarray:
    """Draw the training frames of many videos at once; see :func:`draw_video`.

    Parameters
    ----------
    videos, frames : sequences of length N
        The video and the number of each frame, in any order; the order does not change the draw.
    labels : ndarray, shape (N, K + L)
        The labels of each frame.
    aus : sequence of int
        The K AUs.
    positives, negatives, seed, intensity_aus
        As in :func:`draw_video`.

    Returns
    -------
    ndarray of bool, shape (N, K + L)
    """
    labels = np.asarray(labels)
    rows_of: dict[str, list[int]] = {}
    for row, video in enumerate(videos):
        rows_of.setdefault(video, []).append(row)
    drawn = np.zeros(labels.shape, bool)
    for video, rows in rows_of.items():
        rows.sort(key=lambda row: frames[row])
        drawn[rows] = draw_video(
            labels[rows],
            video,
            aus,
            positives=positives,
            negatives=negatives,
            seed=seed,
            intensity_aus=intensity_aus,
        )
    return drawn


def training_labels(
    labels: np.ndarray, drawn: np.ndarray, unsampled: str = UNSAMPLED[0], *, intensities: int = 0
) -> np.ndarray:
    """Return the labels to train with.

    Parameters
    ----------
    labels, drawn : ndarray, shape (N, K)
        The labels of the training frames, and for which AUs each was drawn.
    unsampled : {"mask", "keep"}
        Make the labels of AUs for which a frame was not drawn unknown, or keep them.
    intensities : int, keyword-only
        How many of the columns, at the end, are intensities.

    Returns
    -------
    ndarray, shape (N, K)
        Of the type of `labels`.

    Examples
    --------
    >>> training_labels(np.array([[1, -1]], np.int8), np.array([[True, False]]))
    array([[1, 0]], dtype=int8)
    """
    _check_unsampled(unsampled)
    if unsampled != "mask":
        return labels
    columns = range(labels.shape[1])
    unknown = unknown_values(columns[: len(columns) - intensities], columns[len(columns) - intensities :])
    return np.where(drawn, labels, unknown).astype(labels.dtype)


def count_labels(labels: np.ndarray, aus: Sequence[int], intensity_aus: Sequence[int] = ()) -> dict[str, Any]:
    """Count the labels of a split, as ``summary.json`` records them.

    Parameters
    ----------
    labels : ndarray, shape (N, K + L)
    aus, intensity_aus : sequence of int
        The K AUs of the occurrences, and the L of the intensities.

    Returns
    -------
    dict
        For each AU, ``known``, the number of known occurrences, and ``base_rate``, the share of them that
        are present, or None without any; with intensities also ``levels``: by AU (``AU6_r``) and level the
        number of records.

    Examples
    --------
    >>> count_labels(np.array([[1], [0], [-1]]), [12])
    {'known': {'AU12': 2}, 'base_rate': {'AU12': 0.5}}
    """
    occurrences = labels[:, : len(aus)]
    known = (occurrences != UNKNOWN).sum(axis=0)
    present = (occurrences == PRESENT).sum(axis=0)
    levels = {
        name: {str(level): int((labels[:, at] == level).sum()) for level in (*LEVELS, UNKNOWN_LEVEL)}
        for at, name in enumerate(column_names((), intensity_aus), len(aus))
    }
    return {
        "known": {f"AU{au}": int(n) for au, n in zip(aus, known, strict=True)},
        "base_rate": {
            f"AU{au}": round(float(p / n), 4) if n else None
            for au, p, n in zip(aus, present, known, strict=True)
        },
        **({"levels": levels} if levels else {}),
    }


def count_drawn(
    labels: np.ndarray, drawn: np.ndarray, aus: Sequence[int], intensity_aus: Sequence[int] = ()
) -> dict[str, Any]:
    """Count the frames and labels that were drawn, as ``summary.json`` records them.

    Parameters
    ----------
    labels : ndarray, shape (N, K + L)
        The labels of all frames of the training subjects.
    drawn : ndarray of bool, shape (N, K + L)
        Which frame was drawn for which AU.
    aus, intensity_aus : sequence of int
        The K AUs of the occurrences, and the L of the intensities.

    Returns
    -------
    dict
        ``frames`` and ``labels``, for each AU ``positives`` and ``negatives``, and with intensities for each
        AU and level ``levels``. Each is a dictionary of ``drawn``, ``of`` and ``share``, which is None if
        there are none to draw from.

    Examples
    --------
    >>> count_drawn(np.array([[1], [1], [-1]]), np.array([[True], [False], [True]]), [12])["positives"]
    {'AU12': {'drawn': 1, 'of': 2, 'share': 0.5}}
    """

    def count(of: np.ndarray, among: np.ndarray) -> dict[str, Any]:
        some, whole = int((of & among).sum()), int(of.sum())
        return {"drawn": some, "of": whole, "share": round(some / whole, 4) if whole else None}

    def by_au(value: int) -> dict[str, Any]:
        there = np.asarray(labels == value)
        return {f"AU{au}": count(there[:, at], drawn[:, at]) for at, au in enumerate(aus)}

    levels = {
        name: {str(level): count(labels[:, at] == level, drawn[:, at]) for level in LEVELS}
        for at, name in enumerate(column_names((), intensity_aus), len(aus))
    }

    return {
        "frames": count(np.ones(len(labels), bool), np.asarray(drawn.any(axis=1))),
        "labels": count(labels != unknown_values(aus, intensity_aus), drawn),
        "positives": by_au(PRESENT),
        "negatives": by_au(ABSENT),
        **({"levels": levels} if levels else {}),
    }


def describe_sampling(options: Mapping[str, Any]) -> str:
    """Say in words how training frames were sampled.

    Parameters
    ----------
    options : mapping
        ``positives``, ``negatives``, ``unsampled``, ``all_frames`` and ``target`` as ``summary.json`` has
        them; those that are missing count as None.

    Returns
    -------
    str

    Examples
    --------
    >>> describe_sampling({"positives": 9, "unsampled": "mask"}).split("; ")[0]
    'for each AU and video, up to 9 with it and all without it'
    """
    positives, negatives = options.get("positives"), options.get("negatives")
    if options.get("all_frames") or (positives is None and negatives is None):
        return "all frames"
    first, second = ("all" if count is None else f"up to {count}" for count in (positives, negatives))
    others = "unknown" if options.get("unsampled") == "mask" else "kept"
    shares = {
        "occurrence": f"{first} with it and {second} without it",
        "intensity": f"{first} of each level from 1 to 5 and {second} of level 0",
    }
    target = options.get("target") or "occurrence"
    shown = "; of intensities, ".join(shares.values()) if target == "both" else shares[target]
    return f"for each AU and video, {shown}; labels of AUs for which a frame was not drawn are {others}"
