"""Keeps the points that the face detector found, in a folder with one ``.npz`` file for each video.

To find the points of a data set takes hours, and they depend on the images and the models alone. A folder
beside the prepared data therefore keeps them, so that a preparation with other folds, AUs or sizes, or one
that continues after an interruption, need not find them again. Each image is recognised by its size and a
checksum of its first, middle and last bytes; a folder with the points of other images is refused.
"""

from __future__ import annotations

import dataclasses
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drml.data.readers.video import VideoFrame
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = ["FOUND", "NO_FACE", "UNREADABLE", "PointCache", "VideoPoints", "stamp"]

FOUND, NO_FACE, UNREADABLE = 1, 0, -1
_SLICE = 4096  # bytes of each part of a file that go into its checksum
_SHAPES = {"stamps": (2,), "states": (), "boxes": (4,), "points": None}


@dataclasses.dataclass(frozen=True, eq=False)
class VideoPoints:
    """What was found in N frames of one video.

    Attributes
    ----------
    names : list of str
        The images, by their paths relative to the data set's folder, in ASCII with escapes.
    stamps : ndarray of int64, shape (N, 2)
        See `stamp`.
    states : ndarray of int8, shape (N,)
        `FOUND`, `NO_FACE`, or `UNREADABLE` for an image that cannot be decoded.
    boxes : ndarray of float64, shape (N, 4)
        Left, top, width and height of the face in pixels; zeros if none was found.
    points : ndarray of float64, shape (N, P, 2)
        The face's points in pixels, as `drml.data.detector_points.PointFinder` finds them: 49 or 5; zeros if
        none was found.
    """

    names: list[str]
    stamps: np.ndarray
    states: np.ndarray
    boxes: np.ndarray
    points: np.ndarray


def stamp(image: Path | VideoFrame, landmarks: np.ndarray | None = None) -> tuple[int, int]:
    """Return what an image is recognised by: the size and a checksum of its file; -1, 0 without a file.

    The frames of a video share its stamp. The checksum includes `landmarks`, which tell the subject's face
    from others.
    """
    path = image.video if isinstance(image, VideoFrame) else image
    found = 0
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            for at in sorted({0, max(0, (size - _SLICE) // 2), max(0, size - _SLICE)}):
                found = zlib.crc32(os.pread(file.fileno(), _SLICE, at), found)
    except OSError:
        return -1, 0
    return size, found if landmarks is None else zlib.crc32(np.ascontiguousarray(landmarks).tobytes(), found)


class PointCache:
    """The points of a data set's videos in a folder.

    Parameters
    ----------
    folder : Path
        Is made when the first points are written.
    models : str
        The models that find the points, as `PointFinder.name` has them.
    count : int
        Number of points of a face.
    """

    def __init__(self, folder: Path, models: str, count: int) -> None:
        self.folder = folder
        self._models, self._count = models, count

    def path(self, video: str) -> Path:
        """Return the file of a video, whose name may hold any letters."""
        plain = re.sub("[^A-Za-z0-9._-]", "-", video)[:80].lstrip(".")
        return self.folder / f"{plain if plain == video else f'{plain}-{zlib.crc32(video.encode()):08x}'}.npz"

    def get(self, video: str, names: Sequence[str], stamps: Sequence[tuple[int, int]]) -> VideoPoints | None:
        """Return the points of some frames of a video; None unless the cache has all of them.

        Raises
        ------
        UserError
            The file is damaged, or holds the points of other images or of other models.
        """
        path = self.path(video)
        way_out = (
            f"remove the folder {self.folder} to find the points again, or name another with --points-cache"
        )
        try:
            found = read_npz(path, ("models", "names", *_SHAPES))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as points ({error}); {way_out}") from None
        models, known = found.pop("models"), found.pop("names")
        count = len(known) if known.ndim == 1 else -1
        shapes = {**_SHAPES, "points": found["points"].shape[1:]}
        if (
            models.dtype.kind != "S"
            or models.shape
            or known.dtype.kind != "S"
            or any(found[name].shape != (count, *(shape or ())) for name, shape in shapes.items())
            or any(array.dtype.kind not in "if" or not np.isfinite(array).all() for array in found.values())
        ):
            raise UserError(f"{path}: not points as drml prepare writes them; {way_out}")
        found_with = models.item().decode(errors="replace")
        if found_with != self._models or shapes["points"] != (self._count, 2):
            raise UserError(
                f"{path}: the points were found with {found_with}, not with {self._models}; {way_out}"
            )
        at = {name.decode(errors="replace"): index for index, name in enumerate(known.tolist())}
        chosen = [at.get(name) for name in names]
        rows = [index for index in chosen if index is not None]
        for name, index, wanted in zip(names, chosen, stamps, strict=True):
            if index is not None and tuple(found["stamps"][index].tolist()) != tuple(wanted):
                raise UserError(f"{path}: the points are of other images ({name} has changed); {way_out}")
        if len(rows) < len(names):
            return None
        return VideoPoints(list(names), **{name: array[rows] for name, array in found.items()})

    def put(self, video: str, found: VideoPoints) -> None:
        """Write the points of a video; an earlier file of it is replaced."""
        with writing(self.path(video), "wb") as file:
            np.savez(
                file,
                models=np.bytes_(self._models.encode()),
                names=np.array([name.encode() for name in found.names], np.bytes_),
                **{name: getattr(found, name) for name in _SHAPES},
            )
