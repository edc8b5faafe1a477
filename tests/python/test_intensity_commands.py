"""What other commands do with nets that estimate intensities, and with their data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import tiny_net as tiny
from drml.cli import main
from drml.data.split import load_split
from drml.nets.net import CaffeNet
from drml.nets.recipe import read_recipe
from tiny_levels import AUS, LEVEL_AUS, write_fold, write_net


def said(capsys: Any, *command: object) -> str:
    """Run a command that fails; return its one line."""
    assert main([*map(str, command)]) == 1
    error = str(capsys.readouterr().err)
    assert error.startswith("drml: error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("kind", ["both", "intensity", "occurrence"])
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_features_come_with_the_labels_of_each_kind(tmp_path: Path, kind: str, suffix: str) -> None:
    deploy, weights, _ = write_net(tmp_path, "both")
    fold = write_fold(tmp_path, kind, count=7)
    out = tmp_path / f"f{suffix}"
    command = ["features", str(weights), str(fold), "--net", str(deploy), "--batch", "3", "-q"]
    assert main([*command, "--out", str(out)]) == 0
    with h5py.File(out) if suffix == ".h5" else np.load(out) as file:
        found = {name: file[name][...] for name in file}
    wanted = {"occurrence": ["labels"], "intensity": ["intensities"]}.get(kind, ["labels", "intensities"])
    assert sorted(found) == sorted(["keys", "features", *wanted])
    X = np.empty(0)
    for name, target in (("labels", "occurrence"), ("intensities", "intensity")):
        if name in wanted:
            X, labels, _ = load_split(fold, target=target)
            np.testing.assert_array_equal(found[name], labels)
            assert found[name].dtype == np.int8
    recipe = read_recipe(weights)
    assert recipe is not None
    net = CaffeNet(deploy, weights, mean=recipe.input.mean, scale=0.02, probe=False)
    np.testing.assert_allclose(found["features"], net.forward(X, ["fc9"])["fc9"], rtol=1e-5)


def test_relations_are_of_occurrences(tmp_path: Path, capsys: Any) -> None:
    deploy, weights, _ = write_net(tmp_path, "both")
    fold = write_fold(tmp_path, "both")
    command = ["relations", str(weights), str(fold), "--net", str(deploy), "-q", "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["aus"] == list(AUS)
    levels = write_fold(tmp_path / "levels", "intensity")
    assert "its labels are intensities, not occurrences" in said(capsys, *command[:2], levels, *command[3:])
    deploy, weights, _ = write_net(tmp_path / "levels", "intensity")
    error = said(capsys, "relations", weights, fold, "--net", deploy, "-q")
    assert "estimates intensities and gives no probabilities; train a net on data with occurrences" in error


def test_features_of_any_net_are_transferred_to_occurrences(tmp_path: Path, capsys: Any) -> None:
    deploy, weights, _ = write_net(tmp_path, "intensity")
    fold = write_fold(tmp_path, "both", count=40, splits=("train", "val", "test"))
    command = ["transfer", str(weights), str(fold), "--net", str(deploy), "-q"]
    assert main([*command, "--out", str(tmp_path / "t.json"), "--refit"]) == 1
    assert "does not say how training frames were sampled" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "t.json")]) == 0
    figures = json.loads((tmp_path / "t.json").read_text())
    assert [row["au"] for row in figures["pooled"]["aus"]] == list(AUS)
    levels = write_fold(tmp_path / "levels", "intensity", splits=("train", "val", "test"))
    error = said(capsys, "transfer", weights, levels, "--net", deploy, "-q")
    assert "prepare the data with --target occurrence, or both" in error


def test_show_names_both_kinds_and_keeps_them(tmp_path: Path, capsys: Any) -> None:
    _, weights, _ = write_net(tmp_path, "both")
    copy = tmp_path / "named.caffemodel"
    assert main(["show", str(weights), "--set-aus", "4,9,25", "--out", str(copy)]) == 0
    page = capsys.readouterr().out
    assert "AU9   Nose wrinkler" in page and "2 outputs from 0 to 5" in page
    recipe = read_recipe(copy)
    assert recipe is not None and (recipe.au, recipe.intensity_au) == ((4, 9, 25), LEVEL_AUS)
    _, weights, _ = write_net(tmp_path, "intensity")
    assert main(["show", str(weights), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intensity_au"] == list(LEVEL_AUS)
    error = said(capsys, "show", weights, "--set-aus", "1,2", "--out", tmp_path / "wrong.caffemodel")
    assert "its net only estimates intensities, of AU6, AU12" in error
    assert not (tmp_path / "wrong.caffemodel").exists()


def test_a_converted_net_estimates_the_same(tmp_path: Path) -> None:
    from drml.nets.convert import convert
    from drml.nets.intensity_head import add_intensities
    from drml.nets.prototxt import read_prototxt, write_prototxt
    from drml.nets.pycaffe import import_caffe

    region = (
        'layer { name: "region" type: "Region" bottom: "data" top: "region"'
        " region_param { num_output: 3 kernel_size: 3 grid_h: 2 grid_w: 2 } }\n"
    )
    text = tiny.deploy_text().replace('bottom: "data" top: "conv1"', 'bottom: "region" top: "conv1"')
    first, rest = text.split('layer { name: "conv1"')
    deploy, branches = tmp_path / "deploy.prototxt", tmp_path / "branches.prototxt"
    deploy.write_text(f'{first}{region}layer {{ name: "conv1"{rest}')
    net = read_prototxt(deploy)
    add_intensities(net, 2, occurrences=3)
    write_prototxt(net, deploy)
    caffe = import_caffe()
    whole = caffe.Net(str(deploy), caffe.TEST)
    rng = np.random.default_rng(1)
    for blobs in whole.params.values():
        for blob in blobs:
            blob.data[...] = rng.uniform(0.1, 0.5, blob.shape)
    whole.save(str(tmp_path / "w.caffemodel"))
    convert(
        deploy,
        branches,
        to="branches",
        weights=tmp_path / "w.caffemodel",
        out_weights=tmp_path / "b.caffemodel",
    )
    other = caffe.Net(str(branches), str(tmp_path / "b.caffemodel"), caffe.TEST)
    inputs = rng.standard_normal((1, 3, tiny.INPUT, tiny.INPUT)).astype(np.float32)
    for one in (whole, other):
        one.blobs["data"].data[...] = inputs
        one.forward()
    for name in ("prob", "intensity"):
        values = whole.blobs[name].data
        assert values.shape == (1, 3 if name == "prob" else 2) and np.abs(values).max() > 1e-3
        np.testing.assert_allclose(other.blobs[name].data, values, rtol=1e-4)
