"""Paints a face in flat colours, from back to front; light and lines are added later."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from drml.synth.geometry import SIDES, Shape, shifted, smooth
from drml.synth.identity import Subject
from drml.synth.view import Camera, View

_WHITE = np.array((228.0, 232, 236))
_INSIDE = np.array((36.0, 28, 52))
_TEETH = np.array((208.0, 222, 230))
_BLACK = np.array((14.0, 12, 14))


class Canvas:
    """Collects shapes in face millimetres, and draws them in this order.

    All points are projected in one call, which is several times faster than shape by shape.

    Parameters
    ----------
    camera : Camera
        Projects millimetres to pixels.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._points: list[np.ndarray] = []
        self._orders: list[tuple[int, int, np.ndarray, float]] = []  # paths, points a path, colour, size

    def fill(self, points: np.ndarray, colour: np.ndarray) -> None:
        """Fill a closed outline, shape (m, 2)."""
        self._points.append(points)
        self._orders.append((1, len(points), colour, 0.0))

    def lines(self, paths: np.ndarray, colour: np.ndarray, width: float) -> None:
        """Draw open lines, shape (n, m, 2), all of one colour and width."""
        self._points.append(paths.reshape(-1, 2))
        self._orders.append((paths.shape[0], paths.shape[1], colour, width))

    def disc(self, centre: np.ndarray, radius: float, colour: np.ndarray) -> None:
        """Fill a circle."""
        self._points.append(np.asarray(centre, float)[None])
        self._orders.append((1, 1, colour, radius))

    def draw_on(self, image: np.ndarray) -> None:
        """Draw everything on an image of shape (H, W, 3), uint8, in place."""
        # In sixteenths of a pixel, for OpenCV.
        points = np.round(self._camera.project(np.concatenate(self._points)) * 16).astype(np.int32)
        at, scale = 0, self._camera.pixels_per_mm
        for paths, length, colour, size in self._orders:
            part = points[at : at + paths * length].reshape(paths, length, 2)
            at += paths * length
            tone = colour.tolist()
            if length == 1:
                cv2.circle(image, part[0, 0].tolist(), round(size * scale * 16), tone, -1, cv2.LINE_AA, 4)
            elif size:
                thickness = max(1, round(size * scale))
                cv2.polylines(image, list(part), False, tone, thickness, cv2.LINE_AA, 4)
            else:
                cv2.fillPoly(image, [part[0]], tone, cv2.LINE_AA, 4)


def paint(shape: Shape, subject: Subject, view: View, camera: Camera) -> np.ndarray:
    """Paint backdrop, head and features in flat colours, shape (H, W, 3), uint8."""
    rng = np.random.default_rng([subject.seed, *subject.name.encode(), 1])
    corners = subject.backdrop.reshape(2, 2, 3).astype(np.float32)
    image = cv2.resize(corners, (camera.width, camera.height), interpolation=cv2.INTER_LINEAR)
    canvas = Canvas(camera)
    _body(canvas, subject)
    canvas.fill(smooth(shape.head, 4, closed=True), subject.skin)
    _nose(canvas, shape, subject)
    for side in (0, 1):
        _eye(canvas, shape, subject, view, side)
        _brow(canvas, shape, subject, side, rng)
    _mouth(canvas, shape, subject)
    for x, y, radius in subject.freckles:
        canvas.disc(np.array((x, y)), radius, subject.skin * (0.72, 0.78, 0.86))
    _hair(canvas, subject, rng)
    painted = cv2.convertScaleAbs(image)
    canvas.draw_on(painted)
    return painted


def _both(path: Sequence[tuple[float, float]]) -> np.ndarray:
    """Complete an outline from its right half, given from top to bottom."""
    half = np.array(path, float)
    other = half[half[:, 0] > 0]  # points of the middle are not doubled, which would make a spike
    return np.concatenate([half, other[::-1] * (-1, 1)])


def _body(canvas: Canvas, subject: Subject) -> None:
    wide = subject.face_width
    if subject.hair_style in ("long", "bob"):
        end, flare = (200.0, 90.0) if subject.hair_style == "long" else (94.0, 70.0)
        half = [
            (0.0, -117.0),
            (40.0, -110.0),
            (70.0, -80.0),
            (82.0, -30.0),
            (84.0, 30.0),
            (flare + 6, end - 25),
        ]
        outline = smooth(_both([*half, (flare - 4, end), (flare - 30, end + 3)]), 4, closed=True)
        canvas.fill(outline * (wide, 1), subject.hair * 0.72)
    canvas.fill(_both([(0, 60), (43, 60), (42, 122), (54, 140), (60, 200)]), subject.skin * (0.72, 0.74, 0.8))
    canvas.fill(_both([(0, 168), (30, 150), (52, 137), (100, 152), (140, 200), (140, 260)]), subject.cloth)
    if subject.hair_style not in ("long", "bob"):
        ear = np.array([(64, -8), (74, -14), (79, -4), (77, 14), (72, 28), (64, 30)], float)
        for sign in SIDES:
            canvas.fill(smooth(ear * (sign * wide, 1), 4, closed=True), subject.skin * (0.86, 0.86, 0.93))
            inner = smooth(np.array([(71, -6), (75, 0), (73, 12), (70, 18)]) * (sign * wide, 1))
            canvas.lines(inner[None], subject.skin * (0.62, 0.62, 0.72), 1.4)


def _hair(canvas: Canvas, subject: Subject, rng: np.random.Generator) -> None:
    wide, line = subject.face_width, subject.hairline
    style = subject.hair_style
    temple = {"cropped": -22, "short": -14, "parted": -16, "long": 60, "bob": 66}[style]
    crown = {"cropped": -104, "short": -112, "parted": -114, "long": -116, "bob": -116}[style]
    side = {"cropped": 69.5, "short": 72, "parted": 73, "long": 79, "bob": 80}[style]
    outside = np.array(
        [(side - 2, temple), (side, -40), (0.86 * side, -78), (36, crown + 7), (0, crown)], float
    )
    outer = np.concatenate([outside, outside[-2::-1] * (-1, 1)])
    part = {"parted": 24.0, "long": 8.0}.get(style, 0.0)
    low, peak = (temple if temple < 0 else 20), line - (9 if part else 2)
    left = [(-66, low), (-62, -34), (-48, line + 8), (-20, line)]
    right = [(part, peak), (30, line + 1), (50, line + 9), (62, -34), (66, low)]
    inner = np.array(left + right, float)
    if temple > 0:  # long hair hangs in front of the ears
        inner = np.concatenate([[(4 - side, temple - 4)], inner, [(side - 4, temple - 4)]])
    outline = np.concatenate([smooth(outer, 4), smooth(inner, 4)]) * (wide, 1)
    canvas.fill(outline, subject.hair)
    # Strands run from the hairline to the outline.
    start, stop = smooth(inner, 8) * (wide, 1), smooth(outer, 8)[::-1] * (wide, 1)
    at = np.sort(rng.uniform(0.04, 0.96, 44))
    roots = start[(at * (len(start) - 1)).astype(int)]
    ends = stop[(at * (len(stop) - 1)).astype(int)]
    reach = rng.uniform(0.5, 0.95, (44, 1))
    middle = 0.5 * (roots + ends) + (0, -4) + rng.normal(0, 1.2, (44, 2))
    strands = np.stack([roots, roots + reach * (middle - roots), roots + reach * (ends - roots)], axis=1)
    canvas.lines(strands[::2], subject.hair * 0.72, 1.0)
    canvas.lines(strands[1::2], np.minimum(subject.hair * 1.28 + 8, 250), 1.0)


def _eye(canvas: Canvas, shape: Shape, subject: Subject, view: View, side: int) -> None:
    sign, eye = SIDES[side], shape.eyes[side]
    upper, lower = smooth(eye[:4]), smooth(eye[[3, 4, 5, 0]])
    canvas.fill(np.concatenate([upper, lower]), _WHITE)
    centre = np.array((sign * subject.eye_spacing, -0.6)) + np.array(view.gaze)
    radius = 6.1
    canvas.disc(centre, radius, subject.iris * 0.45)
    canvas.disc(centre, radius - 0.9, subject.iris)
    canvas.disc(centre, 2.5, _BLACK)
    canvas.disc(shifted(centre, 1.6, -1.8), 1.1, np.array((250.0, 250, 250)))
    # The lids are skin over the eyeball.
    above = np.array(
        [
            shifted(eye[3], -sign * 1, -1),
            shifted(eye[2], 0, -9),
            shifted(eye[1], 0, -9),
            shifted(eye[0], sign * 1, -1),
        ]
    )
    canvas.fill(np.concatenate([upper, smooth(above)]), subject.skin)
    below = np.array(
        [
            shifted(eye[0], sign * 1, 1),
            shifted(eye[5], 0, 8),
            shifted(eye[4], 0, 8),
            shifted(eye[3], -sign * 1, 1),
        ]
    )
    canvas.fill(np.concatenate([lower, smooth(below)]), subject.skin)
    shade = subject.skin * (0.55, 0.58, 0.68)
    canvas.lines(lower[None], subject.skin * (0.66, 0.68, 0.8), 0.8)
    canvas.lines((shifted(upper, 0, -0.4))[None], 0.35 * shade, 1.7)
    fold = smooth(eye[:4] + np.array([(sign * 1, -1.5), (0, -3.6), (0, -3.6), (0, -2.2)]))
    canvas.lines(fold[None], shade, 0.9)
    if subject.female:
        lashes = np.stack([upper[1:11:2], shifted(upper[1:11:2], sign * 1.4, -2.4)], axis=1)
        canvas.lines(lashes, _BLACK, 0.7)


def _brow(canvas: Canvas, shape: Shape, subject: Subject, side: int, rng: np.random.Generator) -> None:
    sign = SIDES[side]
    line = smooth(shape.brows[side], 6)
    thick = subject.brow_thickness * np.interp(
        np.linspace(0, 1, len(line)), (0, 0.35, 0.8, 1), (0.25, 0.8, 1, 0.8)
    )
    edge = np.stack([np.zeros(len(line)), 0.5 * thick], axis=1)
    under = 0.68 * subject.brow + 0.32 * subject.skin * 0.9
    canvas.fill(np.concatenate([line - edge, (line + edge)[::-1]]), under)
    pick = rng.integers(1, len(line) - 1, 40)
    roots = line[pick] + edge[pick] * rng.uniform(-0.7, 0.9, (40, 1))
    hairs = np.stack(
        [roots, roots + np.stack([sign * rng.uniform(1, 3, 40), rng.uniform(-1.5, -0.3, 40)], 1)], 1
    )
    canvas.lines(hairs, subject.brow, 0.7)


def _nose(canvas: Canvas, shape: Shape, subject: Subject) -> None:
    shade = subject.skin * (0.5, 0.52, 0.62)
    soft = subject.skin * (0.74, 0.76, 0.83)
    base = shape.base
    for side, sign in enumerate(SIDES):
        wing = base[4 * side]
        curve = np.array(
            [shifted(wing, sign * 0.5, -8), shifted(wing, sign * 2.6, -3), shifted(wing, sign * 1, 1.4)]
        )
        canvas.lines(smooth(curve)[None], soft, 1.2)
        hole = 0.5 * (base[1 + 2 * side] + wing * 0.25 + base[2] * 0.75) + (sign * 1.2, -1.6)
        nostril = hole + np.array([(-3.4, 0.6), (0, -1.5), (3.4, -0.2), (1.2, 1.2)]) * (-sign, 1)
        canvas.fill(smooth(nostril, 4, closed=True), shade * 0.55)


def _mouth(canvas: Canvas, shape: Shape, subject: Subject) -> None:
    outer, inner = shape.outer_lips, shape.inner_lips
    left, right = outer[0], outer[6]
    inner_up = np.concatenate([[left], inner[:3], [right]])
    inner_low = np.concatenate([[right], inner[3:], [left]])
    top, bottom = smooth(outer[:7], 4), smooth(np.concatenate([outer[6:], [left]]), 4)
    seam_up, seam_low = smooth(inner_up, 5), smooth(inner_low, 5)
    canvas.fill(np.concatenate([top, seam_up[::-1]]), subject.lip * (0.84, 0.82, 0.88))
    canvas.fill(np.concatenate([bottom, seam_low[::-1]]), subject.lip)
    if shape.gap > 0.4:
        canvas.fill(np.concatenate([seam_up, seam_low]), _INSIDE)
        drop = min(0.62 * shape.gap, 5.5)
        teeth = smooth(inner_up, 5)[4:-4]
        canvas.fill(np.concatenate([teeth, shifted(teeth[::-1], 0, drop)]), _TEETH)
        canvas.lines(seam_up[None], subject.lip * 0.5, 0.9)
    else:
        canvas.lines(seam_up[None], subject.lip * (0.4, 0.38, 0.45), 1.3)
