"""Whether a net has learned anything: the rule, its estimates from caffe's log, and who tells of it."""

import csv
import json
import math
import re

import numpy as np
import pytest
from scipy.stats import expon, laplace, norm
from sklearn.metrics import roc_auc_score

import tiny_net as tiny
from drml.cli import main
from drml.evaluation import scoring
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions
from drml.io.errors import UserError
from drml.report.losses import read_losses
from drml.training import base_rates
from drml.training import train as training
from drml.training.base_rates import (
    LEARNED,
    REMARK,
    SPREAD,
    Separation,
    estimate,
    has_not_learned,
    predicts_base_rates,
    spreads,
)
from drml.training.caffe_log import PREFIX, Counts, Figure, LogReader, Moments
from drml.training.f1_table import F1Table, read_separations
from drml.training.log import failure, notice

HEAD = "I1123 22:44:28.123456  1234 solver.cpp:239] "
NAN = math.nan


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def printed(batches):
    """Print the mean of the batches' values as Caffe does: summed as floats, by a C++ stream as it comes."""
    total = np.cumsum(np.asarray(batches, np.float32), axis=0, dtype=np.float32)[-1]
    return np.vectorize("{:.6g}".format)(total / np.float32(len(batches)))


def tops_of(scores, labels, batches):
    """Compute both tops of the layer for N x C scores, batch by batch: batches x C x 4 each."""
    x, y = (array.reshape(batches, -1, array.shape[1]) for array in (scores, labels))
    hit, present, absent = sigmoid(x) >= 0.5, y > 0, y < 0
    counts = [hit & present, hit & absent, ~hit & present, ~hit & absent]
    moments = [x * present, x**2 * present, x * absent, x**2 * absent]
    return tuple(np.stack([term.sum(axis=1) for term in top], axis=2) for top in (counts, moments))


def lines_of(tops, *, names=("counts", "moments"), net=0, iteration=10, other="loss"):
    """Write a log of one pass with these values of a layer's tops; caffe sorts a net's outputs by name."""
    batches = len(tops[0])
    lines = [
        HEAD + "Initializing solver from parameters: ",
        *("test_iter: 7", f"test_iter: {batches}")[1 - net :],
        'layer {\n  name: "c"\n  type: "MultiLabelCounts"\n  bottom: "fc10"',
        *(f'  top: "{name}"' for name, _ in zip(names, tops, strict=False)),
        "}",
        'layer {\n  name: "loss"\n  type: "EuclideanLoss"\n  bottom: "fc10"\n  top: "loss"\n}',
        HEAD + f"Iteration {iteration}, Testing net (#{net})",
    ]
    outputs = {name: printed(top).ravel().tolist() for name, top in zip(names, tops, strict=False)}
    outputs[other] = ["0.5 (* 1 = 0.5 loss)"]
    at = 0
    for name in sorted(outputs):
        for value in outputs[name]:
            lines.append(HEAD + f"    Test net output #{at}: {name} = {value}")
            at += 1
    return "\n".join([*lines, HEAD + "Optimization Done."]).splitlines()


def read(lines):
    reader = LogReader()
    return [found for line in lines for found in reader.read(line + "\n")]


def counts_in(lines):
    (found,) = (one for one in read(lines) if isinstance(one, Counts))
    return found


def pass_over(scores, labels, batches=100):
    """Return what is read from the log of a pass over these faces."""
    return counts_in(lines_of(tops_of(scores, labels, batches)))


# --- the rule -------------------------------------------------------------------------------------------


def test_a_mean_auc_near_chance_is_no_learning():
    assert LEARNED == 0.6
    assert predicts_base_rates([0.5, 0.55, 0.74], [0.3] * 3)
    assert not predicts_base_rates([0.5, 0.55, 0.76], [0.3] * 3)
    assert predicts_base_rates([0.3, 0.3], [0.3] * 2), "worse than chance is no learning either"
    assert predicts_base_rates([0.59, NAN], [0.3, NAN]), "an AU without both classes counts neither way"
    assert not predicts_base_rates([0.61, NAN], [0.3, NAN])


def test_outputs_that_hardly_differ_are_no_learning_whatever_their_auc():
    assert predicts_base_rates([0.9, 0.8], [SPREAD * 0.999, 0])
    assert not predicts_base_rates([0.9, 0.8], [SPREAD, 0])
    assert predicts_base_rates([NAN, NAN], [0.001, NAN])


def test_where_nothing_is_known_nothing_is_said():
    assert not predicts_base_rates([], []) and not predicts_base_rates([NAN], [NAN])
    assert not has_not_learned(10, None)
    stuck = Separation((0.5,), (0.0,))
    assert has_not_learned(1, stuck) and not has_not_learned(0, stuck), "before training there is nothing"


def test_spreads_are_of_faces_with_a_known_label():
    rng = np.random.default_rng(3)
    labels, values = rng.integers(-1, 2, (50, 3)), rng.random((50, 3), np.float32)
    labels[:, 1] = 0
    found = spreads(labels, values)
    assert math.isnan(found[1])
    for column in (0, 2):
        expected = np.std(values[labels[:, column] != 0, column].astype(np.float64))
        assert found[column] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("unknown", [0.0, 0.4])
def test_the_rates_of_the_training_labels_do_not_matter(unknown):
    """Sampled training labels have other base rates than the faces on which a net is tested."""
    rng = np.random.default_rng(5)
    labels = np.where(rng.random((3200, 3)) < (0.05, 0.3, 0.7), 1, -1)
    labels[rng.random(labels.shape) < unknown] = 0
    scores = math.log(1 / 2) + 0.02 * rng.standard_normal(labels.shape)  # 100 positives to 200 negatives
    for apart, stuck in ((0.0, True), (1.0, False)):
        outputs = scores + apart * labels
        assert estimate(pass_over(outputs, labels)).at_base_rates is stuck
        aucs = [roc_auc_score(y[y != 0], x[y != 0]) for y, x in zip(labels.T, outputs.T, strict=True)]
        assert predicts_base_rates(aucs, spreads(labels, sigmoid(outputs))) is stuck


def test_the_figures_in_words():
    said = Separation((0.49, NAN, 0.515), (0.2, NAN, 0.0034)).to_text("estimated ")
    assert said == "largest standard deviation between faces 0.2000, estimated AUC 0.490 to 0.515"
    said = Separation((NAN,), (0.0034,)).to_text()
    assert said == "largest standard deviation between faces 0.0034, no AUC"
    assert Separation((0.5,), ()).to_text() == "AUC 0.500 to 0.500"


# --- estimates from sums --------------------------------------------------------------------------------


def peaks(n):
    """Return the quantiles of two normal distributions, 30% of them in the upper one."""
    upper = round(0.3 * n)
    of_each = [0.35 * norm.ppf(quantiles(count)) for count in (upper, n - upper)]
    return np.concatenate([of_each[0] + 1.4, of_each[1] - 0.6])


def quantiles(n):
    return (np.arange(n) + 0.5) / n


# As many values as are asked for, spread as the distribution is, without chance. All have a variance near 1.
FORMS = {
    "normal": lambda n: norm.ppf(quantiles(n)),
    "exponential": lambda n: expon.ppf(quantiles(n)) - 1,
    "mirrored exponential": lambda n: 1 - expon.ppf(quantiles(n)),
    "laplace": lambda n: laplace.ppf(quantiles(n)) / math.sqrt(2),
    "uniform": lambda n: (quantiles(n) - 0.5) * math.sqrt(12),
    "two peaks": peaks,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_auc_is_near_that_of_scikit_learn(form):
    """Within 0.002 where scores are normal; of others within 0.02 near 0.5, and 0.06 elsewhere."""
    for rate in (0.15, 0.6):
        positives = round(10_000 * rate)
        for width in (0.1, 1.0, 3.0):
            for apart in (0, 0.05, 0.1, 0.5, 1.5, 2.5):
                scores = [FORMS[form](positives) + apart, FORMS[form](10_000 - positives), np.full(500, 9.0)]
                x = math.log(rate / (1 - rate)) + width * np.concatenate(scores)
                y = np.repeat([1, -1, 0], [positives, 10_000 - positives, 500])
                order = np.random.default_rng(1).permutation(len(y))
                found = estimate(pass_over(x[order, None], y[order, None]))
                exact = roc_auc_score(y[y != 0] > 0, x[y != 0])
                allowed = 0.002 if form == "normal" else 0.02 if abs(exact - 0.5) < 0.05 else 0.06
                assert found.aucs[0] == pytest.approx(exact, abs=allowed), (rate, width, apart)


def test_the_spread_is_near_that_of_the_probabilities():
    rng = np.random.default_rng(5)
    labels = np.where(rng.random(20_000) < 0.3, 1, -1)
    for width in (0.05, 0.3, 1, 3, 8):
        x = -1 + width * (rng.standard_normal(20_000) + 0.7 * (labels > 0))
        found = estimate(pass_over(x[:, None], labels[:, None])).spreads[0]
        assert found == pytest.approx(np.std(sigmoid(x)), rel=0.02), width


@pytest.mark.parametrize(("batches", "seen"), [(10, 0.0009), (100, 0.0013), (1000, 0.0031), (6400, 0.0077)])
def test_constant_outputs_are_seen_as_constant(batches, seen):
    """The table of multi_label_counts_layer.md: what rounding makes of a spread of nothing."""
    for rate in (0.02, 0.15, 0.18, 0.35, 0.5, 0.6, 0.82, 0.97):
        y = np.where(np.arange(8 * batches) % 8 < 3, 1, -1)[:, None]
        x = np.full(y.shape, math.log(rate / (1 - rate)))
        found = estimate(pass_over(x, y, batches))
        assert found.spreads[0] < seen < SPREAD and math.isnan(found.aucs[0]), rate
        assert found.at_base_rates


@pytest.mark.parametrize("batches", [10, 100, 1000, 6400])
def test_a_spread_at_the_threshold_is_resolved(batches):
    rng = np.random.default_rng(batches)
    for rate in (0.15, 0.18, 0.5, 0.82):
        y = np.where(rng.random(8 * max(batches, 1000)) < rate, 1, -1)[:, None]
        step = 1.2 * SPREAD / (rate * (1 - rate))  # a spread of 0.012, and no overlap
        x = math.log(rate / (1 - rate)) + step * rng.standard_normal(y.shape)
        found = estimate(pass_over(x, y, batches))
        assert found.spreads[0] == pytest.approx(np.std(sigmoid(x)), rel=0.15)
        assert found.aucs[0] == pytest.approx(roc_auc_score(y[:, 0] > 0, x[:, 0]), abs=0.005)


def test_an_au_without_both_classes_has_no_auc_and_one_without_labels_nothing():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 4)), rng.choice([-1, 1], (300, 4))
    y[:, 0], y[:, 1], y[:, 2] = 1, -1, 0
    found = estimate(pass_over(x, y))
    assert [math.isnan(auc) for auc in found.aucs] == [True, True, True, False]
    assert [math.isnan(spread) for spread in found.spreads] == [False, False, True, False]
    assert found.spreads[0] == pytest.approx(np.std(sigmoid(x[:, 0])), rel=0.05)


def test_sums_that_are_no_numbers_give_no_figures():
    good = (3.0, 1.0, 2.0, 4.0)
    for bad in ((1, NAN, -2, 3), (1, math.inf, -2, 3), (math.inf, 2, -math.inf, 3), (1, -2, -2, 3)):
        moments = Moments((bad, (1.0, 2.0, -2.0, 3.0)), 10)
        found = estimate(Counts(10, 0, (good, good), True, moments))
        assert math.isnan(found.aucs[0]) and math.isnan(found.spreads[0])
        assert 0 < found.aucs[1] < 1 and found.spreads[1] > 0
    # Scores of a net that diverges, whose squares a float cannot hold.
    huge = Counts(10, 0, (good,), True, Moments(((1e200, 1e308, -1e200, 1e308),), 10))
    assert 0 <= estimate(huge).spreads[0] <= 0.5
    negative = Counts(10, 0, ((3.0, 1.0, -3.0, -1.0),), True, Moments(((1.0, 2.0, -2.0, 3.0),), 10))
    assert math.isnan(estimate(negative).spreads[0])
    counts = Counts(10, 0, ((NAN,) * 4,), True, Moments(((1.0, 2.0, 3.0, 4.0),), 10))
    assert math.isnan(estimate(counts).aucs[0])
    assert estimate(Counts(10, 0, (good,), True)) is None


# --- the log --------------------------------------------------------------------------------------------


@pytest.fixture
def tops():
    rng = np.random.default_rng(8)
    return tops_of(rng.standard_normal((70, 2)), rng.integers(-1, 2, (70, 2)), 7)


@pytest.mark.parametrize("names", [("counts", "moments"), ("b", "a"), ("x", "y"), ("a", "z"), ("a/b", "a.b")])
def test_moments_are_read_wherever_caffe_prints_them(tops, names):
    found = read(lines_of(tops, names=names))
    (counts,) = (one for one in found if isinstance(one, Counts))
    assert [one for one in found if isinstance(one, Figure)] == [Figure(10, "test", "loss", 0.5)]
    np.testing.assert_array_equal(counts.rows, tops[0].sum(axis=0))
    assert counts.moments.batches == 7
    np.testing.assert_allclose(counts.moments.rows, tops[1].sum(axis=0), rtol=6e-6)


def test_moments_of_a_second_test_net(tops):
    (counts,) = (one for one in read(lines_of(tops, net=1)) if isinstance(one, Counts))
    assert counts.net == 1 and counts.moments.batches == 7


def test_a_layer_with_one_top_has_no_moments(tops):
    counts, loss = read(lines_of(tops[:1]))
    assert isinstance(loss, Figure) and counts.moments is None


def test_a_pass_that_breaks_off_has_none(tops):
    lines = lines_of(tops)
    cut = max(at for at, line in enumerate(lines) if "moments = " in line)
    (counts,) = (one for one in read([*lines[:cut], *lines[cut + 1 :]]) if isinstance(one, Counts))
    assert counts.moments is None
    # The next pass is whole again.
    again = lines[next(at for at, line in enumerate(lines) if "Testing net" in line) :]
    *_, last = (one for one in read([*lines[:cut], *again]) if isinstance(one, Counts))
    assert last.moments is not None


def test_a_line_tells_of_a_pass_that_found_nothing():
    stuck = Counts(20, 0, ((0, 0, 30, 70),), True, Moments(((-42.0, 58.8, -98.0, 137.2),), 10))
    said = notice(stuck)
    assert said.startswith(f"test at iteration 20: the net {REMARK} (largest standard deviation between")
    assert said.endswith(", no estimated AUC)")
    assert notice(Counts(0, 0, stuck.rows, True, stuck.moments)) is None
    assert notice(Counts(20, 0, stuck.rows, True)) is None and notice(Figure(20, "test", "loss", 1.0)) is None
    assert notice(Counts(20, 1, stuck.rows, True, stuck.moments)).startswith("test of net 1 at iteration 20:")
    learned = Moments(((30.0, 60.0, -140.0, 350.0),), 10)
    assert notice(Counts(20, 0, stuck.rows, True, learned)) is None


def test_the_line_is_not_taken_for_caffes_last_words(tmp_path):
    tail = ["cannot open the file\n", f"{PREFIX}test at iteration 20: the net {REMARK}\n"]
    assert failure("caffe", 1, None, tail, tmp_path) == (
        f"caffe ended with status 1: cannot open the file (see {tmp_path})"
    )


# --- f1.csv ---------------------------------------------------------------------------------------------


def test_the_table_has_the_estimates(tmp_path):
    rng = np.random.default_rng(2)
    y = rng.choice([-1, 1], (400, 2))
    y[:, 1] = 0
    counts = pass_over(rng.standard_normal((400, 2)) + 0.5 * y, y)
    table = F1Table(tmp_path, ["AU1", "AU2"], resumed=False)
    table.add(counts, "1.5")
    with (tmp_path / "f1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (auc, _), (spread, _) = table.separation
    np.testing.assert_array_equal(table.separation, estimate(counts))
    assert table.iteration == 10
    for row in (rows[0], rows[2]):
        assert (row["auc_estimate"], row["spread_estimate"]) == (f"{auc:.4f}", f"{spread:.6f}")
    assert (rows[1]["auc_estimate"], rows[1]["spread_estimate"]) == ("", "")
    read_back = read_separations(tmp_path)
    assert list(read_back) == [10]
    assert read_back[10].aucs[0] == pytest.approx(auc, abs=5e-5) and math.isnan(read_back[10].aucs[1])
    assert read_back[10].spreads[0] == pytest.approx(spread, abs=5e-7)


def test_tables_without_estimates_tell_nothing(tmp_path):
    assert read_separations(tmp_path) == {}
    F1Table(tmp_path, ["AU1"], resumed=False).add(Counts(10, 0, ((1, 2, 3, 4),), True), "1.5")
    assert read_separations(tmp_path) == {}
    # Of an earlier version, without the columns.
    (tmp_path / "f1.csv").write_text("iteration,seconds,net,au,tp,fp,fn,tn,f1\n10,1.5,0,AU1,1,2,3,4,0.28\n")
    assert read_separations(tmp_path) == {}


@pytest.mark.parametrize("text", ["iteration,net,au,auc_estimate\n10,0,AU1,no\n", "a,b\n1,2\n", "net\nx\n"])
def test_a_table_of_another_form_is_named(tmp_path, text):
    (tmp_path / "f1.csv").write_text(text)
    with pytest.raises(UserError, match=r"f1\.csv: not what drml train writes"):
        read_separations(tmp_path)


# --- caffe at work --------------------------------------------------------------------------------------

COUNTS = """
layer { name: "counting" type: "MultiLabelCounts" bottom: "fc10" bottom: "label" top: "counted"
  top: "summed" include { phase: TEST } }
"""


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return tiny.write_training_data(tmp_path_factory.mktemp("data"))


def write_solver(folder, *, stuck):
    """Write a solver whose net predicts the base rates at best, or one that tells its few faces apart."""
    path = tiny.write_solver(folder)
    net = folder / "train_val.prototxt"
    text = net.read_text() + COUNTS
    if stuck:  # features of zero leave the biases alone
        text = re.sub(r'weight_filler \{ type: "gaussian" std: [0-9.]+ \}', "", text)
    else:
        text = text.replace("std: 0.01", "std: 0.3").replace("std: 0.1 ", "std: 1 ")
    net.write_text(text)
    return path


def test_a_training_that_learns_nothing_is_told_everywhere(fold, tmp_path, capsys):
    solver = write_solver(tmp_path, stuck=True)
    arguments = ["train", "--solver", solver, "--data", fold, "--seed", 1, "--out", tmp_path / "out"]
    assert main([*map(str, arguments)]) == 0
    said = capsys.readouterr()
    line = (
        re.escape(f"the net {REMARK} (largest standard deviation between faces 0.0")
        + r"\d+, no estimated AUC"
    )
    for iteration in (10, 20):
        assert len(re.findall(rf"(?m)test at iteration {iteration}: {line}\)$", said.err)) == 1
    assert "at iteration 0:" not in said.err
    assert re.search(r"F1=0\.\d+, not learned yet", said.err)
    assert re.search(rf"(?m)^In the last test pass {line}\)\.$", said.out)
    log = (tmp_path / "out/train.log").read_text()
    own = [text for text in log.splitlines() if text.startswith(PREFIX)]
    assert len(own) == 2 and all(
        re.fullmatch(rf"{PREFIX}test at iteration [12]0: {line}\)", text) for text in own
    )
    assert "Optimization Done." in log, "nothing of caffe's is overwritten"
    # The losses of the report, from the table and from the log.
    tables = read_losses(tmp_path / "out").separations
    (tmp_path / "out/loss.csv").unlink()
    logs = read_losses(tmp_path / "out").separations
    assert list(tables) == list(logs) == [0, 10, 20]
    assert tables[20].spreads == pytest.approx(logs[20].spreads, abs=1e-6) and logs[20].at_base_rates


def test_a_quiet_training_tells_it_in_log_and_json(fold, tmp_path, capsys):
    solver = write_solver(tmp_path, stuck=True)
    arguments = ["train", "--solver", solver, "--data", fold, "--out", tmp_path / "out", "--json", "-q"]
    assert main([*map(str, arguments)]) == 0
    said = capsys.readouterr()
    assert REMARK not in said.err and json.loads(said.out)["predicts_base_rates"] is True
    assert (tmp_path / "out/train.log").read_text().count(f"{PREFIX}test at iteration") == 2


def test_the_estimates_of_a_training_are_those_of_its_scores(fold, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(base_rates, "LEARNED", 0.0)  # the labels of these faces are drawn at random
    done = training.train(write_solver(tmp_path, stuck=False), tmp_path / "out", data=fold, seed=1)
    assert done.predicts_base_rates is False
    assert REMARK not in capsys.readouterr().err
    assert PREFIX not in (tmp_path / "out/train.log").read_text()
    deploy = tiny.write_deploy(tmp_path)
    result = scoring.score(deploy, done.weights, fold / "test_lmdb", progress=False, probe=False)
    exact = result.separations[0]
    # Of ten faces, which are far from normally distributed.
    assert done.separation.spreads == pytest.approx(exact.spreads, rel=0.1)
    assert done.separation.aucs == pytest.approx(exact.aucs, abs=0.1)
    assert read_separations(tmp_path / "out")[20].aucs == pytest.approx(done.separation.aucs, abs=5e-5)


def test_without_a_second_top_or_a_pass_nothing_is_known(fold, tmp_path):
    solver = write_solver(tmp_path, stuck=True)
    done = training.train(solver, tmp_path / "short", data=fold, max_iter=3, progress=False)
    assert done.predicts_base_rates is None and done.separation is None, "the one pass was at iteration 0"
    net = tmp_path / "train_val.prototxt"
    net.write_text(net.read_text().replace('top: "summed"', ""))
    done = training.train(solver, tmp_path / "one", data=fold, progress=False)
    assert done.f1 and done.predicts_base_rates is None
    assert PREFIX not in (tmp_path / "one/train.log").read_text()


def test_a_training_that_goes_on_keeps_its_lines(fold, tmp_path):
    out = tmp_path / "out"
    solver = write_solver(tmp_path, stuck=True)
    training.train(solver, out, data=fold, max_iter=10, seed=1, progress=False)
    done = training.train(
        solver, out, data=fold, seed=1, snapshot=out / "tiny_iter_10.solverstate", progress=False
    )
    assert done.predicts_base_rates is True
    found = re.findall(rf"(?m)^{PREFIX}test at iteration (\d+)", (out / "train.log").read_text())
    assert found == ["10", "10", "20"], "caffe tests anew at the snapshot"
    assert list(read_separations(out)) == [0, 10, 20]


# --- scores ---------------------------------------------------------------------------------------------


def predictions(values, labels, data="d"):
    return Predictions(
        weights="w",
        data=data,
        aus=(1, 2),
        keys=[str(index) for index in range(len(values))],
        labels=np.asarray(labels, np.int8),
        probabilities=np.asarray(values, np.float32),
        subjects=None,
        synthetic=False,
        input={"mean": "none", "scale": 1.0, "mean_from": "", "scale_from": ""},
        seconds=1.0,
    )


def drawn(stuck, seed=0, data="d"):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 1], (200, 2))
    step = 0.002 if stuck else 0.2
    return predictions(0.3 + step * (rng.random((200, 2)) + (labels > 0)), labels, data)


def test_scores_tell_of_a_model_that_predicts_the_base_rates():
    result = evaluate_folds("m", [drawn(True)])
    (separation,) = result.separations
    assert separation.aucs == tuple(row.auc for row in result.pooled.rows)
    assert separation.aucs[0] > 0.9, "whatever its AUC"
    last = result.to_text().splitlines()[-1]
    assert last == f"The model {REMARK} ({separation.to_text()})"
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert found["predicts_base_rates"] is True and found["folds"][0]["predicts_base_rates"] is True
    assert found["folds"][0]["spreads"] == pytest.approx(separation.spreads)


def test_scores_at_chance_are_told_and_others_not():
    rng = np.random.default_rng(4)
    labels = rng.choice([-1, 1], (100_000, 2))
    by_chance = evaluate_folds("m", [predictions(rng.random((100_000, 2)), labels)])
    assert by_chance.at_base_rates == [0] and REMARK in by_chance.to_text()
    learned = evaluate_folds("m", [drawn(False)])
    assert learned.at_base_rates == [] and REMARK not in learned.to_text()
    assert learned.to_dict()["predicts_base_rates"] is False


def test_each_fold_is_judged_by_itself():
    result = evaluate_folds("m", [drawn(False, 1, "fold1"), drawn(True, 2, "fold2")])
    assert result.at_base_rates == [1]
    assert [line for line in result.to_text().splitlines() if REMARK in line] == [
        f"fold2: the model {REMARK} ({result.separations[1].to_text()})"
    ]
    found = result.to_dict()
    assert found["predicts_base_rates"] is False
    assert [fold["predicts_base_rates"] for fold in found["folds"]] == [False, True]
