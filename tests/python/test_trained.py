"""drml.nets.trained and trained_files: what belongs to some weights, and the net as a callable."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny_net as tiny
from drml.data.lmdb import write_mean
from drml.data.split import load_split
from drml.evaluation import evaluate, scoring
from drml.io.errors import UserError
from drml.nets.preprocessing import read_trained_aus, transform_to_json
from drml.nets.prototxt import Transform
from drml.nets.pycaffe import new_message
from drml.nets.trained import Net
from drml.nets.trained_files import find_trained, find_weights, select_aus

ROOT = Path(__file__).resolve().parents[2]


def write_folder(folder: Path, *, aus: tuple[int, ...] = tiny.AUS, seed: int = 0) -> Path:
    """Write what a training leaves: deploy.prototxt, the weights, transform.json and the mean image."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_deploy(folder)
    tiny.write_caffemodel(folder / "drml_iter_9.caffemodel", tiny.draw_parameters(seed), scale=0.02)
    (folder / "final.caffemodel").symlink_to("drml_iter_9.caffemodel")
    transform = Transform(scale=0.02, crop_size=20, mean_file="mean.binaryproto")
    (folder / "transform.json").write_text(transform_to_json(transform, aus=aus))
    write_mean(folder / "mean.binaryproto", mean_image())
    return folder


def mean_image() -> np.ndarray:
    return np.random.default_rng(5).uniform(100, 150, (3, tiny.IMAGE, tiny.IMAGE)).astype(np.float32)


def write_snapshot(folder: Path, iteration: int) -> None:
    name = f"drml_iter_{iteration}"
    state = new_message("SolverState")
    state.iter = iteration
    state.learned_net = f"{name}.caffemodel"
    (folder / f"{name}.solverstate").write_bytes(state.SerializeToString())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("trained") / "fold1")


# --- the net --------------------------------------------------------------------------------------------


def test_a_folder_is_enough_and_gives_what_numpy_gives(folder: Path) -> None:
    net = Net(folder, batch=3)
    images = np.stack(tiny.draw_images(7))
    inputs = tiny.transform(list(images), mean_image(), 0.02)
    expected = tiny.compute(tiny.draw_parameters(), inputs)["prob"]
    found = net(images)
    assert found.shape == (7, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(net(list(images)), found)
    assert net.aus == tiny.AUS and net.input_shape == (3, 20, 20) and net.face_size == tiny.IMAGE
    assert net.preprocessing.mean_from == str(folder / "mean.binaryproto")
    assert net.preprocessing.scale == pytest.approx(0.02)
    assert net.name == str(folder / "deploy.prototxt")
    assert net(images[:0]).shape == (0, 3) and net([]).shape == (0, 3)


def test_a_file_is_enough_and_what_is_given_counts_first(folder: Path, tmp_path: Path) -> None:
    weights = tiny.write_hdf5(tmp_path / "w.h5", tiny.draw_parameters(3))
    write_mean(tmp_path / "m.binaryproto", mean_image() * 0)
    images = tiny.draw_images(2)
    net = Net(
        weights, net=folder / "deploy.prototxt", mean=tmp_path / "m.binaryproto", scale=0.5, aus=(9, 25, 26)
    )
    expected = tiny.compute(tiny.draw_parameters(3), tiny.transform(images, None, 0.5))["prob"]
    np.testing.assert_allclose(net(images), expected, atol=1e-5)
    assert net.aus == (9, 25, 26)


def test_it_takes_the_images_of_load_split(folder: Path, tmp_path: Path) -> None:
    fold, images, _, _ = tiny.write_data(tmp_path, count=4)
    X, y, _ = load_split(fold)
    np.testing.assert_array_equal(Net(folder)(X), Net(folder)(images))
    assert y.shape == (4, 3)


def test_it_scores_as_drml_score_does(folder: Path, tmp_path: Path) -> None:
    fold = tiny.write_data(tmp_path, count=12)[0]
    X, y, subjects = load_split(fold)
    net = Net(folder)
    files = find_trained(folder)
    result = scoring.score(files.net, files.weights, fold, progress=False)
    expected = result.pooled.to_dict()
    found = evaluate(y, net(X), aus=net.aus, subjects=subjects).to_dict()
    assert json.dumps(found) == json.dumps(expected)


def test_an_exported_net_gives_the_same_without_caffe(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from drml.nets.onnx_export import export

    images = np.stack(tiny.draw_images(5))
    expected = Net(folder)(images)
    files = find_trained(folder)
    mean = folder / "mean.binaryproto"
    for name, inside in (("whole.onnx", mean), ("bare.onnx", None)):
        path = tmp_path / name
        export(files.net, files.weights, path, mean=inside, aus=tiny.AUS, progress=False, probe=False)
    np.testing.assert_allclose(Net(tmp_path / "bare.onnx", mean=mean)(images), expected, atol=1e-5)
    whole = Net(tmp_path / "whole.onnx")
    assert whole.face_size == tiny.IMAGE and whole.aus == tiny.AUS
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np\n"
        "from drml.nets.trained import Net\n"
        "assert 'caffe' not in sys.modules\n"
        "np.save(sys.argv[2], Net(sys.argv[1])(np.load(sys.argv[3])))\n"
        "assert 'caffe' not in sys.modules\n"
    )
    arguments = [str(tmp_path / name) for name in ("whole.onnx", "found.npy", "images.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-5)
    for path, options, message in (
        ("bare.onnx", {}, "has no mean image inside; give --mean"),
        ("bare.onnx", {"mean": mean, "scale": 0.0}, "scale"),
        ("whole.onnx", {"scale": 2.0}, "has mean and scale inside; leave --mean and --scale out"),
        ("whole.onnx", {"net": files.net}, "is net and weights in one; leave --net out"),
        ("whole.onnx", {"aus": (1, 2)}, r"3 outputs, but 2 AUs given \(AU1, AU2\)"),
        ("none.onnx", {}, "no such file; give what drml export-onnx wrote"),
    ):
        with pytest.raises(UserError, match=message):
            Net(tmp_path / path, **options)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((24, 24, 3), np.uint8),
            "images of shape 24x24x3 do not fit .*; give an array of N x height",
        ),
        (np.zeros((2, 24, 24, 3), np.float32), "images of type float32 do not fit .*; give uint8"),
        (np.zeros((2, 16, 24, 3), np.uint8), "an image of 16x24 with 3 channels does not fit"),
        (np.zeros((2, 24, 24, 1), np.uint8), "an image of 24x24 with 1 channels does not fit"),
        (np.zeros((2, 30, 30, 3), np.uint8), "the mean image is 24x24, but the images are 30x30"),
    ],
)
def test_images_that_do_not_fit_are_refused(folder: Path, images: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Net(folder)(images)


def test_outputs_that_are_no_probabilities_are_refused(folder: Path, tmp_path: Path) -> None:
    parameters = tiny.draw_parameters()
    parameters["fc10"][1][1] = np.nan
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters)
    net = Net(weights, net=folder / "deploy.prototxt", mean=folder / "mean.binaryproto", aus=tiny.AUS)
    with pytest.raises(UserError, match="output 1 is nan, which is not a probability; the training"):
        net(tiny.draw_images(1))


def test_a_net_without_probabilities_is_refused(folder: Path, tmp_path: Path) -> None:
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(tiny.deploy_text().replace('top: "prob"', 'top: "p"'))
    with pytest.raises(UserError, match="no blob 'prob' with the probabilities"):
        Net(folder, net=deploy)
    with pytest.raises(UserError, match="batch 0: give 1 or more"):
        Net(folder, batch=0)


# --- the files ------------------------------------------------------------------------------------------


def test_the_final_weights_come_first_and_then_the_newest_whole_snapshot(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t")
    for iteration in (5, 10, 20):
        write_snapshot(folder, iteration)
        if iteration < 20:  # The weights of the last snapshot are missing: it is not whole.
            tiny.write_caffemodel(folder / f"drml_iter_{iteration}.caffemodel", tiny.draw_parameters())
    assert find_weights(folder) == folder / "final.caffemodel"
    (folder / "drml_iter_9.caffemodel").unlink()  # The link leads nowhere.
    assert find_weights(folder) == folder / "drml_iter_10.caffemodel"
    tiny.write_hdf5(folder / "final.caffemodel.h5", tiny.draw_parameters())
    assert find_weights(folder) == folder / "final.caffemodel.h5"
    assert Net(folder).aus == tiny.AUS


def test_a_path_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "holds neither final.caffemodel nor a whole snapshot; give the folder of a training"),
        (tmp_path / "none.caffemodel", "no such weights file; give a .caffemodel or .h5, or the folder"),
        (folder / "deploy.prototxt", "not a .caffemodel"),
    ):
        with pytest.raises(UserError, match=f"{path}: {message}"):
            Net(path)
    with pytest.raises(UserError, match="an ONNX file, where Caffe"):
        find_trained(tmp_path / "a.onnx")


def test_the_net_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights = folder / "final.caffemodel"
    assert find_trained(weights).net == folder / "deploy.prototxt"
    assert find_trained(folder).net == folder / "deploy.prototxt"
    assert find_trained(weights, "other.prototxt").net == Path("other.prototxt")
    alone = tmp_path / "w.caffemodel"
    assert find_trained(alone).net == ROOT / "models/drml/deploy.prototxt"
    (tmp_path / "models/drml").mkdir(parents=True)
    (tmp_path / "models/drml/deploy.prototxt").write_text("")
    assert find_trained(alone).net == Path("models/drml/deploy.prototxt")


def test_the_aus_are_those_of_the_training(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t", aus=(4, 9, 25))
    assert find_trained(folder).training_aus() == (4, 9, 25) == Net(folder).aus
    assert Net(folder, aus=(1, 2, 6)).aus == (1, 2, 6)
    # Older trainings wrote no AUs; the manifest of their data has them.
    transform = Transform(scale=0.02, mean_file="mean.binaryproto")
    (folder / "transform.json").write_text(transform_to_json(transform))
    assert find_trained(folder).training_aus() is None
    with pytest.raises(UserError, match="which AUs its 3 outputs are is unknown; name them with --aus"):
        Net(folder)
    fold = tiny.write_data(tmp_path / "data", split="train", aus=(9, 25, 26))[0]
    tiny.write_solver(folder)
    net = folder / "train_val.prototxt"
    net.write_text(net.read_text().replace("data/drml/fold1", str(fold)))
    assert find_trained(folder).training_aus() == (9, 25, 26) == Net(folder).aus


def test_the_aus_of_damaged_files_are_refused(tmp_path: Path) -> None:
    for text in ('{"aus": [1, 1]}', '{"aus": ["1"]}', '{"aus": 3}', '{"aus": [[1]]}', '{"aus": [-4]}', "[]"):
        (tmp_path / "transform.json").write_text(text)
        with pytest.raises(UserError, match="not a transform that drml train wrote"):
            read_trained_aus(tmp_path / "w.h5")
    assert read_trained_aus(tmp_path / "other" / "w.h5") is None


def test_aus_must_be_as_many_as_the_outputs() -> None:
    assert select_aus("n", 12)[-1] == 24 and select_aus("n", 8)[-1] == 26
    assert select_aus("n", 12, trained=(1, 2))[-1] == 24
    with pytest.raises(UserError, match=r"n: 3 outputs, but 2 AUs given \(AU1, AU2\)"):
        select_aus("n", 3, (1, 2))
