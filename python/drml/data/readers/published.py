"""What is published about the data sets, to hold a copy of one against.

BP4D's numbers of frames by fold follow from the lists of frames that others publish with their code. Lists
in circulation are shorter by up to 225 frames a fold, because they leave out frames without a face.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from drml.data.labels import BP4D_BASE_RATES

__all__ = ["BP4D_PUBLISHED", "DISFA_PUBLISHED", "Published"]


@dataclasses.dataclass(frozen=True)
class Published:
    """The published numbers of a data set.

    Attributes
    ----------
    subjects, videos, frames : int
        Numbers of subjects, of videos and of coded frames.
    fold_frames : tuple of int
        Coded frames of the test subjects of each fold of the data set, in their order; empty if unknown.
    video_frames : int or None
        Coded frames of each video; None if they differ.
    other_videos : mapping of str to int
        Coded frames of the videos for which this is not so.
    rates : mapping of int to float
        AU -> share of the frames in which it is present; empty if unknown.
    """

    subjects: int
    videos: int
    frames: int
    fold_frames: tuple[int, ...] = ()
    video_frames: int | None = None
    other_videos: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rates: Mapping[int, float] = dataclasses.field(default_factory=dict)


BP4D_PUBLISHED = Published(41, 328, 146847, fold_frames=(50631, 50182, 46034), rates=BP4D_BASE_RATES)
DISFA_PUBLISHED = Published(27, 27, 130814, video_frames=4845, other_videos={"SN010": 4844})
