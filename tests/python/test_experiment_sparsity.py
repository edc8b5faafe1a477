"""drml experiment sparsity: variants of the net, units of them, and which patches are off."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

import tiny_net as tiny
from drml import cli
from drml.experiments.methods import METHODS, SPARSITY, net_files
from drml.experiments.nets import write_variant
from drml.experiments.sparsity import Patches
from drml.io.errors import UserError
from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import import_caffe
from drml.nets.weights import read_blob
from experiment_data import add_region, write_data, write_models

MODELS = Path(__file__).resolve().parents[2] / "models"
STRONGEST = SPARSITY[-1]


def _norms(deploy: Path, weights: Path) -> list[float]:
    """Return the norm of each patch of region2, weight by weight, as pycaffe loads them."""
    caffe = import_caffe()
    found = caffe.Net(str(deploy), str(weights), caffe.TEST).params["region2"][0].data
    return [math.sqrt(sum(float(value) ** 2 for value in patch.flat)) for patch in found]


def test_lambdas_grow_from_the_models_own() -> None:
    lambdas = [METHODS[name].sparsity for name in SPARSITY]
    assert SPARSITY[0] == "drml" and lambdas[0] == 0
    assert lambdas == sorted(set(lambdas))
    for name in SPARSITY[1:]:
        assert float(name.removeprefix("drml_l")) == METHODS[name].sparsity


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_nothing_but_the_term_differs(tmp_path: Path, scale: str) -> None:
    files = net_files(MODELS, "drml", scale)
    method = METHODS[STRONGEST]
    found = write_variant(files, method, tmp_path / "s")
    assert found.solver == files.solver
    variant, original = read_prototxt(found.train_val), read_prototxt(files.train_val)
    (layer,) = [layer for layer in variant.layer if layer.type == "Region"]
    assert layer.region_param.group_sparsity == pytest.approx(method.sparsity)
    assert list(layer.top) == ["region2", "region2_sparsity"]
    layer.region_param.ClearField("group_sparsity")
    layer.top.pop()
    deploy, plain = read_prototxt(found.deploy), read_prototxt(files.deploy)
    for ours, theirs in ((variant, original), (deploy, plain)):
        assert ours.name == f"{theirs.name} lambda {method.sparsity:g}"
        ours.name = theirs.name
        assert ours == theirs


def test_shares_and_sums() -> None:
    fold1 = np.array([[2.0, 0.019, 0.021], [0.0, 1.0, 0.5]])
    patches = Patches({1: fold1, 2: np.zeros((2, 3))}, (20, 20, 2))
    assert patches.off(1) == pytest.approx(2 / 6)
    assert patches.off(2) == 1  # and no division by 0
    assert patches.mean_off() == pytest.approx(4 / 6)
    assert patches.mean_sum() == pytest.approx(3.54 / 2)
    np.testing.assert_allclose(patches.relative(1)[1], [0, 0.5, 0.25])
    assert patches.to_dict()["folds"]["1"]["norms"] == fold1.tolist()


def test_lambdas_are_trained_as_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path, ("data",))
    models = write_models(tmp_path / "models", ("drml",))
    add_region(models / "drml")
    out = tmp_path / "out"
    common = ["--data", str(tmp_path / "data"), "--models", str(models), "--out", str(out)]
    common += ["--folds", "1", "--schedule", "quick", "-q"]
    assert cli.main(["experiment", "sparsity", *common, "--methods", "drml", STRONGEST, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert list(table["pooled"]) == ["drml", STRONGEST]
    assert table["methods"][STRONGEST]["title"] == METHODS[STRONGEST].title

    # The figures are those of the nets that were trained.
    for method in ("drml", STRONGEST):
        weights = out / "fold1" / method / "train" / "final.caffemodel"
        deploy = models / "drml" / "deploy.prototxt"
        if method != "drml":
            deploy = out / "sparsity" / method / "deploy.prototxt"
        norms = _norms(deploy, weights)
        found = table["patches"][method]
        assert found["lambda"] == METHODS[method].sparsity
        np.testing.assert_allclose(np.ravel(found["folds"]["1"]["norms"]), norms, rtol=1e-6)
        assert np.shape(found["folds"]["1"]["norms"]) == (8, 8)
        assert found["norm_sum"] == pytest.approx(sum(norms))
        assert found["off"] == np.mean([norm < 0.01 * max(norms) for norm in norms])
    assert table["patches"][STRONGEST]["norm_sum"] < 0.9 * table["patches"]["drml"]["norm_sum"]
    log = (out / "fold1" / STRONGEST / "train" / "loss.csv").read_text()
    assert "batch region2_sparsity" in log and "test,region2_sparsity" in log

    with (out / "sparsity.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["over"] == "patches"]
    assert [(row["figure"], row["method"]) for row in rows[:2]] == [("off", "drml"), ("norm_sum", "drml")]
    assert float(rows[3]["value"]) == pytest.approx(table["patches"][STRONGEST]["norm_sum"], abs=1e-6)
    text = (out / "sparsity.md").read_text()
    assert "| DRML | 0 | 0.0% |" in text and text.index("## Patches") < text.index("\n- ")
    picture = cv2.imread(str(out / "sparsity.png"))
    assert picture.shape[1] > picture.shape[0] > 300
    assert "svg" in (out / "sparsity.svg").read_text()[:500]

    assert cli.main(["experiment", "sparsity", *common, "--plan"]) == 0
    names = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert names == [f"fold1/{name}" for name in SPARSITY[1:-1]]
    (out / "sparsity.md").unlink()
    assert cli.main(["experiment", "collect", str(out), "--json"]) == 0
    tables = {one.get("table", one.get("figure")): one for one in json.loads(capsys.readouterr().out)}
    assert set(tables) == {"table2", "sparsity", "curve"} and list(tables["table2"]["pooled"]) == ["drml"]
    assert tables["sparsity"]["patches"] == table["patches"]
    assert (out / "sparsity.md").read_text() == text


def test_a_blob_is_read_from_either_form(tmp_path: Path) -> None:
    parameters = tiny.draw_parameters()
    bias = parameters["fc9"][1]
    for path in (
        tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters),
        tiny.write_caffemodel(tmp_path / "old.caffemodel", {"fc9": parameters["fc9"]}, old=True),
        tiny.write_hdf5(tmp_path / "w.caffemodel.h5", parameters),
    ):
        np.testing.assert_array_equal(read_blob(path, "fc9", 1).ravel(), bias)
    weights = tmp_path / "w.caffemodel.h5"
    assert h5py.is_hdf5(weights) and read_blob(weights, "conv1").shape == (4, 3, 5, 5)
    for layer, index in (("region2", 0), ("fc9", 2)):
        with pytest.raises(UserError, match=rf"w\.caffemodel: no blob {index} of layer '{layer}'"):
            read_blob(tmp_path / "w.caffemodel", layer, index)
