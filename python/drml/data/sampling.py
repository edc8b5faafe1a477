"""Which frames of a video train: so many with an AU, so many without, for each AU; an explicit seed.

Only training data are sampled; validation and test data keep every frame.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.io.errors import UserError

__all__ = ["draw", "draw_video", "training_labels"]


def draw_video(
    labels: np.ndarray,
    video: str,
    aus: Sequence[int],
    *,
    positives: int = 100,
    negatives: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """Draw the training frames of one video, AU by AU.

    Parameters
    ----------
    labels : ndarray, shape (N, K)
        +1, -1 or 0 of the video's frames, in the order of their numbers.
    video : str
        The video's name. With the seed and the AU it fixes the draw, whatever else is drawn.
    aus : sequence of int
        The K AUs.
    positives, negatives : int, keyword-only
        How many frames with and without each AU; all of them where there are fewer.
    seed : int, keyword-only
        Another seed, another draw.

    Returns
    -------
    ndarray of bool, shape (N, K)
        Which frame was drawn for which AU. The training set is the frames drawn for any.

    Examples
    --------
    >>> labels = np.array([[1], [-1], [-1], [0]], np.int8)
    >>> draw_video(labels, "F001_T1", [12], positives=1, negatives=1).sum()
    np.int64(2)
    """
    if positives < 0 or negatives < 0:
        raise UserError(f"{positives} positives and {negatives} negatives a video: counts cannot be negative")
    labels = np.asarray(labels)
    drawn = np.zeros(labels.shape, bool)
    for column, au in enumerate(aus):
        # A string seeds through SHA-512: the same draw in every process and version.
        generator = random.Random(f"{seed}/{video}/AU{au}")
        for value, count in ((PRESENT, positives), (ABSENT, negatives)):
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
) -> np.ndarray:
    """Draw the training frames of many videos at once; see :func:`draw_video`.

    Parameters
    ----------
    videos, frames : sequences of length N
        The video and the number of each frame, in any order: the draw does not depend on it.
    labels : ndarray, shape (N, K)
        The labels of each frame.
    aus : sequence of int
        The K AUs.
    positives, negatives, seed : int, keyword-only
        As in :func:`draw_video`.

    Returns
    -------
    ndarray of bool, shape (N, K)
    """
    labels = np.asarray(labels)
    rows_of: dict[str, list[int]] = {}
    for row, video in enumerate(videos):
        rows_of.setdefault(video, []).append(row)
    drawn = np.zeros(labels.shape, bool)
    for video, rows in rows_of.items():
        rows.sort(key=lambda row: frames[row])
        drawn[rows] = draw_video(
            labels[rows], video, aus, positives=positives, negatives=negatives, seed=seed
        )
    return drawn


def training_labels(labels: np.ndarray, drawn: np.ndarray, unsampled: str = "keep") -> np.ndarray:
    """Give the labels that training sees.

    Parameters
    ----------
    labels, drawn : ndarray, shape (N, K)
        Of the chosen frames.
    unsampled : {"keep", "mask"}
        Labels for which a frame was not drawn stay (``keep``) or become unknown (``mask``).
    """
    if unsampled == "keep":
        return labels
    if unsampled == "mask":
        return np.where(drawn, labels, UNKNOWN).astype(labels.dtype)
    raise UserError(f"unsampled labels: {unsampled!r} is neither 'keep' nor 'mask'")
