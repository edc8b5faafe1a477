"""Soft light and shadow of the face: a coarse field of factors by which the image is multiplied.

The field covers the flat face (after yaw and pitch) and is a sum of axis-aligned Gaussians, so that it takes
one matrix product. It is then warped to the image with the head's roll and size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from drml.synth.geometry import SIDES, Shape, smooth
from drml.synth.identity import Subject
from drml.synth.view import Camera, View

# The grid, from the upper left corner, with cells of _CELL mm; that of `Subject.mottle` is the same.
_LEFT, _TOP, _CELL = -92.5, -127.5, 2.5
_XS = _LEFT + _CELL * np.arange(74)
_YS = _TOP + _CELL * np.arange(108)

_GREY = np.ones(3)
_WARM = np.array((1.1, 1.05, 0.8))  # shadows on skin are warm: red decreases less than blue
_BLOOD = np.array((1.0, 0.9, 0.15))

# A spot: x (outwards if on one side), y, radius in x and in y, amount (negative for shadow).
Spot = tuple[float, float, float, float, float]


def shading(
    shape: Shape, subject: Subject, e: Mapping[int, np.ndarray], view: View, camera: Camera
) -> np.ndarray:
    """Return the factor of light of each pixel.

    Parameters
    ----------
    shape : Shape
        The face.
    subject : Subject
        The person.
    e : mapping of int to ndarray of shape (2,)
        AU to its strength on both sides.
    view : View
        Gives the direction of the light.
    camera : Camera
        Gives the pose and the size of the image.

    Returns
    -------
    ndarray of shape (H, W, 3), float32
    """
    spots: list[Spot] = []
    tints: list[np.ndarray] = []

    def add(found: list[Spot], tint: np.ndarray) -> None:
        spots.extend(found)
        tints.extend([tint] * len(found))

    for side, sign in enumerate(SIDES):
        add(_mirrored(_anatomy(shape, side, subject), sign), _WARM)
        add(_mirrored([(40, 30, 15, 12, -subject.blush)], sign), _BLOOD)
        for au, rises in _RISES.items():
            amount = min(1.0, e[au][side]) ** 0.7
            if amount > 0:
                add(_mirrored([(*s[:4], s[4] * amount) for s in rises(shape, side)], sign), _WARM)
    add(_middle(shape, subject), _WARM)
    if subject.stubble:
        beard = [(x, shape.chin - 14.0, 22, 13, -subject.stubble) for x in (-18.0, 18.0)]
        beard += [(0.0, 54.0, 14, 4, -subject.stubble), (-48.0, 70.0, 10, 20, -0.7 * subject.stubble)]
        add([*beard, (48.0, 70.0, 10, 20, -0.7 * subject.stubble)], _GREY)

    table = np.array(spots)
    centres = camera.flatten(table[:, :2])
    across = np.exp(-0.5 * ((_XS - centres[:, :1]) / table[:, 2:3]) ** 2)
    down = np.exp(-0.5 * ((_YS - centres[:, 1:]) / table[:, 3:4]) ** 2)
    amounts = table[:, 4:] * np.array(tints)
    field = np.stack([(down * amounts[:, channel : channel + 1]).T @ across for channel in range(3)], axis=2)
    field += _ROUND[..., None] * _WARM + subject.mottle[..., None]
    field *= _inside(shape, camera)[..., None]
    field += 1 + _under_chin(shape)[..., None] * _WARM
    field *= (1 + view.light[0] * _XS / 60 + view.light[1] * _YS[:, None] / 90)[..., None]
    field = np.clip(field, 0.25, 1.6).astype(np.float32)

    # Warped at half the size first: the field is soft, and this is twice as fast.
    width, height = (camera.width + 1) // 2, (camera.height + 1) // 2
    half = np.array([(width / camera.width,), (height / camera.height,)])
    to_face = np.array([[_CELL, 0, _LEFT], [0, _CELL, _TOP]])
    similarity = camera.plane_to_image
    matrix = similarity[:, :2] @ to_face
    matrix[:, 2] += similarity[:, 2]
    matrix *= half
    matrix[:, 2] += 0.5 * half[:, 0] - 0.5  # pixel centres are at whole numbers in both sizes
    small = cv2.warpAffine(
        field, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(small, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)


def _inside(shape: Shape, camera: Camera) -> np.ndarray:
    """Mark the cells of the head with 1; the background keeps its own light."""
    cells = (camera.flatten(smooth(shape.head, 4, closed=True)) - (_LEFT, _TOP)) / _CELL
    mask = np.zeros((len(_YS), len(_XS)), np.uint8)
    cv2.fillPoly(mask, [np.round(cells * 16).astype(np.int32)], 255.0, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (0, 0), 0.7) / 255.0


def _under_chin(shape: Shape) -> np.ndarray:
    """Return the shadow of the head on the neck."""
    below = np.exp(-0.5 * ((_YS - shape.chin - 8) / 9) ** 2)
    return -0.3 * np.outer(below, np.exp(-0.5 * (_XS / 34) ** 2))


def _round() -> np.ndarray:
    """Return the shadow towards the outline of the head, where the surface turns away from the light."""
    radius = np.hypot(_XS / 70, (_YS[:, None] - 6) / 104)
    return -0.30 * np.exp(-(((radius - 1.02) / 0.2) ** 2))


_ROUND = _round()


def _mirrored(spots: list[Spot], sign: float) -> list[Spot]:
    return [(sign * x, y, rx, ry, amount) for x, y, rx, ry, amount in spots]


def _out(point: np.ndarray) -> tuple[float, float]:
    return abs(float(point[0])), float(point[1])


def _anatomy(shape: Shape, side: int, subject: Subject) -> list[Spot]:
    """Return the hollows and rises that every face has on one side."""
    eye_x = subject.eye_spacing
    brow_y = float(shape.brows[side, :, 1].mean())
    wing_x, wing_y = _out(shape.base[4 * side])
    corner_x, corner_y = _out(shape.outer_lips[6 * side])
    return [
        (eye_x, 0.5 * (brow_y - 3), 15, 5, -0.13),
        (18, -3, 5, 8, -0.14),
        (eye_x, 10, 13, 4, -0.07),
        (eye_x, brow_y - 12, 16, 6, 0.07),
        (40, 24, 13, 10, 0.09),
        (9.5, 18, 3.5, 15, -0.12),
        (wing_x + 3.5, wing_y - 1, 3, 5, -0.16),
        (corner_x + 2.5, corner_y + 0.5, 3.5, 3.5, -0.14),
        (52, 56, 10, 20, -0.08),
    ]


def _middle(shape: Shape, subject: Subject) -> list[Spot]:
    """Return the hollows and rises of the middle of the face."""
    tip_y = float(shape.bridge[3, 1])
    top, low = float(shape.outer_lips[3, 1]), float(shape.outer_lips[9, 1])
    return [
        (0, -46, 30, 15, 0.07),
        (0, 12, 3, 16, 0.12),
        (0, tip_y - 1, 5, 4.5, 0.17),
        (0, tip_y + 10, 10, 3.2, -0.2),
        (0, top - 5, 2.2, 4, -0.12),
        (0, low - 4, 9, 2.2, 0.14),
        (0, low + 4.5, 12, 3, -0.2),
        (0, shape.chin - 12, 11, 8, 0.09),
    ]


# The rises and hollows that each action unit makes on one side.


def _au1(shape: Shape, side: int) -> list[Spot]:
    return [(8, -24, 7, 3, 0.09), (16, -13, 7, 4, -0.07)]


def _au2(shape: Shape, side: int) -> list[Spot]:
    return [(44, -14, 10, 4, -0.1)]


def _au4(shape: Shape, side: int) -> list[Spot]:
    return [(9, -16, 4, 8, -0.16), (0, -17, 3, 7, 0.08), (14, -9, 6, 4, -0.15)]


def _au6(shape: Shape, side: int) -> list[Spot]:
    return [(39, 22, 11, 6.5, 0.22), (35, 12.5, 14, 2.5, -0.16), (41, 34, 13, 3.5, -0.1)]


def _au7(shape: Shape, side: int) -> list[Spot]:
    x, y = _out(shape.eyes[side, 4:6].mean(0))
    return [(x, y + 2, 11, 1.6, 0.12), (x, y - 11, 13, 2.2, -0.14)]


def _au9(shape: Shape, side: int) -> list[Spot]:
    return [(7, 9, 4.5, 8, -0.16), (0, 9, 2.5, 7, 0.06)]


def _au10(shape: Shape, side: int) -> list[Spot]:
    x, y = _out(shape.base[4 * side])
    return [(x + 8, y + 3, 4, 6, -0.14), (x + 13, y - 5, 5, 5, 0.12), (6, y + 11, 7, 3, 0.07)]


def _au12(shape: Shape, side: int) -> list[Spot]:
    x, y = _out(shape.outer_lips[6 * side])
    return [(x + 8, y, 3.5, 8, -0.12), (x + 15, y - 7, 6, 8, 0.13)]


def _au14(shape: Shape, side: int) -> list[Spot]:
    x, y = _out(shape.outer_lips[6 * side])
    return [(x + 4, y, 3.5, 4.5, -0.25), (x + 10, y + 1, 3, 6, 0.13)]


def _au15(shape: Shape, side: int) -> list[Spot]:
    x, y = _out(shape.outer_lips[6 * side])
    return [(x + 1, y + 6, 4, 5, -0.18), (x - 4, y + 14, 5, 5, 0.08)]


def _au17(shape: Shape, side: int) -> list[Spot]:
    return [(6, shape.chin - 16, 7, 6, 0.09), (8, float(shape.outer_lips[9, 1]) + 6, 7, 2.5, -0.1)]


def _au23(shape: Shape, side: int) -> list[Spot]:
    return [
        (8, float(shape.outer_lips[3, 1]) - 5, 8, 3, -0.08),
        (8, float(shape.outer_lips[9, 1]) + 4, 8, 3, -0.06),
    ]


def _au24(shape: Shape, side: int) -> list[Spot]:
    top, low = float(shape.outer_lips[3, 1]), float(shape.outer_lips[9, 1])
    return [(9, top - 3.5, 9, 2.6, 0.17), (9, low + 3.2, 9, 2.4, 0.2)]


_RISES: dict[int, Callable[[Shape, int], list[Spot]]] = {
    1: _au1,
    2: _au2,
    4: _au4,
    6: _au6,
    7: _au7,
    9: _au9,
    10: _au10,
    12: _au12,
    14: _au14,
    15: _au15,
    17: _au17,
    23: _au23,
    24: _au24,
}
