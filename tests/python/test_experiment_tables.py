"""drml experiment table2 on drawn faces of 24 pixels: fitted and trained for real."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import tiny_net as tiny
from drml import cli
from drml.data.labels import BP4D_AUS
from drml.data.lmdb import read_lmdb, write_lmdb
from drml.evaluation.relations import compare, relations
from drml.experiments import fold_unit, predictions, runner, units
from drml.experiments.settings import Settings
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe
from drml.training.caffe_run import find_caffe
from experiment_data import write_data, write_models

METHODS = ("lsvm", "alexnet", "drml")


class Setup:
    """Data, models, and the experiment's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self.settings = Settings(
            data=str(folder / "data"),
            data_alexnet=str(folder / "large"),
            models=str(folder / "models"),
            scale="quick",
            seed=3,
        )

    @property
    def arguments(self) -> list[str]:
        paths = ["--data", self.settings.data, "--data-alexnet", str(self.settings.data_alexnet)]
        paths += ["--models", self.settings.models, "--out", str(self.out)]
        return [*paths, "--schedule", "quick", "--seed", "3", "-q"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Setup:
    folder = tmp_path_factory.mktemp("experiment")
    write_data(folder)
    write_models(folder / "models")
    setup = Setup(folder)
    runner.run("table2", setup.out, setup.settings, methods=METHODS, progress=False)
    return setup


@pytest.fixture
def setup(done: Setup, tmp_path: Path) -> Setup:
    """A copy that a test may change."""
    shutil.copytree(done.folder, tmp_path / "copy", symlinks=True)
    return Setup(tmp_path / "copy")


def figures_by_hand(out: Path, method: str, folds: tuple[int, ...]) -> dict[str, float]:
    """Averages over the AUs of the pooled test frames, by scikit-learn."""
    parts = [np.load(out / f"fold{fold}" / method / "predictions.npz") for fold in folds]
    labels = np.concatenate([part["labels"] for part in parts])
    values = np.concatenate([part["probabilities"] for part in parts])
    found: dict[str, list[float]] = {"f1": [], "auc": [], "ap": []}
    for column in range(labels.shape[1]):
        known = labels[:, column] != 0
        truth, p = labels[known, column] > 0, values[known, column]
        found["f1"].append(f1_score(truth, p >= 0.5, zero_division=0))
        if len(set(truth)) == 2:
            found["auc"].append(roc_auc_score(truth, p))
            found["ap"].append(average_precision_score(truth, p))
    return {name: float(np.mean(numbers)) for name, numbers in found.items()}


def test_the_table_holds_what_scikit_learn_finds(done: Setup) -> None:
    table = json.loads((done.out / "table2.json").read_text())
    assert list(table["pooled"]) == list(METHODS) and table["synthetic"] is True
    for method in METHODS:
        expected = figures_by_hand(done.out, method, (1, 2))
        average = table["pooled"][method]["average"]
        assert {name: average[name] for name in expected} == pytest.approx(expected)
        folds = [figures_by_hand(done.out, method, (fold,))["f1"] for fold in (1, 2)]
        assert table["mean_of_folds"][method]["average"]["f1"] == pytest.approx(np.mean(folds))
        assert table["methods"][method]["folds"] == [1, 2]
    assert table["settings"]["seed"] == 3 and table["versions"]["numpy"] == np.__version__
    rows = list(csv.DictReader((done.out / "table2.csv").open()))
    assert len(rows) == 2 * 8 * (len(BP4D_AUS) + 1) * (len(METHODS) + 1)
    (one,) = [
        row
        for row in rows
        if (row["over"], row["figure"], row["au"], row["method"]) == ("pooled", "f1", "Avg.", "drml")
    ]
    assert float(one["value"]) == pytest.approx(table["pooled"]["drml"]["average"]["f1"], abs=1e-6)
    interval = table["pooled"]["drml"]["intervals"]["average"]["f1"]
    assert [float(one[end]) for end in ("low", "high")] == pytest.approx(
        [interval["low"], interval["high"]], abs=1e-6
    )


def best_threshold(truth: np.ndarray, values: np.ndarray) -> float:
    """Try every value and 0.5; of equals the one nearest to 0.5, then the lower."""

    def f1(threshold: float) -> float:
        predicted = values >= threshold
        return 2 * int((truth & predicted).sum()) / max(1, int(truth.sum() + predicted.sum()))

    return min({0.5, *values.tolist()}, key=lambda one: (-f1(one), abs(one - 0.5), one))


def test_thresholds_of_every_method_come_from_its_validation_faces(done: Setup) -> None:
    table = json.loads((done.out / "table2.json").read_text())
    assert list(table["pooled_chosen"]) == list(table["mean_of_folds_chosen"]) == list(METHODS)
    for method in METHODS:
        f1 = np.empty((2, len(BP4D_AUS)))
        for fold in (1, 2):
            held_out, test = (
                np.load(done.out / f"fold{fold}" / method / f"{name}.npz")
                for name in ("validation", "predictions")
            )
            for column, au in enumerate(BP4D_AUS):
                known = held_out["labels"][:, column] != 0
                threshold = best_threshold(
                    held_out["labels"][known, column] > 0,
                    held_out["probabilities"][known, column].astype(np.float64),
                )
                assert table["methods"][method]["thresholds"]["3"][str(fold)][str(au)] == threshold
                known = test["labels"][:, column] != 0
                truth, values = test["labels"][known, column] > 0, test["probabilities"][known, column]
                f1[fold - 1, column] = f1_score(truth, values >= threshold, zero_division=0)
        average = table["mean_of_folds_chosen"][method]["average"]["f1"]
        assert average == pytest.approx(f1.mean())
        scores = json.loads((done.out / "fold1" / method / "scores.json").read_text())
        found = scores["chosen_thresholds"]["pooled"]["average"]["f1"]
        assert found == pytest.approx(f1[0].mean())


def flip_labels(fold: Path) -> None:
    """Swap present and absent in the labels of a fold's test faces."""
    rows = list(csv.reader((fold / "test.csv").open()))
    swap = {"1": "-1", "-1": "1"}
    with (fold / "test.csv").open("w", newline="") as file:
        swapped = [[*row[:5], *(swap.get(one, one) for one in row[5:])] for row in rows[1:]]
        csv.writer(file, lineterminator="\n").writerows([rows[0], *swapped])
    items = [(one.key, one.image, [-label for label in one.labels]) for one in read_lmdb(fold / "test_lmdb")]
    shutil.rmtree(fold / "test_lmdb")
    write_lmdb(fold / "test_lmdb", items, shape=(3, tiny.IMAGE, tiny.IMAGE))


@pytest.mark.parametrize("method", ["lsvm", "drml"])
def test_test_labels_change_no_choice(setup: Setup, method: str) -> None:
    """With other labels of the test faces, thresholds, C and weights stay the same, and the scores do not."""
    out = setup.out
    fitted = "fit/model.npz" if method == "lsvm" else "validation.npz"
    before = {name: dict(np.load(out / f"fold1/{method}/{name}")) for name in ("validation.npz", fitted)}
    test = np.load(out / f"fold1/{method}/predictions.npz")
    chosen = json.loads((out / "table2.json").read_text())["methods"][method]["thresholds"]["3"]["1"]
    flip_labels(setup.folder / "data/fold1")
    shutil.rmtree(out)
    runner.run("table2", out, setup.settings, methods=(method,), folds=(1,), progress=False)
    for name, arrays in before.items():
        after = dict(np.load(out / f"fold1/{method}/{name}"))
        for key in set(arrays) - {"about"}:
            np.testing.assert_array_equal(after[key], arrays[key], err_msg=f"{name} {key}")
    table = json.loads((out / "table2.json").read_text())
    assert table["methods"][method]["thresholds"]["3"]["1"] == chosen
    after = np.load(out / f"fold1/{method}/predictions.npz")
    np.testing.assert_array_equal(after["probabilities"], test["probabilities"])
    np.testing.assert_array_equal(after["labels"], -test["labels"])


def test_nets_of_several_seeds_have_a_mean_and_a_deviation(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["experiment", "table2", *setup.arguments, "--methods", "lsvm", "drml"]
    settings = setup.out / "settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "data": setup.settings.data}))
    assert cli.main([*base, "--seeds", "3", "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [f"fold{fold}/drml_seed{seed}" for fold in (1, 2) for seed in (4, 5)]
    assert [line.split()[-1] for line in lines] == names
    # One seed is not finished yet.
    for line in lines[:3]:
        assert cli.main([*shlex.split(line)[1:], "-q"]) == 0
    assert cli.main(["experiment", "collect", str(setup.out), "--json"]) == 0
    (table, *_) = json.loads(capsys.readouterr().out)
    assert table["methods"]["drml"]["seeds"] == [3, 4]
    assert "drml: seed 5 is not finished on fold 2" in table["notes"]
    assert cli.main([*base, "--seeds", "3", "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["methods"]["drml"]["seeds"] == [3, 4, 5] and table["methods"]["lsvm"]["seeds"] == [3]
    units_of = ("drml", "drml_seed4", "drml_seed5")
    found = [figures_by_hand(setup.out, name, (1, 2)) for name in units_of]
    weights = {(setup.out / f"fold1/{name}/train/final.caffemodel").read_bytes() for name in units_of}
    assert len(weights) == 3
    for figure in ("f1", "auc", "ap"):
        values = [one[figure] for one in found]
        scores = table["pooled"]["drml"]
        assert scores["average"][figure] == pytest.approx(np.mean(values))
        assert scores["standard_deviation"]["average"][figure] == pytest.approx(np.std(values, ddof=1))
    text = (setup.out / "table2.md").read_text()
    mean, deviation = np.mean([one["auc"] for one in found]), np.std([one["auc"] for one in found], ddof=1)
    assert f"{mean:.3f} ± {deviation:.3f}" in text
    assert "DRML: mean ± standard deviation (n - 1) over the seeds 3, 4, 5" in text
    # A call that says nothing of seeds keeps them.
    assert cli.main([*base, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["methods"]["drml"]["seeds"] == [3, 4, 5]
    assert cli.main(["experiment", "unit", str(setup.out), "fold1/drml_seed9", "-q"]) == 1
    assert "not one of the seeds of this experiment" in capsys.readouterr().err


def test_the_page_says_what_the_reader_must_know(done: Setup) -> None:
    text = (done.out / "table2.md").read_text()
    for part in (
        "**SYNTHETIC DATA: drawn faces.",
        "| AU | LSVM | AlexNet | DRML | all positive (trivial) |",
        "## F1-frame at 0.5. Pooled over the folds",
        "## F1-frame at thresholds chosen on validation. Pooled over the folds",
        "## ROC-AUC. Mean of the folds",
        "## Avg. of each fold",
        "95% confidence intervals by bootstrap over the test subjects",
        "12 Lip corner puller",
        "seed 3",
        "quick schedule",
        "- Labels: BP4D's occurrence codes: 1 is present (+1), 0 absent (-1), 9 unknown (0)",
        "for each AU and video, up to 100 with it and up to 200 without it; labels of AUs for which a frame"
        " was not drawn are unknown. Validation, test: all.",
        "- Drawn for training: ",
        "pixels: mean image taken off, times 0.02",
        "features: SIFT",
    ):
        assert part in text, part
    assert "not finished on the same folds" not in text


def test_the_protocol_is_checked_on_every_run(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where everything is finished."""

    def said(*arguments: str) -> str:
        assert (
            cli.main(["experiment", *(arguments or ("table2", *setup.arguments, "--methods", "lsvm"))]) == 1
        )
        return capsys.readouterr().err

    settings = setup.out / "settings.json"  # the copy's data, not those that it is a copy of
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "data": setup.settings.data}))
    summary, folds = setup.folder / "data/summary.json", setup.folder / "data"
    kept = summary.read_text()
    content = json.loads(kept)
    content["folds"]["2"]["test"]["images"] += 1
    summary.write_text(json.dumps(content))
    assert "fold2/test.csv" in (text := said()) and "test frames are never sampled" in text
    summary.write_text("[")
    assert "summary.json: damaged" in said()
    summary.write_text(kept)

    manifests = {name: folds / f"fold2/{name}.csv" for name in ("train", "val", "test")}
    texts = {name: path.read_text() for name, path in manifests.items()}
    rows = {name: list(csv.reader(text.splitlines())) for name, text in texts.items()}
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        person = rows[other][1][2]
        changed = [*rows[one][:-1], [*rows[one][-1][:2], person, *rows[one][-1][3:]]]
        manifests[one].write_text("\n".join(",".join(row) for row in changed))
        assert f"fold2: {person} is in {one} and in {other}; prepare the data again" in said()
        shutil.rmtree(setup.out / "fold2/lsvm", ignore_errors=True)
        assert f"{person} is in {one} and in {other}" in said("unit", str(setup.out), "fold2/lsvm", "-q")
        manifests[one].write_text(texts[one])
    first = list(csv.reader((folds / "fold1/test.csv").read_text().splitlines()))[1][2]
    people = {row[2] for row in rows["test"][1:]}
    train = [row for row in rows["train"] if row[2] != first]
    manifests["train"].write_text("\n".join(",".join(row) for row in train))
    val = [row for row in rows["val"] if row[2] != first]
    manifests["val"].write_text("\n".join(",".join(row) for row in val))
    manifests["test"].write_text(texts["test"].replace(f",{min(people)},", f",{first},"))
    assert f"fold2: {first} is tested in fold 1, too" in said()


def test_complete_says_what_is_missing(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["experiment", "table2", *setup.arguments, "--complete", "--methods"]
    assert cli.main([*arguments, *METHODS]) == 0
    assert cli.main([*arguments, "lsvm", "drml", "lcn"]) == 1
    said = capsys.readouterr()
    assert said.err == "drml: error: table2: not complete: lcn: no fold is finished\n"
    assert "# Table 2" in said.out
    # Folds without positives of an AU in their test frames.
    for fold, status in ((1, 0), (2, 1)):
        path = setup.out / f"fold{fold}/drml/predictions.npz"
        content = dict(np.load(path))
        content["labels"][content["labels"][:, 2] > 0, 2] = -1
        np.savez(path, **content)
        assert cli.main([*arguments, "drml"]) == status
        said = capsys.readouterr()
        assert f"Fold {fold}: not both classes of AU4" in said.out
    assert "not complete: drml: pooled auc of AU 4; trivial: pooled auc of AU 4; drml: pooled ap" in said.err
    assert re.search(r"-: .*ROC-AUC.* are undefined there \(AU4\); left out of Avg\.", said.out)


def test_a_second_call_redoes_nothing(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("done again")

    monkeypatch.setattr(fold_unit, "train", never)
    monkeypatch.setattr(fold_unit, "run_baseline", never)
    before = {path: path.stat().st_mtime_ns for path in setup.out.glob("fold*/*/*")}
    text = (setup.out / "table2.md").read_text()
    # The data lie elsewhere, but they are the same.
    runner.run("table2", setup.out, setup.settings, methods=METHODS, progress=False)
    assert {path: path.stat().st_mtime_ns for path in setup.out.glob("fold*/*/*")} == before
    assert (setup.out / "table2.md").read_text() == text


def test_a_units_training_can_be_done_again_by_caffe(done: Setup) -> None:
    folder = done.out / "fold2/drml/train"
    # The last weights are a file of their own, with the thresholds of the validation subjects inside.
    assert not list(folder.glob("*_iter_*")) and not (folder / "final.caffemodel").is_symlink()
    recipe = read_recipe(folder / "final.caffemodel")
    table = json.loads((done.out / "table2.json").read_text())
    assert recipe is not None and recipe.au == BP4D_AUS and "fold2/val: " in str(recipe.threshold_data)
    chosen = table["methods"]["drml"]["thresholds"]["3"]["2"]
    assert list(recipe.threshold) == pytest.approx(list(chosen.values()))
    solver = (folder / "solver.prototxt").read_text()
    assert ".partial" not in solver and str(folder / "quick_train_val.prototxt") in solver
    program = find_caffe()
    command = [str(program), "train", "-solver", str(folder / "solver.prototxt")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_changed_settings_or_data_are_refused(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert cli.main(["experiment", "table2", *setup.arguments, *arguments]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "begun with seed 3, not 4; give another --out" in said("--seed", "4")
    assert "begun with schedule quick, not paper" in said("--schedule", "paper")
    assert "no fold 3; it has 1, 2" in said("--folds", "3")
    with pytest.raises(SystemExit) as wrong:
        said("--methods", "svm")
    assert wrong.value.code == 2
    assert "method 'svm': not known; choose from lsvm, apl" in capsys.readouterr().err
    assert "lcn: not available" in said("--methods", "lcn")
    net = setup.folder / "models/drml/quick_train_val.prototxt"
    net.write_text(net.read_text() + "\n# changed\n")
    assert "fold1/drml: made with quick_train_val.prototxt" in said("--methods", "drml")
    manifest = setup.folder / "large/fold1/test.csv"
    manifest.write_text(manifest.read_text().replace("_T1_", "_T9_"))
    assert "does not list the records of" in said("--methods", "alexnet")
    shutil.copy(manifest, setup.folder / "data/fold1/test.csv")
    assert "fold1/lsvm: made with data_digest" in said("--methods", "lsvm")


def test_alexnet_without_its_data_is_left_out_and_told(
    setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [word for word in setup.arguments if word not in ("--data-alexnet", "-q")]
    arguments.remove(str(setup.settings.data_alexnet))
    for fold in (1, 2):
        shutil.rmtree(setup.out / f"fold{fold}/alexnet")
    (setup.out / "settings.json").unlink()  # which remembers where AlexNet's data are
    assert cli.main(["experiment", "table2", *arguments, "--methods", "alexnet", "lcn", "drml"]) == 0
    said = capsys.readouterr()
    assert "note: alexnet: not available, it takes 227 pixels" in said.err
    assert "- lcn: not available" in said.out and "AlexNet |" not in said.out


def test_the_plan_is_done_line_by_line_and_collected(
    setup: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(setup.out / "fold2/drml")
    arguments = ["experiment", "table2", *setup.arguments, "--methods", *METHODS, "convnet", "--plan"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["fold1/convnet", "fold2/drml", "fold2/convnet"]
    assert cli.main(["experiment", "collect", str(setup.out), "--json"]) == 0
    table, curve, figure = json.loads(capsys.readouterr().out)
    assert [*curve["curves"]["drml"]] == ["1"] and [*curve["curves"]["alexnet"]] == ["1", "2"]
    assert figure["folds"] == [1]  # DRML and AlexNet are both finished there alone
    assert table["methods"]["drml"]["folds"] == [1]
    assert "do not compare" in " ".join(table["notes"])
    assert cli.main([*shlex.split(lines[1])[1:], "-q"]) == 0
    assert cli.main(["experiment", "collect", str(setup.out)]) == 0
    assert capsys.readouterr().out.startswith("# Table 2")
    assert json.loads((setup.out / "table2.json").read_text())["methods"]["drml"]["folds"] == [1, 2]
    assert cli.main(["experiment", "unit", str(setup.out), "fold1", "-q"]) == 1
    assert "unit 'fold1': no such unit; give a name that --plan prints" in capsys.readouterr().err
    assert cli.main(["experiment", "collect", str(setup.folder)]) == 1
    assert "no settings.json in it" in capsys.readouterr().err


def test_a_planned_unit_runs_with_the_data_moved(
    setup: Setup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (setup.out / "fold1/lsvm/scores.json").read_text()
    shutil.rmtree(setup.out / "fold1/lsvm")
    assert cli.main(["experiment", "table2", *setup.arguments, "--methods", "lsvm", "--plan"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    (setup.folder / "data").rename(tmp_path / "moved")
    planned = [*shlex.split(line)[1:], "-q"]
    assert cli.main(planned) == 1
    assert "if the data were moved, give their folder with --data" in capsys.readouterr().err
    assert cli.main([*planned, "--data", str(tmp_path / "moved")]) == 0
    after = json.loads((setup.out / "fold1/lsvm/scores.json").read_text())
    assert after["pooled"] == json.loads(before)["pooled"]
    # The whole experiment continues there, too, and finds that nothing is missing.
    moved = {str(setup.settings.data): str(tmp_path / "moved")}
    arguments = [moved.get(word, word) for word in setup.arguments]
    assert cli.main(["experiment", "table2", *arguments, "--methods", *METHODS, "--plan"]) == 0
    assert not capsys.readouterr().out


def test_manifests_of_older_versions_list_the_same_records(setup: Setup) -> None:
    manifest = setup.folder / "data/fold1/test.csv"
    text = manifest.read_text()
    old = text.replace(",Sequences", f",{setup.folder}/BP4D/Sequences")
    assert old != text
    manifest.write_text(old)
    assert setup.settings.fold("alexnet", 1) == setup.folder / "large/fold1"
    first, second, *rest = old.splitlines(keepends=True)
    manifest.write_text("".join([first, *rest]))
    with pytest.raises(UserError, match="does not list the records of"):
        setup.settings.fold("alexnet", 1)
    assert second not in manifest.read_text()


def test_a_unit_killed_half_way_is_picked_up_with_the_same_result(setup: Setup) -> None:
    before = dict(np.load(setup.out / "fold1/drml/predictions.npz"))
    shutil.rmtree(setup.out / "fold1/drml")
    settings = setup.out / "settings.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "data": setup.settings.data}))
    command = [sys.executable, "-m", "drml", "experiment", "unit", str(setup.out), "fold1/drml", "-q"]
    for moment in ("config.json", "train", "train/train.log"):
        partial = setup.out / "fold1/drml.partial"
        process = subprocess.Popen(command, start_new_session=True)
        while not (partial / moment).exists() and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (setup.out / "fold1/drml").exists(), f"finished before it was killed at {moment}"
        assert partial.exists()
    assert subprocess.run(command, check=False).returncode == 0
    after = dict(np.load(setup.out / "fold1/drml/predictions.npz"))
    np.testing.assert_array_equal(after["keys"], before["keys"])
    np.testing.assert_array_equal(after["probabilities"], before["probabilities"])


def test_units_side_by_side_give_the_same(setup: Setup) -> None:
    before = (setup.out / "fold1/lsvm/scores.json").read_text()
    shutil.rmtree(setup.out)
    runner.run("table2", setup.out, setup.settings, methods=("lsvm", "drml"), jobs=2, progress=False)
    after = json.loads((setup.out / "fold1/lsvm/scores.json").read_text())
    assert after["pooled"] == json.loads(before)["pooled"]
    assert (setup.out / "fold2/drml/result.json").exists()


def test_a_failure_side_by_side_is_told(setup: Setup) -> None:
    shutil.rmtree(setup.out)
    (setup.folder / "models/convnet/deploy.prototxt").write_text("layer {")
    with pytest.raises(
        UserError, match=r"^fold1/convnet: .*deploy.prototxt: not a NetParameter.*run the same"
    ):
        runner.run(
            "table2",
            setup.out,
            setup.settings,
            methods=("lsvm", "convnet"),
            folds=(1,),
            jobs=2,
            progress=False,
        )
    assert units.read_result(setup.out, "fold1/lsvm") is not None


def test_an_interrupted_training_goes_on_from_its_snapshot(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = fold_unit.train

    def interrupted(solver: Path, out: Path, **options: Any) -> None:
        train(solver, out, **{**options, "max_iter": 10})
        (out / "final.caffemodel").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(fold_unit, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run("table2", setup.out, setup.settings, methods=("convnet",), progress=False)
    assert (setup.out / "fold1/convnet.partial").is_dir() and not (setup.out / "fold1/convnet").exists()
    monkeypatch.setattr(fold_unit, "train", train)
    runner.run("table2", setup.out, setup.settings, methods=("convnet",), folds=(1,), progress=False)
    log = (setup.out / "fold1/convnet/log.txt").read_text()
    assert "from tiny_iter_10.solverstate" in log
    rows = list(csv.DictReader((setup.out / "fold1/convnet/train/loss.csv").open()))
    steps = [int(row["iteration"]) for row in rows if (row["phase"], row["name"]) == ("train", "loss")]
    assert steps == sorted(steps) and {0, 5, 10, 15} <= set(steps)


# --- figure 5 -------------------------------------------------------------------------------------------


def test_figure_5_is_drawn_from_the_same_units(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_unit, "train", None)  # nothing is trained again
    runner.run("fig5", setup.out, setup.settings, progress=False)
    for ending in ("png", "svg"):
        assert (setup.out / f"fig5.{ending}").stat().st_size > 10_000
    assert (setup.out / "fig5.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads((setup.out / "fig5.json").read_text())
    assert found["folds"] == [1, 2] and found["synthetic"] is True
    parts = [np.load(setup.out / f"fold{fold}/drml/predictions.npz") for fold in (1, 2)]
    labels = np.concatenate([part["labels"] for part in parts])
    values = np.concatenate([part["probabilities"] for part in parts])
    expected = relations(labels, values)
    np.testing.assert_allclose(np.array(found["relations"]["drml"], float), expected, equal_nan=True)
    apart = compare(relations(labels), expected)
    assert found["differences"]["drml"]["frobenius"] == pytest.approx(apart.frobenius)
    rows = list(csv.DictReader((setup.out / "fig5_losses.csv").open()))
    assert {(row["method"], row["fold"]) for row in rows} == {
        (method, fold) for method in ("drml", "alexnet") for fold in ("1", "2")
    }
    assert [row["iteration"] for row in rows[:4]] == ["0", "5", "10", "15"]
    table = list(csv.DictReader((setup.out / "fig5_relations.csv").open()))
    assert len(table) == 3 * len(BP4D_AUS) and table[0]["table"] == "truth"


def test_figure_5_without_a_net_is_told(setup: Setup) -> None:
    with pytest.raises(UserError, match="fig5: no fold has all of lsvm finished"):
        runner.run("fig5", setup.out, setup.settings, methods=("lsvm",), progress=False)


# --- figure 4 -------------------------------------------------------------------------------------------


def test_figure_4_is_drawn_from_the_same_units(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_unit, "train", None)
    runner.run("fig4", setup.out, setup.settings, methods=("drml", "alexnet"), progress=False)
    found = json.loads((setup.out / "fig4.json").read_text())
    assert (setup.out / "fig4.png").read_bytes().startswith(b"\x89PNG")
    assert (setup.out / "fig4.svg").exists() and found["synthetic"] is True and found["fold"] == 1
    test = predictions.load_predictions(setup.out / "fold1/drml")
    for name, keys in found["frames"].items():
        column = test.labels[:, BP4D_AUS.index(int(name[2:]))]
        assert 1 <= len(keys) <= 4 and all(column[test.keys.index(key)] == 1 for key in keys)
    rows = list(csv.DictReader((setup.out / "fig4.csv").open()))
    assert len(rows) == 2 * len(found["frames"]) and {row["method"] for row in rows} == {"drml", "alexnet"}
    assert all(0 <= float(row["focus"]) <= 1 and 0 < float(row["area"]) < 0.3 for row in rows)
