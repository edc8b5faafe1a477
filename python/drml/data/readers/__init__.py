"""Data sets on disk, read into records: one small dataclass for each frame.

Each reader knows the folder layout of one data set. Registration, sampling and databases come later, in
`drml.data.prepare`. The table `drml.data.readers.kinds.DATA_SETS` names the readers.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from drml.data.labels import UNKNOWN, UNKNOWN_LEVEL

if TYPE_CHECKING:  # the command line reads the table of readers, and must not wait for NumPy and OpenCV
    import numpy as np

    from drml.data.readers.video import VideoFrame

__all__ = ["Record", "Scan"]

_EXAMPLES = 5  # names kept for each reason: enough to look up, short enough to print


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One coded frame of one video, or one image of a list.

    Attributes
    ----------
    key : str
        ``subject_task_frame``, the frame in at least four digits (``F001_T1_0123``); ``subject_frame``
        in a set with one video a subject (``SN001_0123``).
    image : Path or VideoFrame
        The image file, or a frame of a video file.
    subject, task : str
        The person and the recording, which together name a video. The task is empty if there is only one
        recording of each subject.
    frame : int
        The frame's number as the data set counts.
    labels : ndarray of int8, shape (K + L,)
        +1 present, -1 absent, 0 unknown; one for each AU asked for. Then intensities, 0 to 5, or 9 for
        unknown.
    landmarks : ndarray of float64, shape (49, 2), or None
        x and y in pixels of the image, counted from 0. Images of a list may have 5 points, or None if the
        image is a registered face. None also if the data set was read without its landmarks.
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
    """The result of reading a data set: the records, and how many frames were skipped for which reason.

    Attributes
    ----------
    aus : tuple of int
        The K AUs of each record's labels, in order.
    records : list of Record
        In the order subject, task, frame.
    skipped : Counter
        Reason -> number of frames.
    incomplete : Counter
        Reason -> number of frames that became records although something is missing: a label that the data
        set should have, or the subject.
    examples : dict
        Reason -> names of a few of these frames or videos.
    coded : dict
        Video -> number of frames that the data set codes, whether they can be used or not. Empty if the data
        set has no videos.
    intensity_aus : tuple of int
        The L AUs of the intensities, which follow the other labels.
    levels : bool
        While a reader reads intensities alone: the labels of `aus` are those.
    """

    aus: tuple[int, ...]
    records: list[Record] = dataclasses.field(default_factory=list)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    incomplete: Counter[str] = dataclasses.field(default_factory=Counter)
    examples: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    coded: dict[str, int] = dataclasses.field(default_factory=dict)
    intensity_aus: tuple[int, ...] = ()
    levels: bool = False

    @property
    def unknown(self) -> int:
        """The value of an unknown label of `aus`."""
        return UNKNOWN_LEVEL if self.levels else UNKNOWN

    def knows_any(self, labels: np.ndarray) -> bool:
        """Return whether any of a reader's labels of one frame is known."""
        return bool((labels != self.unknown).any())

    def skip(self, reason: str, name: str, count: int = 1) -> None:
        """Count ``count`` frames as skipped for ``reason``; ``name`` is the frame or video, as an example."""
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
