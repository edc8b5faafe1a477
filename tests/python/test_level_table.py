"""ICC out of caffe's log: what a test pass counts of levels gives the figures of drml score."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

import drml
import tiny_net as tiny
from drml.cli import main
from drml.evaluation import intensity_metrics
from drml.evaluation.intensity_scoring import IntensityPredictions, evaluate_intensity_folds
from drml.experiments import stopping
from drml.io.errors import UserError
from drml.nets.intensity_head import INTENSITIES
from drml.nets.net import CaffeNet
from drml.nets.preprocessing import find_preprocessing
from drml.report.losses import read_losses
from drml.training.caffe_log import Counts, Moments
from drml.training.level_table import ICC_FILE, LevelTable, agreement, learned_nothing, mean_iccs
from drml.training.log import notice
from drml.training.train import Training, train
from test_f1_table import COUNTS
from tiny_levels import LEVEL_AUS, write_fold


def counts_of(y: np.ndarray, x: np.ndarray, iteration: int = 10) -> Counts:
    """Count levels as the layers do, in float64: N x L labels and estimates."""
    rows, moments = [], []
    for level in range(1, 6):
        for labels, scores in zip(y.T, x.T - (level - 0.5), strict=True):
            known = labels != 9
            above, below = known & (labels >= level), known & (labels < level)
            hit = scores >= 0
            rows.append(
                tuple(float(sum(one)) for one in (above & hit, below & hit, above & ~hit, below & ~hit))
            )
            parts = (scores[above], scores[above] ** 2, scores[below], scores[below] ** 2)
            moments.append(tuple(float(part.sum()) for part in parts))
    return Counts(iteration, 0, tuple(rows), True, Moments(tuple(moments), 1), levels=True)


def test_the_figures_follow_from_the_counts() -> None:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 6, (300, 3))
    x = y * [0.7, 1.3, 0] + rng.standard_normal((300, 3)) + [0, -1, 2]
    y[rng.random(y.shape) < 0.2] = 9
    for column, found in enumerate(agreement(counts_of(y, x))):
        for name, value in found._asdict().items():
            expected = getattr(intensity_metrics, name)(y[:, column], x[:, column])
            assert value == pytest.approx(expected, abs=1e-9), (column, name)


def test_undefined_figures() -> None:
    y = np.array([[9, 3, 0], [9, 3, 5], [9, 3, 2]])
    x = np.array([[1.0, 2, 4], [2, 2, 4], [3, 2, 4]])
    unknown, constant, idle = agreement(counts_of(y, x))
    assert all(map(math.isnan, unknown))
    assert math.isnan(constant.icc) and math.isnan(constant.pcc) and constant.mse == pytest.approx(1)
    assert idle.icc == 0 and math.isnan(idle.pcc)
    broken = counts_of(y, np.where(x == 4, np.nan, x))
    assert math.isnan(agreement(broken)[2].icc) and agreement(broken)[1].mse == pytest.approx(1)
    assert agreement(Counts(1, 0, broken.rows, True, None, levels=True)) == []


def test_counts_that_contradict_each_other_are_no_error() -> None:
    """A damaged log may tell of more frames at level 5 than at level 1."""
    rows = tuple((float(10**at), 0.0, 1.0, 0.0) for at in range(5))
    for size in (1.0, 1e200, -3.0):
        moments = Moments(tuple((size, size * size, 0.0, 0.0) for _ in rows), 1)
        (found,) = agreement(Counts(10, 0, rows, True, moments, levels=True))
        assert math.isnan(found.icc) or -1 <= found.icc <= 1
    assert agreement(Counts(10, 0, rows[:3], True, Moments(moments.rows[:3], 1), levels=True)) == []


def test_a_notice_says_that_a_net_has_not_learned_yet() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 6, (200, 2))
    noise = rng.standard_normal(y.shape)
    assert notice(counts_of(y, y + noise)) is None
    said = notice(counts_of(y, noise))
    assert said is not None and said.startswith(
        "test at iteration 10: the net has not learned yet (mean ICC "
    )
    assert notice(counts_of(y, noise, iteration=0)) is None
    assert learned_nothing([0.05, 0.14]) and not learned_nothing([0.05, 0.16])


@pytest.mark.parametrize("folds", [1, 2])
def test_scores_say_that_a_model_has_not_learned_yet(folds: int) -> None:
    y = np.array([[0, 1], [5, 2], [3, 9], [1, 4]], np.int8)
    good, idle = (
        IntensityPredictions(
            "w", name, (6, 12), list("abcd"), y, x, list("ppqq"), False, {"features": "f"}, 0
        )
        for name, x in (("good", np.clip(y, 0, 5) * 1.0), ("idle", np.full(y.shape, 1.5)))
    )
    found = evaluate_intensity_folds("m", [good, idle] if folds == 2 else [idle], bootstrap=0)
    assert found.at_base_rates == [folds - 1]
    name = "idle" if folds == 2 else "The model"
    assert f"- {name}: has not learned yet, its mean ICC(3,1) is below 0.1\n" in found.to_text()
    assert "has not learned" not in evaluate_intensity_folds("m", [good], bootstrap=0).to_text()


def test_the_table_of_a_training(tmp_path: Path) -> None:
    y = np.array([[0, 1], [5, 2], [3, 3], [9, 1]])
    table = LevelTable(tmp_path, ["AU6", "AU12"], resumed=False)
    assert not (tmp_path / ICC_FILE).exists() and mean_iccs(tmp_path) == {}
    assert table.add(counts_of(y, y * 1.0), "1.5") == pytest.approx(1)
    table.add(counts_of(y, y * 0.0, iteration=20), "2.5")
    assert table.last == {"AU6": 0, "AU12": 0, "Avg.": 0} and table.iteration == 20
    table.add(counts_of(np.full_like(y, 9), y * 1.0, iteration=30), "3.5")
    assert mean_iccs(tmp_path) == {10: 1.0, 20: 0.0}
    with (tmp_path / ICC_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["au"] for row in rows] == ["AU6", "AU12", "Avg."] * 3
    assert {row["pcc"] for row in rows[3:]} == {""}
    (tmp_path / ICC_FILE).write_text("iteration,net\n1,0\n")
    with pytest.raises(UserError, match=r"icc\.csv: not what drml train writes"):
        mean_iccs(tmp_path)


def trained(folder: Path, *, batch: int = 5, iterations: int = 60) -> tuple[Training, Path]:
    """Train on intensities, with test passes over all test frames in uneven batches."""
    fold = write_fold(folder, "intensity")
    solver = tiny.write_solver(folder)
    solver.write_text(solver.read_text().replace("test_iter: 2", "test_iter: 0"))
    net = folder / "train_val.prototxt"
    net.write_text(net.read_text().replace("batch_size: 5", f"batch_size: {batch}") + COUNTS)
    tiny.write_deploy(folder)
    return train(solver, folder / "out", data=fold, seed=1, max_iter=iterations, progress=False), fold


def test_the_icc_of_a_test_pass_is_that_of_the_net(tmp_path: Path) -> None:
    done, fold = trained(tmp_path)
    X, y, _ = drml.load_split(fold, target="intensity")
    assert len(X) % 5, "the last batch of a pass is smaller"
    options = find_preprocessing(done.weights, fold / "test_lmdb").net_options()
    net = CaffeNet(done.out / "deploy.prototxt", done.weights, **options)
    x = net.forward(list(X), [INTENSITIES])[INTENSITIES].reshape(y.shape)
    wanted = {f"AU{au}": intensity_metrics.icc(y[:, at], x[:, at]) for at, au in enumerate(LEVEL_AUS)}
    assert list(done.icc) == ["AU6", "AU12", "Avg."] and done.f1 == {}
    assert {name: done.icc[name] for name in wanted} == pytest.approx(wanted, abs=2e-4)
    assert done.icc["AU6"] > 0.5 and done.predicts_base_rates is False
    assert list(mean_iccs(done.out)) == [0, 10, 20, 30, 40, 50, 60]
    assert mean_iccs(done.out)[60] == pytest.approx(done.icc["Avg."], abs=1e-5)
    with (done.out / "loss.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file) if row["phase"] == "test"][:2] == ["icc", "loss"]
    (done.out / "loss.csv").unlink()
    assert read_losses(done.out).f1 == [], "counts of levels have no F1"


def test_the_command_prints_icc_and_goes_on_with_the_table(tmp_path: Path, capsys: object) -> None:
    done, fold = trained(tmp_path, iterations=10)
    (done.out / "solver.prototxt").unlink()
    arguments = ["train", "--solver", str(tmp_path / "solver.prototxt"), "--data", str(fold), "--seed", "1"]
    arguments += ["--out", str(done.out), "--max-iter", "20", "--resume", "auto"]
    assert main(arguments) == 0
    said = capsys.readouterr()  # type: ignore[attr-defined]  # pytest's fixture
    assert "ICC(3,1) of the last test pass:  AU6 " in said.out and "ICC=" in said.err
    assert list(mean_iccs(done.out)) == [0, 10, 20]
    assert main([*arguments[:-2], "--overwrite", "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)  # type: ignore[attr-defined]  # pytest's fixture
    assert set(printed["icc"]) == {"AU6", "AU12", "Avg."} and printed["f1"] == {}


def test_a_training_on_intensities_ends_when_its_icc_is_flat(tmp_path: Path) -> None:
    table = LevelTable(tmp_path, ["AU6"], resumed=False)
    y = np.arange(60).reshape(-1, 1) % 6
    noise = np.random.default_rng(0).standard_normal(y.shape)
    for at, share in enumerate([0.0] * 7, 1):
        table.add(counts_of(y, share * y + noise, iteration=100 * at), "1")
    assert not stopping.validation_is_flat(tmp_path), "a net that has not learned yet goes on"
    for at, share in enumerate([0.5, 1.0, *[1.5] * (2 * stopping.PATIENCE - 1)], 8):
        assert not stopping.validation_is_flat(tmp_path)
        table.add(counts_of(y, share * y + noise, iteration=100 * at), "1")
    table.add(counts_of(y, 1.5 * y + noise, iteration=5000), "1")
    assert stopping.validation_is_flat(tmp_path)
