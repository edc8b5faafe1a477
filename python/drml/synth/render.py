"""Draws one frame, an image with its landmarks, from a person, action units and a view."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import cv2
import numpy as np

from drml.synth.creases import au_marks, draw_marks, permanent_marks
from drml.synth.geometry import face_shape, strengths
from drml.synth.identity import Subject, random_marks
from drml.synth.paint import paint
from drml.synth.relief import shading
from drml.synth.view import DEFAULT_WIDTH, Camera, View

# Annotation noise of the landmarks: 0.3% of the face's width of 138 mm.
_LANDMARK_NOISE = 0.003 * 138
# A line darkens blue and green more than red.
_LINE_TINT = np.array((1.0, 0.95, 0.8))


def render(
    subject: Subject,
    intensities: Mapping[int, float] | None = None,
    view: View | None = None,
    *,
    width: int = DEFAULT_WIDTH,
    height: int | None = None,
    jaw: bool = False,
    landmark_errors: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one face.

    Parameters
    ----------
    subject : Subject
        The person to draw.
    intensities : mapping of int to float, optional
        AU number to intensity, 0 to 5; other AUs are absent.
    view : View, optional
        Pose, light and noise; by default a frontal, evenly lit view.
    width : int
        Width of the image in pixels.
    height : int, optional
        Height of the image; by default in BP4D's proportions, 1040x1392.
    jaw : bool
        Return 66 landmarks, with 17 of the jaw before the 49.
    landmark_errors : ndarray of shape (49, 2), optional
        Errors of the 49 landmarks in face millimetres; by default those of a careful annotator are drawn.

    Returns
    -------
    image : ndarray of shape (H, W, 3), uint8
        Blue, green, red.
    landmarks : ndarray of shape (49, 2) or (66, 2), float64
        x and y in pixels, counted from 0.

    Examples
    --------
    >>> image, landmarks = render(Subject.draw("F001"), {12: 4.0, 6: 3.0})
    >>> image.shape, landmarks.shape
    ((348, 260, 3), (49, 2))
    """
    view = View() if view is None else view
    camera = Camera(view, width, height)
    e = strengths(subject, intensities or {})
    shape = face_shape(subject, e, view.lids)
    rng = np.random.default_rng([subject.seed, view.seed])

    marks = permanent_marks(shape, subject)
    marks += random_marks(rng, count=view.stray, depth=0.3)
    marks += au_marks(shape, subject, e)
    layer = draw_marks(marks, camera)
    lines = cv2.LUT(cv2.merge([layer] * 3), _line_factors())
    image = cv2.multiply(paint(shape, subject, view, camera), lines, scale=1 / 128)
    light = shading(shape, subject, e, view, camera)
    image = cv2.multiply(image, light, dtype=cv2.CV_8U)
    image = cv2.LUT(image, _tone_curve(view))
    image = cv2.GaussianBlur(image, (0, 0), max(0.3, view.blur * camera.portrait / DEFAULT_WIDTH))
    image = _add_noise(image, view)

    errors = rng.normal(0, _LANDMARK_NOISE, (49, 2)) if landmark_errors is None else landmark_errors
    points = shape.landmarks() + errors
    if jaw:
        points = np.concatenate([shape.jaw() + rng.normal(0, _LANDMARK_NOISE, (17, 2)), points])
    return image, camera.project(points)


@lru_cache(maxsize=1)
def _line_factors() -> np.ndarray:
    """Return the factor of each level of the layer of lines, in 128ths."""
    level = (128 - np.arange(256.0)) / 128
    return np.round(128 * (1 - np.outer(level, _LINE_TINT)).clip(0.1, 1.9)).astype(np.uint8)[None]


def _tone_curve(view: View) -> np.ndarray:
    level = np.arange(256.0)[:, None] / 255
    curve = 255 * (level * view.gain * np.array(view.cast)) ** view.gamma
    return np.clip(np.round(curve), 0, 255).astype(np.uint8)[None]


@lru_cache(maxsize=4)
def _noise_tile(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 32, (height + 64, width + 64, 3))
    return np.clip(np.round(noise), 0, 255).astype(np.uint8)


def _add_noise(image: np.ndarray, view: View) -> np.ndarray:
    """Add sensor noise: a different part of one fixed noise image for each frame, which is faster."""
    height, width = image.shape[:2]
    top, left = view.seed % 64, view.seed // 64 % 64
    sheet = _noise_tile(height, width)[top : top + height, left : left + width]
    amount = view.noise / 32
    return cv2.addWeighted(image, 1.0, sheet, amount, -128 * amount)
