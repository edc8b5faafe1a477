"""drml experiment table4: tiny nets timed for real."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from drml import cli
from drml.experiments import timing
from experiment_data import write_models


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("timing") / "models")


def test_times_are_per_batch_and_per_image(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    counts = ["--trials", "3", "--iterations", "4", "--batch", "5"]
    arguments = ["experiment", "table4", "--models", str(models), "--out", str(out), *counts]
    assert cli.main([*arguments, "-q", "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert list(found["units"]) == ["convnet", "alexnet", "drml"]
    (lack,) = found["notes"]
    assert lack.startswith("lcn: not available")
    for row in found["rows"]:
        times = found["units"][row["method"]][row["phase"]]
        assert row["batch"] == 5 and 0 < row["ms_per_batch"] == times["mean_ms"]
        assert row["ms_per_image"] == pytest.approx(row["ms_per_batch"] / 5)
        assert row["std_per_image"] == pytest.approx(times["std_of_trials_ms"] / 5)
        assert row["machine"]
    table = list(csv.DictReader((out / "table4.csv").open()))
    assert [(row["method"], row["phase"]) for row in table][:2] == [("convnet", "train"), ("convnet", "test")]
    text = (out / "table4.md").read_text()
    assert "over 3 trials of 4 iterations each" in text and "| DRML | test (forward) | 5 |" in text
    assert cli.main([*arguments, "-q", "--complete"]) == 1
    assert "table4: not complete: lcn: not timed" in capsys.readouterr().err
    # Done once, and not mixed with other counts.
    before = (out / "time/drml/result.json").read_bytes()
    assert cli.main([*arguments, "-q"]) == 0
    assert (out / "time/drml/result.json").read_bytes() == before
    assert cli.main([*arguments, "-q", "--batch", "6"]) == 1
    assert "time/convnet: made with batch 5, not 6" in capsys.readouterr().err
    shutil.rmtree(out / "time/drml")
    assert cli.main(["experiment", "unit", str(out), "time/drml", "-q"]) == 0
    assert json.loads((out / "time/drml/result.json").read_text())["batch"] == 5
    assert cli.main([*arguments, "-q", "--methods", "lsvm"]) == 1
    assert "lsvm: not available, since only nets are timed" in capsys.readouterr().err


def test_the_batch_is_that_of_the_training_by_default(models: Path, tmp_path: Path) -> None:
    arguments = ["--models", str(models), "--out", str(tmp_path), "--methods", "drml", "--iterations", "2"]
    assert cli.main(["experiment", "table4", *arguments, "-q"]) == 0
    result = json.loads((tmp_path / "time/drml/result.json").read_text())
    assert (result["batch"], result["trials"], result["iterations"]) == (4, 3, 2)


def test_summary_is_of_trials_and_iterations() -> None:
    seconds = np.array([[0.001, 0.003], [0.005, 0.007]])
    assert timing._summary(seconds) == pytest.approx(
        {"mean_ms": 4.0, "std_of_trials_ms": 2.0, "std_of_iterations_ms": float(np.std([1, 3, 5, 7]))}
    )


def test_a_net_that_caffe_refuses_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = write_models(tmp_path / "models", ("drml",))
    net = models / "drml/quick_train_val.prototxt"
    net.write_text(net.read_text().replace("num_output: 6", "num_output: 0"))
    arguments = ["experiment", "table4", "--models", str(models), "--out", str(tmp_path / "out"), "-q"]
    assert cli.main([*arguments, "--methods", "drml", "--trials", "1"]) == 1
    error = capsys.readouterr().err
    assert "Caffe refuses this net" in error and error.count("\n") == 1
