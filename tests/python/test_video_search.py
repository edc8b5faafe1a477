"""Which frames of a video are searched as a whole, which near the faces, and that both find the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import detect_data as data
from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.face_following import Box
from drml.data.registration import REFERENCE, five_points
from drml.detect import Detector
from drml.detect.frames import Frame
from drml.detect.sources import Source
from drml.detect.video_search import find_in_video

SOURCE = Source("v", "video", "v")


def scene(places: list[tuple[int, int]]) -> np.ndarray:
    """Return a frame of 1280x720 with the astronaut, 250 pixels wide, at each of these places."""
    return data.frame(places, (1280, 720), 250)


# --- which search -----------------------------------------------------------------------------------------


def face(left: float, score: float = 0.9, lying: bool = False) -> Face:
    points = five_points(REFERENCE) / 2 + (left, 100)
    return Face((left, 100.0, 100.0, 120.0), points[:, ::-1] if lying else points, score)


class Scripted(FaceDetector):
    """Knows where the faces of each frame are, by the frame's first pixel, and notes how it is asked."""

    def __init__(self, faces: dict[int, list[Face]]) -> None:
        self.faces = faces
        self.whole: list[int] = []
        self.parts: list[tuple[int, Box]] = []
        self.upright: list[bool] = []

    def find(self, image: np.ndarray) -> list[Face]:
        self.whole.append(int(image[0, 0, 0]))
        return self.faces[int(image[0, 0, 0])]

    def find_within(self, image: np.ndarray, box: Box, *, upright: bool = False) -> list[Face]:
        number = int(image[0, 0, 0])
        self.upright.append(upright)
        self.parts.append((number, box))
        left, top, wide, high = box
        return [
            one
            for one in self.faces[number]
            if left <= one.box[0] and one.box[0] + one.box[2] <= left + wide
            if top <= one.box[1] and one.box[1] + one.box[3] <= top + high
        ]


def frames(count: int, damaged: tuple[int, ...] = (), larger: tuple[int, ...] = ()) -> Iterator[Frame]:
    for number in range(1, count + 1):
        size = (480, 960) if number in larger else (400, 900)
        image = None if number in damaged else np.full((*size, 3), number, np.uint8)
        yield Frame(SOURCE, number, number / 25, image)


def search(
    faces: dict[int, list[Face]], every: int = 4, **options: tuple[int, ...]
) -> tuple[dict[int, list[float]], Scripted]:
    """Return the left edges of the faces found in each frame, in the frames' order, and the detector."""
    detector = Scripted(faces)
    found = list(find_in_video(frames(len(faces), **options), detector, every))
    assert [frame.number for frame, _ in found] == list(range(1, len(faces) + 1))
    return {frame.number: [one.box[0] for one in there] for frame, there in found}, detector


def test_frames_between_are_searched_where_the_face_is_on_its_way() -> None:
    found, detector = search({n: [face(10.0 * n)] for n in range(1, 12)})
    assert found == {n: [10.0 * n] for n in range(1, 12)}
    assert detector.whole == [1, 5, 9, 11]
    assert [number for number, _ in detector.parts] == [2, 3, 4, 6, 7, 8, 10]
    # A face's width and height on each side of it, as far as the frame reaches.
    for number, (left, top, wide, high) in detector.parts:
        assert (left, left + wide) == pytest.approx((max(0, 10 * number - 100), 10 * number + 200))
        assert (top, top + high) == (0, 340)


def test_turned_pictures_are_searched_unless_the_face_is_upright_before_and_after() -> None:
    lying = (5, 9, 10, 13)
    _, detector = search({n: [face(300, lying=n in lying)] for n in range(1, 18)})
    assert detector.whole == [1, 5, 9, 13, 17] and len(detector.parts) == 12
    assert not any(detector.upright)
    assert search({n: [face(300, lying=n == 10)] for n in range(1, 14)})[1].upright == [True] * 9


def test_every_frame_is_searched_as_a_whole_on_request_or_without_a_face() -> None:
    assert search({n: [face(300)] for n in range(1, 7)}, 1)[1].whole == [1, 2, 3, 4, 5, 6]
    found, detector = search({n: [face(300)] if n == 3 else [] for n in range(1, 6)})
    assert found[3] == [300] and not detector.parts and sorted(detector.whole) == [1, 2, 3, 4, 5]


def test_a_face_that_comes_or_goes_is_found_in_the_very_frame() -> None:
    comes = {n: [face(100)] + [face(500)] * (n >= 4) for n in range(1, 10)}
    found, detector = search(comes)
    assert found == {n: [100.0] + [500.0] * (n >= 4) for n in range(1, 10)}
    assert sorted(detector.whole) == [1, 2, 3, 4, 5, 9]
    assert sorted(detector.parts) == sorted(
        (n, box) for n in (6, 7, 8) for box in ((0, 0, 300, 340), (400, 0, 300, 340))
    )


def test_a_face_that_is_lost_between_is_sought_in_the_whole_frame() -> None:
    faces = {n: [face(300)] for n in range(1, 6)} | {3: [face(700)], 4: []}
    found, detector = search(faces)
    assert found == {1: [300], 2: [300], 3: [700], 4: [], 5: [300]}
    assert sorted(detector.whole) == [1, 3, 4, 5]


def test_two_places_never_give_the_same_face() -> None:
    two = [face(300), face(360)]
    found, detector = search({1: two, 2: [face(330)], 3: two, 4: two, 5: two})
    assert found == {n: [330] if n == 2 else [300, 360] for n in range(1, 6)}
    assert sorted(detector.whole) == [1, 2, 5]


def test_a_face_beside_the_place_does_not_count() -> None:
    # Within the part that is searched, but of another face.
    _, detector = search({n: [face(300 if n in (1, 5) else 390)] for n in range(1, 6)})
    assert sorted(detector.whole) == [1, 2, 3, 4, 5]


def test_parts_larger_than_the_frame_together_are_no_gain() -> None:
    many = [face(20.0 + 120 * index) for index in range(7)]
    found, detector = search(dict.fromkeys(range(1, 6), many))
    assert all(len(there) == 7 for there in found.values())
    assert not detector.parts and sorted(detector.whole) == [1, 2, 3, 4, 5]


def test_damaged_frames_and_a_change_of_size_are_no_obstacle() -> None:
    faces = {n: [face(300)] for n in range(1, 14)}
    found, detector = search(faces, damaged=(1, 4, 5, 13), larger=(10, 11, 12))
    assert found == {n: [] if n in (1, 4, 5, 13) else [300] for n in range(1, 14)}
    assert sorted(detector.whole) == [2, 6, 7, 8, 9, 10, 12] and len(detector.parts) == 2
    assert search({n: [face(1)] for n in range(1, 4)}, damaged=(1, 2, 3))[0] == {1: [], 2: [], 3: []}


def test_no_more_frames_are_read_than_are_searched_together() -> None:
    read = 0

    def counted() -> Iterator[Frame]:
        nonlocal read
        for frame in frames(12):
            read += 1
            yield frame

    detector = Scripted({n: [face(300)] for n in range(1, 13)})
    for frame, _ in find_in_video(counted(), detector, 4):
        assert read - frame.number <= 3


# --- what is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left", "top"), [(400, 200), (-30, 200), (1060, 440)])
def test_a_part_gives_the_face_of_the_whole_image(left: int, top: int) -> None:
    detector = FaceDetector()
    image = np.ascontiguousarray(np.roll(scene([(500, 200)]), (left - 500, top - 200), (1, 0)))
    (whole,) = detector.find(image)
    wide, high = whole.box[2:]
    (part,) = detector.find_within(image, (whole.box[0] - wide, whole.box[1] - high, 3 * wide, 3 * high))
    eyes = np.linalg.norm(whole.points[1] - whole.points[0])
    assert np.abs(part.points - whole.points).max() < 0.1 * eyes
    assert part.landmarks is not None and whole.landmarks is not None
    assert np.linalg.norm(part.landmarks - whole.landmarks, axis=1).mean() < 0.02 * eyes
    assert abs(part.score - whole.score) < 0.02 and np.allclose(part.box, whole.box, atol=0.1 * eyes)


@pytest.mark.parametrize("turns", [1, 3])
def test_a_lying_face_is_found_in_a_part_unless_only_upright_ones_are_sought(turns: int) -> None:
    image = scene([(500, 200)])
    image[200:450, 500:750] = np.rot90(image[200:450, 500:750], turns)
    detector = FaceDetector()
    (whole,) = detector.find(image)
    assert not whole.upright
    (part,) = detector.find_within(image, (350, 50, 550, 550))
    assert not part.upright and np.abs(part.points - whole.points).max() < 3
    assert all(face.upright for face in detector.find_within(image, (350, 50, 550, 550), upright=True))


def test_a_part_without_a_face_has_none() -> None:
    image = scene([(900, 300)])
    assert FaceDetector().find_within(image, (0, 0, 500, 500)) == []
    assert FaceDetector().find_within(image, (5000, 5000, 10, 10)) == []


@pytest.fixture(scope="module")
def detectors() -> list[Detector]:
    """A detector that searches every frame as a whole, and one that searches every fourth."""
    return [Detector(data.ConstantNet(0.5), search_every=every) for every in (1, 4)]


def test_a_video_has_the_points_of_whole_searches(detectors: list[Detector], tmp_path: Path) -> None:
    path = data.write_video(
        tmp_path / "two.avi", [scene([(60 + 8 * i, 90), (800 - 6 * i, 300)]) for i in range(9)], codec="MJPG"
    )
    whole, near = (detector(str(path)) for detector in detectors)
    same = ["frame", "face_id", "timestamp", "success"]
    assert whole[same].equals(near[same]) and len(whole) == 18 and whole.success.all()
    assert np.abs(whole[data.POINTS].to_numpy() - near[data.POINTS].to_numpy()).max() < 3
    assert np.abs(whole.confidence - near.confidence).max() < 0.02


def test_a_face_does_not_depend_on_another_one(detectors: list[Detector], tmp_path: Path) -> None:
    tables = []
    for name, others in (("one.avi", []), ("two.avi", [(1000, 420)])):
        clip = [scene([(60 + 8 * i, 60), *others]) for i in range(6)]
        tables.append(detectors[1](str(data.write_video(tmp_path / name, clip, codec="MJPG"))))
    one, two = tables[0], tables[1][tables[1].x_0 < 640]
    assert len(tables[1]) == 12 and len(one) == 6
    assert np.allclose(one[data.POINTS], two[data.POINTS], atol=0.5)
    assert np.allclose(one.confidence, two.confidence, atol=0.005)
