"""Positions of the features of a face, and how action units move them.

All lengths are in face millimetres, with the origin between the eyes, x to the image's right and y down.
Index 0 is the image's left side, index 1 the right. On each side, points go from the outside inwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from drml.data.labels import ALL_AUS
from drml.synth.identity import Subject

SIDES = (-1.0, 1.0)

_BROW = np.array([(55, -15), (47.5, -20.5), (38, -23), (27, -21.5), (14, -18.5)], float)
_EYE = np.array([(15, 0.3), (5.5, -5.6), (-5.5, -5.4), (-14.5, 1.4), (-5.5, 4.0), (5.5, 4.3)], float)
_BRIDGE = np.array([(0, -3), (0, 9), (0, 21), (0, 33)], float)
_BASE = np.array([(-13, 40.5), (-6.5, 43.5), (0, 45), (6.5, 43.5), (13, 40.5)], float)

# Outline of one side of the head, from the chin to the crown; and how far each point follows the jaw.
_HEAD = np.array(
    [
        (0, 109),
        (16, 107),
        (32, 99),
        (46, 84),
        (57, 60),
        (65, 30),
        (68.5, 0),
        (68, -32),
        (60, -64),
        (36, -90),
        (0, -98),
    ],
    float,
)
_JAW_FOLLOWS = np.array((1, 1, 0.9, 0.6, 0.2, 0, 0, 0, 0, 0, 0), float)
_JAW_WIDENS = np.array((0.6, 1, 1, 1, 0.6, 0.1, 0, 0, 0, 0, 0), float)

# Effect of AU 1 and AU 2 on each point of the brow, from the outside inwards.
_INNER = np.array((0.0, 0.05, 0.25, 0.7, 1.0))
_OUTER = np.array((0.75, 1.0, 0.8, 0.3, 0.0))


@dataclass(frozen=True, eq=False)
class Shape:
    """Positions of the features of one face in one frame, in face millimetres.

    Attributes
    ----------
    brows : ndarray of shape (2, 5, 2)
        From the outside inwards, for each side.
    eyes : ndarray of shape (2, 6, 2)
        Outer corner, upper lid (2), inner corner, lower lid (2), for each side.
    bridge, base : ndarray of shape (4, 2), (5, 2)
        The nose: its bridge from top to tip, and its base from the image's left to right.
    outer_lips, inner_lips : ndarray of shape (12, 2), (6, 2)
        As in the 49 landmarks.
    head : ndarray of shape (20, 2)
        Closed outline of the head, starting at the chin.
    gap : float
        Opening between the lips at the middle.
    chin : float
        Height of the chin.
    """

    brows: np.ndarray
    eyes: np.ndarray
    bridge: np.ndarray
    base: np.ndarray
    outer_lips: np.ndarray
    inner_lips: np.ndarray
    head: np.ndarray
    gap: float
    chin: float

    def landmarks(self) -> np.ndarray:
        """Return the 49 landmarks in the usual order, shape (49, 2)."""
        left, right = self.eyes
        return np.concatenate(
            [
                self.brows[0],
                self.brows[1, ::-1],
                self.bridge,
                self.base,
                left,
                right[[3, 2, 1, 0, 5, 4]],
                self.outer_lips,
                self.inner_lips,
            ]
        )

    def jaw(self) -> np.ndarray:
        """Return the 17 points of the jaw, evenly spaced from the image's left temple, shape (17, 2)."""
        # The outline starts at the chin; the jaw reaches up to the height of the eyes on each side.
        line = smooth(np.concatenate([self.head[-6:], self.head[:7]]))
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
        at = np.linspace(0, length[-1], 17)
        return np.stack([np.interp(at, length, line[:, axis]) for axis in (0, 1)], axis=1)


def strengths(subject: Subject, intensities: Mapping[int, float]) -> dict[int, np.ndarray]:
    """Return the strength of each action unit on both sides, 0 to about 1.2, for intensities 0 to 5."""
    unknown = set(intensities) - set(ALL_AUS)
    if unknown:
        raise ValueError(f"no such action unit to draw: {sorted(unknown)}; there are {list(ALL_AUS)}")
    out = {}
    for au in ALL_AUS:
        value = float(intensities.get(au, 0.0))
        if not 0 <= value <= 5:
            raise ValueError(f"intensity of AU {au} is {value}; it goes from 0 to 5")
        out[au] = value / 5 * subject.gain[au]
    return out


def face_shape(subject: Subject, e: Mapping[int, np.ndarray], lids: float = 0.0) -> Shape:
    """Compute the positions of a subject's features with action units of strengths `e` (see `strengths`).

    Parameters
    ----------
    subject : Subject
        The person.
    e : mapping of int to ndarray of shape (2,)
        AU to its strength on both sides.
    lids : float
        How much wider than usual the eyes are open, in millimetres.

    Returns
    -------
    Shape
    """
    bridge, base = _nose(subject, e)
    outer, inner, gap = _mouth(subject, e)
    chin = subject.chin + 12.0 * e[26].mean()
    half = _HEAD.copy()
    half[:, 0] *= subject.face_width * (1 + (subject.jaw_width - 1) * _JAW_WIDENS)
    half[:, 1] += chin * _JAW_FOLLOWS
    head = np.concatenate([half, half[-2:0:-1] * (-1, 1)])
    return Shape(
        brows=_brows(subject, e),
        eyes=_eyes(subject, e, lids),
        bridge=bridge,
        base=base,
        outer_lips=outer,
        inner_lips=inner,
        head=head,
        gap=gap,
        chin=109 + chin,
    )


def _brows(subject: Subject, e: Mapping[int, np.ndarray]) -> np.ndarray:
    height, arch, tilt = subject.brow_place
    brows = np.empty((2, 5, 2))
    for side, sign in enumerate(SIDES):
        brow = _BROW.copy()
        brow[:, 0] += subject.eye_spacing - 32
        brow[:, 1] += height - arch * np.array((0, 1, 1, 0.5, 0)) + tilt * np.linspace(-1, 1, 5)
        brow[:, 1] -= 7.5 * e[1][side] * _INNER + 7.5 * e[2][side] * _OUTER
        brow[:, 1] += e[4][side] * (3.0 + 3.0 * _INNER) + 1.5 * e[9][side] * _INNER
        brow[:, 0] -= e[4][side] * 4.0 * _INNER
        brows[side] = brow * (sign, 1)
    return brows


def _eyes(subject: Subject, e: Mapping[int, np.ndarray], lids: float) -> np.ndarray:
    eyes = np.empty((2, 6, 2))
    upper = np.array((0, 1, 1, 0, 0, 0), float)
    lower = np.array((0, 0, 0, 0, 1, 1), float)
    for side, sign in enumerate(SIDES):
        eye = _EYE * subject.eye_size
        eye[:, 1] -= subject.eye_tilt * eye[:, 0] / 15
        eye[:, 1] += -lids * upper + 0.3 * lids * lower
        # The lids leave at least a third of the aperture, so that the iris stays visible.
        eye[:, 1] += 3.8 * e[7][side] * upper - 2.4 * e[7][side] * lower - 0.8 * e[6][side] * lower
        eye[:, 0] += subject.eye_spacing
        eyes[side] = eye * (sign, 1)
    return eyes


def _nose(subject: Subject, e: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    wide, long = subject.nose_size
    bridge = _BRIDGE * (1, long)
    base = _BASE * (wide, long)
    up = 2.2 * e[9] + 1.0 * e[10]
    wings = np.array((up[0], 0.4 * up[0], 0.2 * up.mean(), 0.4 * up[1], up[1]))
    base[:, 1] -= wings
    base[:, 0] *= 1 + 0.06 * (e[9].mean() + e[10].mean())
    bridge[3, 1] -= 0.3 * up.mean()
    return bridge, base


def _mouth(subject: Subject, e: Mapping[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the outer and inner contour of the lips, and the gap between them."""
    middle = 66.5 + subject.mouth_height
    tight, pressed = e[23].mean(), e[24].mean()
    thin = (1 - 0.42 * tight) * (1 - 0.68 * pressed)
    upper = 8.0 * subject.lip_size[0] * thin
    lower = 10.0 * subject.lip_size[1] * thin * (1 + 0.12 * e[17].mean())
    half = 25.5 * subject.mouth_width + 6.5 * e[12] - 5.5 * e[23] + 1.0 * e[14] - 0.5 * e[15] - 2.5 * e[26]
    corner = -6.5 * e[12] + 6.5 * e[15] + 1.0 * e[17]
    opening_up = 1.6 * e[25].mean() + 0.5 * e[26].mean()
    opening_down = 4.4 * e[25].mean() + 9.5 * e[26].mean()
    raised = 3.8 * e[10].mean()
    pushed = 2.8 * e[17].mean()

    def bent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Place points at fractions `x` of the half width; moving corners bend the mouth."""
        side = (x > 0).astype(int)
        share = np.abs(x) ** 1.5
        return np.stack([x * half[side], middle - pushed * (1 - share) + y + corner[side] * share], axis=1)

    x_up = np.array((-1, -0.6, -0.24, 0, 0.24, 0.6, 1))
    y_up = -upper * np.array((0, 0.72, 1.06, 0.9, 1.06, 0.72, 0))
    y_up -= raised * np.array((0, 0.9, 1, 0.95, 1, 0.9, 0)) + opening_up * np.array((0, 0.7, 1, 1, 1, 0.7, 0))
    x_low = np.array((0.62, 0.32, 0, -0.32, -0.62))
    profile = np.array((0.68, 0.95, 1, 0.95, 0.68))
    y_low = (lower + opening_down) * profile
    outer = np.concatenate([bent(x_up, y_up), bent(x_low, y_low)])
    x_in = np.array((-0.45, 0, 0.45))
    inside = np.array((0.8, 1, 0.8))
    seam = np.array((-0.5, 0.4, -0.5))
    inner = np.concatenate(
        [bent(x_in, seam - opening_up * inside), bent(x_in[::-1], seam + opening_down * inside)]
    )
    return outer, inner, opening_up + opening_down


@lru_cache(maxsize=64)
def _spline_matrix(count: int, per_segment: int, closed: bool) -> np.ndarray:
    """Return the matrix that maps control points to points of the Catmull-Rom spline through them."""
    segments = count if closed else count - 1
    rows = []
    for segment in range(segments):
        for t in np.arange(per_segment) / per_segment:
            weights = 0.5 * np.array(
                (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            )
            row = np.zeros(count)
            for k, weight in zip(range(segment - 1, segment + 3), weights, strict=True):
                if closed:
                    row[k % count] += weight
                elif k < 0:  # beyond an end, its tangent continues
                    row[0] += 2 * weight
                    row[1] -= weight
                elif k >= count:
                    row[-1] += 2 * weight
                    row[-2] -= weight
                else:
                    row[k] += weight
            rows.append(row)
    if not closed:
        rows.append(np.eye(count)[-1])
    return np.array(rows)


def smooth(points: np.ndarray, per_segment: int = 5, closed: bool = False) -> np.ndarray:
    """Return points of a smooth curve through `points`, shape (m, 2)."""
    return _spline_matrix(len(points), per_segment, closed) @ points


def shifted(points: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the points shifted by (x, y)."""
    return points + np.array((x, y))
