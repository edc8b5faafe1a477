"""drml experiment intensities on drawn faces of 24 pixels: fitted and trained for real."""

from __future__ import annotations

import csv
import json
import shlex
import statistics
from pathlib import Path

import numpy as np
import pytest

import tiny_net as tiny
from drml import cli
from drml.baselines import RidgeRegression
from drml.data.labels import BP4D_INTENSITY_AUS
from drml.data.prepare import Encoding, prepare
from drml.evaluation import intensity_metrics
from drml.experiments import nets, runner, stopping, units
from drml.experiments.settings import Settings
from drml.experiments.sift import sift_features
from drml.io.errors import UserError
from drml.report.experiment_page import write_experiment_report
from drml.synth import write_bp4d
from drml.training.level_table import mean_iccs
from experiment_data import QUIET, write_models
from test_learning_curve import COUNTS

FIGURES = ("icc", "pcc", "mae", "mse")


def settings_of(folder: Path, data: str = "data", **more: object) -> Settings:
    paths = {"data": str(folder / data), "models": str(folder / "models")}
    return Settings(**paths, scale="quick", seed=3, **more)  # type: ignore[arg-type]  # of any field


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds with intensities, one with occurrences and one with both."""
    folder = tmp_path_factory.mktemp("intensities")
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=8, size=130, **QUIET)
    for name, target, folds in (
        ("data", "intensity", (1, 2)),
        ("occurrences", "occurrence", (1,)),
        ("both", "both", (1,)),
    ):
        size = Encoding(size=tiny.IMAGE)
        prepare("bp4d", folder / "BP4D", folder / name, folds=folds, encoding=size, target=target, **QUIET)
    write_models(folder / "models", ("drml", "convnet"))
    for path in (folder / "models").rglob("*train_val.prototxt"):
        path.write_text(path.read_text() + COUNTS)
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    """Ridge and one net with two seeds on two folds."""
    out = folder / "out"
    settings = settings_of(folder, seeds=2)
    runner.run("intensities", out, settings, methods=("ridge", "drml"), progress=False)
    return out


def by_hand(out: Path, units_: list[str], figure: str, column: int) -> float:
    """Compute a figure of an AU from the files of units, pooled over them."""
    parts = [np.load(out / unit / "intensities.npz") for unit in units_]
    labels = np.concatenate([part["labels"] for part in parts])[:, column]
    estimates = np.concatenate([part["estimates"] for part in parts])[:, column]
    assert estimates.min() >= 0 and estimates.max() <= 5
    known = labels != 9
    y, x = labels[known].astype(float), estimates[known].astype(float)
    if figure == "icc":  # from the mean squares of a two-way table of frames and raters
        table = np.stack([y, x])
        rows = table.mean(0)
        between = 2 * ((rows - table.mean()) ** 2).sum() / (len(y) - 1)
        rest = table - rows - table.mean(1, keepdims=True) + table.mean()
        error = (rest**2).sum() / (len(y) - 1)
        return float((between - error) / (between + error))
    return {
        "pcc": float(np.corrcoef(y, x)[0, 1]) if y.std() * x.std() else float("nan"),
        "mae": float(np.abs(y - x).mean()),
        "mse": float(((y - x) ** 2).mean()),
    }[figure]


def test_the_table_holds_mean_and_deviation_over_the_seeds(done: Path) -> None:
    table = json.loads((done / "intensities.json").read_text())
    assert table["synthetic"] is True and list(table["pooled"]) == ["ridge", "drml"]
    assert table["methods"]["drml"]["seeds"] == [3, 4] and table["methods"]["ridge"]["seeds"] == [3]
    rows = {
        (row["over"], row["figure"], row["au"], row["method"]): row
        for row in csv.DictReader((done / "intensities.csv").open())
    }
    averages: dict[tuple[str, str], list[float]] = {}
    for figure in FIGURES:
        for column, au in enumerate(BP4D_INTENSITY_AUS):
            row = rows["pooled", figure, str(au), "ridge"]
            value = by_hand(done, ["fold1/ridge", "fold2/ridge"], figure, column)
            assert float(row["value"]) == pytest.approx(value, abs=2e-6)
            assert float(row["low"]) <= value + 1e-6 and value <= float(row["high"]) + 1e-6
            each = [
                by_hand(done, [f"fold{fold}/{name}" for fold in (1, 2)], figure, column)
                for name in ("drml", "drml_seed4")
            ]
            row = rows["pooled", figure, str(au), "drml"]
            assert float(row["value"]) == pytest.approx(np.mean(each), abs=2e-6)
            assert float(row["deviation"]) == pytest.approx(statistics.stdev(each), abs=2e-6)
            averages.setdefault(("drml", figure), []).append(float(row["value"]))
        row = rows["pooled", figure, "Avg.", "drml"]
        assert float(row["value"]) == pytest.approx(np.mean(averages["drml", figure]), abs=2e-6)
    spread = table["pooled"]["drml"]["standard_deviation"]["average"]
    assert float(rows["pooled", "mae", "Avg.", "drml"]["deviation"]) == pytest.approx(spread["mae"], abs=1e-6)
    text = (done / "intensities.md").read_text()
    assert text.startswith("# Intensities of AUs, quick schedule\n") and "SYNTHETIC DATA" in text
    for title in ("ICC(3,1)", "PCC", "MAE", "MSE"):
        assert f"## {title}. Pooled over the folds" in text and f"## {title}. Mean of the folds" in text
    assert "mean ± standard deviation (n - 1) over the seeds 3, 4.\n" in text
    assert "up to 100 of each level from 1 to 5 and up to 200 of level 0" in text
    assert "thresholds" not in text and "BP4D's intensity codes" in text


def test_trivial_columns_are_those_of_constants(done: Path, folder: Path) -> None:
    rows = [
        row for row in csv.DictReader((done / "intensities.csv").open()) if row["over"] == "mean_of_folds"
    ]
    for column, au in enumerate(BP4D_INTENSITY_AUS):
        zero, mean = [], []
        for fold in (1, 2):
            train = list(csv.DictReader((folder / f"data/fold{fold}/train.csv").open()))
            known = [int(row[f"AU{au}_r"]) for row in train if row[f"AU{au}_r"] != "9"]
            labels = np.load(done / f"fold{fold}/ridge/intensities.npz")["labels"][:, column]
            y = labels[labels != 9].astype(float)
            zero.append(np.abs(y).mean())
            mean.append(np.abs(y - sum(known) / len(known)).mean())
        found = {
            row["method"]: row["value"] for row in rows if (row["figure"], row["au"]) == ("mae", str(au))
        }
        assert float(found["zero"]) == pytest.approx(np.mean(zero), abs=2e-6)
        assert float(found["mean"]) == pytest.approx(np.mean(mean), abs=2e-6)
    assert {row["value"] for row in rows if row["figure"] == "icc" and row["method"] == "zero"} == {
        "0.000000"
    }
    assert not [row for row in rows if row["figure"] == "pcc" and row["method"] in ("zero", "mean")]


def test_the_ridge_of_a_unit_is_that_of_the_estimator(done: Path, folder: Path) -> None:
    data = {
        split: sift_features(folder / f"data/fold2/{split}_lmdb", folder=folder / "sift", **QUIET)
        for split in ("train", "val", "test")
    }
    train, val, test = data.values()
    model = RidgeRegression().fit(train.X, train.levels, validation=(val.X, val.levels))
    unit = done / "fold2/ridge"
    np.testing.assert_allclose(
        np.load(unit / "intensities.npz")["estimates"], model.predict(test.X), atol=1e-6
    )
    assert RidgeRegression.load(unit / "fit/model.npz").aus == BP4D_INTENSITY_AUS
    result = units.read_result(done, "fold2/ridge")
    assert result is not None and set(result["validation"]) == set(intensity_metrics.FIGURES)
    assert result["validation"]["icc"] == pytest.approx(model.score(val.X, val.levels), abs=1e-6)


def test_missing_units_are_planned_and_collected(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["experiment", "intensities", "--data", str(folder / "data"), "--models", str(folder / "models")]
    base += [
        "--out",
        str(tmp_path),
        "--schedule",
        "quick",
        "--folds",
        "1",
        "--methods",
        "ridge",
        "convnet",
        "-q",
    ]
    assert cli.main([*base, "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["fold1/ridge", "fold1/convnet"]
    assert cli.main([*shlex.split(lines[0])[1:], "-q"]) == 0
    assert cli.main(["experiment", "collect", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("# Intensities of AUs\n")
    assert cli.main([*base[:-1], "-q", "--plan"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["fold1/convnet"]
    # lsvm detects; the others go on, and the table is not complete.
    assert cli.main([*base[:-3], "ridge", "lsvm", "--complete"]) == 1
    said = capsys.readouterr()
    assert "intensities: not complete: lsvm: no fold is finished" in said.err
    assert "lsvm: not available, it detects occurrences, and this experiment is on intensities" in said.out


@pytest.mark.parametrize(
    ("experiment", "data", "said"),
    [
        ("intensities", "occurrences", "occurrences: not prepared with --target intensity"),
        ("intensities", "both", "both: not prepared with --target intensity"),
        ("table2", "data", "data: its labels are intensities; use drml experiment intensities"),
    ],
)
def test_data_of_another_target_are_refused(
    folder: Path, tmp_path: Path, experiment: str, data: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        runner.run(experiment, tmp_path, settings_of(folder, data), progress=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_has_units_of_one_target(done: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="begun with target intensity, not occurrence"):
        runner.run("table2", done, settings_of(folder, "occurrences"), methods=("lsvm",), progress=False)


def test_a_report_names_the_table(done: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"out: an experiment on intensities, .* its table is intensities\.md"
    ):
        write_experiment_report(tmp_path / "page.html", [done])
    assert not list(tmp_path.iterdir())


def test_ridge_is_not_for_occurrences(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match="ridge: not available, it estimates intensities, and this experiment"
    ):
        runner.run("table2", tmp_path, settings_of(folder, "occurrences"), methods=("ridge",), progress=False)


def test_a_training_ends_when_its_icc_is_flat(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nets, "EVERY", 5)
    monkeypatch.setattr(stopping, "PATIENCE", 2)
    monkeypatch.setattr(stopping, "GAIN", 2.0)  # nothing gains that much
    monkeypatch.setattr(stopping, "LEARNED_ICC", -1.0)
    settings = settings_of(folder, max_iter=1_000_000, until_flat=True, train_batch=6)
    table = runner.run("intensities", tmp_path, settings, methods=["drml"], folds=(1,), progress=False)
    assert not isinstance(table, list)
    result = units.read_result(tmp_path, "fold1/drml")
    assert result is not None and 15 <= result["training"]["iterations"] < 1_000_000
    iccs = mean_iccs(tmp_path / "fold1/drml/train")
    assert list(iccs)[:3] == [5, 10, 15]
    config = units.read_config(tmp_path, "fold1/drml")
    assert config["target"] == "intensity" and "validation ICC" in config["rule"] and "0.1" in config["rule"]
    assert "until validation ICC is flat" in table.to_markdown()


def test_the_baseline_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["baseline", "ridge", "--data", str(folder / "data/fold1"), "--features", str(tmp_path / "sift")]
    (tmp_path / "sift").mkdir()
    assert cli.main([*base, "--out", str(tmp_path / "out"), "-q"]) == 0
    assert "training mean (trivial)" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"scores.json", "predictions.csv", "model.npz", "fit.json"}
    about = json.loads((tmp_path / "out/fit.json").read_text())
    assert about["aus"] == list(BP4D_INTENSITY_AUS) and len(about["chosen"]["alpha"]) == 5
    scores = json.loads((tmp_path / "out/scores.json").read_text())["intensity"]
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").open()))
    y, x = (np.array([float(row[f"{which}_AU12_r"]) for row in rows]) for which in "yp")
    (au12,) = [row for row in scores["pooled"]["aus"] if row["au"] == 12]
    assert au12["mae"] == pytest.approx(intensity_metrics.mae(y, x), abs=1e-6)
    assert cli.main([*base[:3], str(folder / "occurrences/fold1"), "--out", str(tmp_path / "no"), "-q"]) == 1
    assert "its labels are occurrences; prepare the data with --target intensity" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*base, "--out", str(tmp_path / "no"), "--refit"])
    assert "--refit does not apply to ridge" in capsys.readouterr().err
