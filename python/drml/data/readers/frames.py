"""The frames of one recording, as a video or as a folder of images, by their number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from drml.data.readers import images
from drml.data.readers.video import VideoFrame, frame_count
from drml.io.errors import UserError

__all__ = [
    "FRAME_NAME",
    "NO_IMAGE",
    "NO_IMAGE_SHORT",
    "VIDEOS",
    "Frames",
    "add_frames",
    "number_frames",
]

NO_IMAGE = "no image"
NO_IMAGE_SHORT = "no image: the video is shorter than its header says"

FRAME_NAME = re.compile(r"(?:.*[-_. ]|frame|image|img)?([0-9]+)", re.IGNORECASE)
"""Names of images: a number, alone or after a prefix that ends in ``-``, ``_``, ``.``, or is such a word."""

VIDEOS = frozenset({".avi", ".mp4", ".mkv", ".mov"})
"""Suffixes of video files."""

Frames = Path | dict[int, Path]
"""A recording: a video, a folder of images, or number of each image -> image file."""


def add_frames(found: dict[str, Path], name: str, frames: Path) -> None:
    """Add a recording under its name; raise `UserError` if it is there already."""
    if name in found:
        first, second = sorted((found[name], frames))
        raise UserError(f"{second}: the frames of {name} are also in {first}; remove one of them")
    found[name] = frames


def number_frames(
    frames: Frames, *, first: int = 1, short: int = 0
) -> tuple[Mapping[int, Path | VideoFrame], int]:
    """Map the frames of a recording, counted from 1, to their images.

    Parameters
    ----------
    frames : Frames
    first : int, keyword-only
        The number of the first frame in a folder of images. A video begins with its first frame.
    short : int, keyword-only
        How many frames fewer than its header says a video may have.

    Returns
    -------
    dict of int to Path or VideoFrame
        Frame, from 1, -> its image.
    int
        How many frames a video has fewer than its header says; these are taken to be its last.

    Raises
    ------
    UserError
        The video cannot be read, or has fewer frames than `short` allows.
    """
    if isinstance(frames, Path) and frames.is_dir():
        frames = images.numbered(frames, FRAME_NAME)
    if isinstance(frames, dict):
        return {number + 1 - first: path for number, path in frames.items()}, 0
    count, missing = frame_count(frames, short)
    return {index + 1: VideoFrame(frames, index, missing) for index in range(count)}, missing
