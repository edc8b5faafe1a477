"""Data sets on disk, read into records: one small dataclass a frame.

Each module here reads one data set's own layout; what happens to the records afterwards (registration,
sampling, databases) is not its business.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

__all__ = ["Record", "Scan"]

_EXAMPLES = 5  # names kept for each reason: enough to look one up, short enough to print


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One coded frame of one video.

    Attributes
    ----------
    key : str
        ``subject_task_frame``, the frame in at least four digits (``F001_T1_0123``).
    image : Path
        The image file.
    subject, task : str
        Who and in which recording; the two together name a video.
    frame : int
        The frame's number in its file name.
    labels : ndarray of int8, shape (K,)
        +1 present, -1 absent, 0 unknown; one for each AU asked for.
    landmarks : ndarray of float64, shape (49, 2)
        x and y in pixels of the image, 0-based.
    """

    key: str
    image: Path
    subject: str
    task: str
    frame: int
    labels: np.ndarray
    landmarks: np.ndarray

    @property
    def video(self) -> str:
        """``subject_task``."""
        return f"{self.subject}_{self.task}"


@dataclasses.dataclass
class Scan:
    """What reading a data set gave: the records, and what was skipped and why.

    Attributes
    ----------
    aus : tuple of int
        The AUs of each record's labels, in order.
    records : list of Record
        In the order subject, task, frame.
    skipped : Counter
        Reason -> number of frames.
    examples : dict
        Reason -> a few names of skipped frames or videos.
    """

    aus: tuple[int, ...]
    records: list[Record] = dataclasses.field(default_factory=list)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def skip(self, reason: str, name: str, count: int = 1) -> None:
        """Count ``count`` frames as skipped for ``reason``; ``name`` says where to look."""
        if count <= 0:
            return
        self.skipped[reason] += count
        names = self.examples.setdefault(reason, [])
        if len(names) < _EXAMPLES:
            names.append(name)
