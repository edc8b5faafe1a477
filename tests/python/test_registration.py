from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

import bp4d_factory as factory
from drml.data.registration import REFERENCE, fault, five_points, register, similarity, to49, transform
from drml.io.errors import UserError

angles = st.floats(-np.pi, np.pi)
scales = st.floats(0.05, 20)
shifts = st.tuples(st.floats(-500, 500), st.floats(-500, 500))


def matrix(scale: float, angle: float, shift: tuple[float, float]) -> np.ndarray:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, shift[0]], [s, c, shift[1]]])


def apply(m: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ m[:, :2].T + m[:, 2]


def test_the_reference_is_a_symmetric_face_inside_its_frame() -> None:
    mirror = np.array(
        [
            *(9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 10, 11, 12, 13, 18, 17, 16, 15, 14),
            *(28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23),
            *(37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38, 45, 44, 43, 48, 47, 46),
        ]
    )
    assert REFERENCE.shape == (49, 2)
    np.testing.assert_allclose((199 - REFERENCE[:, 0])[mirror], REFERENCE[:, 0], atol=1e-9)
    np.testing.assert_allclose(REFERENCE[mirror, 1], REFERENCE[:, 1], atol=1e-9)
    left_eye, right_eye, nose, left_mouth, right_mouth = five_points(REFERENCE)
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]
    # All of the face, the chin included, lies in the centre crop of 170 pixels; below the lower lip
    # it takes about half the distance of the eyes.
    between_eyes = right_eye[0] - left_eye[0]
    chin = REFERENCE[40, 1] + 0.5 * between_eyes
    assert REFERENCE.min() > 20 and chin < 185
    with pytest.raises(ValueError, match="read-only"):
        REFERENCE[0, 0] = 1


def test_contours_of_the_reference_run_clockwise() -> None:
    for contour in (range(19, 25), range(25, 31), range(31, 43), range(43, 49)):
        x, y = REFERENCE[list(contour)].T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        assert area > 0  # y points down


@given(scales, angles, shifts)
def test_a_known_transform_is_recovered(scale: float, angle: float, shift: tuple[float, float]) -> None:
    m = matrix(scale, angle, shift)
    np.testing.assert_allclose(similarity(REFERENCE, apply(m, REFERENCE)), m, rtol=1e-9, atol=1e-8)


@given(st.integers(0, 10**6), st.integers(2, 60), st.booleans())
def test_agrees_with_an_independent_implementation(seed: int, count: int, reflected: bool) -> None:
    rng = np.random.default_rng(seed)
    src = rng.normal(0, 30, (count, 2)) + rng.normal(0, 100, 2)
    if reflected:
        dst = src * (-1, 1) * rng.uniform(0.2, 3) + rng.normal(0, 1, (count, 2))
    else:
        dst = rng.normal(0, 30, (count, 2))
    # Where half a turn and none fit equally well, no answer is the right one.
    a, b = src - src.mean(0), dst - dst.mean(0)
    strength = np.hypot((a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum())
    if strength < 1e-6 * np.linalg.norm(a) * np.linalg.norm(b):
        return
    expected = SimilarityTransform.from_estimate(src, dst).params[:2]
    np.testing.assert_allclose(similarity(src, dst), expected, rtol=1e-6, atol=1e-6)


@given(st.integers(0, 10**6))
def test_no_reflection_even_where_it_would_fit(seed: int) -> None:
    src = REFERENCE + np.random.default_rng(seed).normal(0, 2, (49, 2))
    m = similarity(src, REFERENCE * (-1, 1))
    assert np.linalg.det(m[:, :2]) > 0


@given(st.integers(0, 10**6), scales, angles)
def test_no_other_similarity_fits_better(seed: int, scale: float, angle: float) -> None:
    rng = np.random.default_rng(seed)
    src, dst = rng.normal(0, 10, (49, 2)), rng.normal(0, 10, (49, 2))
    best = similarity(src, dst)
    other = best + matrix(scale, angle, (scale, -scale)) * 0.01
    assert ((apply(best, src) - dst) ** 2).sum() <= ((apply(other, src) - dst) ** 2).sum() + 1e-9


@pytest.mark.parametrize(
    ("src", "dst"),
    [
        (np.full((49, 2), 3.0), REFERENCE),
        (np.full((49, 2), 1e6), REFERENCE),
        (REFERENCE[:40], REFERENCE),
        (REFERENCE[:1], REFERENCE[:1]),
        (REFERENCE.ravel(), REFERENCE.ravel()),
        (np.full((49, 2), np.nan), REFERENCE),
        (REFERENCE, np.full((49, 2), np.inf)),
    ],
)
def test_similarity_refuses_what_defines_no_transform(src: np.ndarray, dst: np.ndarray) -> None:
    with pytest.raises(ValueError, match="points"):
        similarity(src, dst)


def test_68_and_66_points_map_onto_the_49() -> None:
    points = np.arange(136.0).reshape(68, 2)
    expected = [i for i in range(18, 69) if i not in (61, 65)]  # counted from 1, as their authors do
    assert ((to49(points)[:, 0] / 2 + 1) == expected).all()
    # The 66 are the 68 without the inner mouth corners.
    points66 = np.delete(points, [60, 64], axis=0)
    np.testing.assert_array_equal(to49(points66), to49(points))
    np.testing.assert_array_equal(to49(points[:49]), points[:49])
    with pytest.raises(UserError, match="49, 66 or 68"):
        to49(points[:50])


def test_faults_of_landmarks() -> None:
    assert fault(REFERENCE) is None
    assert fault(five_points(REFERENCE)) is None
    assert "50 landmarks, not 49" in str(fault(np.zeros((50, 2))))
    assert "shape (49, 3)" in str(fault(np.zeros((49, 3))))
    assert "not numbers" in str(fault(np.full((49, 2), np.nan)))
    assert "in one point" in str(fault(np.full((49, 2), 5.0)))


@pytest.mark.parametrize("bad", [np.zeros((48, 2)), np.full((49, 2), np.nan), np.full((49, 2), 9.0)])
def test_register_refuses_bad_landmarks(bad: np.ndarray) -> None:
    with pytest.raises(UserError):
        register(np.zeros((200, 200, 3), np.uint8), bad)


def test_register_refuses_landmarks_of_another_image() -> None:
    with pytest.raises(UserError, match="lie outside the image"):
        register(np.zeros((200, 200, 3), np.uint8), REFERENCE + 300)


def blobs(m: np.ndarray, height: int, width: int) -> np.ndarray:
    """An image with a soft dot at each landmark, placed by ``m``, and one channel that is even."""
    points = apply(m, REFERENCE)
    sigma = 2.5 * np.hypot(m[0, 0], m[1, 0])
    y, x = np.arange(height), np.arange(width)
    value = np.zeros((height, width))
    for px, py in points[[10, 16, 19, 28, 31, 37, 40]]:
        value += np.outer(np.exp(-(((y - py) / sigma) ** 2) / 2), np.exp(-(((x - px) / sigma) ** 2) / 2))
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.clip(value * 200, 0, 255)
    image[:, :, 1] = 90
    return image


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.7, 2.1, 3.3])
@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0])
def test_faces_come_to_lie_in_place_whatever_the_scale(scale: float, angle: float) -> None:
    side = int(200 * scale * 2)
    m = matrix(scale, angle, (0, 0))
    m[:, 2] += side / 2 - apply(m, np.array([[99.5, 99.5]]))[0]
    face = register(blobs(m, side, side + 31), apply(m, REFERENCE))
    assert face.shape == (200, 200, 3) and face.dtype == np.uint8
    assert (face[:, :, 1] == 90).all()
    expected = blobs(matrix(1, 0, (0, 0)), 200, 200)[:, :, 0]
    for px, py in REFERENCE[[10, 16, 19, 28, 31, 37, 40]]:
        window = np.s_[round(py) - 7 : round(py) + 8, round(px) - 7 : round(px) + 8]
        centres = []
        for image in (face[:, :, 0], expected):
            y, x = np.mgrid[window]
            weight = image[window].astype(float)
            centres.append(((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()))
        np.testing.assert_allclose(centres[0], centres[1], atol=0.15)


def test_shrinking_averages_instead_of_picking_pixels() -> None:
    # Black and white in turn: picked pixels would be far from grey somewhere.
    board = (np.indices((1200, 1200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    face = register(board, REFERENCE * 4.3 + 100)
    assert np.abs(face.astype(float) - 127.5).max() < 10


def test_identity_keeps_the_picture() -> None:
    image = factory.picture("identity", height=200, width=200)
    np.testing.assert_array_equal(register(image, REFERENCE), image)


def test_other_sizes_show_the_same_face() -> None:
    image = factory.picture("size", height=400, width=400)
    points = REFERENCE * 2 + 0.5
    face = register(image, points)
    small = register(image, points, size=100)
    expected = cv2.resize(face, (100, 100), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(float) - expected).mean() < 1
    np.testing.assert_allclose(transform(points, 400), [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_five_points_and_68_give_the_same_face() -> None:
    m = matrix(1.4, 0.2, (60, 10))
    image = factory.picture("five", height=420, width=420)
    face = register(image, apply(m, REFERENCE))
    np.testing.assert_array_equal(register(image, five_points(apply(m, REFERENCE))), face)
    full = np.zeros((68, 2))
    full[[i for i in range(17, 68) if i not in (60, 64)]] = apply(m, REFERENCE)
    np.testing.assert_array_equal(register(image, full), face)


def test_beyond_the_edge_the_last_pixels_go_on() -> None:
    image = np.full((150, 150, 3), 77, np.uint8)
    assert (register(image, REFERENCE * 0.9 - 20) == 77).all()
    assert (register(np.full((700, 700), 78, np.uint8), REFERENCE * 5 - 120) == 78).all()
