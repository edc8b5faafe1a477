"""Thresholds that are chosen on validation, kept in the weights and used by drml detect."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest

import detect_data as faces
import drml
import tiny_net as tiny
from drml import cli
from drml.data.recipe import Recipe
from drml.data.recipe_text import write_data_recipe
from drml.detect import Detector
from drml.detect.thresholds import resolve_thresholds
from drml.evaluation import scoring
from drml.evaluation.kept_thresholds import choose_after_training, keep_thresholds, validation_of_training
from drml.evaluation.predictions import Predictions
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe, write_recipe
from drml.training.train import Training

AUS = tiny.AUS


def best_by_trying(labels, values):
    """Try every value of a known frame and 0.5; of equals the one nearest to 0.5, then the lower."""
    known = labels != 0
    truth, values = labels[known] > 0, values[known].astype(float)

    def f1(threshold):
        predicted = values >= threshold
        return 2 * int((truth & predicted).sum()) / max(1, int(truth.sum() + predicted.sum()))

    return min({0.5, *values.tolist()}, key=lambda one: (-f1(one), abs(one - 0.5), one))


def held_out(aus, labels, probabilities):
    keys = [f"{index:08d}" for index in range(len(labels))]
    place = "/home/somebody/data/fold1/val_lmdb"
    labels, probabilities = np.array(labels, np.int8), np.array(probabilities, np.float32)
    return Predictions("w", place, aus, keys, labels, probabilities, 2, True, {}, 0.0)


@pytest.fixture
def weights(tmp_path):
    path = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters())
    path = path or tmp_path / "w.caffemodel"
    write_recipe(path, Recipe(au=AUS, labels="codes"))
    return path


def test_the_thresholds_are_kept_beside_the_rest_of_the_recipe(weights):
    found = held_out((4, 1), [[1, 1], [1, -1], [-1, -1]], [[0.75, 0.25], [0.25, 0.125], [0.125, 0.0]])
    assert keep_thresholds(weights, found) == {1: 0.25, 2: 0.5, 4: 0.25}
    recipe = read_recipe(weights)
    assert recipe == Recipe(
        au=AUS,
        labels="codes",
        threshold=(0.25, 0.5, 0.25),
        threshold_data="fold1/val: 3 frames of 2 subjects, drawn faces",
    )
    keep_thresholds(weights, found, [0.5, 0.75])
    assert read_recipe(weights).threshold == (0.75, 0.5, 0.5)


def test_weights_that_cannot_keep_them_are_named(weights, tmp_path):
    with pytest.raises(UserError, match="none of its AUs"):
        keep_thresholds(weights, held_out((12,), [[1]], [[0.5]]))
    tiny.write_caffemodel(tmp_path / "old.caffemodel", tiny.draw_parameters(), aus=())
    with pytest.raises(UserError, match=r"old\.caffemodel: carries no recipe"):
        keep_thresholds(tmp_path / "old.caffemodel", held_out(AUS, [[1, 1, 1]], [[0.5, 0.5, 0.5]]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A fold with a validation split, and what drml train leaves of a training on it."""
    folder = tmp_path_factory.mktemp("trained")
    fold = tiny.write_training_data(folder)
    tiny.write_data(folder, count=40, seed=3, split="val")
    write_data_recipe(fold, Recipe(au=AUS))
    solver = tiny.write_solver(folder)
    tiny.write_deploy(folder)
    out = folder / "out"
    given = ["train", "--solver", str(solver), "--out", str(out), "--data", str(fold), "--seed", "3"]
    assert cli.main([*given, "--quiet", "--json"]) == 0
    return folder


def test_a_finished_training_chooses_its_thresholds_on_validation(trained):
    weights = trained / "out/final.caffemodel"
    recipe = read_recipe(weights)
    assert recipe is not None and recipe.au == AUS
    assert recipe.threshold_data == "fold1/val: 40 frames of 2 subjects"
    found = scoring.predict(
        trained / "out/deploy.prototxt", weights, trained / "fold1/val_lmdb", aus=AUS, progress=False
    )
    expected = [
        best_by_trying(*columns) for columns in zip(found.labels.T, found.probabilities.T, strict=True)
    ]
    np.testing.assert_allclose(recipe.threshold, expected, rtol=1e-6)
    assert validation_of_training(trained / "out") == trained / "fold1/val_lmdb"


def test_python_trains_and_chooses_as_the_command_does(trained, tmp_path):
    solver, fold = tiny.write_solver(trained), trained / "fold1"
    training = drml.train(solver, tmp_path / "out", data=fold, seed=3, progress=False)
    there, here = (read_recipe(path / "out/final.caffemodel") for path in (trained, tmp_path))
    assert here.threshold_data == there.threshold_data and here.threshold == there.threshold
    assert training.thresholds == dict(zip(AUS, here.threshold, strict=True))


def test_a_net_that_cannot_run_on_validation_is_trained_nevertheless(monkeypatch, tmp_path, capsys):
    done = Training(tmp_path, tmp_path / "final.caffemodel", 3, None, {}, {}, 0.5)

    def fail(*_, **__):
        raise UserError("val_lmdb: damaged")

    monkeypatch.setattr("drml.training.train.train", lambda *_, **__: done)
    monkeypatch.setattr("drml.evaluation.training.choose_after_training", fail)
    with pytest.warns(UserWarning, match="no thresholds were chosen on validation: val_lmdb: damaged"):
        assert drml.train("solver.prototxt", tmp_path) == done
    (tmp_path / "solver.prototxt").touch()
    assert cli.main(["train", "--solver", str(tmp_path / "solver.prototxt"), "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("note: no thresholds were chosen on validation: val_lmdb: damaged\n")


def test_without_a_validation_split_nothing_is_chosen(trained, tmp_path):
    fold = tiny.write_training_data(tmp_path)
    write_data_recipe(fold, Recipe(au=AUS))
    tiny.write_deploy(tmp_path)
    training = drml.train(tiny.write_solver(tmp_path), tmp_path / "out", data=fold, progress=False)
    assert training.thresholds is None
    # The test split is there, and must not take the place of the validation split.
    assert (fold / "test_lmdb").is_dir()
    assert choose_after_training(tmp_path / "out", training.weights, progress=False) is None
    assert not read_recipe(training.weights).threshold


def test_score_keeps_what_it_chose_and_scores_with_it_again(trained, tmp_path, capsys):
    out = shutil.copytree(trained / "out", tmp_path / "out")
    recipe = read_recipe(out / "final.caffemodel")
    data = str(trained / "fold1")
    # Without thresholds, there is nothing to score with.
    write_recipe(out / "final.caffemodel", dataclasses.replace(recipe, threshold=(), threshold_data=None))
    score = ["score", str(out), data, "-q", "--threshold"]
    assert cli.main([*score, "recipe"]) == 1
    assert "carries no thresholds of AU1, AU2, AU4; choose them on the validation" in capsys.readouterr().err
    assert cli.main([*score, "validation", "--keep-thresholds", "--json"]) == 0
    chosen = json.loads(capsys.readouterr().out)["chosen_thresholds"]
    assert read_recipe(out / "final.caffemodel") == recipe
    assert cli.main([*score, "recipe", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)["chosen_thresholds"]
    assert (chosen.pop("chosen_on"), kept.pop("chosen_on")) == ("validation", "recipe") and kept == chosen
    assert cli.main([*score, "recipe"]) == 0
    said = capsys.readouterr().out
    assert "F1-frame, accuracy and MCC at a threshold of 0.5" in said
    assert "Test set, with the thresholds that the weights carry" in said
    with pytest.raises(SystemExit) as wrong:
        cli.main([*score, "0.4", "--keep-thresholds"])
    assert wrong.value.code == 2 and "give both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (1.5, "threshold 1.5: give a probability"),
        ("best", "threshold 'best': give a probability from 0 to 1, or 'recipe'"),
        ([0.5], "1 thresholds for 2 AUs"),
        ([0.5, 2], "threshold 2.0: give a probability"),
    ],
)
def test_wrong_thresholds_are_refused(given, error):
    with pytest.raises(UserError, match=error):
        resolve_thresholds(given, None, (1, 12))


def test_a_recipe_without_thresholds_leaves_the_usual_one():
    found = resolve_thresholds("recipe", Recipe(au=(1, 12)), (1, 12))
    assert found.values == (0.5, 0.5) and "carry none" in found.to_text((1, 12))


def test_detect_decides_by_the_thresholds_in_the_weights(trained, tmp_path, capsys):
    weights = tmp_path / "final.caffemodel"
    weights.write_bytes((trained / "out/final.caffemodel").read_bytes())
    for name in ("deploy.prototxt", "mean.binaryproto", "transform.json"):
        if (trained / "out" / name).exists():
            (tmp_path / name).write_bytes((trained / "out" / name).read_bytes())
    picture = tmp_path / "photo.png"
    cv2.imwrite(str(picture), faces.astronaut())
    values = Detector(weights, threshold=0.0)(str(picture)).filter(regex="_p$").iloc[0].to_numpy(float)
    # One threshold below, one above the probability, and one at .5.
    chosen = (float(values[0]) - 0.01, float(values[1]) + 0.01, 0.5)
    recipe = read_recipe(weights)
    write_recipe(
        weights, dataclasses.replace(recipe, threshold=chosen, threshold_data="fold1/val: 40 frames")
    )
    table = Detector(weights)(str(picture))
    expected = [1, 0, int(values[2] >= 0.5)]
    assert table.filter(regex="_c$").iloc[0].tolist() == expected
    assert list(table.attrs["thresholds"].values()) == pytest.approx(chosen)
    assert table.attrs["thresholds_from"] == "best F1 on fold1/val: 40 frames"
    for options, source in (([], "best F1 on fold1/val"), (["--thresholds", "1"], "as given")):
        out = str(tmp_path / f"out{len(options)}")
        given = ["detect", str(picture), "--weights", str(weights), "--out", out, *options]
        assert cli.main([*given, "--json", "-q"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert source in said["thresholds_from"] and set(said["thresholds"]) == {"AU1", "AU2", "AU4"}
    assert cli.main([*given[:-4], "--out", str(tmp_path / "more")]) == 0
    assert "AU_c columns at thresholds: AU1 " in capsys.readouterr().out
