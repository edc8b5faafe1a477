"""drml.nets.trained and trained_files: what belongs to some weights, and the net as a callable."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tiny_net as tiny
from drml.data.lmdb import write_mean
from drml.data.recipe import InputRecipe, Recipe
from drml.data.split import load_split
from drml.evaluation import evaluate, scoring
from drml.io.errors import UserError
from drml.nets.pycaffe import new_message
from drml.nets.recipe import write_recipe
from drml.nets.trained import Net
from drml.nets.trained_files import find_trained, find_weights, resolve_aus

ROOT = Path(__file__).resolve().parents[2]


def write_folder(folder: Path, *, aus: tuple[int, ...] = tiny.AUS, seed: int = 0) -> Path:
    """Write what a training leaves: deploy.prototxt, and the weights with their recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_deploy(folder)
    weights = folder / "drml_iter_9.caffemodel"
    tiny.write_caffemodel(weights, tiny.draw_parameters(seed), scale=0.02)
    write_recipe(weights, Recipe(au=aus, input=InputRecipe(crop_size=20, scale=0.02, mean=mean_image())))
    (folder / "final.caffemodel").symlink_to("drml_iter_9.caffemodel")
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
    assert net.preprocessing.mean_from == "image, recipe in the weights"
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
    mean = tmp_path / "mean.binaryproto"
    write_mean(mean, mean_image())
    quiet = {"progress": False, "probe": False}
    for name, fold in (("whole.onnx", True), ("bare.onnx", False)):
        export(files.net, files.weights, tmp_path / name, fold=fold, **quiet)
    for options in ({}, {"mean": mean}):
        np.testing.assert_allclose(Net(tmp_path / "bare.onnx", **options)(images), expected, atol=1e-5)
    stock = tiny.write_caffemodel(tmp_path / "stock.caffemodel", tiny.draw_parameters(), scale=0.02)
    export(files.net, stock, tmp_path / "unknown.onnx", **quiet)
    np.testing.assert_allclose(Net(tmp_path / "unknown.onnx", mean=mean)(images), expected, atol=1e-5)
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
        ("unknown.onnx", {}, "has no mean image inside; give --mean"),
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
        (np.zeros((2, 30, 30, 3), np.uint8), "recipe .*: a mean image of 24x24, but the images are 30x30"),
    ],
)
def test_images_that_do_not_fit_are_refused(folder: Path, images: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Net(folder)(images)


def test_outputs_that_are_no_probabilities_are_refused(folder: Path, tmp_path: Path) -> None:
    parameters = tiny.draw_parameters()
    parameters["fc10"][1][1] = np.nan
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters)
    write_mean(tmp_path / "mean.binaryproto", mean_image())
    net = Net(weights, net=folder / "deploy.prototxt", mean=tmp_path / "mean.binaryproto")
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
    write_mean(folder / "mean.binaryproto", mean_image())
    assert find_weights(folder) == folder / "final.caffemodel.h5"
    assert Net(folder).aus == tiny.AUS


def test_a_path_without_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    for path, message in (
        (tmp_path, "holds neither final.caffemodel nor a whole snapshot; give the folder of a training"),
        (tmp_path / "none.caffemodel", "no such weights file; give a .caffemodel or .h5, or the folder"),
        (folder / "deploy.prototxt", "not a .caffemodel, or cut short"),
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


def test_the_folder_of_another_nets_training_needs_its_own_deploy(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t")
    (folder / "deploy.prototxt").unlink()
    tiny.write_solver(folder)
    with pytest.raises(UserError, match=r"t: the training has no deploy.prototxt, because .* with --net"):
        find_trained(folder)
    assert find_trained(folder, "other.prototxt").net == Path("other.prototxt")


def test_the_aus_are_those_of_the_recipe(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "t", aus=(4, 9, 25))
    net = Net(folder)
    assert net.aus == (4, 9, 25) == net.recipe.au
    recipe = find_trained(folder).recipe()
    assert recipe is not None and recipe.au == (4, 9, 25)
    # Thresholds and the labels' meaning belong to the AUs, so they are not taken for others.
    write_recipe(folder / "final.caffemodel", dataclasses.replace(recipe, threshold=(0.5, 0.25, 0.75)))
    assert Net(folder).recipe.threshold == (0.5, 0.25, 0.75)
    named = Net(folder, aus=(1, 2, 6))
    assert named.aus == (1, 2, 6) == named.recipe.au and named.recipe.threshold == ()


def test_one_copied_file_is_enough(folder: Path, tmp_path: Path) -> None:
    deploy = tiny.write_deploy(tmp_path)
    recipe = Recipe(au=(4, 9, 25), input=InputRecipe(crop_size=20, scale=0.02, mean=mean_image()))
    copies = [
        shutil.copy(folder / "final.caffemodel", tmp_path / "copy.caffemodel"),
        tiny.write_hdf5(tmp_path / "copy.h5", tiny.draw_parameters()),
    ]
    images = tiny.draw_images(3)
    for copied in copies:
        write_recipe(copied, recipe)
        net = Net(copied, net=deploy)
        assert net.aus == (4, 9, 25) and net.face_size == tiny.IMAGE
        np.testing.assert_allclose(net(images), Net(folder)(images), atol=1e-6)


def test_weights_without_a_recipe_need_their_aus(tmp_path: Path) -> None:
    fold = tiny.write_data(tmp_path)[0]
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), aus=())
    mean = fold / "mean.binaryproto"
    message = "carries no recipe, .* name them with --aus, .* drml show .*w.caffemodel --set-aus 1,2,4"
    with pytest.raises(UserError, match=message):
        Net(weights, net=deploy, mean=mean)
    with pytest.raises(UserError, match=message):
        scoring.score(deploy, weights, fold, progress=False, probe=False)
    assert Net(weights, net=deploy, mean=mean, aus=tiny.AUS).aus == tiny.AUS


def test_aus_must_be_as_many_as_the_outputs() -> None:
    assert resolve_aus("w", Recipe(au=(1, 2)), 2) == (1, 2)
    assert resolve_aus("w", Recipe(au=(1, 2)), 3, (4, 5, 6)) == (4, 5, 6)
    with pytest.raises(UserError, match=r"n: 3 outputs, but 2 AUs given \(AU1, AU2\)"):
        resolve_aus("w", None, 3, (1, 2), net="n")
    with pytest.raises(UserError, match=r"w: its recipe names 2 AUs \(AU1, AU2\), but n has 3 outputs"):
        resolve_aus("w", Recipe(au=(1, 2)), 3, net="n")
    for unknown in (None, Recipe()):
        for outputs in (8, 12):  # as many as BP4D and DISFA have
            with pytest.raises(UserError, match="w: carries no recipe"):
                resolve_aus("w", unknown, outputs)
