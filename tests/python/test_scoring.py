"""drml.evaluation.scoring on a tiny net: right figures, right input, and faults named."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest

import tiny_net as tiny
from drml.data.labels import parse_aus
from drml.data.lmdb import read_mean, write_lmdb, write_mean
from drml.data.manifest import read_manifest
from drml.data.recipe import InputRecipe, Recipe
from drml.evaluation import choose_thresholds, scoring
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.folds import mean_of_folds, pool
from drml.evaluation.predictions import Predictions, read_predictions, write_predictions
from drml.evaluation.results import write_scores
from drml.evaluation.score_table import evaluate
from drml.io.errors import UserError
from drml.io.files import writing
from drml.nets import preprocessing
from drml.nets.recipe import write_recipe


@pytest.fixture
def setup(tmp_path):
    """A net, its weights (trained at scale 0.02), and a fold of 10 frames of 2 subjects."""
    deploy = tiny.write_deploy(tmp_path)
    parameters = tiny.draw_parameters()
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, scale=0.02)
    fold, images, labels, mean = tiny.write_data(tmp_path / "data")
    expected = tiny.compute(parameters, tiny.transform(images, mean, 0.02))["prob"]
    return deploy, weights, fold, labels, expected


def run(deploy, weights, data, *, bootstrap=0, **options):
    return scoring.score(deploy, weights, data, bootstrap=bootstrap, progress=False, probe=False, **options)


def test_scores_are_those_of_the_probabilities(setup):
    deploy, weights, fold, labels, expected = setup
    result = run(deploy, weights, fold / "test_lmdb", batch=4)
    predictions = result.folds[0]
    np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(predictions.labels, labels)
    assert predictions.aus == tiny.AUS
    assert predictions.subjects == 2
    assert result.pooled == evaluate(labels, predictions.probabilities, aus=tiny.AUS)
    assert result.mean is None


def test_manifest_selects_its_lmdb_and_records(setup):
    deploy, weights, fold, labels, expected = setup
    manifest = fold / "test.csv"
    whole = run(deploy, weights, manifest)
    assert len(whole.folds[0].keys) == 10
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join([lines[0], lines[3], lines[6]]))
    part = run(deploy, weights, manifest).folds[0]
    np.testing.assert_allclose(part.probabilities, expected[[2, 5]], atol=1e-5)
    np.testing.assert_array_equal(part.labels, labels[[2, 5]])


def test_threshold_counts_for_f1_alone(setup):
    deploy, weights, fold, _, expected = setup
    middle = float(np.median(expected))
    low, high = (run(deploy, weights, fold / "test.csv", threshold=t).pooled for t in (0.0, middle))
    assert [row.f1 for row in low.rows] == [pytest.approx(row.trivial_f1) for row in low.rows]
    assert [row.f1 for row in low.rows] != [row.f1 for row in high.rows]
    assert [row.auc for row in low.rows] == [row.auc for row in high.rows]
    with pytest.raises(UserError, match="threshold 2"):
        run(deploy, weights, fold / "test.csv", threshold=2)


# --- mean and scale -------------------------------------------------------------------------------------


def settle(weights, fold, **options):
    return preprocessing.find_preprocessing(weights, fold / "test_lmdb", **options)


def carry(weights, fold, **values):
    """Put a recipe with these values of its input into weights."""
    write_recipe(weights, Recipe(au=tiny.AUS, input=InputRecipe(**values)))
    return settle(weights, fold)


def test_scale_comes_from_the_option_then_the_recipe_then_the_net_in_the_weights_then_one(setup, tmp_path):
    _, weights, fold, _, _ = setup
    assert settle(weights, fold).scale == pytest.approx(0.02)
    assert settle(weights, fold).scale_from == "the weights' own net"
    hdf5 = tiny.write_hdf5(tmp_path / "w.h5", tiny.draw_parameters())
    assert settle(hdf5, fold).scale == 1
    for path in (shutil.copy(weights, tmp_path / "copy.caffemodel"), hdf5):
        found = carry(path, fold, scale=0.5)
        assert (found.scale, found.scale_from) == (0.5, "recipe in the weights")
        assert settle(path, fold, scale=3.0).scale == 3


def test_mean_comes_from_the_option_then_the_recipe_then_the_data(setup, tmp_path):
    _, weights, fold, _, _ = setup
    names = ["given", "kept"]
    means = {name: np.full((3, tiny.IMAGE, tiny.IMAGE), index + 1.0) for index, name in enumerate(names)}
    write_mean(tmp_path / "given.binaryproto", means["given"])
    beside = read_mean(fold / "mean.binaryproto")
    np.testing.assert_array_equal(settle(weights, fold).mean, beside)
    copy = shutil.copy(weights, tmp_path / "copy.caffemodel")
    np.testing.assert_array_equal(
        carry(copy, fold, scale=0.02, mean=means["kept"].astype(np.float32)).mean, means["kept"]
    )
    given = settle(copy, fold, mean=tmp_path / "given.binaryproto")
    np.testing.assert_array_equal(given.mean, means["given"])


def test_weights_trained_without_a_mean_image_get_none(tmp_path):
    # The mean image beside the data is no news to a net that never had one.
    fold = tiny.write_data(tmp_path)[0]
    weights = tiny.write_caffemodel(
        tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.1, mean_file=""
    )
    assert settle(weights, fold).mean is None
    hdf5 = tiny.write_hdf5(tmp_path / "w.h5", tiny.draw_parameters())
    np.testing.assert_array_equal(settle(hdf5, fold).mean, read_mean(fold / "mean.binaryproto"))
    assert carry(hdf5, fold, scale=0.1).mean is None
    np.testing.assert_array_equal(carry(hdf5, fold, mean_value=(1.0, 2.0, 3.0)).mean, [1, 2, 3])


def test_mean_image_that_the_weights_name_comes_before_that_of_other_data(tmp_path):
    fold = tiny.write_data(tmp_path)[0]
    mean = np.full((3, tiny.IMAGE, tiny.IMAGE), 7.0)
    write_mean(tmp_path / "trained.binaryproto", mean)
    weights = tiny.write_caffemodel(
        tmp_path / "w.caffemodel",
        tiny.draw_parameters(),
        scale=0.1,
        mean_file=str(tmp_path / "trained.binaryproto"),
    )
    np.testing.assert_array_equal(settle(weights, fold).mean, mean)


def test_mean_that_training_had_must_be_found(tmp_path):
    weights = tiny.write_caffemodel(
        tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.1, mean_file="gone.binaryproto"
    )
    fold = tiny.write_data(tmp_path, mean=False)[0]
    with pytest.raises(UserError, match=r"trained with the mean image gone.binaryproto.* give --mean"):
        settle(weights, fold)


# --- AUs ------------------------------------------------------------------------------------------------


def test_only_shared_aus_are_scored_each_from_its_own_column(setup):
    deploy, weights, fold, labels, expected = setup
    fold_result = run(deploy, weights, fold / "test.csv", aus=(12, 4, 1)).folds[0]
    assert fold_result.aus == (4, 1)
    np.testing.assert_allclose(fold_result.probabilities, expected[:, [1, 2]], atol=1e-5)
    np.testing.assert_array_equal(fold_result.labels, labels[:, [2, 0]])


def test_aus_that_do_not_agree_are_told_at_the_first_batch(setup, tmp_path, monkeypatch):
    deploy, weights, _, _, _ = setup
    other = tiny.write_data(tmp_path / "other", aus=(6, 7))[0]
    passes = []
    forward = scoring.CaffeNet.forward

    def counted(*arguments):
        passes.append(1)
        return forward(*arguments)

    monkeypatch.setattr(scoring.CaffeNet, "forward", counted)
    with pytest.raises(UserError, match="none of the net's AUs"):
        run(deploy, weights, other / "test.csv", batch=2)
    assert len(passes) == 1


def test_aus_that_do_not_agree_are_refused(setup, tmp_path):
    deploy, weights, fold, _, _ = setup
    with pytest.raises(UserError, match="3 outputs, but 2 AUs given"):
        run(deploy, weights, fold / "test.csv", aus=(1, 2))
    with pytest.raises(UserError, match="none of the net's AUs"):
        run(deploy, weights, fold / "test.csv", aus=(6, 7, 12))
    other = tiny.write_data(tmp_path / "other", aus=(1, 2))[0]
    assert run(deploy, weights, other / "test.csv").folds[0].aus == (1, 2)


def test_lmdb_without_manifest_needs_to_be_told_its_aus(setup):
    deploy, weights, fold, _, _ = setup
    (fold / "test.csv").unlink()
    with pytest.raises(UserError, match="the AUs of its 3 labels are not known; name them with --aus"):
        run(deploy, weights, fold / "test_lmdb")
    result = run(deploy, weights, fold / "test_lmdb", aus=(1, 2, 4))
    assert result.folds[0].subjects is None


@pytest.mark.parametrize("text", ["", "one", "1,1", "1;2"])
def test_aus_are_numbers_each_once(text):
    with pytest.raises(UserError, match="AUs"):
        parse_aus(text)


# --- folds ----------------------------------------------------------------------------------------------


def test_folds_are_pooled_and_averaged(setup, tmp_path):
    deploy, weights, fold, _, _ = setup
    parameters = tiny.draw_parameters(seed=7)
    second_weights = tiny.write_caffemodel(tmp_path / "second.caffemodel", parameters, scale=0.02)
    second = tiny.write_data(tmp_path / "second", count=6, seed=9)[0]
    result = run(deploy, [weights, second_weights], [fold / "test_lmdb", second / "test.csv"])
    first, last = result.folds
    assert result.pooled == pool(
        [(first.labels, first.probabilities), (last.labels, last.probabilities)], aus=tiny.AUS
    )
    assert result.mean == mean_of_folds(result.fold_scores)
    text = result.to_text()
    assert "Pooled over 2 folds" in text
    assert "Mean of 2 folds" in text
    with pytest.raises(UserError, match="1 weights files for 2 data sets"):
        run(deploy, [weights], [fold / "test_lmdb", second / "test_lmdb"])
    other = tiny.write_data(tmp_path / "other", aus=(1, 4, 10))[0]
    with pytest.raises(UserError, match="differ from those of"):
        run(deploy, [weights, weights], [fold / "test_lmdb", other / "test_lmdb"])


# --- confidence intervals, thresholds chosen on validation -----------------------------------------------


def test_intervals_draw_the_subjects_of_the_manifest(setup):
    deploy, weights, fold, labels, _ = setup
    result = run(deploy, weights, fold, bootstrap=40, seed=3)
    subjects = [f"F{1 + index % 2:03d}" for index in range(10)]
    assert result.folds[0].subject_ids == subjects
    expected = evaluate(
        labels, result.folds[0].probabilities, aus=tiny.AUS, subjects=subjects, bootstrap=40, seed=3
    )
    assert str(result.pooled.intervals) == str(expected.intervals)
    assert result.options["bootstrap"] == "40" and result.options["seed"] == "3"
    usual = scoring.score(deploy, weights, fold, progress=False, probe=False)
    assert usual.pooled.intervals.draws == 1000 and usual.options["bootstrap"] is None


def test_without_a_manifest_there_are_no_intervals(setup):
    deploy, weights, fold, _, _ = setup
    (fold / "test.csv").unlink()
    result = run(deploy, weights, fold, aus=tiny.AUS, bootstrap=40)
    assert result.pooled.intervals is None
    assert f"No confidence intervals: no manifest names the subjects of {fold}" in result.to_text()


def test_thresholds_are_chosen_on_the_validation_split_of_the_fold(setup):
    deploy, weights, fold, labels, _ = setup
    tiny.write_data(fold.parent, count=12, seed=3, split="val", mean=False)
    validation = run(deploy, weights, fold / "val_lmdb").folds[0]
    limits = choose_thresholds(validation.labels, validation.probabilities)
    for data in (fold, fold / "test_lmdb", fold / "test.csv"):
        result = run(deploy, weights, data, threshold="validation")
        assert result.chosen.by_fold == (tuple(limits.tolist()),)
        probabilities = result.folds[0].probabilities
        assert result.pooled == evaluate(labels, probabilities, aus=tiny.AUS)
        assert result.chosen.pooled == evaluate(labels, probabilities, aus=tiny.AUS, threshold=limits)
        assert result.threshold == 0.5 and result.options["threshold"] == "validation"
    with pytest.raises(UserError, match=r"val_lmdb: is the validation split, .* score the test split"):
        run(deploy, weights, fold / "val_lmdb", threshold="validation")
    with pytest.raises(
        UserError, match="threshold 'best': give a probability from 0 to 1, 'validation' or 'recipe'"
    ):
        run(deploy, weights, fold, threshold="best")


def test_thresholds_need_a_validation_split(setup):
    deploy, weights, fold, _, _ = setup
    with pytest.raises(UserError, match=r"there is no .*val_lmdb, on which .* --val-share"):
        run(deploy, weights, fold, threshold="validation")


# --- what is printed and written ------------------------------------------------------------------------


def test_table_has_every_au_average_trivial_row_and_dashes(tmp_path):
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    fold = tiny.write_data(tmp_path / "data", count=4, seed=0)[0]
    rows = read_manifest(fold / "test.csv").rows.values()
    one_class = [
        au for column, au in enumerate(tiny.AUS) if len({row.labels[column] for row in rows} - {0}) < 2
    ]
    assert one_class, "the data of this test should have an AU without both classes"
    result = run(deploy, weights, fold / "test_lmdb")
    lines = result.to_text().splitlines()
    for au, row in zip(tiny.AUS, result.pooled.rows, strict=True):
        line = next(line for line in lines if re.match(rf"\s*{au}  [A-Z]", line))
        expected = [getattr(row, figure) for figure in ("f1", "auc", "ap", "accuracy", "mcc")]
        assert line.split()[-5:] == ["-" if np.isnan(value) else f"{value:.3f}" for value in expected]
        assert (line.split()[-3] == "-") == (au in one_class)
    assert any(line.startswith("Avg.") for line in lines)
    trivial = next(line for line in lines if line.startswith("all positive"))
    assert trivial.split()[-5] == f"{result.pooled.average('trivial_f1'):.3f}"
    note = next(line for line in lines if line.startswith("- ROC-AUC, AP, MCC undefined"))
    assert ", ".join(f"AU{au}" for au in one_class) in note
    assert "SYNTHETIC" not in result.to_text()


def test_synthetic_data_are_called_so(tmp_path):
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    fold = tiny.write_data(tmp_path / "data", synthetic=True)[0]
    result = run(deploy, weights, fold / "test_lmdb")
    assert "SYNTHETIC DATA" in result.to_text()
    assert result.to_dict()["synthetic"] is True


def test_files_hold_every_figure(setup, tmp_path):
    deploy, weights, fold, labels, expected = setup
    result = run(deploy, weights, fold / "test_lmdb")
    write_scores(tmp_path / "scores.json", result)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["pooled"]["aus"][1]["auc"] == result.pooled.rows[1].auc
    assert scores["pooled"]["average"]["trivial_f1"] == result.pooled.average("trivial_f1")
    assert scores["folds"][0]["input"]["scale"] == pytest.approx(0.02)
    write_predictions(tmp_path / "p.csv", result.folds)
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["key", "p_AU1", "p_AU2", "p_AU4", "y_AU1", "y_AU2", "y_AU4"]
    assert [float(row["p_AU2"]) for row in rows] == pytest.approx(expected[:, 1].tolist(), abs=1e-5)
    assert [int(row["y_AU4"]) for row in rows] == labels[:, 2].tolist()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_file_tells_apart_what_the_scores_tell_apart(tmp_path, kind):
    rng = np.random.default_rng(0)
    # Closer to each other than six digits show, at both ends and at the threshold.
    values = rng.permutation(
        np.concatenate([start + np.arange(40) * 3e-7 for start in (0, 0.499995, 0.99998)])
    )
    values = values[:, np.newaxis].astype(kind)
    labels = np.where(rng.random(values.shape) < 0.5, 1, -1).astype(np.int8)
    keys = [f"{number:08d}" for number in range(len(values))]
    fold = Predictions("w", "d", (1,), keys, labels, values, None, False, {}, 0.0)
    write_predictions(tmp_path / "p.csv", [fold])
    found = read_predictions(tmp_path / "p.csv")
    np.testing.assert_array_equal(found.probabilities.astype(kind), values)
    pooled = evaluate_folds("net", [fold]).pooled
    (row,) = evaluate(found.labels, found.probabilities, aus=(1,)).rows
    assert (row.f1, row.auc, row.ap) == (pooled.rows[0].f1, pooled.rows[0].auc, pooled.rows[0].ap)


def test_nothing_half_written_stays(tmp_path):
    target = tmp_path / "out.json"
    target.write_text("old")

    def write():
        with writing(target) as file:
            file.write("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space.*out.json"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    assert target.read_text() == "old"


def test_predictions_that_do_not_fit_the_disk_are_an_error_with_the_files_name(setup, tmp_path):
    deploy, weights, fold, _, _ = setup
    result = run(deploy, weights, fold / "test_lmdb")
    with tiny.file_size_limit(100), pytest.raises(OSError, match=r"p\.csv"):
        write_predictions(tmp_path / "p.csv", result.folds)
    assert not list(tmp_path.glob("p.csv*"))


# --- faults ---------------------------------------------------------------------------------------------


def test_net_that_diverged_is_named(setup, tmp_path):
    deploy, _, fold, _, _ = setup
    parameters = tiny.draw_parameters()
    parameters["fc10"][1][1] = np.nan
    weights = tiny.write_caffemodel(tmp_path / "nan.caffemodel", parameters, scale=0.02)
    with pytest.raises(UserError, match=r"output 1 for record 00000000_F001_T1_0000 is nan.* diverged"):
        run(deploy, weights, fold / "test_lmdb")


def test_net_without_probabilities_is_refused(setup, tmp_path):
    _, weights, fold, _, _ = setup
    path = tmp_path / "scores.prototxt"
    path.write_text(tiny.deploy_text().replace('"prob"', '"probability"'))
    with pytest.raises(UserError, match="no blob 'prob'"):
        run(path, weights, fold / "test_lmdb")
    path.write_text(tiny.deploy_text().replace('type: "Sigmoid"', 'type: "Power" power_param { shift: 5 }'))
    with pytest.raises(UserError, match="not a probability"):
        run(path, weights, fold / "test_lmdb")


def test_missing_data_are_named(setup, tmp_path):
    deploy, weights, fold, _, _ = setup
    with pytest.raises(UserError, match="none_lmdb: no such LMDB"):
        run(deploy, weights, tmp_path / "none_lmdb")
    with pytest.raises(UserError, match=r"none.csv: no such manifest"):
        run(deploy, weights, tmp_path / "none.csv")
    alone = tmp_path / "alone.csv"
    alone.write_bytes((fold / "test.csv").read_bytes())
    with pytest.raises(UserError, match=r"no LMDB .*alone_lmdb; a manifest only selects"):
        run(deploy, weights, alone)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda lines: [*lines[:-1], lines[-1].replace("00000009", "00000099")], "key 00000009.* is missing"),
        (lambda lines: [*lines, "00000099_F001_T1_0099,x,F001,T1,99,1,1,1\n"], "no record 00000099"),
        (lambda lines: [*lines[:-1], lines[-1].rsplit(",", 3)[0] + ",1,1,7\n"], "'7' for AU4"),
        (lambda lines: [*lines[:-1], lines[-1].rsplit(",", 3)[0] + ",1,1,yes\n"], "'yes' for AU4"),
    ],
)
def test_manifest_that_tells_otherwise_is_refused(setup, change, match):
    deploy, weights, fold, _, _ = setup
    manifest = fold / "test.csv"
    manifest.write_text("".join(change(manifest.read_text().splitlines(keepends=True))))
    with pytest.raises(UserError, match=match):
        run(deploy, weights, fold / "test_lmdb")


def cut_jpeg():
    # OpenCV would make an image of it, grey where it ends.
    data = cv2.imencode(".jpg", tiny.draw_images(1)[0])[1].tobytes()
    return data[: len(data) * 3 // 4]


def bad_lmdb(fold, image=None, labels=(1, 1, 1)):
    shutil.rmtree(fold / "test_lmdb")
    (fold / "test.csv").unlink()
    good = cv2.imencode(".png", tiny.draw_images(1)[0])[1].tobytes()
    write_lmdb(fold / "test_lmdb", [("a", good, (1, 1, 1)), ("b", good if image is None else image, labels)])


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"image": b"no image"}, "record b: its image of 8 bytes cannot be decoded"),
        ({"image": b""}, "record b: its image of 0 bytes cannot be decoded"),
        ({"image": cut_jpeg()}, "record b: its image of .* bytes cannot be decoded"),
        ({"labels": (1, 1)}, "record b has 2 labels, others 3"),
        ({"labels": (1, 1, 2)}, "record b has the label 2"),
        ({"labels": ()}, "record b has no labels"),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_bad_record_is_named(setup, record, match, batch):
    deploy, weights, fold, _, _ = setup
    bad_lmdb(fold, **record)
    with pytest.raises(UserError, match=match):
        run(deploy, weights, fold / "test_lmdb", aus=tiny.AUS, batch=batch)
