"""The renderer: every action unit shows, in its own region, and nothing simpler gives it away."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from drml.data.labels import ALL_AUS
from drml.synth import Subject, View, render, subject_names
from drml.synth.view import LATENT, POSE_LIMIT

Box = tuple[float, float, float, float]

# No roll, so that regions can be boxes; everything else is a little off.
VIEW = View(yaw=4, pitch=-3, scale=1.03, offset=(2, -3), light=(0.1, -0.05), noise=4, stray=2, seed=77)


def boxes(au: int, p: np.ndarray) -> list[Box]:
    """Region of an action unit as boxes (left, top, right, bottom), told from 49 landmarks alone."""
    eyes = p[19:25].mean(0), p[25:31].mean(0)
    d = float(np.linalg.norm(eyes[1] - eyes[0]))
    brow_top, eye_y = p[:10, 1].min(), 0.5 * (eyes[0][1] + eyes[1][1])
    left, right = p[31], p[37]
    top, low = p[31:43, 1].min(), p[31:43, 1].max()
    tip, base = p[13, 1], p[14:19, 1].max()
    mouth = (left[0] - 0.2 * d, base, right[0] + 0.2 * d, low + 0.2 * d)
    if au == 1:
        return [(p[2, 0], brow_top - 0.5 * d, p[7, 0], eye_y)]
    if au == 2:
        return [
            (p[0, 0] - 0.15 * d, brow_top - 0.5 * d, p[3, 0], eye_y - 0.08 * d),
            (p[6, 0], brow_top - 0.5 * d, p[9, 0] + 0.15 * d, eye_y - 0.08 * d),
        ]
    if au == 4:
        return [(p[0, 0] - 0.1 * d, brow_top - 0.3 * d, p[9, 0] + 0.1 * d, eye_y)]
    if au == 6:
        return [
            (p[19, 0] - 0.4 * d, eye_y - 0.25 * d, p[22, 0] + 0.1 * d, base),
            (p[25, 0] - 0.1 * d, eye_y - 0.25 * d, p[28, 0] + 0.4 * d, base),
        ]
    if au == 7:
        return [
            (p[i, 0] - 0.12 * d, eye_y - 0.3 * d, p[i + 3, 0] + 0.12 * d, eye_y + 0.2 * d) for i in (19, 25)
        ]
    if au == 9:
        return [(p[22, 0], brow_top, p[25, 0], base), (p[2, 0], brow_top - 0.05 * d, p[7, 0], eye_y)]
    if au == 10:
        return [(left[0] - 0.15 * d, tip - 0.2 * d, right[0] + 0.15 * d, 0.5 * (top + low) + 0.1 * d)]
    if au == 12:
        return [(left[0] - 0.45 * d, tip, right[0] + 0.45 * d, low + 0.15 * d)]
    if au == 14:
        return [
            (x - 0.35 * d, y - 0.25 * d, x + 0.35 * d, y + 0.25 * d)
            for x, y in (left.tolist(), right.tolist())
        ]
    if au == 15:
        return [(left[0] - 0.2 * d, top, right[0] + 0.2 * d, low + 0.35 * d)]
    if au == 17:
        return [(left[0] - 0.1 * d, top - 0.1 * d, right[0] + 0.1 * d, low + 0.65 * d)]
    if au in (23, 24, 25):
        return [mouth]
    if au == 26:
        return [(p[19, 0] - 0.35 * d, base, p[28, 0] + 0.35 * d, base + 1.35 * d)]
    raise AssertionError(au)


def region(au: int, shape: tuple[int, ...], *landmarks: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    for points in landmarks:
        for left, top, right, bottom in boxes(au, points):
            mask[max(0, round(top)) : round(bottom) + 1, max(0, round(left)) : round(right) + 1] = True
    return mask


@pytest.mark.parametrize("name", ["F004", "M010"])
@pytest.mark.parametrize("au", ALL_AUS)
def test_an_action_unit_changes_its_own_region(au: int, name: str) -> None:
    subject = Subject.draw(name, 3)
    before, points_before = render(subject, {}, VIEW)
    after, points_after = render(subject, {au: 5.0}, VIEW)
    change = np.abs(after.astype(float) - before).sum(2)
    mask = region(au, before.shape, points_before, points_after)
    assert mask.mean() < 0.30
    assert change[mask].sum() > 0.8 * change.sum()
    # Visible already when weak.
    weak, _ = render(subject, {au: 2.0}, VIEW)
    assert np.sort(np.abs(weak.astype(float) - before).mean(2).ravel())[-60] > 12


@pytest.mark.parametrize(
    ("au", "points", "axis", "sign"),
    [
        (1, [4, 5], 1, -1),
        (2, [1, 8], 1, -1),
        (4, [4, 5], 1, 1),
        (7, [20, 21, 26, 27], 1, 1),
        (10, [34], 1, -1),
        (12, [31, 37], 1, -1),
        (15, [31, 37], 1, 1),
        (17, [40], 1, -1),
        (23, [37], 0, -1),
        (24, [40], 1, -1),
        (25, [47], 1, 1),
        (26, [40], 1, 1),
    ],
)
def test_landmarks_move_with_the_action_unit(au: int, points: list[int], axis: int, sign: int) -> None:
    subject = Subject.draw("F010", 1)
    moved = render(subject, {au: 5.0}, VIEW)[1] - render(subject, {}, VIEW)[1]
    assert (sign * moved[points, axis] > 1.5).all()


def test_landmarks_are_in_order_and_inside() -> None:
    rng = np.random.default_rng(4)
    for name in ("F001", "F017", "M001", "M018"):
        for _ in range(10):
            intensities = {au: rng.uniform(0, 5) for au in ALL_AUS if rng.random() < 0.4}
            image, p = render(Subject.draw(name, 2), intensities, View.draw(rng), width=130)
            assert p.shape == (49, 2) and p.dtype == np.float64
            assert (p > 0).all() and (p < (image.shape[1] - 1, image.shape[0] - 1)).all()
            assert (np.diff(p[:10, 0]) > 0).all()  # brows
            assert (np.diff(p[10:14, 1]) > 0).all()  # bridge
            assert (np.diff(p[14:19, 0]) > 0).all()  # base
            for eye in (19, 25):
                assert p[eye, 0] < p[eye + 1, 0] < p[eye + 2, 0] < p[eye + 3, 0]
                assert p[eye + 5, 0] < p[eye + 4, 0]
                assert p[eye + 1 : eye + 3, 1].mean() < p[eye + 4 : eye + 6, 1].mean()
            assert (np.diff(p[31:38, 0]) > 0).all() and (np.diff(p[37:43, 0]) < 0).all()
            assert p[32:37, 1].mean() < p[38:43, 1].mean()
            assert p[:10, 1].max() < p[31:, 1].min()


def test_annotation_noise_is_small() -> None:
    subject = Subject.draw("M002", 0)
    places = np.stack([render(subject, {}, View(seed=s), width=130)[1] for s in range(30)])
    face_width = 138 * 1.28 / 2
    assert 0.002 < places.std(0).mean() / face_width < 0.004


def test_pose_stays_within_its_limits() -> None:
    rng = np.random.default_rng(0)
    for scale in (1, 10):
        for _ in range(100):
            view = View.from_latent(scale * rng.normal(size=LATENT), 1)
            assert max(abs(view.roll), abs(view.yaw), abs(view.pitch)) <= POSE_LIMIT


def test_the_same_input_gives_the_same_image() -> None:
    view = View.draw(np.random.default_rng(8))
    one = render(Subject.draw("F003", 5), {6: 3, 12: 4}, view)
    two = render(Subject.draw("F003", 5), {12: 4, 6: 3}, view)
    assert np.array_equal(one[0], two[0]) and np.array_equal(one[1], two[1])
    assert one[0].dtype == np.uint8 and one[0].shape == (348, 260, 3)


def test_people_differ() -> None:
    images = [render(Subject.draw(name, 0), width=130)[0].astype(float) for name in subject_names(8)]
    for k, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 5 for other in images[:k])


def test_width_scales_the_picture() -> None:
    subject = Subject.draw("F006", 0)
    small, small_points = render(subject, {12: 4}, width=130)
    large, large_points = render(subject, {12: 4}, width=520)
    assert small.shape == (174, 130, 3) and large.shape == (696, 520, 3)
    np.testing.assert_allclose(4 * small_points, large_points, atol=1.0)


def test_wrong_intensities_are_refused() -> None:
    with pytest.raises(ValueError, match="no such action unit"):
        render(Subject.draw("F001"), {3: 1.0})
    with pytest.raises(ValueError, match="goes from 0 to 5"):
        render(Subject.draw("F001"), {1: 6.0})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For small pictures, OpenCV's threads cost more than they give."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


def test_mean_colour_gives_nothing_away() -> None:
    """On held-out people, the mean colour tells no action unit much better than chance."""
    rng = np.random.default_rng(11)
    colours, present, held_out = [], [], []
    for k, name in enumerate(subject_names(30)):
        subject = Subject.draw(name, 0)
        for _ in range(8):
            drawn = {au: rng.uniform(2, 5) for au in ALL_AUS if rng.random() < 0.35}
            colours.append(render(subject, drawn, View.draw(rng), width=100)[0].mean((0, 1)))
            present.append([au in drawn for au in ALL_AUS])
            held_out.append(k % 2 == 0)
    test = np.array(held_out)
    values, truth = StandardScaler().fit_transform(colours), np.array(present)
    areas = []
    for k in range(len(ALL_AUS)):
        model = LogisticRegression().fit(values[~test], truth[~test, k])
        areas.append(roc_auc_score(truth[test, k], model.decision_function(values[test])))
    assert 0.45 < np.mean(areas) < 0.55
    assert max(areas) < 0.65


@pytest.mark.parametrize("module", ["drml.synth", "drml.synth.render"])
def test_examples_in_the_documentation(module: str) -> None:
    # `drml.synth.render` names the function in the package; the module behind it is meant.
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted and not result.failed


def test_seeds_of_the_person_and_of_the_view_both_count() -> None:
    """With all traits kept, the person's seed determines the skin's texture and errors of the landmarks."""
    subject, plain = Subject.draw("F001", 1), replace(VIEW, stray=0)
    image, points = render(subject, {}, plain, width=130)
    for person, view in ((replace(subject, seed=2), plain), (subject, replace(plain, seed=78))):
        other, other_points = render(person, {}, view, width=130)
        assert (other != image).any() and (other_points != points).all()
    again, same_points = render(replace(subject), {}, replace(plain), width=130)
    np.testing.assert_array_equal(again, image)
    np.testing.assert_array_equal(same_points, points)
