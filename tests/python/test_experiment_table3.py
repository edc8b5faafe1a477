"""drml experiment table3: tiny nets trained on drawn BP4D, used on drawn DISFA."""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

import tiny_net as tiny
from drml import cli
from drml.data.labels import BP4D_AUS, DISFA_AUS
from drml.data.prepare import Encoding, prepare
from drml.evaluation import scoring
from drml.evaluation.predictions import Predictions
from drml.experiments import fold_unit, predictions, runner, table3
from drml.experiments.methods import TABLE3
from drml.experiments.settings import Settings
from drml.experiments.transfer import transfer
from drml.io.errors import UserError
from drml.synth import write_disfa
from experiment_data import QUIET, write_data, write_models

SHARED = (1, 2, 4, 6, 12)
METHODS = ("apl", "alexnet", "drml")
COLUMNS = ["apl", "apl_direct", "alexnet_direct", "alexnet_fc7", "drml_direct", "drml_fc9"]


class Setup:
    """Data of both sets, models, table2's folder and table3's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bp4d, self.out = folder, folder / "bp4d", folder / "out"
        self.models = folder / "models"

    @property
    def arguments(self) -> list[str]:
        paths = ["--data", self.folder / "disfa", "--data-alexnet", self.folder / "disfa_large"]
        paths += ["--models", self.models, "--bp4d", self.bp4d, "--out", self.out]
        return [*map(str, paths), "--seed", "5", "-q", "--methods", *METHODS]

    def weights(self, method: str, fold: int) -> Path:
        return self.bp4d / f"fold{fold}/{method}/train/final.caffemodel"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    setup = Setup(tmp_path_factory.mktemp("table3"))
    write_data(setup.folder)
    write_models(setup.models)
    settings = Settings(
        data=str(setup.folder / "data"),
        data_alexnet=str(setup.folder / "large"),
        models=str(setup.models),
        scale="quick",
        seed=3,
        max_iter=10,
    )
    runner.run("table2", setup.bp4d, settings, methods=("apl", "alexnet", "drml"), progress=False)
    for fold, f1 in ((1, 0.25), (2, 0.5)):  # so that the choice is known
        path = setup.bp4d / f"fold{fold}/drml/result.json"
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "validation": {**result["validation"], "f1": f1}}))
    write_disfa(setup.folder / "DISFA", subjects=9, frames=16, size=130, **QUIET)
    prepare(
        "disfa",
        setup.folder / "DISFA",
        setup.folder / "disfa",
        folds=(1, 2),
        encoding=Encoding(size=tiny.IMAGE),
        **QUIET,
    )
    shutil.copytree(setup.folder / "disfa", setup.folder / "disfa_large")
    assert cli.main(["experiment", "table3", *setup.arguments]) == 0
    return setup


@pytest.fixture
def setup(done: Setup, tmp_path: Path) -> Setup:
    """A copy of table3's folder that a test may change; the rest is shared."""
    shutil.copytree(done.out, tmp_path / "out", symlinks=True)
    copy = Setup(done.folder)
    copy.out = tmp_path / "out"
    return copy


def test_methods_and_aus_are_those_of_the_paper(done: Setup) -> None:
    assert TABLE3 == ("lsvm", "apl", "alexnet", "convnet", "lcn", "drml")
    table = json.loads((done.out / "table3.json").read_text())
    assert table["table"] == "table3" and table["synthetic"] is True
    assert list(table["pooled"]) == list(table["mean_of_folds"]) == COLUMNS
    for method in COLUMNS:
        direct = method.endswith("direct")
        aus = [row["au"] for row in table["pooled"][method]["aus"]]
        assert aus == list(SHARED if direct else DISFA_AUS)
        assert table["methods"][method]["not_scored"] == ([9, 25, 26] if direct else [])
        assert table["methods"][method]["folds"] == [1, 2]
    assert table["methods"]["alexnet_fc7"]["title"] == "AlexNet (fc7, DISFA)"


def test_the_net_with_the_best_validation_is_used_as_it_is(done: Setup) -> None:
    deploy, weights = done.models / "drml/deploy.prototxt", done.weights("drml", 2)
    for fold in (1, 2):
        data = done.folder / f"disfa/fold{fold}/test_lmdb"
        expected = scoring.predict(deploy, weights, data, aus=BP4D_AUS, progress=False)
        found = predictions.load_predictions(done.out / f"fold{fold}/drml_direct")
        assert found.aus == SHARED and found.keys == expected.keys and found.weights == str(weights)
        np.testing.assert_array_equal(found.probabilities, expected.probabilities)
        np.testing.assert_array_equal(found.labels, expected.labels)
        (by_features,) = transfer(deploy, weights, done.folder / "disfa", folds=[fold], progress=False).folds
        found = predictions.load_predictions(done.out / f"fold{fold}/drml_fc9")
        np.testing.assert_allclose(found.probabilities, by_features.probabilities, atol=1e-6)
        assert found.classifier is not None and found.classifier["blob"] == "fc9"
    large = predictions.load_predictions(done.out / "fold1/alexnet_fc7")
    assert "disfa_large/fold1" in large.data and large.classifier is not None
    assert large.classifier["blob"] == "fc7"


def test_the_linear_model_with_the_best_validation_is_used_as_it_is(done: Setup) -> None:
    folders = {fold: done.bp4d / f"fold{fold}/apl/fit" for fold in (1, 2)}
    chosen = {
        fold: json.loads((folder / "fit.json").read_text())["chosen"] for fold, folder in folders.items()
    }
    f1 = {fold: np.mean(np.max(one["validation_f1"], axis=1)) for fold, one in chosen.items()}
    best = max(f1, key=lambda fold: f1[fold])
    model = np.load(folders[best] / "model.npz")
    columns = [BP4D_AUS.index(au) for au in SHARED]
    for fold in (1, 2):
        used = json.loads((done.out / f"fold{fold}/apl_direct/result.json").read_text())["net"]
        assert used["fold"] == best and used["validation_f1"] == pytest.approx(f1[best])
        found = predictions.load_predictions(done.out / f"fold{fold}/apl_direct")
        fitted = predictions.load_predictions(done.out / f"fold{fold}/apl")
        assert found.aus == SHARED and found.keys == fitted.keys and found.synthetic
        at = [DISFA_AUS.index(au) for au in SHARED]
        np.testing.assert_array_equal(found.labels, fitted.labels[:, at])
        X = np.load(done.out / f"features/fold{fold}/test_sift.npy").astype(np.float64)
        decisions = X @ model["coef_"][columns].T + model["intercept_"][columns]
        np.testing.assert_allclose(found.probabilities, 1 / (1 + np.exp(-decisions)), atol=1e-6)


def test_a_linear_model_of_faces_of_another_size_is_refused(setup: Setup, tmp_path: Path) -> None:
    bp4d = tmp_path / "bp4d"
    shutil.copytree(setup.bp4d, bp4d, symlinks=True)
    for path in bp4d.glob("fold*/apl/result.json"):
        path.write_text(path.read_text().replace(f"{tiny.IMAGE} x {tiny.IMAGE} px", "99 x 99 px"))
    settings = dataclasses.replace(Settings.of(setup.out), bp4d=str(bp4d))
    with pytest.raises(UserError, match=r"faces of 24 x 24 px, but .* was fitted to faces of 99 x 99 px"):
        table3.make_unit(setup.out, settings, "apl_direct", 1)


def test_figures_are_what_scikit_learn_finds_on_the_shared_aus(done: Setup) -> None:
    rows = list(csv.DictReader((done.out / "table3.csv").open()))
    assert len(rows) == 2 * 8 * (len(DISFA_AUS) + 2) * (len(COLUMNS) + 1)
    values = {
        row["au"]: row["value"]
        for row in rows
        if (row["over"], row["figure"], row["method"]) == ("pooled", "f1", "drml_direct")
    }
    assert [au for au, value in values.items() if not value] == ["9", "25", "26"]
    parts = [np.load(done.out / f"fold{fold}/drml_direct/predictions.npz") for fold in (1, 2)]
    labels = np.concatenate([part["labels"] for part in parts])
    probabilities = np.concatenate([part["probabilities"] for part in parts])
    expected = []
    for column, au in enumerate(SHARED):
        known = labels[:, column] != 0
        guess = probabilities[known, column] >= 0.5
        expected.append(f1_score(labels[known, column] > 0, guess, zero_division=0))
        assert float(values[str(au)]) == pytest.approx(expected[-1], abs=1e-6)
    assert float(values["Avg."]) == pytest.approx(np.mean(expected), abs=1e-6)
    # The other methods' averages over the same AUs, the trivial row's among them.
    assert float(values["Avg. of 1 2 4 6 12"]) == pytest.approx(np.mean(expected), abs=1e-6)
    trivial = {
        row["au"]: float(row["value"])
        for row in rows
        if (row["over"], row["figure"], row["method"]) == ("pooled", "f1", "trivial")
    }
    shared = [trivial[str(au)] for au in SHARED]
    assert trivial["Avg. of 1 2 4 6 12"] == pytest.approx(np.mean(shared), abs=1e-6)


def test_the_page_says_what_the_reader_must_know(done: Setup) -> None:
    text = (done.out / "table3.md").read_text()
    for part in (
        "# Table 3: AU detection on DISFA, quick schedule cut to 10 iterations",
        "**SYNTHETIC DATA: drawn faces.",
        "| AU | APL (DISFA) | APL (BP4D) | AlexNet (BP4D) | AlexNet (fc7, DISFA) |",
        "| DRML (BP4D) | DRML (fc9, DISFA) | all positive",
        "## AP. Mean of the folds",
        "- DRML (BP4D): the model has no output for AU9, AU25, AU26: -, left out of Avg.",
        "- APL (BP4D): the model has no output for AU9, AU25, AU26: -, left out of Avg.",
        f"- {table3.PROTOCOLS}",
        "- DRML (fc9, DISFA): the net of fold 2 on BP4D (seed 3), whose validation F1 is the best, 0.500",
        "quick schedule cut to 10 iterations, seed 5",
        "- Labels: DISFA's intensities: from 3 on present (+1), less absent (-1), not coded unknown (0)",
        "for each AU and video, up to 800 with it and up to 1600 without it",
        f"{tiny.IMAGE} x {tiny.IMAGE} px",
    ):
        assert part in text, part
    part = text[text.index("## F1-frame at 0.5. Pooled") :]
    (line, *_) = [line for line in part.splitlines() if line.startswith("| 9 ")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert {cells[2], cells[3], cells[5]} == {"-"} and "-" not in (cells[1], cells[4], cells[6], cells[7])


def test_a_second_call_redoes_nothing_and_the_plan_is_done(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("done again")

    for module, name in ((fold_unit, "train"), (fold_unit, "run_baseline"), (table3, "transfer")):
        monkeypatch.setattr(module, name, never)
    shutil.rmtree(setup.out / "fold2/drml_direct")
    assert cli.main(["experiment", "table3", *setup.arguments, "--plan"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == shlex.join(["drml", "experiment", "unit", str(setup.out), "fold2/drml_direct"])
    assert cli.main([*shlex.split(line)[1:], "-q"]) == 0
    before = {path: path.stat().st_mtime_ns for path in setup.out.glob("fold*/*/*")}
    assert cli.main(["experiment", "table3", *setup.arguments]) == 0
    assert {path: path.stat().st_mtime_ns for path in setup.out.glob("fold*/*/*")} == before
    capsys.readouterr()
    assert cli.main(["experiment", "collect", str(setup.out), "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)
    assert table["table"] == "table3" and list(table["pooled"]) == COLUMNS


def test_what_does_not_fit_is_refused(
    setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(kind: str, *arguments: str) -> str:
        assert cli.main(["experiment", kind, *arguments]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    arguments = setup.arguments
    assert "begun with seed 5, not 6" in said("table3", *arguments, "--seed", "6")
    with pytest.raises(SystemExit) as wrong:
        said("table3", *arguments, "--out", str(setup.bp4d))
    assert wrong.value.code == 2
    assert "give another --out for the units on DISFA" in capsys.readouterr().err
    new = ["--out", str(tmp_path / "new")]
    assert "give the folder of table2" in said("table3", *arguments, "--bp4d", str(setup.out), *new)
    assert "no settings.json in it" in said("table3", *arguments, "--bp4d", str(tmp_path))
    without = [word for word in arguments if word not in ("--data-alexnet", f"{setup.folder}/disfa_large")]
    lack = "alexnet_direct: not available, it takes 227"
    assert lack in said("table3", *without, *new, "--methods", "alexnet")
    assert "lcn_direct: not available, no unit of lcn" in said("table3", *arguments, "--methods", "lcn")
    on_bp4d = ["--data", str(setup.folder / "data"), "--models", str(setup.models), "-q", "--methods"]
    assert "used on other data; give another --out" in said(
        "table2", *on_bp4d, "lsvm", "--out", str(setup.out)
    )
    assert "it uses a net from BP4D" in said("table2", *on_bp4d, "drml_fc9", *new)
    # Another net became the best one meanwhile.
    bp4d = tmp_path / "bp4d"
    shutil.copytree(setup.bp4d, bp4d, symlinks=True)
    shutil.rmtree(bp4d / "fold2/drml")
    assert "fold1/drml_direct: made with net_fold 2, not 1" in said("table3", *arguments, "--bp4d", str(bp4d))
    models = tmp_path / "models"
    shutil.copytree(setup.models, models)
    (models / "drml/deploy.prototxt").write_text("layer {")
    assert "deploy.prototxt: not what" in said("table3", *arguments, "--models", str(models))


def test_nets_are_not_trained_on_the_other_data(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["experiment", "unit", str(setup.out), "fold1/drml", "-q"]) == 1
    assert "drml: not available, since nets are not trained on these data" in capsys.readouterr().err


def test_a_net_that_knows_drawn_faces_alone_makes_the_table_synthetic(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = scoring.predict

    def on_real_faces(*arguments: Any, **options: Any) -> Predictions:
        return dataclasses.replace(predict(*arguments, **options), synthetic=False)

    monkeypatch.setattr(scoring, "predict", on_real_faces)
    shutil.rmtree(setup.out / "fold1/drml_direct")
    runner.run_one(setup.out, "fold1/drml_direct", progress=False)
    assert predictions.load_predictions(setup.out / "fold1/drml_direct").synthetic is True


def test_other_nets_on_other_folds_are_told(setup: Setup) -> None:
    path = setup.out / "fold1/drml_fc9/result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "net": {**result["net"], "fold": 1, "validation_f1": 0.25}}))
    (table,) = runner.collect(setup.out)
    text = table.to_markdown()
    assert (
        "- DRML (fc9, DISFA): the net of fold 1 on BP4D" in text
        and "- DRML (fc9, DISFA): the net of fold 2" in text
    )
    assert "- DRML (fc9, DISFA): not the same model on all folds" in text
    assert "DRML (BP4D): not the same model" not in text
