"""Points that the detector finds in every frame: whose face, in which frames, and what is kept of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import disfa_factory
from drml import cli
from drml.data import find_points_task as module
from drml.data.face import Face
from drml.data.face_following import FaceFollower
from drml.data.find_points import NO_FACE_FOUND, find_points
from drml.data.point_cache import PointCache, VideoPoints, stamp
from drml.data.readers import Record, Scan
from drml.data.readers.video import VideoFrame
from drml.data.registration import REFERENCE, five_points
from drml.io.errors import UserError

FIVE = five_points(REFERENCE)


def face(left: float, size: float = 40) -> Face:
    return Face((left, 10, size, size), FIVE + left, 0.9)


# --- whose face -----------------------------------------------------------------------------------------


def test_the_face_that_goes_on_is_the_subjects_even_if_another_is_larger() -> None:
    follower = FaceFollower()
    assert follower.follow(1, [face(100), face(10, 30)]).box[0] == 100  # type: ignore[union-attr]  # a face is found
    for step in range(2, 12):  # it moves on, and somebody larger comes in beside it
        found = follower.follow(step, [face(300, 90), face(100 + 5 * step)])
        assert found is not None and found.box[0] == 100 + 5 * step


def test_somebody_else_is_not_taken_for_the_subject_who_is_missing_for_a_while() -> None:
    follower = FaceFollower(patience=3)
    follower.follow(1, [face(100)])
    assert [follower.follow(frame, [face(300)]) for frame in (2, 3, 4)] == [None] * 3
    assert follower.follow(4, [face(104)]) is not None  # it is back
    assert follower.follow(7, [face(300)]) is None
    assert follower.follow(8, [face(300)]) is not None  # too long ago: the largest counts again
    assert follower.follow(30, []) is None
    assert follower.follow(31, [face(500), face(305)]).box[0] == 500  # type: ignore[union-attr]  # a face is found


# --- all frames -----------------------------------------------------------------------------------------


class BrightFaces:
    """Finds a face wherever a picture of the test has a bright column; stands in for `PointFinder`."""

    name, count = "bright", 5
    calls = 0

    def faces(self, image: np.ndarray) -> list[Face]:
        BrightFaces.calls += 1
        columns = np.flatnonzero(image[0, :, 0] > 200)
        starts = columns[np.diff(columns, prepend=-9) > 1]
        widths = [int((columns[columns >= start] - start < 60).sum()) for start in starts]
        faces = [
            Face((float(x), 0, w, w), FIVE + x, 1.0) for x, w in zip(starts.tolist(), widths, strict=True)
        ]
        return sorted(faces, key=lambda one: -one.area)

    def locate(self, image: np.ndarray, face: Face) -> np.ndarray:
        return face.points


def picture(*bright: tuple[int, int]) -> np.ndarray:
    image = np.zeros((8, 400, 3), np.uint8)
    for left, width in bright:
        image[:, left : left + width] = 255
    return image


@pytest.fixture
def bright(monkeypatch: pytest.MonkeyPatch) -> BrightFaces:
    finder = BrightFaces()
    monkeypatch.setattr(module, "_finders", [finder])
    BrightFaces.calls = 0
    return finder


def scan_of(root: Path, pictures: Sequence[np.ndarray], video: str = "F001_T1") -> Scan:
    """Write one video as image files, and return its scan."""
    scan, (subject, task) = Scan((1,)), video.split("_")
    for number, image in enumerate(pictures, 1):
        path = root / video / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        labels = np.ones(1, np.int8)
        scan.records.append(Record(f"{video}_{number:04d}", path, subject, task, number, labels, None))
    return scan


def found_at(scan: Scan) -> dict[int, float]:
    """Frame -> left edge of the face whose points the record has."""
    return {
        one.frame: float((one.landmarks - FIVE)[0, 0]) for one in scan.records if one.landmarks is not None
    }


def test_a_video_is_followed_and_frames_without_a_face_are_counted(tmp_path: Path, bright: Any) -> None:
    pictures = [picture((20, 30)), picture((22, 30), (200, 50)), picture(), picture((24, 30), (200, 50))]
    scan = scan_of(tmp_path, pictures)
    report = find_points(scan, tmp_path, bright, ordered=True, folder=tmp_path / "c", jobs=1, progress=False)
    assert found_at(scan) == {1: 20, 2: 22, 4: 24}
    assert scan.skipped == {NO_FACE_FOUND: 1} and scan.examples[NO_FACE_FOUND] == ["F001_T1_0003"]
    assert (report.frames, report.faces, report.cached, report.faceless) == (4, 3, 0, [])
    assert report.per_second is not None and report.per_second > 0
    # Photos do not follow each other: the largest face counts.
    scan = scan_of(tmp_path, pictures)
    find_points(scan, tmp_path, bright, ordered=False, folder=tmp_path / "d", jobs=1, progress=False)
    assert found_at(scan) == {1: 20, 2: 200, 4: 200}


def test_landmarks_of_a_list_tell_whose_face_it_is(tmp_path: Path, bright: Any) -> None:
    scan = scan_of(tmp_path, [picture((20, 30), (200, 50))])
    object.__setattr__(scan.records[0], "landmarks", FIVE + 21)
    find_points(scan, tmp_path, bright, ordered=False, folder=tmp_path / "c", jobs=1, progress=False)
    assert found_at(scan) == {1: 20}


def test_nobody_in_a_whole_video_is_said(tmp_path: Path, bright: Any) -> None:
    scan = scan_of(tmp_path, [picture((20, 30))])
    scan.records += scan_of(tmp_path, [picture()] * 2, "F002_T3").records
    report = find_points(scan, tmp_path, bright, ordered=True, folder=tmp_path / "c", jobs=1, progress=False)
    assert report.faceless == ["F002_T3"] and scan.skipped == {NO_FACE_FOUND: 2}
    assert "no face in any frame of F002_T3" in report.describe()


def test_the_second_call_takes_the_points_from_the_folder(tmp_path: Path, bright: Any) -> None:
    pictures = [picture((20 + n, 30)) for n in range(70)] + [picture()]  # three tasks
    options: dict[str, Any] = {"ordered": True, "folder": tmp_path / "c", "jobs": 1, "progress": False}
    first, second, fewer, more = (scan_of(tmp_path, pictures) for _ in range(4))
    find_points(first, tmp_path, bright, **options)
    calls = BrightFaces.calls
    report = find_points(second, tmp_path, bright, **options)
    assert BrightFaces.calls == calls == 71 and report.cached == 71 and report.per_second is None
    assert found_at(second) == found_at(first) and second.skipped == first.skipped
    del fewer.records[::2]  # as --exclude leaves some out
    assert find_points(fewer, tmp_path, bright, **options).cached == 35
    assert found_at(fewer) == {frame: at for frame, at in found_at(first).items() if frame % 2 == 0}
    more.records += scan_of(tmp_path, pictures[:3], "F002_T1").records
    assert find_points(more, tmp_path, bright, **options).cached == 71
    assert BrightFaces.calls == calls + 3


def test_an_unreadable_image_is_left_to_the_registration_to_report(tmp_path: Path, bright: Any) -> None:
    scan = scan_of(tmp_path, [picture((20, 30)), picture((20, 30))])
    (tmp_path / "F001_T1/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    options: dict[str, Any] = {"ordered": True, "folder": tmp_path / "c", "jobs": 1, "progress": False}
    for _ in range(2):  # found and cached
        find_points(scan, tmp_path, bright, **options)
        assert [one.landmarks is None for one in scan.records] == [False, True] and not scan.skipped
        scan = scan_of(tmp_path, [picture((20, 30))])
        scan.records += [Record("x", tmp_path / "F001_T1/2.png", "F001", "T1", 2, np.ones(1, np.int8), None)]
        (tmp_path / "F001_T1/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")


# --- the folder of points -------------------------------------------------------------------------------


def some_points(names: list[str], stamps: list[tuple[int, int]]) -> VideoPoints:
    count, draw = len(names), np.random.default_rng(3)
    return VideoPoints(
        names, np.array(stamps), np.ones(count, np.int8), draw.random((count, 4)), draw.random((count, 5, 2))
    )


def test_a_folder_of_other_images_is_refused(tmp_path: Path, bright: Any) -> None:
    options: dict[str, Any] = {"ordered": True, "folder": tmp_path / "c", "jobs": 1, "progress": False}

    def find(root: Path, *bright_part: tuple[int, int]) -> int:
        return find_points(scan_of(root, [picture(*bright_part)]), root, bright, **options).cached

    assert find(tmp_path / "one", (20, 30)) == 0
    assert find(tmp_path / "two", (20, 30)) == 1  # the same image elsewhere is the same image
    before = {path: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    with pytest.raises(UserError, match=r"F001_T1\.npz: the points are of other images \(F001_T1/1\.png has"):
        find(tmp_path / "two", (21, 33))
    assert before == {path: path.read_bytes() for path in (tmp_path / "c").iterdir()}
    bright.name = "dark"
    with pytest.raises(UserError, match=r"found with bright, not with dark; remove the folder .*--points"):
        find(tmp_path / "one", (20, 30))


def test_damaged_files_of_points_are_named(tmp_path: Path) -> None:
    cache = PointCache(tmp_path, "m", 5)
    good = some_points(["a", "b"], [(1, 2), (3, 4)])
    cache.put("v", good)
    again = cache.get("v", ["b"], [(3, 4)])
    assert again is not None and again.names == ["b"]
    np.testing.assert_array_equal(again.points, good.points[1:])
    assert cache.get("v", ["b", "c"], [(3, 4), (5, 6)]) is None and cache.get("w", ["b"], [(3, 4)]) is None
    data = (tmp_path / "v.npz").read_bytes()
    for content in (b"", b"no points", data[:-40]):
        (tmp_path / "v.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"v\.npz: cannot be read as points .*remove the folder"):
            cache.get("v", ["b"], [(3, 4)])
    for change in (
        {"points": np.full((2, 5, 2), np.nan)},
        {"states": np.ones(3, np.int8)},
        {"names": np.ones(2)},
    ):
        fields = {**vars(good), "names": np.array([b"a", b"b"]), "models": np.bytes_(b"m"), **change}
        np.savez(tmp_path / "v.npz", **fields)
        with pytest.raises(UserError, match="not points as drml prepare writes them"):
            cache.get("v", ["b"], [(3, 4)])


def test_names_of_videos_are_no_paths(tmp_path: Path) -> None:
    cache = PointCache(tmp_path, "m", 5)
    names = ["F001_T1", "anna b", "anna/b", "../x", "é" * 200, ".hidden"]
    paths = [cache.path(name) for name in names]
    assert len(set(paths)) == len(names) and paths[0].name == "F001_T1.npz"
    assert all(path.parent == tmp_path and len(path.name) < 120 and path.name[0] != "." for path in paths)


def test_a_stamp_tells_images_apart_by_any_part(tmp_path: Path) -> None:
    content = bytearray(np.random.default_rng(1).bytes(50000))
    (tmp_path / "x").write_bytes(content)
    first = stamp(tmp_path / "x")
    assert first[0] == 50000 and stamp(VideoFrame(tmp_path / "x", 7)) == first
    assert stamp(tmp_path / "x", FIVE) != first and stamp(tmp_path / "none") == (-1, 0)
    for at in (0, 25000, 49999):
        changed = content.copy()
        changed[at] ^= 1
        (tmp_path / "x").write_bytes(changed)
        assert stamp(tmp_path / "x") != first


# --- from the command line ------------------------------------------------------------------------------


def test_disfa_without_landmarks_is_prepared_from_its_videos(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The factory's frames are noise, in which the stand-in finds a face in all but the third."""
    root = disfa_factory.write_set(tmp_path / "disfa", 5)
    shutil.rmtree(root / "Landmark_Points")

    class Finder(BrightFaces):
        def faces(self, image: np.ndarray) -> list[Face]:
            BrightFaces.calls += 1
            return [] if disfa_factory.number_in(image) == 3 else [Face((0, 0, 60, 60), FIVE * 0.5, 1.0)]

    monkeypatch.setattr(module, "_finders", [Finder()])
    monkeypatch.setattr("drml.data.detector_points.PointFinder", Finder)
    out, cache = tmp_path / "o", tmp_path / "o.points"
    arguments = [
        "prepare",
        "disfa",
        str(root),
        str(out),
        "--jobs",
        "1",
        "-q",
        "--intensity",
        "3",
        "--points",
        "detector",
    ]
    assert cli.main(arguments) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["skipped"] == {NO_FACE_FOUND: 6}
    found = summary["registration"]
    assert (found["points"], found["frames"], found["faces"], found["cached"]) == ("detector", 30, 24, 0)
    assert "points found in 24 of 30 frames" in capfd.readouterr().err
    assert len(list(cache.iterdir())) == 6
    calls = BrightFaces.calls
    assert cli.main([*arguments, "--overwrite", "--aus", "1,2", "--points-cache", str(cache)]) == 0
    assert BrightFaces.calls == calls
    assert json.loads((out / "summary.json").read_text())["registration"]["cached"] == 30
    with pytest.raises(SystemExit, match="2"):
        cli.main([*arguments[:-2], "--points-cache", "c"])
    assert cli.main([*arguments, "--overwrite", "--points-cache", str(out / "points")]) == 1
    assert "lies in" in capfd.readouterr().err
