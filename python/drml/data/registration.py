"""Registers faces: landmarks are brought to a reference shape by the least-squares similarity transform.

The 49 landmarks, in order: 0-4 and 5-9 the brows, image left to right; 10-13 the nose bridge, top to tip;
14-18 the nose base; 19-24 and 25-30 the eyes, each from its image-left corner clockwise; 31-42 the outer
mouth contour from its image-left corner clockwise; 43-48 the inner one without its corners.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from drml.io.errors import UserError
from drml.io.text import counted

__all__ = [
    "REFERENCE",
    "SIZE",
    "apply",
    "as_fractions",
    "as_pixels",
    "fault",
    "five_points",
    "mirror_order",
    "place",
    "register",
    "similarity",
    "to49",
    "transform",
    "whole",
]

SIZE = 200
"""Side of the registered face in pixels."""

_FARTHEST = 1e6  # pixels from the origin: no image is as large, and squares of these are exact enough
_MIN_SPREAD = 1.0  # pixels, root mean square around the mean: a smaller shape cannot be a face

# The left half of a mean face, in units of the distance between the eye centres, with the origin midway
# between them; x to the image's right, y down. Proportions are those of common anthropometric means: the
# mouth about 1.15 and the chin about 1.85 below the eyes.
_BROW = [(-0.80, -0.22), (-0.68, -0.35), (-0.52, -0.40), (-0.36, -0.38), (-0.20, -0.31)]
_BRIDGE = [(0.0, -0.02), (0.0, 0.18), (0.0, 0.38), (0.0, 0.58)]
_NOSE_BASE = [(-0.24, 0.70), (-0.12, 0.74), (0.0, 0.77)]
_EYE = [(-0.68, 0.0), (-0.57, -0.065), (-0.43, -0.065), (-0.31, 0.02), (-0.43, 0.055), (-0.58, 0.055)]
_LIPS = [(-0.40, 1.14), (-0.26, 1.05), (-0.10, 1.00), (0.0, 1.02)]
_LIPS_BELOW = [(0.0, 1.33), (-0.12, 1.32), (-0.26, 1.26)]
_INSIDE = [(-0.12, 1.11), (0.0, 1.12)]
_INSIDE_BELOW = [(0.0, 1.17), (-0.12, 1.16)]

# With these values, the chin stays above y = 187, and there is enough forehead above the brows that the
# centre crop of 170 pixels keeps the brows, their furrows and the chin.
_EYE_DISTANCE = 68.0
_EYES_AT = (99.5, 60.0)


def _mirrored(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(-x, y) for x, y in reversed(points)]


def _reference() -> np.ndarray:
    # Clockwise from the image-left corner: mirroring reverses the upper and the lower lid each.
    right_eye = _mirrored(_EYE[:4]) + _mirrored(_EYE[4:])
    unit = (
        _BROW
        + _mirrored(_BROW)
        + _BRIDGE
        + _NOSE_BASE
        + _mirrored(_NOSE_BASE[:2])
        + _EYE
        + right_eye
        + _LIPS
        + _mirrored(_LIPS[:3])
        + _mirrored(_LIPS_BELOW[1:])
        + _LIPS_BELOW
        + _INSIDE
        + _mirrored(_INSIDE[:1])
        + _mirrored(_INSIDE_BELOW[1:])
        + _INSIDE_BELOW
    )
    points = np.array(unit) * _EYE_DISTANCE + _EYES_AT
    points.flags.writeable = False
    return points


REFERENCE: np.ndarray = _reference()
"""The 49 points of the reference shape in the 200x200 frame, float64 (49, 2)."""

# Of the usual 68 points, 0-16 are the jaw; 60 and 64 are the inner mouth corners.
_OF_68 = np.array([i for i in range(17, 68) if i not in (60, 64)])
_OF_66 = np.arange(17, 66)


def fault(points: np.ndarray) -> str | None:
    """Return what is wrong with a set of landmarks, or None."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        return f"landmarks have the shape {points.shape}, not (49, 2)"
    if len(points) not in (5, 49, 66, 68):
        return f"{counted(len(points), 'landmark')}, not 49 (or 66, 68, 5)"
    if not np.issubdtype(points.dtype, np.number) or not np.isfinite(points).all():
        return "landmarks that are not numbers"
    if np.abs(points).max() > _FARTHEST:
        return "landmarks far outside any image"
    if np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()) < _MIN_SPREAD:
        return "landmarks all in one point"
    return None


def to49(points: np.ndarray) -> np.ndarray:
    """Select the 49 points from 49, 66 or 68.

    Examples
    --------
    >>> to49(np.zeros((68, 2))).shape
    (49, 2)
    """
    points = np.asarray(points, np.float64)
    if points.shape == (49, 2):
        return points
    if points.shape == (66, 2):
        return points[_OF_66]
    if points.shape == (68, 2):
        return points[_OF_68]
    raise UserError(f"landmarks of the shape {points.shape}: 49, 66 or 68 points of x and y are needed")


def five_points(points: np.ndarray) -> np.ndarray:
    """Derive five points from 49: eye centres, nose tip, mouth corners (image left before right)."""
    points = to49(points)
    return np.stack(
        [points[19:25].mean(axis=0), points[25:31].mean(axis=0), points[13], points[31], points[37]]
    )


def mirror_order(count: int) -> np.ndarray:
    """Return the order of 49 or five points after their image is mirrored: image left comes first again.

    Examples
    --------
    >>> mirror_order(5)
    array([1, 0, 2, 4, 3])
    """
    points = five_points(REFERENCE) if count == 5 else REFERENCE
    mirrored = points * (-1, 1) + (2 * _EYES_AT[0], 0)
    return np.argmin(np.linalg.norm(mirrored[:, None] - points[None], axis=2), axis=1)


def similarity(src: np.ndarray, dst: np.ndarray) -> np.ndarray:
    """Find the rotation, scale and shift that map ``src`` to ``dst`` with the least squared error.

    Umeyama's closed form, without reflection.

    Parameters
    ----------
    src, dst : ndarray, shape (N, 2)
        Points, and the point to which each should be mapped; N >= 2.

    Returns
    -------
    ndarray of float64, shape (2, 3)
        ``[sR | t]``, so that ``dst ~ src @ M[:, :2].T + M[:, 2]``.

    Examples
    --------
    >>> similarity(np.array([[0, 0], [1, 0]]), np.array([[5, 5], [5, 7]])).round(6) + 0.0
    array([[ 0., -2.,  5.],
           [ 2.,  0.,  5.]])
    """
    src = np.asarray(src, np.float64)
    dst = np.asarray(dst, np.float64)
    if src.shape != dst.shape or src.ndim != 2 or src.shape[1] != 2 or len(src) < 2:
        raise ValueError(f"points of the shapes {src.shape} and {dst.shape}: both must be (N, 2), N >= 2")
    if not (np.isfinite(src).all() and np.isfinite(dst).all()):
        raise ValueError("points that are not finite numbers")
    src_mean, dst_mean = src.mean(axis=0), dst.mean(axis=0)
    a, b = src - src_mean, dst - dst_mean
    spread = (a**2).sum()
    # If the spread is below the coordinates' rounding, the points coincide and no scale is defined.
    if spread <= len(src) * (np.finfo(np.float64).eps * 16 * (1 + np.abs(src).max())) ** 2:
        raise ValueError("source points all in one point: no transform is defined")
    # In two dimensions, the best rotation without reflection is that of a complex number: the closed form of
    # Umeyama's SVD, including its sign correction.
    real = (a * b).sum() / spread
    imag = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / spread
    linear = np.array([[real, -imag], [imag, real]])
    return np.column_stack([linear, dst_mean - linear @ src_mean])


def as_fractions(points: np.ndarray, size: int = SIZE) -> tuple[float, ...]:
    """Return points of a registered face of ``size`` pixels as fractions of its side: x, y, x, y, ...

    Pixel centres are at whole numbers, so the face spans -0.5 to ``size - 0.5``.

    Examples
    --------
    >>> as_fractions(np.array([[-0.5, 99.5], [199.5, 49.5]]))
    (0.0, 0.5, 1.0, 0.25)
    """
    return tuple(map(float, ((np.asarray(points, np.float64) + 0.5) / size).ravel()))


def as_pixels(fractions: Sequence[float], size: int = SIZE) -> np.ndarray:
    """Return points in a registered face of ``size`` pixels, shape (N, 2), from fractions of its side."""
    return np.asarray(fractions, np.float64).reshape(-1, 2) * size - 0.5


def transform(landmarks: np.ndarray, size: int = SIZE, target: Sequence[float] = ()) -> np.ndarray:
    """Return the transform (2, 3) from the image to the registered face of ``size`` pixels.

    Parameters
    ----------
    landmarks : ndarray, shape (49, 2), (66, 2), (68, 2) or (5, 2)
        Points in pixels of the image.
    size : int
        Side of the registered face in pixels.
    target : sequence of float, optional
        Where the points are brought to, as fractions of the face's side: x and y of each of the 49 or five
        points. By default the reference shape.

    Raises
    ------
    UserError
        The landmarks are of a wrong number, not finite, or all in one point, or the target has another
        number of points.
    """
    landmarks = np.asarray(landmarks)
    wrong = fault(landmarks)
    if wrong:
        raise UserError(wrong)
    five = len(landmarks) == 5
    points = landmarks if five else to49(landmarks)
    if not target:
        target = as_fractions(five_points(REFERENCE) if five else REFERENCE)
    elif len(target) != 2 * len(points):
        raise UserError(f"{len(points)} landmarks, but the registration has {len(target) // 2} points")
    return similarity(points, as_pixels(target, size))


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (N, 2) by a transform (2, 3): float64, shape (N, 2).

    Examples
    --------
    >>> bool(np.allclose(apply(transform(3 * REFERENCE + 7), 3 * REFERENCE + 7), REFERENCE))
    True
    """
    return np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]


def place(landmarks: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Map landmarks of an image to its registered face: float64, shape (N, 2), in pixels.

    Raises
    ------
    UserError
        As in :func:`transform`.

    Examples
    --------
    >>> bool(np.allclose(place(3 * REFERENCE + 7), REFERENCE))
    True
    """
    return apply(transform(landmarks, size), landmarks)


def register(
    image: np.ndarray, landmarks: np.ndarray, size: int = SIZE, target: Sequence[float] = ()
) -> np.ndarray:
    """Cut the face out of an image, upright and of a fixed size.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W) or (H, W, C)
        The image.
    landmarks : ndarray, shape (49, 2), (66, 2), (68, 2) or (5, 2)
        x and y in pixels of the image, counted from 0. Five points are eye centres, nose tip, mouth corners.
    size : int
        Side of the result.
    target : sequence of float, optional
        Where the points are brought to, as fractions of the face's side; by default the reference shape.

    Returns
    -------
    ndarray of uint8, shape (size, size) or (size, size, C)
        The registered face; beyond the edges of the image, its outermost pixels are repeated.

    Raises
    ------
    UserError
        The landmarks are of a wrong number, not finite, all in one point, or mostly outside the image.

    Examples
    --------
    >>> image = np.zeros((480, 640, 3), np.uint8)
    >>> register(image, [[270, 200], [370, 200], [320, 260], [285, 310], [355, 310]]).shape
    (200, 200, 3)
    """
    matrix = transform(landmarks, size, target)
    height, width = image.shape[:2]
    points = np.asarray(landmarks, np.float64)
    inside = ((points >= -0.5) & (points <= (width - 0.5, height - 0.5))).all(axis=1)
    if inside.mean() < 0.5:
        outside = len(points) - int(inside.sum())
        raise UserError(f"{outside} of {len(points)} landmarks lie outside the image ({width}x{height})")
    image, matrix = _shrunk(image, matrix, size)
    return cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def whole(image: np.ndarray, size: int = SIZE) -> np.ndarray:
    """Resize an image that is a registered face to ``size`` pixels.

    Raises
    ------
    UserError
        The image is not square, as registered faces are.
    """
    height, width = image.shape[:2]
    if height != width:
        raise UserError(
            f"the image ({width}x{height}) is not square; without landmarks it must be a registered face, or"
            " --points detector must find the face in it"
        )
    if width == size:
        return image
    shrinks = width > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _shrunk(image: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Average blocks of pixels if the warp shrinks by 2 or more, because its sampling would alias."""
    factor = int(1 / max(np.hypot(matrix[0, 0], matrix[1, 0]), 1e-6) + 1e-6)
    if factor < 2:
        return image, matrix
    height, width = image.shape[:2]
    # Only the part that the face needs, with a few more pixels on each side.
    back = cv2.invertAffineTransform(matrix)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64) - 0.5
    corners = corners @ back[:, :2].T + back[:, 2]
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - 2 * factor, 0, (width - 1, height - 1))
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + 2 * factor, 1, (width, height))
    cells = np.maximum(high - low, 1) // factor
    if cells.min() < 1:
        return image, matrix
    high = low + cells * factor
    part = image[low[1] : high[1], low[0] : high[0]]
    part = cv2.resize(part, (int(cells[0]), int(cells[1])), interpolation=cv2.INTER_AREA)
    # Cell j covers the pixels low + j*factor ... + factor - 1; its centre is half a cell further on.
    linear = matrix[:, :2] * factor
    shift = matrix[:, 2] + matrix[:, :2] @ (low + (factor - 1) / 2)
    return part, np.column_stack([linear, shift])
