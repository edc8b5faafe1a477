"""F1 out of caffe's log: counts come back from printed means, and F1 is drml score's."""

import csv
import json
import math

import numpy as np
import pytest

import tiny_net as tiny
from drml.cli import main
from drml.evaluation import evaluate, scoring
from drml.nets.prototxt import read_prototxt
from drml.training.caffe_log import EXACT, PREFIX, Counts, Figure, LogReader
from drml.training.f1_table import F1Table, names_of_aus
from drml.training.setup import Changes, set_up
from drml.training.train import train

HEAD = "I1123 22:44:28.123456  1234 solver.cpp:239] "
COUNTS = """
layer { name: "counting" type: "MultiLabelCounts" bottom: "fc10" bottom: "label" top: "counted"
  include { phase: TEST } }
"""


def printed(count, batches):
    """Print the mean of a count as Caffe does: a float, by a C++ stream as it comes."""
    return f"{np.float32(count) / np.float32(batches):.6g}"


def log_of(passes, batches, *, blob="counts", net=0):
    """Write the lines of a log with these counts (K x 4 each), one pass at each iteration 10, 20 ..."""
    lines = [
        HEAD + "Initializing solver from parameters: ",
        *("test_iter: 7", f"test_iter: {batches}")[1 - net :],
        HEAD + "Initializing net from parameters: ",
        'layer {\n  name: "counts"\n  type: "MultiLabelCounts"\n  bottom: "fc10"\n  top: "' + blob + '"\n}',
        'layer {\n  name: "loss"\n  type: "EuclideanLoss"\n  bottom: "fc10"\n  top: "loss"\n}',
    ]
    for index, rows in enumerate(passes):
        lines.append(HEAD + f"Iteration {10 * (index + 1)}, Testing net (#{net})")
        values = [value for row in rows for value in row]
        for at, value in enumerate(values):
            lines.append(HEAD + f"    Test net output #{at}: {blob} = {printed(value, batches)}")
        lines.append(HEAD + f"    Test net output #{len(values)}: loss = 0.5 (* 1 = 0.5 loss)")
    return "\n".join(lines).splitlines()


def read(lines):
    reader = LogReader()
    return [found for line in lines for found in reader.read(line + "\n")]


# --- the log --------------------------------------------------------------------------------------------


def test_counts_come_back_from_the_means():
    rows = ((12, 3, 0, 5), (1, 0, 1, 18))
    found = read(log_of([rows, rows[::-1]], 7))
    assert found == [
        Counts(10, 0, rows, True),
        Figure(10, "test", "loss", 0.5),
        Counts(20, 0, rows[::-1], True),
        Figure(20, "test", "loss", 0.5),
    ]
    found = read(log_of([rows], 300, blob="a/b", net=1))
    assert found == [Counts(10, 1, rows, True), Figure(10, "test", "loss (net 1)", 0.5)]


@pytest.mark.parametrize(
    "other",
    [
        PREFIX + "test at iteration 10: the net predicts no more than the base rates",
        "W1123 22:44:28.123456  5678 blob.cpp:12] of another thread",
        "I20261123 22:44:28.123456  5678 multi_label_data_layer.cpp:80] of another thread",
    ],
)
def test_lines_that_others_write_into_a_pass_do_not_end_it(other):
    rows = ((12, 3, 0, 5), (1, 0, 1, 18))
    lines = log_of([rows], 7)
    expected = read(lines)
    assert expected[0] == Counts(10, 0, rows, True)
    for at in range(1, len(lines)):
        assert read([*lines[:at], other, *lines[at:]]) == expected, lines[at]


def test_a_pass_over_all_of_the_data_has_as_many_batches_as_caffe_says():
    rows = ((12, 3, 0, 5), (1, 0, 1, 18))
    lines = [line.replace("test_iter: 7", "test_iter: 0") for line in log_of([rows], 7)]
    assert not [found for found in read(lines) if isinstance(found, Counts)]
    at = next(index for index, line in enumerate(lines) if "Testing net" in line)
    lines.insert(at + 1, HEAD + "    Test pass: 7 batches")
    assert read(lines)[0] == Counts(10, 0, rows, True)


def test_every_count_below_the_limit_is_exact():
    counts = np.arange(EXACT)
    for batches in (1, 7, 1536, 97_999):
        means = [float(text) for text in map("{:.6g}".format, (counts / np.float32(batches)).astype("f4"))]
        np.testing.assert_array_equal(np.round(np.array(means) * batches), counts)
    # The limit is not far off: of larger counts some come back wrong.
    counts = np.arange(100_000, 200_000)
    means = [float(text) for text in map("{:.6g}".format, (counts / np.float32(1536)).astype("f4"))]
    assert (np.round(np.array(means) * 1536) != counts).any()


def test_larger_counts_are_marked_and_nearly_right():
    rows = ((123_457, 2, 3, 700_001), (1, 1, 1, 1))
    (counts, _) = read(log_of([rows], 6433))
    assert not counts.exact
    np.testing.assert_allclose(counts.rows, rows, rtol=6e-6)


def test_counts_that_caffe_could_not_make_are_nan():
    lines = [
        line.replace("counts = 3", "counts = -nan") for line in log_of([((3, 3, 3, 3), (1, 2, 4, 5))], 1)
    ]
    (counts, _) = read(lines)
    assert all(map(math.isnan, counts.rows[0])) and counts.rows[1] == (1, 2, 4, 5)


def test_without_what_they_are_made_of_counts_are_figures_like_others():
    lines = log_of([((1, 2, 3, 4),)], 2)
    for without in ("test_iter", "MultiLabelCounts"):
        found = read([line for line in lines if without not in line])
        assert found[0] == Figure(10, "test", "counts", 0.5)
    # A pass that breaks off is none.
    assert read([*lines[:-2], HEAD + "Iteration 10, loss = 2"]) == [Figure(10, "train", "loss", 2)]


# --- the table ------------------------------------------------------------------------------------------


def test_the_table_has_counts_and_f1_of_every_pass(tmp_path):
    table = F1Table(tmp_path, ["AU1", "AU2", "AU4"], resumed=False)
    assert not (tmp_path / "f1.csv").exists() and table.last == {}
    nan = (math.nan,) * 4
    assert table.add(Counts(10, 0, ((2, 1, 1, 6), (0, 0, 4, 6), (0, 0, 0, 0)), True), "1.5") == 1 / 3
    assert math.isnan(table.add(Counts(20, 0, (nan, nan, nan), True), "2.5"))
    table = F1Table(tmp_path, [], resumed=True)
    table.add(Counts(30, 0, ((1, 0, 0, 0),), True), "3.5")
    assert (tmp_path / "f1.csv").read_text().splitlines() == [
        "iteration,seconds,net,au,tp,fp,fn,tn,f1,auc_estimate,spread_estimate",
        "10,1.5,0,AU1,2,1,1,6,0.6666666666666666,,",
        "10,1.5,0,AU2,0,0,4,6,0.0,,",
        "10,1.5,0,AU4,0,0,0,0,nan,,",
        "10,1.5,0,Avg.,,,,,0.3333333333333333,,",
        *(f"20,2.5,0,{au},,,,,nan,," for au in ("AU1", "AU2", "AU4", "Avg.")),
        "30,3.5,0,output 0,1,0,0,0,1.0,,",
        "30,3.5,0,Avg.,,,,,1.0,,",
    ]
    assert table.last == {"output 0": 1.0, "Avg.": 1.0}


# --- caffe at work --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return tiny.write_training_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def solver(tmp_path):
    path = tiny.write_solver(tmp_path)
    net = tmp_path / "train_val.prototxt"
    net.write_text(net.read_text() + COUNTS)
    return path


def rows_of(out):
    with (out / "f1.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_f1_of_a_training_is_that_of_drml_score(solver, fold, tmp_path):
    out = tmp_path / "out"
    done = train(solver, out, data=fold, seed=1, progress=False)
    assert set(done.test) == {"loss", "f1"}
    rows = rows_of(out)
    assert [int(row["iteration"]) for row in rows] == sorted([0, 10, 20] * 4)
    # Twice the 5 pictures of a test batch are the whole test set.
    result = scoring.score(
        tiny.write_deploy(tmp_path), done.weights, fold / "test_lmdb", progress=False, probe=False
    )
    scores = evaluate(result.folds[0].labels, result.folds[0].probabilities, aus=tiny.AUS)
    assert done.f1 == {
        **{f"AU{row.au}": row.f1 for row in scores.rows},
        "Avg.": pytest.approx(scores.average("f1"), abs=1e-15),
    }
    assert any(0 < row.f1 < 1 for row in scores.rows), "a test that could not fail"
    for row, score in zip(rows[-4:-1], scores.rows, strict=True):
        assert (row["au"], float(row["f1"])) == (f"AU{score.au}", score.f1)
        assert int(row["tp"]) + int(row["fn"]) == score.positives
        assert sum(int(row[name]) for name in ("tp", "fp", "fn", "tn")) == score.known
    with (out / "loss.csv").open() as file:
        means = [float(row["value"]) for row in csv.DictReader(file) if row["name"] == "f1"]
    assert means[-1] == done.f1["Avg."] and len(means) == 3


def test_the_command_prints_f1(solver, fold, tmp_path, capsys):
    arguments = ["train", "--solver", solver, "--data", fold, "--max-iter", "2", "--seed", "1"]
    assert main([*map(str, arguments), "--out", str(tmp_path / "json"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["f1"]) == {"AU1", "AU2", "AU4", "Avg."}
    assert main([*map(str, arguments), "--out", str(tmp_path / "bar")]) == 0
    said = capsys.readouterr()
    assert f"F1 of the last test pass:  AU1 {printed['f1']['AU1']:.3f}" in said.out
    assert "loss=" in said.err and "F1=" in said.err


def test_a_training_that_goes_on_adds_to_the_table(solver, fold, tmp_path):
    out = tmp_path / "out"
    train(solver, out, data=fold, max_iter=4, progress=False)
    before = rows_of(out)
    train(solver, out, data=fold, max_iter=10, snapshot=out / "tiny_iter_4.solverstate", progress=False)
    assert rows_of(out)[: len(before)] == before and len(rows_of(out)) > len(before)
    train(solver, out, data=fold, max_iter=1, overwrite=True, progress=False)
    assert len(rows_of(out)) == len(before)


def test_a_net_that_does_not_count_leaves_no_table(fold, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "f1.csv").write_text("of an earlier training")
    done = train(tiny.write_solver(tmp_path), out, data=fold, max_iter=1, progress=False)
    assert done.f1 == {} and not (out / "f1.csv").exists()


def test_aus_are_named_by_the_manifest(solver, fold, tmp_path):
    set_up(solver, tmp_path / "out", Changes(data=fold))
    assert names_of_aus(read_prototxt(tmp_path / "out/train_val.prototxt")) == ["AU1", "AU2", "AU4"]
    assert names_of_aus(read_prototxt(tmp_path / "train_val.prototxt")) == []
