"""Data sets on disk, read into records: one small dataclass a frame.

Each module here reads one data set's own layout; what happens to the records afterwards (registration,
sampling, databases) is not its business.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np

from drml.data.readers.video import VideoFrame

__all__ = ["Record", "Scan"]

_EXAMPLES = 5  # names kept for each reason: enough to look one up, short enough to print


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One coded frame of one video.

    Attributes
    ----------
    key : str
        ``subject_task_frame``, the frame in at least four digits (``F001_T1_0123``); ``subject_frame``
        in a set with one video a subject (``SN001_0123``).
    image : Path or VideoFrame
        The image file, or the place in a video.
    subject, task : str
        Who and in which recording; the two together name a video. The task is empty where a subject has
        but one.
    frame : int
        The frame's number in the data set's own count.
    labels : ndarray of int8, shape (K,)
        +1 present, -1 absent, 0 unknown; one for each AU asked for.
    landmarks : ndarray of float64, shape (49, 2), or None
        x and y in pixels of the image, 0-based. In a list of one's own there may be 5 points, or none: the
        image is then a registered face.
    """

    key: str
    image: Path | VideoFrame
    subject: str
    task: str
    frame: int
    labels: np.ndarray
    landmarks: np.ndarray | None

    @property
    def video(self) -> str:
        """``subject_task``, or the subject alone."""
        return f"{self.subject}_{self.task}" if self.task else self.subject


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
    incomplete : Counter
        Reason -> number of frames that are records, but lack something: a label where the set is to have one,
        or their subject.
    examples : dict
        Reason -> a few names of such frames or videos.
    """

    aus: tuple[int, ...]
    records: list[Record] = dataclasses.field(default_factory=list)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    incomplete: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def skip(self, reason: str, name: str, count: int = 1) -> None:
        """Count ``count`` frames as skipped for ``reason``; ``name`` says where to look."""
        self._count(self.skipped, reason, name, count)

    def lack(self, reason: str, name: str, count: int = 1) -> None:
        """Count ``count`` frames as incomplete for ``reason``."""
        self._count(self.incomplete, reason, name, count)

    def _count(self, counter: Counter[str], reason: str, name: str, count: int) -> None:
        if count <= 0:
            return
        counter[reason] += count
        names = self.examples.setdefault(reason, [])
        if len(names) < _EXAMPLES:
            names.append(name)
