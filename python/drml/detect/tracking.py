"""Gives the faces of a video their ids: faces that overlap most from frame to frame are the same face."""

from __future__ import annotations

from collections.abc import Sequence

from drml.data.face import Face
from drml.data.face_following import Box, overlap

__all__ = ["PATIENCE", "Tracker"]

PATIENCE = 15
"""Number of frames for which a face may be missing and still keep its id."""


class Tracker:
    """Follows the faces of one video.

    Parameters
    ----------
    min_overlap : float
        Smallest overlap of two boxes of the same face, 0 to 1.
    patience : int
        Number of frames for which a face may be missing and still keep its id, if it comes back where it was.
        Damaged frames count.
    """

    def __init__(self, min_overlap: float = 0.3, patience: int = PATIENCE) -> None:
        self.min_overlap = min_overlap
        self.patience = patience
        self._known: dict[int, tuple[Box, int]] = {}  # id -> box, frame in which it was last found
        self._next = 0
        self._frame = 0

    def follow(self, faces: Sequence[Face]) -> list[Face]:
        """Return the faces of the next frame with their ids, sorted by id."""
        self._frame += 1
        pairs = sorted(
            (
                (share, number, index)
                for number, (box, _) in self._known.items()
                for index, face in enumerate(faces)
                if (share := overlap(box, face.box)) >= self.min_overlap
            ),
            key=lambda pair: -pair[0],
        )
        ids: dict[int, int] = {}
        for _, number, index in pairs:
            if index not in ids and number not in ids.values():
                ids[index] = number
        for index in range(len(faces)):
            if index not in ids:
                ids[index] = self._next
                self._next += 1
        for index, number in ids.items():
            self._known[number] = (faces[index].box, self._frame)
        for number in [n for n, (_, last) in self._known.items() if self._frame - last > self.patience]:
            del self._known[number]
        return sorted((face.numbered(ids[i]) for i, face in enumerate(faces)), key=lambda face: face.id)
