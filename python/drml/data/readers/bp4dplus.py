"""BP4D+, read into records.

The folders are those of BP4D (`drml.data.readers.bp4d`), with 140 other people and these differences:

- Only the tasks T1, T6, T7 and T8 of the ten are coded.
- Coded frame ``n`` is image ``n - 1``: images are counted from 0.
- The column 99 of the coding marks frames whose codes are not to be trusted. They are skipped.
- As distributed, the recording F041_T7 and the subject F082 are incomplete. Their frames without an image or
  landmarks are skipped and counted as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drml.data.labels import BP4D_AUS
from drml.data.readers import Scan
from drml.data.readers.bp4d import read_edition
from drml.data.readers.bp4d_edition import BP4DPLUS

__all__ = ["read"]


def read(
    root: Path | str,
    *,
    aus: Sequence[int] = BP4D_AUS,
    intensity: int | None = None,
    unknown: str | None = None,
    levels: bool = False,
    coding_folder: Path | str | None = None,
    image_folder: Path | str | None = None,
    landmark_folder: Path | str | None = None,
    first_frame: int = 0,
    short_videos: int = 0,
    landmarks: bool = True,
    progress: bool = False,
) -> Scan:
    """Read BP4D+'s folders; parameters, result and errors are those of `drml.data.readers.bp4d.read`.

    Parameters
    ----------
    first_frame : {0, 1}, keyword-only
        The number of the image that shows coded frame 1; by default 0.
    """
    folders = {"coding": coding_folder, "images": image_folder, "landmarks": landmark_folder}
    return read_edition(
        BP4DPLUS,
        root,
        folders,
        aus=aus,
        intensity=intensity,
        unknown=unknown,
        levels=levels,
        first_frame=first_frame,
        short_videos=short_videos,
        landmarks=landmarks,
        progress=progress,
    )
