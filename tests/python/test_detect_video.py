"""drml detect on videos and webcams: frames, times, ids, damaged files, memory."""

from __future__ import annotations

import time
import weakref
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import detect_data as data
import tiny_net as tiny
from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.face_following import Box
from drml.data.lmdb import read_mean
from drml.detect import Detector, Outputs, pipeline


def test_a_video_gives_a_row_for_each_frame(run_detect: Any, detect_weights: Path, tmp_path: Path) -> None:
    frames = list(data.moving(27))
    frames[7] = frames[8] = np.full_like(frames[0], 110)
    path = data.write_video(tmp_path / "clip.avi", frames, codec="MJPG")
    done = run_detect(path, batch=7, search_every=1)
    table = pd.read_csv(tmp_path / "out/clip.csv")
    assert list(table) == [*data.FIXED, *data.POINTS, *data.AUS]
    assert table.frame.tolist() == list(range(1, 28))
    assert np.allclose(table.timestamp, np.arange(27) / 25, atol=0.001)
    assert table.success.tolist() == [0 if index in (7, 8) else 1 for index in range(27)]
    assert not table.iloc[7].drop(["frame", "timestamp"]).any()
    assert (table.face_id == 0).all(), "a face that is lost for two frames keeps its number"
    assert done.frames == 27 and done.faces == 25
    # The rows are those of their frames.
    mean = read_mean(detect_weights.with_name("mean.binaryproto"))
    capture = cv2.VideoCapture(str(path))
    for index in range(27):
        image = capture.read()[1]
        if index in (0, 13, 26):
            points, probabilities = data.expected(image, tiny.draw_parameters(), mean)
            assert np.allclose(table.iloc[index][data.POINTS].to_numpy(float), points.T.ravel(), atol=0.006)
            assert np.allclose(table.iloc[index][data.AUS[3:]].to_numpy(float), probabilities, atol=2e-5)


def test_faces_of_a_video_keep_their_numbers(run_detect: Any, tmp_path: Path) -> None:
    # The one on the left leaves for three frames; the other one becomes the first that is found.
    frames = [
        data.frame(
            [(20 + 2 * i, 20), (320 - 2 * i, 30)] if i not in (5, 6, 7) else [(320 - 2 * i, 30)], (560, 240)
        )
        for i in range(12)
    ]
    run_detect(data.write_video(tmp_path / "two.mp4", frames))
    table = pd.read_csv(tmp_path / "out/two.csv")
    left = table[table.x_0 < 250]
    right = table[table.x_0 >= 250]
    assert len(left) == 9 and len(right) == 12
    assert left.face_id.nunique() == right.face_id.nunique() == 1
    assert set(left.face_id) | set(right.face_id) == {0, 1}


def test_videos_and_pictures_have_tables_of_their_own(run_detect: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        data.write_video(tmp_path / folder / "clip.mp4", list(data.moving(3)))
    data.write_video(tmp_path / "b" / "clip.avi", list(data.moving(2)), codec="MJPG")
    data.write_video(tmp_path / "a" / "images.avi", list(data.moving(4)), codec="MJPG")
    cv2.imwrite(str(tmp_path / "a" / "x.png"), data.astronaut())
    done = run_detect(tmp_path / "a", tmp_path / "b", tmp_path / "b/clip.avi")
    names = [path.name for path in done.tables]
    assert names == ["images.csv", "clip.csv", "images_2.csv", "clip_2.csv", "clip_3.csv"]
    assert [entry["input"] for entry in done.inputs][3] == str(tmp_path / "b/clip.avi")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    assert [len(pd.read_csv(path)) for path in done.tables] == [1, 3, 4, 2, 3]


def test_an_animated_gif_is_a_video_with_its_own_times(run_detect: Any, tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture[:, :, ::-1]) for picture in data.moving(5)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 400, 50, 200, 100]
    )
    run_detect(tmp_path / "a.gif")
    table = pd.read_csv(tmp_path / "out/a.csv")
    assert np.allclose(table.timestamp, [0, 0.1, 0.5, 0.55, 0.75])
    assert table.success.all()


def test_a_video_of_a_phone_held_upright_is_upright(run_detect: Any, tmp_path: Path) -> None:
    frames = [cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE) for picture in data.moving(3)]
    path = data.write_video(tmp_path / "phone.mp4", frames)
    run_detect(path)
    table = pd.read_csv(tmp_path / "out/phone.csv")
    assert table.success.all() and (table.y_0 > table.y_1).all() and (table.x_0 < table.x_3).all()
    data.turn_video(path)
    run_detect(path, overwrite=True, draw=tmp_path / "drawn")
    table = pd.read_csv(tmp_path / "out/phone.csv")
    assert table.success.all() and (table.x_0 < table.x_1).all() and (table.y_0 < table.y_3).all()
    capture = cv2.VideoCapture(str(tmp_path / "drawn/phone.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) > capture.get(cv2.CAP_PROP_FRAME_HEIGHT)


def test_a_video_that_breaks_off_gives_the_rows_it_has_and_a_note(
    run_detect: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.write_video(tmp_path / "cut.avi", list(data.moving(30)), codec="MJPG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    done = run_detect(path)
    table = pd.read_csv(tmp_path / "out/cut.csv")
    assert 5 < len(table) < 25 and not done.failed
    note = f"ends after {len(table)} frames, its header says 30"
    assert done.inputs[0]["note"] == note
    assert capsys.readouterr().err == f"note: {path}: {note}\n"


def test_a_damaged_frame_is_a_row_without_success(run_detect: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "bad.avi", list(data.moving(12)), codec="MJPG")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"movi") + 4
    for _ in range(5):
        at += 8 + (length := int.from_bytes(raw[at + 4 : at + 8], "little")) + length % 2
    length = int.from_bytes(raw[at + 4 : at + 8], "little")
    raw[at + 8 : at + 8 + length] = bytes(length)
    path.write_bytes(raw)
    done = run_detect(path, draw=tmp_path / "drawn")
    table = pd.read_csv(tmp_path / "out/bad.csv")
    assert table.success.tolist() == [1] * 5 + [0] + [1] * 6
    assert table.frame.tolist() == list(range(1, 13))
    assert np.allclose(table.timestamp, np.arange(12) / 25, atol=0.001)
    assert done.inputs[0]["note"] == "1 of 12 frames are damaged (rows with success 0)"
    assert cv2.VideoCapture(str(tmp_path / "drawn/bad.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 12


def test_what_is_no_video_is_reported_and_the_others_are_processed(
    run_detect: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mov").write_bytes(b"no video at all" * 999)
    (tmp_path / "odd.dat").write_bytes(b"\x00" * 999)
    whole = data.write_video(tmp_path / "good.mp4", list(data.moving(3)))
    # The table of contents, at the end of the file, is gone.
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:4000])
    names = ["empty.mp4", "text.mov", "odd.dat", "cut.mp4"]
    done = run_detect(*(tmp_path / name for name in names), whole)
    assert [entry["input"] for entry in done.failed] == [str(tmp_path / name) for name in names]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all("cannot be read as a video" in line for line in lines)
    assert [path.name for path in done.tables] == ["good.csv"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.csv"]


def test_max_frames_ends_each_video(run_detect: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(9)))
    done = run_detect(path, max_frames=4)
    assert len(pd.read_csv(tmp_path / "out/clip.csv")) == 4
    assert done.inputs[0]["note"] is None


@pytest.mark.parametrize("drawn", [False, True])
def test_memory_does_not_grow_with_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: bool
) -> None:
    path = data.write_video(tmp_path / "long.mp4", list(data.moving(20)) * 10)
    monkeypatch.setattr(pipeline, "_IMAGE_BYTES", 12 * 320 * 240 * 3)
    pictures: list[weakref.ref[Any]] = []
    alive = []

    class Counting(FaceDetector):
        def find(self, image: np.ndarray) -> list[Face]:
            pictures.append(weakref.ref(image))
            alive.append(sum(picture() is not None for picture in pictures))
            points = np.array([[80, 80], [110, 80], [95, 95], [85, 110], [105, 110]], float)
            return [Face((60.0, 60.0, 70.0, 80.0), points, 0.9)]

        def find_within(self, image: np.ndarray, box: Box, *, upright: bool = False) -> list[Face]:
            return self.find(image)

    outputs = Outputs(tmp_path / "out", tmp_path / "out" if drawn else None)
    detector = Detector(data.ConstantNet(0.5), batch=100)
    detector.face_detector = Counting()
    data.write([path], detector, outputs)
    assert len(alive) == 200
    # Kept for a batch where they are drawn on, what the queues hold, and those up to the next whole search.
    assert max(alive) <= (28 if drawn else 12)


class FakeCamera:
    """Stands for a webcam that gives so many frames."""

    def __init__(self, frames: int) -> None:
        self.left = frames

    def isOpened(self) -> bool:
        return True

    def get(self, _: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        time.sleep(0.01)
        return (True, data.frame([(30, 20)])) if self.left >= 0 else (False, None)

    def release(self) -> None:
        pass


def test_a_webcam_is_a_video(run_detect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera(7) if number == 3 else None)
    monkeypatch.chdir(tmp_path)
    run_detect("3")
    table = pd.read_csv(tmp_path / "out/camera3.csv")
    assert len(table) == 7 and table.success.all()
    assert (table.timestamp.diff().dropna() >= 0.008).all()


def test_a_webcam_that_is_not_there_is_reported(run_detect: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_detect("97").failed == [{"input": "97", "fault": "no webcam of this number can be opened"}]
