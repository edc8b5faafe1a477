"""A net that is trained gets its deploy net, and reads a fold whatever it calls its own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import authors_net as authors
import drml
import tiny_net as tiny
from drml.evaluation import scoring
from drml.io.errors import UserError
from drml.nets.deploy import find_input_size, in_phase, make_deploy
from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import new_message
from drml.training.fold_data import read_fold
from drml.training.train import train

ROOT = Path(__file__).parents[2]


def parse(text: str) -> Any:
    return text_format.Parse(text, new_message("NetParameter"))


def layers(net: Any) -> list[str]:
    """Return the layers as text; those of a deploy prototxt written by hand are the oracle."""
    found = []
    for layer in net.layer:
        if layer.type == "Input":
            layer.input_param.shape[0].dim[0] = 1
        found.append(str(layer))
    return found


def test_the_authors_net_becomes_the_one_that_is_deployed() -> None:
    net = parse(authors.train_val())
    assert find_input_size(net) == (14, 14)
    assert layers(make_deploy(net, (14, 14))) == layers(parse(authors.deploy()))


def test_the_last_of_two_losses_has_the_scores() -> None:
    """As with GoogLeNet, a classifier on an early map helps the training and is not deployed."""
    early = """
layer { name: "aux" type: "InnerProduct" bottom: "conv1" top: "aux" inner_product_param { num_output: 3 } }
layer { name: "aux_loss" type: "MultiSigmoidCrossEntropyLoss" bottom: "aux" bottom: "label" top: "aux_loss"
  loss_weight: 0.3 }
"""
    at = authors.CONV1
    text = authors.train_val()
    assert text.count(at) == 1
    net = parse(text.replace(at, at + early))
    assert layers(make_deploy(net, (14, 14))) == layers(parse(authors.deploy()))


def test_the_size_of_the_input_is_that_of_test() -> None:
    text = authors.train_val()
    assert text.count("crop_size: 14") == 2  # first TRAIN, then TEST
    other = "crop_size: 12".join(text.rsplit("crop_size: 14", 1))
    assert find_input_size(parse(other)) == (12, 12)
    assert find_input_size(parse(text.replace("crop_size: 14", "crop_size: 12", 1))) == (14, 14)


@pytest.mark.parametrize("name", ["drml", "convnet", "lcn", "alexnet"])
def test_the_models_own_nets_become_the_ones_next_to_them(name: str) -> None:
    net = read_prototxt(ROOT / f"models/{name}/train_val.prototxt")
    size = find_input_size(net)
    assert size is not None
    made, expected = make_deploy(net, size), read_prototxt(ROOT / f"models/{name}/deploy.prototxt")
    # Rates and fillers say nothing of a net that is deployed.
    for one in (made, expected):
        for layer in one.layer:
            layer.ClearField("param")
            for field, value in layer.ListFields():
                if field.name.endswith("_param") and field.name != "input_param":
                    for filler in ("weight_filler", "bias_filler"):
                        if filler in value.DESCRIPTOR.fields_by_name:
                            value.ClearField(filler)
    assert [(one.type, list(one.bottom), list(one.top)) for one in made.layer] == [
        (one.type, list(one.bottom), list(one.top)) for one in expected.layer
    ]
    assert [one.name for one in made.layer if one.type not in ("Input", "Sigmoid")] == [
        one.name for one in expected.layer if one.type not in ("Input", "Sigmoid")
    ]
    assert (
        list(made.layer[0].input_param.shape[0].dim)[1:]
        == list(expected.layer[0].input_param.shape[0].dim)[1:]
    )


def test_rules_of_phases() -> None:
    def rules(text: str) -> tuple[bool, bool]:
        (layer,) = parse(f"layer {{ {text} }}").layer
        return in_phase(layer, "TRAIN"), in_phase(layer, "TEST")

    assert rules("") == (True, True)
    assert rules("include { phase: TEST }") == (False, True)
    assert rules("exclude { phase: TEST }") == (True, False)
    assert rules("include { phase: TRAIN } include { phase: TEST }") == (True, True)
    assert rules('include { stage: "deploy" }') == (False, False)
    assert rules('exclude { not_stage: "deploy" }') == (False, False)
    assert rules("include { min_level: 1 }") == (False, False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("MultiSigmoidCrossEntropyLoss", "EuclideanLoss", "has no loss of the types"),
        ('name: "pool1"', 'name: "prob"', "has a blob or a layer 'prob' itself"),
        ('bottom: "add" top: "pool1"', 'bottom: "label" top: "pool1"', "do not follow from one blob"),
        (
            'name: "conv1" type: "Convolution" bottom: "data"',
            'name: "conv1" type: "Convolution" bottom: "gone"',
            "one blob",
        ),
    ],
)
def test_nets_without_a_deploy_net_are_told(old: str, new: str, said: str) -> None:
    text = authors.train_val()
    assert old in text
    with pytest.raises(UserError, match=said):
        make_deploy(parse(text.replace(old, new)), (14, 14))


def test_a_list_becomes_the_database_of_the_fold(tmp_path: Path) -> None:
    for name in ("train_lmdb", "val_lmdb", "test_lmdb"):
        (tmp_path / name).mkdir()
    (tmp_path / "mean.binaryproto").touch()
    net = parse(authors.train_val().replace("mean.binaryproto", "faces_mean.binaryproto"))
    read_fold(net, tmp_path)
    sources = [
        (one.type, one.multi_label_data_param.source, one.multi_label_data_param.batch_size)
        for one in net.layer[:2]
    ]
    assert sources == [("MultiLabelData", "train_lmdb", 3), ("MultiLabelData", "val_lmdb", 2)]
    assert all(one.multi_label_data_param.num_labels == 3 for one in net.layer[:2])
    assert all(one.transform_param.mean_file == "mean.binaryproto" for one in net.layer[:2])
    assert net.layer[0].transform_param.mirror and not net.layer[0].HasField("image_data_param")
    # What the folder has stays as it is, and so does a layer of both phases.
    (tmp_path / "train.txt").touch()
    net = parse(authors.train_val())
    read_fold(net, tmp_path)
    assert [one.type for one in net.layer[:2]] == ["MultilabelImageData", "MultiLabelData"]
    both = parse(authors.DATA.replace("include { phase: TRAIN }", "").replace("train.txt", "all.txt"))
    read_fold(both, tmp_path)
    assert both.layer[0].image_data_param.source == "all.txt"


def test_the_authors_files_train_on_a_fold_and_are_scored(tmp_path: Path) -> None:
    fold = tiny.write_training_data(tmp_path / "data")
    (tmp_path / "train_val.prototxt").write_text(authors.train_val())
    solver = tiny.SOLVER.format(net="train_val.prototxt").replace("models/tiny/tiny", "drml")
    (tmp_path / "solver.prototxt").write_text(solver.replace("base_lr: 0.01", "base_lr: 0.0001"))
    done = train(tmp_path / "solver.prototxt", tmp_path / "out", data=fold, max_iter=2, progress=False)
    assert np.isfinite(done.loss)
    faces = tiny.draw_images(2)
    assert drml.Net(tmp_path / "out")(faces).shape == (2, 3)
    found = scoring.score(tmp_path / "out/deploy.prototxt", done.weights, fold, progress=False)
    assert found.folds[0].aus == tiny.AUS
