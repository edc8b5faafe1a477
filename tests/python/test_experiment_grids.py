"""drml experiment grid: variants of the net, and units of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drml import cli
from drml.experiments.methods import GRIDS, METHODS, NotAvailable, net_files
from drml.experiments.nets import write_variant
from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import import_caffe
from experiment_data import add_region, write_data, write_models

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_nothing_but_the_grid_differs(tmp_path: Path, scale: str) -> None:
    files = net_files(MODELS, "drml", scale)
    found = write_variant(files, METHODS["drml_6x6"], tmp_path / "g")
    assert found.solver == files.solver
    for ours, plain in ((found.train_val, files.train_val), (found.deploy, files.deploy)):
        variant, original = read_prototxt(ours), read_prototxt(plain)
        (layer,) = [layer for layer in variant.layer if layer.type == "Region"]
        assert (layer.region_param.grid_h, layer.region_param.grid_w) == (6, 6)
        layer.region_param.grid_h = layer.region_param.grid_w = 8
        assert variant.name == f"{original.name} 6x6"
        variant.name = original.name
        assert variant == original
    before = found.deploy.stat().st_mtime_ns
    write_variant(files, METHODS["drml_6x6"], tmp_path / "g")
    assert found.deploy.stat().st_mtime_ns == before
    found.deploy.write_text("layer {")  # half-written
    write_variant(files, METHODS["drml_6x6"], tmp_path / "g")
    assert read_prototxt(found.deploy).name.endswith("6x6")


def test_a_grid_that_does_not_divide_the_map_is_built(tmp_path: Path) -> None:
    caffe = import_caffe()
    found = write_variant(net_files(MODELS, "drml", "paper"), METHODS["drml_7x7"], tmp_path)
    net = caffe.Net(str(found.deploy), caffe.TEST)
    assert net.blobs["region2"].data.shape[1:] == (32, 160, 160)
    assert net.params["region2"][0].count == 7 * 7 * 32 * 32 * 9


def test_a_net_without_regions_is_not_available(tmp_path: Path) -> None:
    with pytest.raises(NotAvailable, match=r"drml_5x5: not available, .* has no Region layer"):
        write_variant(net_files(MODELS, "convnet", "quick"), METHODS["drml_5x5"], tmp_path)


def test_grids_are_trained_as_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path, ("data",))
    models = write_models(tmp_path / "models", ("drml",))
    add_region(models / "drml")
    out = tmp_path / "out"
    common = ["--data", str(tmp_path / "data"), "--models", str(models), "--out", str(out)]
    common += ["--folds", "1", "--schedule", "quick", "-q"]
    methods = ["--methods", "drml_5x5", "drml", "drml_10x10"]
    assert cli.main(["experiment", "grid", *common, *methods, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert list(table["pooled"]) == ["drml_5x5", "drml", "drml_10x10"]
    assert table["methods"]["drml_5x5"]["title"] == "DRML 5x5"
    net = read_prototxt(out / "fold1/drml_10x10/train/quick_train_val.prototxt")
    (layer,) = [layer for layer in net.layer if layer.type == "Region"]
    assert layer.region_param.grid_h == 10
    assert cli.main(["experiment", "grid", *common, "--plan"]) == 0
    names = [line.split()[-1] for line in capsys.readouterr().out.splitlines()]
    assert names == ["fold1/drml_6x6", "fold1/drml_7x7", "fold1/drml_9x9"]
    assert cli.main(["experiment", "collect", str(out), "--json"]) == 0
    tables = {one.get("table", one.get("figure")): one for one in json.loads(capsys.readouterr().out)}
    assert set(tables) == {"table2", "grid", "curve"} and list(tables["table2"]["pooled"]) == ["drml"]
    # The net itself on another fold, for other tables: left out here, where the grids have none.
    table2 = [*common[: common.index("--folds")], "--schedule", "quick", "-q", "--methods", "drml"]
    assert cli.main(["experiment", "table2", *table2]) == 0
    assert cli.main(["experiment", "grid", *common, *methods, "--complete"]) == 0
    methods_of = json.loads((out / "grid.json").read_text())["methods"]
    assert {tuple(about["folds"]) for about in methods_of.values()} == {(1,)}
    assert json.loads((out / "table2.json").read_text())["methods"]["drml"]["folds"] == [1, 2]


def test_the_enumeration_is_the_papers() -> None:
    assert [METHODS[name].grid or 8 for name in GRIDS] == [5, 6, 7, 8, 9, 10]
