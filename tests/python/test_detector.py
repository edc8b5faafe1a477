"""Detector: photos, videos, folders and arrays become a DataFrame with the columns of the CSV files."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import detect_data as data
import tiny_net as tiny
from drml.detect import Detector, Outputs, write_detections
from drml.detect.table import columns, data_frame
from drml.io.errors import UserError


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data.write_weights(tmp_path_factory.mktemp("net"))


@pytest.fixture(scope="module")
def detector(weights: Path) -> Detector:
    return Detector(weights, aus=tiny.AUS)


def test_a_table_has_the_values_of_the_csv_files(detector: Detector, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    two = data.frame([(10, 10)], size=(640, 360))
    two[200:320, 400:520] = data.frame([(0, 0)], size=(120, 120), side=120)
    cv2.imwrite(str(folder / "a.png"), two)
    cv2.imwrite(str(folder / "b.png"), np.full((90, 120, 3), 80, np.uint8))
    clip = data.write_video(folder / "c.mp4", list(data.moving(5)))
    write_detections([str(folder)], detector, Outputs(tmp_path / "out"), progress=False)
    images, video = pd.read_csv(tmp_path / "out/images.csv"), pd.read_csv(tmp_path / "out/c.csv")
    assert len(images) == 3 and images.success.tolist() == [1, 1, 0] and len(video) == 5

    table = detector(folder)
    assert list(table) == columns(tiny.AUS, with_input=True)
    pd.testing.assert_frame_equal(table[:3], images)
    pd.testing.assert_frame_equal(table[3:].drop(columns="input").reset_index(drop=True), video)
    assert (table.input[3:] == str(clip)).all()
    # One at a time, as text or as a path; in a list, in its order.
    pd.testing.assert_frame_equal(detector(str(folder / "a.png")), images[:2])
    both = detector([clip, folder / "a.png"], max_frames=2)
    assert both.frame.tolist() == [1, 2, 1, 1]
    pd.testing.assert_frame_equal(both[:2], detector(clip, max_frames=2))
    pd.testing.assert_frame_equal(both[2:].reset_index(drop=True), images[:2])


def test_an_array_gives_what_its_file_gives(detector: Detector, tmp_path: Path) -> None:
    photo = data.astronaut()
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), photo)
    expected = detector(path).drop(columns="input")
    found = detector(photo)
    assert found.input.tolist() == ["array 0"]
    pd.testing.assert_frame_equal(found.drop(columns="input"), expected)
    # A view whose memory is in another order, beside a file.
    found = detector([path, np.asfortranarray(photo)])
    assert found.input.tolist() == [str(path), "array 1"]
    pd.testing.assert_frame_equal(found[1:].drop(columns="input").reset_index(drop=True), expected)


def test_the_threshold_and_the_largest_face(weights: Path) -> None:
    two = data.frame([(10, 10)], size=(640, 360))
    two[200:320, 400:520] = data.frame([(0, 0)], size=(120, 120), side=120)
    table = Detector(weights, aus=tiny.AUS, threshold=0.0, largest=True)(two)
    assert len(table) == 1 and table.filter(regex="_c$").all(axis=None)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"threshold": 1.5}, r"threshold 1\.5: give a probability"),
        ({"min_confidence": -1}, "min_confidence -1: give a probability"),
        ({"batch": 0}, "batch 0: give 1 or more"),
        ({"size": 0}, "size 0: give 16 or more"),
        ({"detect_size": 8}, "detect_size 8: give 32 or more"),
        ({"search_every": 0}, "search_every 0: give 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(weights: Path, options: dict[str, float], error: str) -> None:
    with pytest.raises(UserError, match=f"^{error}"):
        Detector(weights, aus=tiny.AUS, **options)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (np.zeros((40, 30), np.uint8), "uint8 of shape 40x30"),
        (np.zeros((40, 30, 3)), "float64 of shape 40x30x3"),
        (np.zeros((40, 30, 4), np.uint8), "uint8 of shape 40x30x4"),
        (np.zeros((0, 30, 3), np.uint8), "uint8 of shape 0x30x3"),
    ],
)
def test_arrays_that_are_no_bgr_images_are_refused(detector: Detector, image: np.ndarray, shape: str) -> None:
    with pytest.raises(UserError, match=f"^array 1: {shape}; give an image of height x width x 3, uint8"):
        detector([data.astronaut(), image])


def test_what_cannot_be_read_is_an_error_alone_and_a_warning_among_others(
    detector: Detector, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"a\.png: the image cannot be decoded"):
        detector(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"b\.mp4: cannot be read as a video"):
        detector(tmp_path / "b.mp4")
    with pytest.raises(UserError, match=r"none\.png: no such file or folder"):
        detector([data.astronaut(), tmp_path / "none.png"])
    with pytest.raises(UserError, match=r"None: give an image, a video, a folder, an array"):
        detector(None)  # type: ignore[arg-type]  # wrong on purpose
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = detector([data.astronaut(), tmp_path])
    assert [Path(str(one.message).split(":")[0]).name for one in caught] == ["a.png", "b.mp4"]
    assert {one.filename for one in caught} == {__file__}
    assert table.input.tolist() == ["array 0"]


def test_a_webcam_needs_an_end(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="webcam 3: give max_frames"):
        detector(3)
    with pytest.raises(UserError, match="max_frames 0: give 1 or more"):
        detector(3, max_frames=0)

    class Camera:
        def isOpened(self) -> bool:
            return True

        def get(self, _: int) -> float:
            return 30.0

        def read(self) -> tuple[bool, np.ndarray]:
            return True, data.frame([(30, 20)])

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: {3: Camera()}[number])
    table = detector(3, max_frames=4)
    assert table.frame.tolist() == [1, 2, 3, 4] and table.success.all() and (table.face_id == 0).all()


def test_no_rows_have_the_types_of_rows() -> None:
    row = ["a.png", *["0"] * (len(columns((1, 12), True)) - 1)]
    pd.testing.assert_series_equal(data_frame([], (1, 12)).dtypes, data_frame([row], (1, 12)).dtypes)
    many = data_frame(iter([row] * 2500), (1, 12))
    assert len(many) == 2500 and many.index.tolist() == list(range(2500))


def test_the_example_prints_a_table(weights: Path, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples/detect.py"
    assert len(example.read_text(encoding="utf-8").splitlines()) < 40
    aus = (1, 2, 4, 6, 9, 12, 25, 26)
    trained = data.change_recipe(data.write_weights(tmp_path / "train", outputs=8), au=aus)
    photo, empty = tmp_path / "photo.png", tmp_path / "empty.png"
    cv2.imwrite(str(photo), data.astronaut())
    cv2.imwrite(str(empty), np.full((90, 120, 3), 80, np.uint8))
    expected = Detector(trained)(photo).iloc[0]
    for path, lines in ((photo, 3), (empty, 1)):
        command = [sys.executable, str(example), str(trained), str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert len(result.stdout.splitlines()) == lines
        if path == photo:
            header, row, labels = result.stdout.splitlines()
            values = dict(zip(header.split(), row.split(), strict=True))
            assert float(values["AU25_p"]) == expected.AU25_p and float(values["x_2"]) == expected.x_2
            present = [f"AU{au}" for au in aus if expected[f"AU{au:02d}_c"]]
            assert labels == f"face 0: {', '.join(present) or 'no AU'}"
        else:
            assert result.stdout == f"{empty}: no face found\n"
