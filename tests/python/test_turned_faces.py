"""Faces that lie sideways or upside down are found as upright ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

import detect_data as data
from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.registration import REFERENCE, five_points
from drml.data.turned_faces import find_in_turns

TURNS = {
    "right": (cv2.ROTATE_90_CLOCKWISE, lambda x, y: (511 - y, x)),
    "over": (cv2.ROTATE_180, lambda x, y: (511 - x, 511 - y)),
    "left": (cv2.ROTATE_90_COUNTERCLOCKWISE, lambda x, y: (y, 511 - x)),
}


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.mark.parametrize("way", TURNS)
def test_a_lying_face_has_the_points_of_the_upright_one(detector: FaceDetector, way: str) -> None:
    (upright,) = detector.find(data.astronaut())
    turn, place = TURNS[way]
    (face,) = detector.find(np.ascontiguousarray(cv2.rotate(data.astronaut(), turn)))
    expected = np.column_stack(place(*upright.points.T))
    np.testing.assert_allclose(face.points, expected, atol=0.01)
    np.testing.assert_allclose(face.landmarks, np.column_stack(place(*upright.landmarks.T)), atol=0.01)
    assert face.score == upright.score and face.doubt == pytest.approx(upright.doubt)
    left, top, wide, high = face.box
    assert left < expected[:, 0].min() and expected[:, 0].max() < left + wide
    assert top < expected[:, 1].min() and expected[:, 1].max() < top + high


def test_a_lying_face_has_the_aus_of_the_upright_one(run_detect: Any, tmp_path: Path) -> None:
    for name, picture in (
        ("a.png", data.astronaut()),
        ("b.png", cv2.rotate(data.astronaut(), cv2.ROTATE_90_CLOCKWISE)),
    ):
        cv2.imwrite(str(tmp_path / name), picture)
    run_detect(tmp_path / "a.png", tmp_path / "b.png")
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert table.success.tolist() == [1, 1]
    np.testing.assert_allclose(table[data.AUS[3:]].iloc[0], table[data.AUS[3:]].iloc[1], atol=0.02)


class Model:
    """Finds the landmarks of a face a number of eye distances from its points."""

    def __init__(self, doubts: dict[float, float]) -> None:
        self.doubts = doubts

    def find(self, image: np.ndarray, points: np.ndarray) -> np.ndarray:
        shift = self.doubts[round(float(points[0, 0]), 3)] * np.linalg.norm(points[1] - points[0])
        return REFERENCE - five_points(REFERENCE)[0] + points[0] + (shift, 0)


def face(score: float, left: float) -> Face:
    points = five_points(REFERENCE)
    return Face((left, 0.0, 100.0, 100.0), points - points[0] + (left, 40), score)


def found(upright: list[Face], right: list[Face], doubts: dict[float, float]) -> tuple[list[Face], int]:
    """Find faces in a picture of which one turn gives other faces; return them and the number of searches."""
    searches = []

    def find(image: np.ndarray) -> list[Face]:
        searches.append(image.shape[:2])
        return (upright, right, [], [])[len(searches) - 1]

    faces = find_in_turns(np.zeros((200, 100, 3), np.uint8), find, Model(doubts))  # type: ignore[arg-type]  # a stand-in
    assert searches == [(200, 100), (100, 200), (200, 100), (100, 200)][: len(searches)]
    return faces, len(searches)


def test_an_image_is_turned_only_where_a_face_is_in_doubt() -> None:
    assert found([face(0.9, 10.0)], [], {10.0: 0.1})[1] == 1
    assert found([], [], {}) == ([], 4)
    # Nothing better is found: the face stays.
    (kept,), searches = found([face(0.9, 10.0)], [], {10.0: 0.5})
    assert (kept.score, searches) == (0.9, 4) and kept.doubt == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("score", "doubt", "chosen"),
    [(0.95, 0.1, 0.95), (0.85, 0.1, 0.9), (0.95, 0.25, 0.9), (0.95, 0.19, 0.95)],
)
def test_the_more_certain_face_stays(score: float, doubt: float, chosen: float) -> None:
    (one,), _ = found([face(0.9, 0.0)], [face(score, 50.0)], {0.0: 0.5, 50.0: doubt})
    assert one.score == chosen


def test_a_lying_face_beside_an_upright_one_is_found_as_well() -> None:
    # Once the picture is turned back, the second face lies at the other end of it.
    faces, _ = found([face(0.8, 0.0), face(0.7, 10.0)], [face(0.9, 1.0)], {0.0: 0.1, 10.0: 0.3, 1.0: 0.1})
    assert sorted(one.score for one in faces) == [0.7, 0.8, 0.9]
