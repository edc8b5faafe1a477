"""Lines of the skin: those that action units cause, and permanent ones.

A crease is drawn as a dark spindle with a light edge next to it. The lines of an action unit stay in its own
region of the face.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from drml.synth.geometry import SIDES, Shape, shifted, smooth
from drml.synth.identity import Mark, Subject
from drml.synth.view import Camera

Strengths = Mapping[int, np.ndarray]

# Each path is resampled to this many points, so that all are projected in one call.
_SAMPLES = 13
_TAPER = np.sin(np.pi * np.linspace(0, 1, _SAMPLES)) ** 0.7


def au_marks(shape: Shape, subject: Subject, e: Strengths) -> list[Mark]:
    """Return the lines that action units of strengths `e` cause.

    Parameters
    ----------
    shape : Shape
        The face, already moved by the same action units.
    subject : Subject
        The person, whose lines deviate a little from the average position.
    e : mapping of int to ndarray of shape (2,)
        AU to its strength on both sides.

    Returns
    -------
    list of Mark
    """
    marks: list[Mark] = []
    for au, lines in _LINES.items():
        for side, sign in enumerate(SIDES):
            if e[au][side] <= 0:
                continue
            # Wrinkles appear early: half the strength already gives most of the depth.
            visible = min(1.0, e[au][side]) ** 0.6
            for path, width, depth in lines(shape, side):
                placed = (path + subject.shift[au]) * (sign, 1)
                marks.append(Mark(placed, width * (0.7 + 0.3 * visible), depth * visible))
    return marks


def permanent_marks(shape: Shape, subject: Subject) -> list[Mark]:
    """Return permanent lines: bags under the eyes, shallow folds of older skin, random marks."""
    marks = list(subject.marks)
    for sign, eye in zip(SIDES, shape.eyes, strict=True):
        bag = np.array(
            (shifted(eye[3], sign * 2, 5), shifted(eye[4:6].mean(0), 0, 6.5), shifted(eye[5], sign * 3, 5.5))
        )
        marks.append(Mark(bag, 1.4, 0.10 + 0.22 * subject.age))
        fold = np.array([(16, 40), (24, 49), (29, 60)], float) * (sign, 1)
        marks.append(Mark(fold, 1.8, 0.05 + 0.17 * subject.age))
    return marks


# Lines of one side, given for the image's right: (path, width in mm, depth 0..1).
Lines = list[tuple[np.ndarray, float, float]]


def _outward(points: np.ndarray) -> np.ndarray:
    """Return the points of either side, with x pointing outwards."""
    return np.abs(points) * (1, 0) + points * (0, 1)


def _corner(shape: Shape, side: int) -> np.ndarray:
    return _outward(shape.outer_lips[6 * side])


def _au1(shape: Shape, side: int) -> Lines:
    # Low on the forehead, because the registered face ends about 42 mm above the eyes.
    return [
        (np.array([(-1, y - 0.6), (8, y - 0.4), (17, y + 1.0)]), 2.3, 0.78) for y in (-41.5, -36.0, -30.5)
    ]


def _au2(shape: Shape, side: int) -> Lines:
    top = _outward(shape.brows[side])[1, 1]
    return [
        (np.array([(31, y), (40, y - 1.6), (49, y - 0.4), (57, y + 3.0)]), 2.2, 0.78)
        for y in (top - 14.5, top - 9.5, top - 4.8)
    ]


def _au4(shape: Shape, side: int) -> Lines:
    return [
        (np.array([(7.5, -29), (5, -19), (5, -11), (6, -5)]), 3.0, 0.95),
        (np.array([(11, -31), (10.5, -26), (9.5, -22)]), 1.8, 0.5),
    ]


def _au6(shape: Shape, side: int) -> Lines:
    eye = _outward(shape.eyes[side])
    outer, inner = eye[0], eye[3]
    fan = [
        (outer + np.array([(4, 0.2 * rise), (9, 0.6 * rise), (15, rise)]), 2.0, 0.75)
        for rise in (-7.0, 0.5, 8.0)
    ]
    below = np.array(
        [shifted(inner, 3, 10), (0.5 * (inner[0] + outer[0]), inner[1] + 13), shifted(outer, 3, 10)]
    )
    return [*fan, (below, 2.6, 0.7)]


def _au7(shape: Shape, side: int) -> Lines:
    eye = _outward(shape.eyes[side])
    low = np.array(
        [shifted(eye[3], 2, 2.6), shifted(eye[4], 0, 3), shifted(eye[5], 0, 3), shifted(eye[0], -1, 3)]
    )
    return [(low, 2.2, 0.75)]


def _au9(shape: Shape, side: int) -> Lines:
    return [(np.array([(0.5, y), (5, y - 0.6), (10.5, y - 4)]), 2.2, 0.85) for y in (4.0, 9.5, 15.0)]


def _au10(shape: Shape, side: int) -> Lines:
    wing = _outward(shape.base[4 * side])
    return [(wing + np.array([(1.5, -6), (5, -1), (8.5, 5), (11, 11)]), 3.4, 0.95)]


def _au12(shape: Shape, side: int) -> Lines:
    corner = _corner(shape, side)
    return [
        (
            np.array([(25, 45), shifted(corner, 4.5, -9), shifted(corner, 7.5, 1), shifted(corner, 6.5, 10)]),
            3.2,
            0.85,
        )
    ]


def _au14(shape: Shape, side: int) -> Lines:
    corner = _corner(shape, side)
    return [
        (corner + np.array([(3.0, -6), (5.0, -1), (3.6, 5)]), 4.2, 1.0),
        (corner + np.array([(9.5, -6.5), (11.5, 0), (10, 6)]), 1.8, 0.6),
    ]


def _au15(shape: Shape, side: int) -> Lines:
    return [(_corner(shape, side) + np.array([(-1, 2.5), (1.5, 7), (2.5, 13)]), 3.0, 0.85)]


# Where the chin's skin dimples, relative to the chin's tip.
_DIMPLES = np.array(
    [(3, -21), (9, -22), (6, -17.5), (12, -17), (2, -14), (8.5, -13), (4.5, -9.5), (12.5, -11)], float
)


def _au17(shape: Shape, side: int) -> Lines:
    low = shape.outer_lips[9, 1]
    arch = np.array([(-0.5, low + 5), (8, low + 6.5), (15, low + 12)])
    spots = [(np.array((x, shape.chin + y))[None], 2.4, 0.8) for x, y in _DIMPLES]
    return [(arch, 2.8, 0.75), *spots]


def _au23(shape: Shape, side: int) -> Lines:
    top, low = shape.outer_lips[3, 1], shape.outer_lips[9, 1]
    lines: Lines = []
    for x in (2.5, 8.0, 13.5):
        lines.append((np.array([(x, top - 1.5 + 0.1 * x), (1.15 * x, top - 8.5 + 0.1 * x)]), 1.6, 0.75))
        lines.append((np.array([(x, low + 1.2 - 0.15 * x), (1.15 * x, low + 6.5 - 0.15 * x)]), 1.6, 0.75))
    return lines


def _au24(shape: Shape, side: int) -> Lines:
    corner = _corner(shape, side)
    middle = 0.5 * (shape.outer_lips[3, 1] + shape.outer_lips[9, 1])
    line = np.array([(-1, middle), (0.5 * corner[0], middle + 0.4), shifted(corner, -1, 0)])
    return [(line, 2.0, 0.9)]


_LINES: dict[int, Callable[[Shape, int], Lines]] = {
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


def draw_marks(marks: list[Mark], camera: Camera) -> np.ndarray:
    """Draw marks as an image: 128 is untouched skin, darker below it, lighter above.

    Parameters
    ----------
    marks : list of Mark
        The marks; later marks cover earlier ones.
    camera : Camera
        Gives the size of the image.

    Returns
    -------
    ndarray of shape (H, W), uint8
    """
    layer = np.full((camera.height, camera.width), 128, np.uint8)
    if not marks:
        return layer
    paths = np.stack([_resampled(mark) for mark in marks])
    width = np.array([mark.width for mark in marks]) * camera.pixels_per_mm
    depth = np.array([mark.depth for mark in marks])
    points = camera.project(paths)
    along = np.gradient(points, axis=1)
    along /= np.linalg.norm(along, axis=2, keepdims=True) + 1e-9
    across = np.stack([-along[..., 1], along[..., 0]], axis=2)
    swell = (0.5 * width[:, None] * _TAPER)[..., None] * across
    spindle = np.concatenate([points + swell, (points - swell)[:, ::-1]], axis=1)
    edge = 0.9 * (width[:, None] * _TAPER)[..., None] * across
    rim = np.concatenate([points + edge + 0.8 * swell, (points + edge - 0.8 * swell)[:, ::-1]], axis=1)
    rims = np.round(rim * 16).astype(np.int32)
    spindles = np.round(spindle * 16).astype(np.int32)
    tones = np.clip(128 - 110 * depth, 0, 255)
    for one, value in zip(rims, np.clip(128 + 34 * depth, 0, 255), strict=True):
        cv2.fillPoly(layer, [one], float(value), cv2.LINE_AA, 4)
    for one, value in zip(spindles, tones, strict=True):
        cv2.fillPoly(layer, [one], float(value), cv2.LINE_AA, 4)
    return cv2.GaussianBlur(layer, (0, 0), 0.75 * camera.pixels_per_mm)


def _resampled(mark: Mark) -> np.ndarray:
    count = len(mark.path)
    if count == 1:  # a spot: as long as it is wide
        reach = np.linspace(-0.5, 0.5, _SAMPLES)[:, None] * np.array((mark.width, 0.0))
        return mark.path + reach
    return smooth(mark.path, (_SAMPLES - 1) // (count - 1))
