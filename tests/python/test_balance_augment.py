"""Class weights and random changes of images: ``drml train --balance`` and ``--augment``."""

import csv
import json
import math

import numpy as np
import pytest

import tiny_net as tiny
from drml.cli import main
from drml.data.recipe import DataRecipe, Recipe, TrainingRecipe
from drml.data.recipe_text import write_data_recipe
from drml.io.errors import UserError
from drml.nets.prototxt import read_prototxt
from drml.nets.recipe import read_recipe
from drml.nets.recipe_page import recipe_page
from drml.training.augmentation import STANDARD, check_augmentation
from drml.training.class_weights import class_weights, count_labels
from drml.training.setup import Changes, set_up
from drml.training.train import train


@pytest.fixture
def solver(tmp_path):
    return tiny.write_solver(tmp_path)


@pytest.fixture
def fold(tmp_path):
    return tiny.write_training_data(tmp_path / "data")


def loss_weights(out):
    net = read_prototxt(out / "train_val.prototxt")
    return list(next(layer for layer in net.layer if layer.name == "loss").multi_label_loss_param.pos_weight)


def expected_weights(labels):
    """The definition, from the labels: N x K of -1, 0 and 1."""
    ratios = {}
    for column, values in enumerate(np.asarray(labels).T):
        present, absent = int((values == 1).sum()), int((values == -1).sum())
        if present > 0 and absent > 0:
            ratios[column] = float(np.clip(absent / present, 0.1, 10))
    mean = np.mean(list(ratios.values())) if ratios else 1
    return [ratios[column] / mean if column in ratios else 1.0 for column in range(np.shape(labels)[1])]


# --- class weights --------------------------------------------------------------------------------------


def test_weights_are_ratios_over_their_mean():
    found = class_weights([210, 592, 0, 500, 1], [790, 408, 1000, 0, 999])
    assert found[2:4] == (1.0, 1.0)  # nothing to balance
    ratios = [790 / 210, 408 / 592, 10]  # the last one limited
    assert [found[0], found[1], found[4]] == pytest.approx([r / np.mean(ratios) for r in ratios], rel=1e-5)
    assert np.mean([found[0], found[1], found[4]]) == pytest.approx(1, abs=1e-5)
    assert class_weights([0, 7], [0, 0]) == (1.0, 1.0)
    assert class_weights([4], [1]) == (1.0,)
    assert class_weights([1000, 1], [1, 1]) == pytest.approx((2 * 0.1 / 1.1, 2 / 1.1), rel=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_folds_training_labels_set_the_weights(solver, tmp_path, seed):
    fold = tmp_path / "data/fold1"
    _, _, labels, _ = tiny.write_data(tmp_path / "data", count=17, seed=seed, split="train", mean=False)
    tiny.write_data(tmp_path / "data", count=9, seed=seed + 50)
    set_up(solver, tmp_path / "out", Changes(data=fold, balance=True))
    assert loss_weights(tmp_path / "out") == pytest.approx(expected_weights(labels), rel=1e-5)
    assert count_labels(fold / "train.csv") == (
        (labels == 1).sum(axis=0).tolist(),
        (labels == -1).sum(axis=0).tolist(),
    )
    set_up(solver, tmp_path / "plain", Changes(data=fold))
    assert loss_weights(tmp_path / "plain") == []


def test_an_au_of_one_kind_is_an_ordinary_case(solver, tmp_path):
    fold = tmp_path / "data/fold1"
    tiny.write_data(tmp_path / "data", count=8, split="train", mean=False)
    tiny.write_data(tmp_path / "data", count=5)
    labels = [[0, -1, 1], [0, -1, 1], [0, -1, -1], [0, 0, 1], [0, -1, 1], [0, -1, 1], [0, -1, 1], [0, 0, 0]]
    rewrite_labels(fold / "train.csv", labels)
    set_up(solver, tmp_path / "out", Changes(data=fold, balance=True))
    assert loss_weights(tmp_path / "out") == [1, 1, 1]


def rewrite_labels(path, labels):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [header, *([*row[:5], *values] for row, values in zip(rows, labels, strict=True))]
        )


def test_weights_that_the_net_had_are_replaced(solver, fold, tmp_path):
    set_up(solver, tmp_path / "usual", Changes(data=fold, balance=True))
    net = solver.parent / "train_val.prototxt"
    net.write_text(
        net.read_text().replace(
            'bottom: "label" top: "loss"',
            'bottom: "label" top: "loss" multi_label_loss_param { pos_weight: 7 }',
        )
    )
    set_up(solver, tmp_path / "out", Changes(data=fold, balance=True))
    weights = loss_weights(tmp_path / "out")
    assert 7 not in weights and weights == loss_weights(tmp_path / "usual") != []


def test_what_cannot_be_balanced_is_refused_with_the_reason(solver, fold, tmp_path):
    (fold / "train.csv").rename(fold / "elsewhere.csv")
    with pytest.raises(
        UserError, match=r"train_val.prototxt: .*train_lmdb: its manifest train.csv, .*missing"
    ):
        set_up(solver, tmp_path / "out", Changes(data=fold, balance=True))
    (fold / "elsewhere.csv").rename(fold / "train.csv")
    net = solver.parent / "train_val.prototxt"
    text = net.read_text()
    net.write_text(
        text.replace('type: "MultiLabelSigmoidCrossEntropyLoss"', 'type: "SigmoidCrossEntropyLoss"')
    )
    with pytest.raises(UserError, match=r"no layer of the types MultiLabelSigmoidCrossEntropyLoss"):
        set_up(solver, tmp_path / "out", Changes(data=fold, balance=True))
    assert not (tmp_path / "out").exists()


# --- augmentation ---------------------------------------------------------------------------------------


def test_augmentation_reaches_the_data_layers(solver, fold, tmp_path):
    set_up(solver, tmp_path / "out", Changes(data=fold, augment={"rotation": 10.0, "hue": 3.0}))
    net = read_prototxt(tmp_path / "out/train_val.prototxt")
    found = net.layer[0].multi_label_data_param.augmentation
    assert (found.rotation, found.hue, found.scale) == (10, 3, 0)
    assert found.ListFields()[0][0].name == "hue"
    net_file = solver.parent / "train_val.prototxt"
    net_file.write_text(net_file.read_text().replace('type: "MultiLabelData"', 'type: "Data"'))
    with pytest.raises(UserError, match=r"no layer of the types MultiLabelData or MultiLabelImageData"):
        set_up(solver, tmp_path / "other", Changes(data=fold, augment={"hue": 3.0}))


def test_augmentation_is_read_from_text_and_mappings():
    assert check_augmentation("standard") == STANDARD
    assert check_augmentation("rotation=10,scale=.1") == {"rotation": 10, "scale": 0.1}
    assert check_augmentation({"hue": 180, "brightness": 1, "scale": 0.9}) == {
        "hue": 180.0,
        "brightness": 1.0,
        "scale": 0.9,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("", "nothing is given"),
        ({}, "nothing is given"),
        ("blur=1", "'blur': choose of brightness"),
        ("rotation", "'rotation': give standard, or pairs"),
        ("rotation=", "'rotation=': give standard, or pairs"),
        ("rotation=ten", "'rotation=ten': give"),
        ("rotation=181", "rotation=181: give a number from 0 to 180"),
        ("scale=1", "scale=1: give a number from 0 to 0.9"),
        ("hue=-1", "hue=-1: give"),
        ("hue=nan", "hue=nan: give"),
        ("contrast=inf", "contrast=inf: give"),
        ("hue=1,hue=2", "hue: given twice"),
        ({"brightness": math.nan}, "brightness=nan: give"),
    ],
)
def test_other_augmentation_is_wrong_usage(changes, said, solver, fold, tmp_path, capsys):
    with pytest.raises(UserError, match=said):
        check_augmentation(changes)
    with pytest.raises(UserError, match=said):
        train(solver, tmp_path / "out", data=fold, augment=changes, progress=False)
    assert not (tmp_path / "out").exists()
    if isinstance(changes, str):
        arguments = ["train", "--solver", str(solver), "--out", str(tmp_path / "out"), "--augment", changes]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "--augment" in capsys.readouterr().err


# --- caffe at work --------------------------------------------------------------------------------------


def test_the_command_trains_with_both_and_the_weights_say_so(solver, fold, tmp_path, capsys):
    write_data_recipe(fold, Recipe(au=tiny.AUS, data=DataRecipe(name="tiny")))
    out = tmp_path / "out"
    arguments = ["train", "--solver", str(solver), "--data", str(fold), "--out", str(out), "--seed", "3"]
    assert main([*arguments, "--balance", "--augment", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    names = [f"AU{au}" for au in tiny.AUS]
    assert printed["class_weights"] == pytest.approx(dict(zip(names, loss_weights(out), strict=True)))
    recipe = read_recipe(out / "final.caffemodel")
    page = recipe_page(recipe, "tiny")
    lines = {line.split("  ")[0]: line for line in page.splitlines()}
    assert (
        "brightness 0.2, contrast 0.2, saturation 0.2, hue 5, rotation 5, scale 0.05" in lines["Augmentation"]
    )
    for au, weight in zip(tiny.AUS, loss_weights(out), strict=True):
        assert f"AU{au} {weight:.3g}" in lines["Class weights"]
    assert "net_param" not in page
    assert "base_lr" in lines["Solver"]
    assert "augmentation: brightness 0.2" in (out / "train.log").read_text()

    # They change what is learned, and a training without them says nothing of them.
    assert main([*arguments[:-3], str(tmp_path / "plain"), "--seed", "3"]) == 0
    plain = read_recipe(tmp_path / "plain/final.caffemodel")
    assert "Augmentation" not in recipe_page(plain, "tiny")
    assert "Class weights" not in recipe_page(plain, "tiny")
    losses = [(folder / "loss.csv").read_text() for folder in (out, tmp_path / "plain")]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ({"balance": True}, {}, "was begun with --balance; resume it with --balance"),
        ({}, {"balance": True}, "was begun without --balance; resume it without --balance"),
        ({"augment": "hue=5"}, {}, "was begun with --augment; resume it with --augment"),
        ({"augment": "hue=5"}, {"augment": "hue=6"}, "other values of --augment (hue=5; now hue=6)"),
    ],
)
def test_a_training_is_resumed_with_the_options_that_it_was_begun_with(
    solver, fold, tmp_path, first, then, said
):
    out = tmp_path / "out"
    train(solver, out, data=fold, max_iter=2, progress=False, **first)
    before = (out / "train_val.prototxt").read_text()
    with pytest.raises(UserError) as caught:
        train(solver, out, data=fold, max_iter=4, snapshot="auto", progress=False, **then)
    assert said in str(caught.value)
    assert (out / "train_val.prototxt").read_text() == before
    assert train(solver, out, data=fold, max_iter=4, snapshot="auto", progress=False, **first).iterations == 4


def test_a_page_of_weights_that_someone_wrote_into_the_net():
    solver = (
        'type: "SGD" net_param { layer { type: "L" multi_label_loss_param { pos_weight: 2.5 } } } gamma: 0.1'
    )
    page = recipe_page(Recipe(au=(1, 12), training=TrainingRecipe(solver=solver)), "net")
    assert "Class weights   of the positives in the loss: 2.5" in page
    assert 'Solver          type: "SGD" gamma: 0.1' in page
