"""Nets that estimate intensities: made of any net, trained, fine-tuned, scored, and computed by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import drml
import tiny_net as tiny
from drml.cli import main
from drml.evaluation.intensity_scoring import predict_intensities, training_means
from drml.evaluation.intensity_table import evaluate_intensities
from drml.io.errors import UserError
from drml.io.shipped import find_shipped
from drml.nets.intensity_head import add_intensities
from drml.nets.net import CaffeNet
from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import messages
from drml.nets.recipe import read_recipe
from drml.nets.weights import read_caffemodel
from drml.training.setup import Changes, set_up
from drml.training.train import train
from tiny_levels import AUS, LEVEL_AUS, train_tiny, write_fold


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return train_tiny(tmp_path_factory.mktemp("both"), "both", max_iter=400)


@pytest.fixture(scope="module")
def levels_only(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return train_tiny(tmp_path_factory.mktemp("levels"), "intensity", max_iter=400)


def heads(weights: Path) -> dict[str, list[np.ndarray]]:
    return {
        layer.name: [np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim)) for blob in layer.blobs]
        for layer in read_caffemodel(weights).layer
        if layer.blobs
    }


def test_a_net_of_both_kinds_computes_what_its_layers_say(both: tuple[Path, Path]) -> None:
    out, fold = both
    net = drml.Net(out)
    assert (net.aus, net.intensity_aus) == (AUS, LEVEL_AUS)
    assert repr(net).endswith("aus=(1, 2, 4), intensity_aus=(6, 12))")
    recipe = read_recipe(out / "final.caffemodel")
    assert recipe is not None and (recipe.au, recipe.intensity_au) == (AUS, LEVEL_AUS)
    X, y, _ = drml.load_split(fold, target="intensity")
    found = net(X)
    assert found.shape == (len(X), 5) and y.shape == (len(X), 2)
    caffe = CaffeNet(out / "deploy.prototxt", out / "final.caffemodel")
    blobs = {name: [np.array(blob.data) for blob in some] for name, some in caffe.net.params.items()}
    parameters = {name: blobs[name] for name in ("conv1", "fc9", "fc10")}
    hidden = tiny.compute(parameters, tiny.transform(X, 120, 0.02))
    weight, bias = blobs["intensity_2"]
    expected = np.clip(hidden["fc9"] @ weight.T.astype(np.float64) + bias, 0, 5)
    assert found[:, :3] == pytest.approx(hidden["prob"], abs=1e-4)
    assert found[:, 3:] == pytest.approx(expected, abs=1e-3)


def test_training_learns_the_intensities(both: Any, levels_only: Any) -> None:
    for out, fold in (both, levels_only):
        found = predict_intensities(out / "deploy.prototxt", out / "final.caffemodel", fold, progress=False)
        table = evaluate_intensities(
            found.labels, found.estimates, aus=found.aus, training_mean=found.training_mean
        )
        # AU6 is drawn as brightness, AU12 is not drawn at all.
        assert table.rows[0].icc > 0.8 and table.rows[0].mse < table.rows[0].mean_mse / 3
        assert table.rows[1].icc < 0.5


def test_a_net_of_intensities_alone(levels_only: tuple[Path, Path]) -> None:
    out, fold = levels_only
    deploy = read_prototxt(out / "deploy.prototxt")
    assert [layer.type for layer in deploy.layer][-1] == "InnerProduct"
    assert not any(layer.type == "Sigmoid" for layer in deploy.layer)
    net = read_prototxt(out / "train_val.prototxt")
    assert [layer.type for layer in net.layer if "Loss" in layer.type] == ["MultiLabelEuclideanLoss"]
    assert {layer.multi_label_data_param.num_labels for layer in net.layer[:2]} == {2}
    model = drml.Net(out)
    assert (model.aus, model.intensity_aus) == ((), LEVEL_AUS)
    X = drml.load_split(fold, target="intensity")[0]
    assert model(X).shape == (len(X), 2)


def test_fine_tuning_from_an_occurrence_net_keeps_its_trunk(tmp_path: Path) -> None:
    parameters = tiny.draw_parameters(4)
    start = tiny.write_caffemodel(tmp_path / "start.caffemodel", parameters)
    out, _ = train_tiny(tmp_path, "intensity", weights=start, max_iter=1)
    before, after = parameters, heads(out / "final.caffemodel")
    assert "fc10" not in after and after["intensity_2"][0].shape == (2, 6)
    # One step with a rate of .01 moves the trunk a little; from random values it would be far away.
    for name in ("conv1", "fc9"):
        assert np.abs(after[name][0] - before[name][0]).max() < 0.05 < np.abs(before[name][0]).max()
    # And from a net of intensities, its outputs go on.
    again = tmp_path / "again"
    train(
        tmp_path / "solver.prototxt",
        again,
        data=tmp_path / "data" / "fold1",
        weights=out / "final.caffemodel",
        max_iter=1,
        seed=2,
        progress=False,
    )
    moved = heads(again / "final.caffemodel")["intensity_2"][0] - after["intensity_2"][0]
    assert np.abs(moved).max() < 0.1
    fresh = tmp_path / "fresh"
    train(
        tmp_path / "solver.prototxt",
        fresh,
        data=tmp_path / "data" / "fold1",
        weights=out / "final.caffemodel",
        new_output=True,
        max_iter=1,
        seed=2,
        progress=False,
    )
    assert "intensity_2_new" in heads(fresh / "final.caffemodel")


def test_an_occurrence_net_has_no_intensities(tmp_path: Path) -> None:
    out, fold = train_tiny(tmp_path, "occurrence")
    assert drml.Net(out).intensity_aus == ()
    with pytest.raises(UserError, match="estimates no intensities"):
        predict_intensities(out / "deploy.prototxt", out / "final.caffemodel", fold, progress=False)


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
@pytest.mark.parametrize("name", ["train_val", "quick_train_val", "deploy"])
@pytest.mark.parametrize("kind", ["both", "intensity"])
def test_every_shipped_net_gets_the_outputs(model: str, name: str, kind: str) -> None:
    path = find_shipped(Path("models") / model / f"{name}.prototxt")
    net = read_prototxt(path)
    add_intensities(net, 5, occurrences=12 if kind == "both" else 0, start=1.5)
    layers = {layer.name: layer for layer in net.layer}
    head = layers["intensity_5"]
    original = read_prototxt(path)
    scores = [layer for layer in original.layer if layer.type == "InnerProduct"][-1]
    assert list(head.bottom) == list(scores.bottom) and head.inner_product_param.num_output == 5
    assert head.inner_product_param.weight_filler == scores.inner_product_param.weight_filler
    assert head.inner_product_param.bias_filler.value == 1.5
    for layer in net.layer:
        if layer.type == "MultiLabelEuclideanLoss":
            assert list(layer.loss_weight) == [0.25]
    made = set()
    for layer in net.layer:  # each blob is made before it is used
        assert set(layer.bottom) <= made, layer.name
        made |= set(layer.top)
    losses = [layer.type for layer in net.layer if "Loss" in layer.type]
    if name == "deploy":
        assert ("prob" in made) == (kind == "both") and "intensity" in made and not losses
    elif kind == "both":
        assert losses == ["MultiLabelSigmoidCrossEntropyLoss", "MultiLabelEuclideanLoss"]
        cut = next(layer for layer in net.layer if layer.type == "Slice")
        assert list(cut.slice_param.slice_point) == [12] and list(cut.bottom) == ["label"]
        counts = [layer for layer in net.layer if layer.type == "MultiLabelCounts"]
        assert all(layer.bottom[1] == "label_occurrence" for layer in counts) and counts
    else:
        assert losses == ["MultiLabelEuclideanLoss"]
        (counts,) = [layer for layer in net.layer if layer.type == "MultiLabelCounts"]
        assert list(counts.bottom) == ["level_scores", "level_labels"] and counts.include[0].phase == 1
        assert scores.top[0] not in made


@pytest.mark.parametrize("kind", ["both", "intensity"])
def test_estimates_begin_at_the_mean_of_the_training_labels(tmp_path: Path, kind: str) -> None:
    fold = write_fold(tmp_path, kind)
    with (fold / "train.csv").open(newline="") as file:
        texts = [row[f"AU{au}_r"] for row in csv.DictReader(file) for au in LEVEL_AUS]
    known = [int(text) for text in texts if text != "9"]
    set_up(tiny.write_solver(tmp_path), tmp_path / "out", Changes(data=fold))
    net = read_prototxt(tmp_path / "out" / "train_val.prototxt")
    (head,) = [layer for layer in net.layer if layer.name == "intensity_2"]
    filler = head.inner_product_param.bias_filler
    assert filler.type == "constant" and filler.value == pytest.approx(sum(known) / len(known), abs=6e-4)


def test_a_net_of_ones_own_with_such_a_loss_only_gets_its_number_of_outputs() -> None:
    net = messages().NetParameter()
    net.layer.add(name="x", type="Input", top=["data", "label"])
    head = net.layer.add(name="last", type="InnerProduct", bottom=["data"], top=["levels"])
    head.inner_product_param.num_output = 12
    loss = net.layer.add(name="cost", type="MultiLabelEuclideanLoss", bottom=["levels", "label"])
    loss.multi_label_euclidean_loss_param.delta = 2
    add_intensities(net, 5, occurrences=0)
    assert [layer.name for layer in net.layer] == ["x", "intensity_5", "cost"]
    assert net.layer[1].inner_product_param.num_output == 5
    assert net.layer[2].multi_label_euclidean_loss_param.delta == 2


def test_the_score_command_prints_both_tables(both: tuple[Path, Path], tmp_path: Path, capsys: Any) -> None:
    out, fold = both
    files = ["--out", str(tmp_path / "scores.json"), "--predictions", str(tmp_path / "p.csv")]
    assert main(["score", str(out), str(fold), "--bootstrap", "20", "--quiet", *files]) == 0
    text = capsys.readouterr().out
    assert "F1-frame" in text and "ICC(3,1) (95% CI)" in text
    assert "always 0 (trivial)" in text and "training mean (trivial)" in text
    figures = json.loads((tmp_path / "scores.json").read_text())
    assert [row["au"] for row in figures["pooled"]["aus"]] == [1, 2, 4]
    found = figures["intensity"]
    with (tmp_path / "p-intensities.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([[float(row[f"y_AU{au}_r"]) for au in LEVEL_AUS] for row in rows])
    estimates = np.array([[float(row[f"p_AU{au}_r"]) for au in LEVEL_AUS] for row in rows])
    assert estimates.min() >= 0 and estimates.max() <= 5
    table = evaluate_intensities(labels, estimates, aus=LEVEL_AUS)
    for row, wanted in zip(found["pooled"]["aus"], table.rows, strict=True):
        assert row["icc"] == pytest.approx(wanted.icc, abs=1e-5)
        assert row["mae"] == pytest.approx(wanted.mae, abs=1e-5)
    # By hand: labels in rows, rounded estimates in columns.
    counts = np.zeros((6, 6), int)
    for label, estimate in zip(labels[:, 0], estimates[:, 0], strict=True):
        if label != 9:
            counts[int(label), round(float(estimate))] += 1
    assert found["confusion"][0] == counts.tolist()
    assert main(["score", str(out), str(fold), "--quiet", "--json", "--bootstrap", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["intensity"]["pooled"]["average"]["icc"] is not None


def test_intensities_alone_are_scored_pooled_and_by_fold(
    levels_only: tuple[Path, Path], tmp_path: Path, capsys: Any
) -> None:
    out, fold = levels_only
    command = ["score", "--weights", str(out), str(out), "--data", str(fold), str(fold), "--quiet"]
    assert main([*command, "--bootstrap", "0", "--predictions", str(tmp_path / "p.csv")]) == 0
    text = capsys.readouterr().out
    assert "Pooled over 2 folds" in text and "Mean of 2 folds" in text and "F1-frame" not in text
    assert (tmp_path / "p.csv").is_file() and not (tmp_path / "p-intensities.csv").exists()


def test_a_net_is_not_scored_on_labels_of_another_kind(
    levels_only: tuple[Path, Path], both: tuple[Path, Path], tmp_path: Path, capsys: Any
) -> None:
    other = write_fold(tmp_path, "occurrence")
    assert main(["score", str(levels_only[0]), str(other), "--quiet"]) == 1
    assert "estimates intensities, but the labels of" in capsys.readouterr().err
    # A net of both kinds is scored for what the data have.
    assert main(["score", str(both[0]), str(other), "--quiet", "--bootstrap", "0"]) == 0
    text = capsys.readouterr().out
    assert "F1-frame" in text and "ICC" not in text


def test_the_mean_of_the_training_labels(both: tuple[Path, Path]) -> None:
    fold = both[1]
    with (fold / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for at, au in enumerate(LEVEL_AUS):
        known = [int(row[f"AU{au}_r"]) for row in rows if row[f"AU{au}_r"] != "9"]
        means = training_means(fold, LEVEL_AUS)
        assert means is not None and means[at] == pytest.approx(sum(known) / len(known))
    assert training_means(fold, (25,)) is None


def test_a_net_that_diverged_is_reported(both: tuple[Path, Path], tmp_path: Path) -> None:
    out, fold = both
    net = drml.Net(out)
    net._runner.net.params["intensity_2"][1].data[1] = np.nan  # type: ignore[attr-defined]  # Caffe's net
    with pytest.raises(UserError, match="the intensity of AU12 is nan"):
        net(drml.load_split(fold)[0])
