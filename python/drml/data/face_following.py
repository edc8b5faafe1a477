"""Chooses one face in each frame of a video: the one that goes on from the frame before."""

from __future__ import annotations

from collections.abc import Sequence

from drml.data.face import Face

__all__ = ["Box", "FaceFollower", "overlap"]

Box = tuple[float, float, float, float]
"""Left, top, width and height of a face's box in pixels."""


def overlap(a: Box, b: Box) -> float:
    """Return the intersection of two boxes (left, top, width, height) over their union, 0 to 1.

    Examples
    --------
    >>> overlap((0, 0, 2, 2), (1, 0, 2, 2))
    0.3333333333333333
    >>> overlap((0, 0, 2, 2), (5, 0, 2, 2))
    0.0
    """
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (a[2] * a[3] + b[2] * b[3] - wide * high)


class FaceFollower:
    """Follows one person through a video, so that somebody else in the picture is not taken for the subject.

    The first face is the largest. In later frames it is the face that overlaps most with the one before. If
    none does, the subject is taken to be missing for up to `patience` frames; after that, or after a gap of
    that length in the frames, the largest face counts again.

    Parameters
    ----------
    min_overlap : float
        Smallest overlap of two boxes of the same face, 0 to 1.
    patience : int
        Number of frames for which the face may be missing, 0 or more.
    """

    def __init__(self, min_overlap: float = 0.3, patience: int = 15) -> None:
        self.min_overlap = min_overlap
        self.patience = patience
        self._last: Face | None = None
        self._seen = 0

    def follow(self, frame: int, faces: Sequence[Face]) -> Face | None:
        """Return the subject's face in the next frame, or None if it is not among `faces`.

        Parameters
        ----------
        frame : int
            The frame's number; it increases from call to call.
        faces : sequence of Face
            The faces in the frame, the largest first.
        """
        if self._last is None or frame - self._seen > self.patience:
            found = faces[0] if faces else None
        else:
            box = self._last.box
            found = max(faces, key=lambda face: overlap(box, face.box), default=None)
            if found is not None and overlap(box, found.box) < self.min_overlap:
                found = None
        if found is not None:
            self._last, self._seen = found, frame
        return found
