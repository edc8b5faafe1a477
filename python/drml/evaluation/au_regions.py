"""Regions of the registered face that each AU changes, defined by landmarks of the reference shape.

They follow the appearance changes that FACS lists for each AU (P. Ekman, W. V. Friesen, J. C. Hager, *Facial
Action Coding System: The Manual*, 2002): the parts of the face that move, wrinkle or bulge. The forehead, the
cheeks and the chin have no landmarks, so a region there is shifted from the nearest ones; the shifts and the
margins are ours. A region includes both sides of the face. Landmarks are numbered as in
`drml.data.registration`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.registration import REFERENCE, SIZE

__all__ = ["REGIONS", "Patch", "region_mask"]


@dataclass(frozen=True)
class Patch:
    """The convex hull of some landmarks, shifted and widened.

    Attributes
    ----------
    points : tuple of int
        Landmarks, 0 to 48.
    shift : tuple of float
        In x and y, in pixels of the 200 x 200 face.
    margin : float
        By which the hull is widened on all sides, in the same pixels.
    """

    points: tuple[int, ...]
    shift: tuple[float, float] = (0.0, 0.0)
    margin: float = 7.0


_MOUTH = tuple(range(31, 43))
_INNER_BROWS = (3, 4, 5, 6)

REGIONS: dict[int, tuple[Patch, ...]] = {
    # The inner brows go up; wrinkles in the middle of the forehead.
    1: (Patch(_INNER_BROWS), Patch(_INNER_BROWS, (0, -16))),
    # The outer brows go up; wrinkles above them; the lids' fold is stretched.
    2: (
        *(Patch((0, 1, 2)), Patch((0, 1, 2), (0, -16))),
        *(Patch((7, 8, 9)), Patch((7, 8, 9), (0, -16))),
    ),
    # The brows go down and together; furrows between them.
    4: (Patch((1, 2, 3, 4)), Patch((5, 6, 7, 8)), Patch((4, 5, 10))),
    # The cheeks go up; bags below the eyes; crow's feet.
    6: (
        *(Patch((19, 22, 23, 24), (0, 12), 10), Patch((19,), (-9, 3), 9)),
        *(Patch((25, 28, 29, 30), (0, 12), 10), Patch((28,), (9, 3), 9)),
    ),
    # The lids tighten; the eyes' openings narrow.
    7: (Patch(tuple(range(19, 25))), Patch(tuple(range(25, 31)))),
    # Wrinkles along the nose and across its root; the nostrils' wings go up.
    9: (Patch((10, 11, 12, 14, 18)), Patch((4, 5, 10))),
    # The upper lip goes up; the furrow from the nose to the lip deepens.
    10: (Patch((14, 16, 18, 32, 33, 34, 35, 36)), Patch((14,), (-8, 6), 9), Patch((18,), (8, 6), 9)),
    # The lip corners go out and up; the cheeks beside them bulge.
    12: (
        *(Patch((31,), margin=12), Patch((31,), (-8, -14), 12)),
        *(Patch((37,), margin=12), Patch((37,), (8, -14), 12)),
    ),
    # The lip corners tighten; a dimple beside each.
    14: (Patch((31,), (-4, 0), 14), Patch((37,), (4, 0), 14)),
    # The lip corners go down; pouches below them.
    15: (
        *(Patch((31,), margin=10), Patch((31,), (-2, 12), 12)),
        *(Patch((37,), margin=10), Patch((37,), (2, 12), 12)),
    ),
    # The chin's boss goes up and wrinkles; the lower lip is pushed up.
    17: (Patch((38, 39, 40, 41, 42)), Patch((39, 40, 41), (0, 20), 12)),
    # The lips tighten, narrow, and turn in.
    23: (Patch(_MOUTH),),
    # The lips are pressed together.
    24: (Patch(_MOUTH),),
    # The lips part.
    25: (Patch(_MOUTH),),
    # The jaw drops: mouth and chin.
    26: (Patch(_MOUTH), Patch((39, 40, 41), (0, 22), 14)),
}
"""The patches of each AU's region."""


def region_mask(au: int, size: int = SIZE) -> NDArray[np.bool_]:
    """Return an AU's region as a mask of the registered face.

    Parameters
    ----------
    au : int
        A key of `REGIONS`.
    size : int
        Side of the registered face in pixels.

    Returns
    -------
    ndarray of bool, shape (size, size)

    Examples
    --------
    >>> bool(region_mask(12)[135, 70]), bool(region_mask(12)[40, 100])
    (True, False)
    """
    factor = size / SIZE
    mask = np.zeros((size, size), np.uint8)
    for patch in REGIONS[au]:
        points = (REFERENCE[list(patch.points)] + patch.shift + 0.5) * factor - 0.5
        hull = cv2.convexHull(np.round(points).astype(np.int32))
        one = np.zeros_like(mask)
        cv2.fillPoly(one, [hull], 1)
        cv2.polylines(one, [hull], True, 1)
        radius = max(1, round(patch.margin * factor))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask |= np.asarray(cv2.dilate(one, kernel))
    return mask.astype(bool)
