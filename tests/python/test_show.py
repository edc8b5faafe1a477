"""drml show: the recipe that weights, a training or prepared data carry, and weights that get their AUs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tiny_net as tiny
from drml import cli
from drml.data.lmdb import write_mean
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe, TrainingRecipe
from drml.data.recipe_text import write_data_recipe
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.recipe_files import find_recipe, name_outputs
from drml.nets.recipe_page import recipe_page, recipe_to_dict
from drml.nets.trained import Net

DISFA_TWELVE = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)

RECIPE = Recipe(
    au=(1, 5, 20),
    labels="DISFA's intensities: from 2 on present",
    threshold=(0.25, 0.5, 0.375),
    threshold_data="fold 1, val",
    input=InputRecipe("BGR", 24, 20, 0.5, (), np.full((3, 24, 24), 7, np.float32)),
    registration=RegistrationRecipe("detector", "YuNet", (0.25, 0.5), (0.125, 0.75)),
    data=DataRecipe("DISFA", "fold 1 of 3", "ab" * 32, 400, "every training frame"),
    training=TrainingRecipe(1000, 32000, 'type: "SGD" base_lr: 0.01', "fold2/final.caffemodel"),
    program=("drml 1 (data)", "drml 1 (training)"),
)

PAGE = """\
w.caffemodel

Action units    3 outputs, in this order
                AU1   Inner brow raiser         present from 0.250
                AU5   Upper lid raiser          present from 0.500
                AU20  Lip stretcher             present from 0.375
Threshold       for best F1 on fold 1, val
Labels          DISFA's intensities: from 2 on present
Input           the middle 20 x 20 pixels of the face (24 x 24 pixels), BGR, (pixel - mean) * 0.5,
                mean image 3x24x24
Registration    by the five points of the face detector, face detector YuNet, the detector's points
                in the training faces are known
Data            DISFA, fold 1 of 3, 400 training faces
Sampling        every training frame
Digest          {digest}
Training        1,000 iterations, 32,000 images, 80.0 epochs
Started from    fold2/final.caffemodel
Solver          type: "SGD" base_lr: 0.01
Programs        drml 1 (data), drml 1 (training)""".format(digest="ab" * 32)


def test_the_page_says_everything() -> None:
    assert recipe_page(RECIPE, "w.caffemodel") == PAGE
    assert max(map(len, PAGE.splitlines())) <= 100


def test_what_is_not_known_is_left_out() -> None:
    assert recipe_page(Recipe(), "w") == "w\n\nAction units    unknown"
    text = recipe_page(Recipe(au=(1,), input=InputRecipe(scale=1.0)), "w")
    assert "Threshold       0.5 for every AU" in text and "the whole face, BGR, pixel * 1, no mean" in text
    assert "Data" not in text and "Registration" not in text


def test_json_has_all_fields_and_no_picture() -> None:
    found = json.loads(json.dumps(recipe_to_dict(RECIPE)))
    assert found["input"]["mean"] == {"shape": [3, 24, 24], "channel_means": [7.0, 7.0, 7.0]}
    assert found["au"] == [1, 5, 20] and found["au_names"]["AU20"] == "Lip stretcher"
    assert found["training"]["images"] == 32000 and found["threshold"] == [0.25, 0.5, 0.375]


def test_a_file_a_training_and_a_fold_are_found(tmp_path: Path) -> None:
    fold = tiny.write_data(tmp_path)[0]
    with pytest.raises(UserError, match=r"test_lmdb.*|recipe.prototxt: cannot be read"):
        find_recipe(fold / "test_lmdb")
    write_data_recipe(fold, RECIPE)
    for path in (fold, fold / "test_lmdb", fold / "test.csv", fold / "recipe.prototxt"):
        assert find_recipe(path) == (fold / "recipe.prototxt", RECIPE)
    training = tmp_path / "training"
    training.mkdir()
    weights = tiny.write_hdf5(training / "final.caffemodel.h5", tiny.draw_parameters(), aus=(4, 9, 25))
    for path in (training, weights):
        found, recipe = find_recipe(path)
        assert found == weights and recipe.au == (4, 9, 25)
    bare = tiny.write_caffemodel(tmp_path / "bare.caffemodel", tiny.draw_parameters(), aus=())
    with pytest.raises(UserError, match="carries no recipe"):
        find_recipe(bare)


def test_weights_of_stock_caffe_get_their_aus(tmp_path: Path) -> None:
    deploy = tiny.write_deploy(tmp_path)
    mean = np.full((3, tiny.IMAGE, tiny.IMAGE), 3, np.float32)
    write_mean(tmp_path / "m.binaryproto", mean)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.5, aus=())
    before = weights.read_bytes()
    copy = tmp_path / "named.caffemodel"
    recipe = name_outputs(weights, (4, 9, 25), copy, mean=tmp_path / "m.binaryproto")
    assert weights.read_bytes() == before and copy.read_bytes().startswith(before)
    assert recipe == read_recipe(copy)
    net = Net(copy, net=deploy)
    assert net.aus == (4, 9, 25) and net.preprocessing.scale == 0.5
    np.testing.assert_array_equal(net.preprocessing.mean, mean)
    # Without a mean and a scale, what the net in the weights says counts, as before.
    assert name_outputs(weights, (1, 2, 4), copy).input == InputRecipe()
    # Other AUs than those of the recipe have neither its thresholds nor its labels' meaning.
    write_recipe(copy, RECIPE)
    assert name_outputs(copy, (1, 2, 4), copy).threshold == ()
    assert name_outputs(copy, (1, 2, 4), copy).data == RECIPE.data


def test_the_twelve_aus_of_disfa_keep_their_names(tmp_path: Path) -> None:
    """Twelve outputs are not BP4D's, whichever file carries them."""
    parameters = tiny.draw_parameters(outputs=12)
    deploy = tiny.write_deploy(tmp_path, outputs=12)
    recipe = Recipe(au=DISFA_TWELVE, input=InputRecipe(scale=1.0))
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, aus=())
    hdf5 = tiny.write_hdf5(tmp_path / "w.h5", parameters, aus=())
    (tmp_path / "elsewhere").mkdir()
    for path in (weights, hdf5):
        write_recipe(path, recipe)
        copy = shutil.copy(path, tmp_path / "elsewhere" / path.name)
        assert Net(copy, net=deploy).aus == DISFA_TWELVE
        page = recipe_page(find_recipe(copy)[1], "w")
        assert "AU5   Upper lid raiser" in page and "AU20  Lip stretcher" in page
    pytest.importorskip("onnx")
    from drml.nets.onnx_export import export

    export(deploy, weights, tmp_path / "w.onnx", progress=False, probe=False)
    copy = shutil.copy(tmp_path / "w.onnx", tmp_path / "elsewhere" / "w.onnx")
    assert read_recipe(copy).au == DISFA_TWELVE
    pytest.importorskip("onnxruntime")
    assert Net(copy).aus == DISFA_TWELVE


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.5, aus=())
    copy = tmp_path / "copy.caffemodel"

    def run(*arguments: object, status: int = 0) -> str:
        assert cli.main(["show", *map(str, arguments)]) == status
        captured = capsys.readouterr()
        return captured.err if status else captured.out

    assert "carries no recipe" in run(weights, status=1)
    assert "AU25  Lips part" in run(weights, "--set-aus", "4,9,25", "--out", copy)
    assert "already exists" in run(weights, "--set-aus", "1,2,4", "--out", copy, status=1)
    assert "already exists" in run(copy, "--set-aus", "1,2,4", status=1)
    assert json.loads(run(copy, "--json"))["au"] == [4, 9, 25]
    assert "AU2   Outer brow raiser" in run(copy, "--set-aus", "1,2,4", "--overwrite")
    assert read_recipe(copy).au == (1, 2, 4)
    with pytest.raises(SystemExit) as error:
        cli.main(["show", str(copy), "--scale", "2"])
    assert error.value.code == 2
