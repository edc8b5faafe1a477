"""drml detect: the faces of photos, their AUs, and the pictures and tables that it writes."""

from __future__ import annotations

import json
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
from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.lmdb import read_mean
from drml.detect import Detector, Outputs
from drml.io.errors import UserError
from drml.nets.trained import Net


def test_a_photo_gives_its_face_and_the_probabilities_of_the_net(
    run_detect: Any, detect_weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), data.astronaut())
    done = run_detect(path)
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert list(table) == ["input", *data.FIXED, *data.POINTS, *data.AUS]
    assert len(table) == 1 and done.faces == done.frames == 1
    row = table.iloc[0]
    assert (row.input, row.frame, row.face_id, row.timestamp, row.success) == (str(path), 1, 0, 0, 1)
    assert 0.8 < row.confidence <= 1
    # Known by eye.
    assert abs(row.x_0 - 200) < 4 and abs(row.y_0 - 102) < 4
    assert abs(row.x_1 - 247) < 4 and abs(row.y_1 - 103) < 4
    points, probabilities = data.expected(
        data.astronaut(), tiny.draw_parameters(), read_mean(detect_weights.with_name("mean.binaryproto"))
    )
    assert np.allclose(row[data.POINTS].to_numpy(float), points.T.ravel(), atol=0.006)
    assert np.allclose(row[data.AUS[3:]].to_numpy(float), probabilities, atol=2e-5)
    assert np.array_equal(row[data.AUS[:3]].to_numpy(int), (probabilities >= 0.5).astype(int))


def test_the_threshold_decides_the_labels(run_detect: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), data.astronaut())
    run_detect(path)
    values = pd.read_csv(tmp_path / "out/images.csv").iloc[0][data.AUS[3:]].to_numpy(float)
    middle = float(np.sort(values)[1])
    for threshold, labels in ((0.0, values >= 0), (middle, values >= middle), (1.0, values >= 1)):
        run_detect(path, overwrite=True, threshold=threshold)
        table = pd.read_csv(tmp_path / "out/images.csv")
        assert np.array_equal(table.iloc[0][data.AUS[:3]].to_numpy(int), labels.astype(int))


def test_faces_of_a_picture_are_numbered_by_size(run_detect: Any, tmp_path: Path) -> None:
    picture = data.frame([(10, 10)], size=(640, 360))
    small = data.frame([(0, 0)], size=(120, 120), side=120)
    picture[200:320, 400:520] = small
    cv2.imwrite(str(tmp_path / "two.png"), picture)
    run_detect(tmp_path / "two.png")
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert table.face_id.tolist() == [0, 1]
    assert table.x_0[0] < 200 < table.x_0[1]
    run_detect(tmp_path / "two.png", overwrite=True, largest=True)
    assert len(pd.read_csv(tmp_path / "out/images.csv")) == 1
    run_detect(tmp_path / "two.png", overwrite=True, min_confidence=0.999)
    assert pd.read_csv(tmp_path / "out/images.csv").success.tolist() == [0]


def test_a_large_photo_is_scaled_down_and_its_points_are_scaled_back(run_detect: Any, tmp_path: Path) -> None:
    large = cv2.resize(data.astronaut(), (2160, 2160), interpolation=cv2.INTER_CUBIC)
    wide = np.full((2160, 3840, 3), 90, np.uint8)
    wide[:, 1680:] = large
    cv2.imwrite(str(tmp_path / "4k.jpg"), wide)
    run_detect(tmp_path / "4k.jpg")
    row = pd.read_csv(tmp_path / "out/images.csv").iloc[0]
    scale = 2160 / 512
    assert abs(row.x_0 - (1680 + 200 * scale)) < 4 * scale and abs(row.y_1 - 103 * scale) < 4 * scale


def test_all_kinds_of_image_files_give_the_same_face(run_detect: Any, tmp_path: Path) -> None:
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
    exif = Image.Exif()
    exif[0x0112] = 6
    for ending in ("jpg", "tiff", "webp"):
        rgb.transpose(Image.Transpose.ROTATE_90).save(folder / f"turned.{ending}", quality=95, exif=exif)
    done = run_detect(folder)
    assert not done.failed
    table = pd.read_csv(tmp_path / "out/images.csv")
    assert len(table) == 9 and table.success.all()
    assert (abs(table.x_0 - 200) < 4).all() and (abs(table.y_0 - 102) < 4).all()
    assert (abs(table.x_1 - 247) < 4).all() and (abs(table.x_4 - 239) < 5).all()


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_processed(
    detect_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
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
    given = ["detect", "-q", str(folder), "--weights", str(detect_weights), "--aus", "1,2,4"]
    assert cli.main([*given, "--out", str(out), "--json"]) == 1
    captured = capfd.readouterr()
    lines = captured.err.splitlines()
    assert lines[:-1] == [
        f"skipped: {folder}/b1.jpg: the JPEG is truncated",
        f"skipped: {folder}/b2.png: the image has zero bytes",
        f"skipped: {folder}/b3.png: the image cannot be decoded (damaged, not an image, or of an unusual"
        " format); if other programs show it, convert it to PNG",
        f"skipped: {folder}/b4.jpg: no such image",
    ]
    assert lines[-1] == (
        f"drml: error: {folder}/b1.jpg: the JPEG is truncated; 4 of 6 inputs could not be read,"
        " the others were processed"
    )
    told = json.loads(captured.out)
    assert [entry["input"] for entry in told["inputs"]] == [f"{folder}/a.jpg", f"{folder}/sub/c.jpg"]
    assert len(told["failed"]) == 4 and told["faces"] == 2 and told["aus"] == [1, 2, 4]
    assert pd.read_csv(out / "images.csv").input.tolist() == [f"{folder}/a.jpg", f"{folder}/sub/c.jpg"]


def test_a_face_whose_points_lie_outside_has_no_success(detect_net: Net, tmp_path: Path) -> None:
    class Outside(FaceDetector):
        def find(self, image: np.ndarray) -> list[Face]:
            found = super().find(image)
            return [*found, *(Face(face.box, face.points + 600, 0.75) for face in found)]

    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    detector = Detector(detect_net)
    detector.face_detector = Outside()
    data.write([tmp_path / "a.png"], detector, Outputs(tmp_path, tmp_path / "d"))
    table = pd.read_csv(tmp_path / "images.csv")
    assert table.success.tolist() == [1, 0] and table.confidence[1] == 0.75
    assert not table.iloc[1][data.AUS].any() and table.iloc[0][data.AUS[3:]].all()


def test_pictures_and_faces_are_written(run_detect: Any, tmp_path: Path) -> None:
    (tmp_path / "p/sub").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "p/sub/photo.jpg"), data.astronaut())
    data.write_video(tmp_path / "p/clip.mp4", list(data.moving(6)))
    drawn, aligned = tmp_path / "drawn", tmp_path / "faces"
    run_detect(tmp_path / "p", draw=drawn, aligned=aligned)
    image = cv2.imread(str(drawn / "sub/photo.jpg"))
    assert image.shape[0] >= 512 and image.shape[1] > 512 + 250
    capture = cv2.VideoCapture(str(drawn / "clip.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 6 and capture.get(cv2.CAP_PROP_FPS) == 25
    names = sorted(str(path.relative_to(aligned)) for path in aligned.rglob("*.png"))
    assert names == [*(f"clip/{n:06d}_face_0.png" for n in range(1, 7)), "sub/photo_face_0.png"]
    face = cv2.imread(str(aligned / "sub/photo_face_0.png"))
    assert face.shape == (tiny.IMAGE, tiny.IMAGE, 3)
    assert not list(tmp_path.rglob("*partial*"))


def test_existing_files_are_replaced_only_on_request(run_detect: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    run_detect(tmp_path / "a.png", draw=tmp_path / "d")
    with pytest.raises(UserError, match=r"images\.csv: exists; choose another folder, or replace it"):
        run_detect(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"d/a\.png: exists"):
        run_detect(tmp_path / "a.png", draw=tmp_path / "d", out=tmp_path / "other")
    # A folder searched again does not give its own results.
    run_detect(tmp_path, out=tmp_path / "out", draw=tmp_path / "d", overwrite=True)
    assert len(pd.read_csv(tmp_path / "out/images.csv")) == 1
