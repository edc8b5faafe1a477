"""The first blob of a net that is the same for all faces, and what drml train says of it."""

import numpy as np
import pytest

import drml
import tiny_net as tiny
from drml import cli
from drml.data.recipe import Recipe
from drml.data.recipe_text import write_data_recipe
from drml.evaluation.dead_layers import explain_dead_layer, find_dead_blob

COUNTS = (
    'layer { name: "counts" type: "MultiLabelCounts" bottom: "fc10" bottom: "label" top: "counts"'
    ' top: "separation" include { phase: TEST } }\n'
)


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    fold = tiny.write_training_data(tmp_path_factory.mktemp("data"))
    tiny.write_data(fold.parent, count=9, seed=3, split="val")
    write_data_recipe(fold, Recipe(au=tiny.AUS))
    return fold


def dead_at(layer, value=-1e6):
    """Return weights of which one layer has biases that decide everything."""
    parameters = tiny.draw_parameters(seed=1)
    parameters[layer][1][:] = value
    return parameters


def flat_at(layer):
    """Return weights of which one layer gives the same values, and not 0, for every face."""
    parameters = dead_at(layer, 2.5)
    parameters[layer][0][:] = 0
    return parameters


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (tiny.draw_parameters(seed=1), None),
        (dead_at("conv1"), ("conv1", True)),
        (dead_at("fc9"), ("fc9", True)),
        (flat_at("fc9"), ("fc9", False)),
        (flat_at("fc10"), ("fc10", False)),
    ],
    ids=["alive", "conv1", "fc9", "constant", "last layer"],
)
def test_the_first_blob_that_does_not_see_the_face_is_found(fold, tmp_path, parameters, expected):
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, scale=0.02)
    assert find_dead_blob(tiny.write_deploy(tmp_path), weights, fold / "val_lmdb") == expected
    assert find_dead_blob(tmp_path / "deploy.prototxt", weights, fold / "val_lmdb", images=1) is None


def test_a_training_that_does_not_learn_is_explained(fold, tmp_path, capsys):
    solver = tiny.write_solver(tmp_path)
    net = tmp_path / "train_val.prototxt"
    net.write_text(net.read_text() + COUNTS)
    tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "dead.caffemodel", dead_at("conv1"), scale=0.02)
    given = ["train", "--solver", str(solver), "--data", str(fold), "--weights", str(weights)]
    assert cli.main([*given, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "the net has not learned yet" in said
    assert "The blob 'conv1' is the same for all faces of a batch (0 everywhere): the layers" in said
    assert "train again with another --seed or a smaller base_lr." in said
    # Without a validation split, there are no faces to compare.
    (tmp_path / "elsewhere").mkdir()
    assert explain_dead_layer(tmp_path / "elsewhere", weights) is None


def test_a_net_that_does_not_learn_for_another_reason_is_not_explained(fold, tmp_path):
    solver = tiny.write_solver(tmp_path)
    net = tmp_path / "train_val.prototxt"
    net.write_text(net.read_text() + COUNTS)
    tiny.write_deploy(tmp_path)
    solver.write_text(solver.read_text().replace("test_interval: 10", "test_interval: 1"))
    parameters = tiny.draw_parameters(seed=1)
    parameters["fc10"][0][:] *= np.float32(1e-4)  # outputs that hardly differ, of layers that do
    weights = tiny.write_caffemodel(tmp_path / "faint.caffemodel", parameters, scale=0.02)
    training = drml.train(solver, tmp_path / "out", data=fold, weights=weights, max_iter=1, progress=False)
    assert training.predicts_base_rates and training.dead_layer is None
