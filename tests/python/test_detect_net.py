"""What belongs to the net and to the face detector of drml detect: their files, settings and errors."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

import detect_data as data
import tiny_net as tiny
from drml import cli
from drml.data.face_detector import FaceDetector
from drml.data.lmdb import read_mean, write_mean
from drml.data.recipe import InputRecipe, Recipe
from drml.detect import Detector, Outputs
from drml.io.errors import UserError
from drml.nets.recipe import write_recipe
from drml.nets.trained import Net


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    weights = data.write_weights(tmp_path / "net", outputs=8)
    tiny.write_deploy(tmp_path / "net", 12)
    with pytest.raises(UserError, match="layer 'fc10' has shape 8x6 in blob 0"):
        Detector(weights)


def test_aus_must_be_those_of_the_outputs(detect_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"3 outputs, but 2 AUs given \(AU1, AU2\)"):
        Detector(detect_weights, aus=(1, 2))
    assert Detector(detect_weights).aus == tiny.AUS
    # Not even as many outputs as BP4D or DISFA has AUs say which they are.
    eight = data.write_weights(tmp_path / "eight", outputs=8)
    with pytest.raises(UserError, match=r"carries no recipe, .* name them with --aus"):
        Detector(eight)
    write_recipe(eight, Recipe(au=(4, 5, 6, 9, 12, 17, 20, 25)))
    assert Detector(eight).aus == (4, 5, 6, 9, 12, 17, 20, 25)
    assert Detector(eight, aus=range(1, 9)).aus == tuple(range(1, 9))


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
    with pytest.raises(UserError, match=r"m.binaryproto: a mean image of 24x24, but the images are 30x30"):
        Detector(weights, aus=tiny.AUS, mean=tmp_path / "m.binaryproto", size=30)


def test_a_folder_of_a_training_is_enough(detect_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "train"
    shutil.copytree(detect_weights.parent, folder)
    (folder / detect_weights.name).rename(folder / "final.caffemodel")
    mean = read_mean(folder / "mean.binaryproto")
    recipe = Recipe(au=(4, 6, 12), input=InputRecipe(scale=0.02, mean=mean))
    write_recipe(folder / "final.caffemodel", recipe)
    cv2.imwrite(str(tmp_path / "photo.png"), data.astronaut())
    detector = Detector(folder)
    assert detector.aus == (4, 6, 12)
    expected = Detector(detect_weights, aus=(4, 6, 12))(tmp_path / "photo.png")
    pd.testing.assert_frame_equal(detector(tmp_path / "photo.png"), expected)


def test_an_exported_net_gives_what_caffe_gives(
    detect_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, deploy, mean = (
        tmp_path / "photo.png",
        detect_weights.with_name("deploy.prototxt"),
        detect_weights.with_name("mean.binaryproto"),
    )
    cv2.imwrite(str(photo), data.astronaut())

    def table(out: str, *arguments: str) -> pd.DataFrame:
        command = ["detect", str(photo), "--out", str(tmp_path / out), "-q", *arguments]
        assert cli.main(command) == 0, capsys.readouterr().err
        return pd.read_csv(tmp_path / out / "images.csv").drop(columns="input")

    caffe = table("caffe", "--weights", str(detect_weights), "--aus", "1,2,4")
    files = {}
    for name, options in (("whole", ["--mean", str(mean)]), ("bare", [])):
        files[name] = tmp_path / f"{name}.onnx"
        arguments = ["--net", str(deploy), "--weights", str(detect_weights), "--aus", "1,2,4", *options]
        assert cli.main(["export-onnx", *arguments, "--out", str(files[name]), "-q"]) == 0
    for found in (
        table("whole", "--weights", str(files["whole"])),
        table("bare", "--weights", str(files["bare"]), "--mean", str(mean)),
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
        assert cli.main(["detect", str(photo), "--out", str(tmp_path / "o"), "--weights", *arguments]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    with pytest.raises(SystemExit) as wrong:
        cli.main(["detect", str(photo), "--weights", str(files["whole"]), "--net", str(deploy)])
    assert wrong.value.code == 2
    assert "whole.onnx: an .onnx file contains the net; leave --net out" in capsys.readouterr().err


def test_any_net_will_do_and_gets_whole_batches(tmp_path: Path) -> None:
    net = data.ConstantNet(0.625)
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(20)))
    data.write([path], Detector(net, batch=8), Outputs(tmp_path))
    shape = (24, 24, 3)
    assert net.batches == [(1, *shape), (8, *shape), (8, *shape), (4, *shape)], "one face to try the net"
    assert (pd.read_csv(tmp_path / "clip.csv")[data.AUS[3:]] == 0.625).all().all()
    assert Detector(net, size=40).size == 40 and net.batches[-1] == (1, 40, 40, 3)
    with pytest.raises(UserError, match="net, mean, scale and aus go with the path of weights"):
        Detector(net, aus=(1, 2, 4))


def test_an_output_that_is_no_probability_ends_it_and_leaves_no_csv(
    detect_net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector(detect_net)
    monkeypatch.setattr(
        detect_net._runner, "predict", lambda batch: np.full((len(batch), 3), np.nan, np.float32)
    )
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(3)))
    with pytest.raises(UserError, match=r"deploy\.prototxt: output 0 is nan, which is not a probability"):
        data.write([path], detector, Outputs(tmp_path / "out"))
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_is_not_the_detectors_model_is_an_error(tmp_path: Path) -> None:
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
