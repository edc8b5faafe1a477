"""drml.report on an experiment's folder: its numbers, all its parts, and what is missing or broken."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)

import report_data as made
from drml import cli
from drml.data.labels import AU_NAMES
from drml.evaluation.predictions import PredictionTable
from drml.experiments import detection_table, drawing, table_column
from drml.experiments.settings import Settings
from drml.io.errors import UserError
from drml.report import write_experiment_report
from drml.report.curves import select_methods
from html_page import Page

TITLES = ["LSVM", "JPML", "AlexNet", "ConvNet", "LCN", "DRML"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An experiment's folder and its data: not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    data = made.write_prepared(folder / "data")
    made.write_experiment(folder / "paper", data)
    return folder / "paper"


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "paper")


@pytest.fixture(scope="module")
def page(finished):
    return write(finished)


def write(*folders, **options):
    out = folders[0].parent / "page.html"
    write_experiment_report(out, folders, **options)
    return Page(out.read_text())


def pooled(method):
    """Return labels and probabilities of both folds, as they were drawn."""
    folds = [made.draw(method, fold, made.Path("data")) for fold in (1, 2)]
    return np.concatenate([f.labels for f in folds]), np.concatenate([f.probabilities for f in folds])


def test_page_stands_alone_and_names_all_parts(page):
    page.check_that_it_stands_alone()
    parts = ["averages", "table2", "grid", "table4", "bars", "curves", "training", "relations", "saliency"]
    assert list(page.sections) == [*parts, "faces", "setup"]
    assert page.text.index("Synthetic data.") < page.text.index("Methods")
    assert "Table 2: <AU> detection, quick schedule cut to 5 iterations" in page.text


ORDER = ("auc", "f1", "f1_chosen", "ap", "accuracy", "accuracy_chosen", "mcc", "mcc_chosen")
"""The figures of a detection table, in the order in which the page shows them."""


def by_trying_all(truth, values):
    """Return the threshold with the best F1 of validation frames, trying every value and 0.5."""

    def f1(threshold):
        predicted = values >= threshold
        return 2 * int((truth & predicted).sum()) / max(1, int(truth.sum() + predicted.sum()))

    return min({0.5, *values.tolist()}, key=lambda one: (-f1(one), abs(one - 0.5), one))


def predicted_as_chosen(method, column):
    """Return truth and predictions of an AU's test frames, with each fold's threshold."""
    truths, predictions = [], []
    for fold in (1, 2):
        held_out, test = (made.draw(method, fold, made.Path("data"), split) for split in ("val", "test"))
        known = held_out.labels[:, column] != 0
        threshold = by_trying_all(
            held_out.labels[known, column] > 0, held_out.probabilities[known, column].astype(float)
        )
        known = test.labels[:, column] != 0
        truths.append(test.labels[known, column] > 0)
        predictions.append(test.probabilities[known, column] >= threshold)
    return np.concatenate(truths), np.concatenate(predictions)


def test_table_has_the_scores_of_all_methods(page):
    rows = page.rows_of("table2")
    assert rows[0] == ["AU", *TITLES, "all positive (trivial)"]
    scored = {
        "auc": roc_auc_score,
        "f1": lambda truth, values: f1_score(truth, values >= 0.5, zero_division=0),
        "ap": average_precision_score,
        "accuracy": lambda truth, values: accuracy_score(truth, values >= 0.5),
        "mcc": lambda truth, values: matthews_corrcoef(truth, values >= 0.5),
    }
    length = len(made.AUS) + 2
    for name, score in scored.items():
        part = ORDER.index(name)
        table = rows[part * length : (part + 1) * length]
        shown = {row[0]: [text.split(" ")[0] for text in row[1:]] for row in table}
        columns = []
        for method, title in zip(("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml"), TITLES, strict=True):
            labels, values = pooled(method)
            column = [
                score(truth[truth != 0] > 0, value[truth != 0])
                for truth, value in zip(labels.T, values.T, strict=True)
            ]
            for au, expected in zip(made.AUS, column, strict=True):
                assert shown[f"AU {au} {AU_NAMES[au]}"][TITLES.index(title)] == f"{expected:.3f}"
            columns.append(np.mean(column))
        assert shown["Avg."][:-1] == [f"{value:.3f}" for value in columns]
    best = [a for tag, a in page.of("table2") if tag == "td" and a.get("class") == "best"]
    assert len(best) >= 2 * len(ORDER) * (len(made.AUS) + 1), "of the pooled rows and of the folds' means"


def test_table_has_the_scores_at_thresholds_chosen_on_validation(page):
    rows, length = page.rows_of("table2"), len(made.AUS) + 2
    for name, score in (("f1", f1_score), ("accuracy", accuracy_score), ("mcc", matthews_corrcoef)):
        part = ORDER.index(f"{name}_chosen")
        for column in (0, 5, 11):
            row = rows[part * length : (part + 1) * length][1 + column]
            for at, method in enumerate(("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")):
                expected = score(*predicted_as_chosen(method, column))
                assert row[1 + at].split(" ")[0] == f"{expected:.3f}", (name, column, method)


def test_table_is_that_of_the_json(page, finished):
    table = json.loads((finished / "table2.json").read_text())
    rows = page.rows_of("table2")
    length = len(made.AUS) + 2
    for part, name in enumerate(("pooled", "mean_of_folds")):
        for at, figure in enumerate(ORDER):
            source = table[name + ("_chosen" if figure.endswith("_chosen") else "")]
            attribute = figure.removesuffix("_chosen")
            shown = rows[(len(ORDER) * part + at) * length :][1:length]
            for row, text in enumerate(shown[:-1]):
                values = [one["aus"][row][attribute] for one in source.values()]
                found = [one.split(" ")[0] for one in text[1:-1]]
                assert found == ["-" if v is None else f"{v:.3f}" for v in values]
            found = [one.split(" ")[0] for one in shown[-1][1:-1]]
            assert found == [f"{one['average'][attribute]:.3f}" for one in source.values()]
    assert "not both classes of AU24" in page.sections["table2"]
    interval = table["pooled"]["drml"]["intervals"]["average"]["auc"]
    drml = rows[length - 1][6]
    assert drml.endswith(f" ({interval['low']:.2f}-{interval['high']:.2f})")
    of_folds = [row for row in rows if row[:2] == ["DRML", "2"]]
    (scores,) = (table["methods"]["drml"]["fold_scores"]["2"][name] for name in ["chosen"])
    assert of_folds[0][4].startswith(f"{scores['average']['f1']:.3f} (")


def test_bars_and_averages_tell_the_same(page):
    told = [attributes["aria-label"] for tag, attributes in page.of("bars") if tag == "svg"]
    assert len(told) == 4 * len(made.AUS)
    truth, values = pooled("jpml")
    au1 = f1_score(truth[truth[:, 0] != 0, 0] > 0, values[truth[:, 0] != 0, 0] >= 0.5)
    assert f"JPML {au1:.2f} (all positive" in told[len(made.AUS)]
    assert told[0].startswith("AU 1 Inner brow raiser: LSVM")
    rows = page.rows_of("averages")
    table = {row[0]: row[1:] for row in page.rows_of("table2")[: len(made.AUS) + 2]}
    assert [row[1] for row in rows[1:]] == [text.split(" ")[0] for text in table["Avg."][:-1]]
    assert rows[1][1 + len(ORDER) :] == ["160", "1, 2", "123 s", "12"]


def test_curves_show_every_method_apart(page):
    lines = [attributes for tag, attributes in page.of("curves") if tag == "polyline"]
    drawn = [one for one in lines if one["points"] != "2,8 42,8"]
    assert len(drawn) == 2 * len(made.AUS) * len(TITLES)
    assert {one["class"] for one in drawn} == {f"line s{style}" for style in range(6)}
    assert all(len(one["points"].split()) <= 200 for one in drawn)
    told = [a["aria-label"] for tag, a in page.of("curves") if tag == "svg" and "aria-label" in a]
    labels, values = pooled("drml")
    known = labels[:, 0] != 0
    assert told[0].startswith("ROC curve of AU 1 Inner brow raiser: LSVM ")
    assert f"DRML {roc_auc_score(labels[known, 0] > 0, values[known, 0]):.3f}" in told[0]


def test_more_methods_than_styles_are_thinned_out():
    labels = np.array([[1], [-1], [1], [-1]], np.int8)

    def say(skill):
        return PredictionTable((1,), list("abcd"), labels, np.array([[0.9], [0.8 - skill], [0.5], [0.1]]))

    methods = {f"m{index}": say(index / 10) for index in range(8)}
    assert list(select_methods(methods)) == [f"m{index}" for index in (0, 3, 4, 5, 6, 7)]
    assert list(select_methods(methods, "m1")) == [f"m{index}" for index in (1, 3, 4, 5, 6, 7)]


def test_losses_of_all_nets_and_folds(page):
    assert len(page.polylines("training")) == 4 * 2
    rows = page.rows_of("training")
    assert [row[0] for row in rows[1:]] == [f"{net}, fold {k}" for net in TITLES[2:] for k in (1, 2)]
    assert rows[1][1] == "400" and rows[1][-1] == "3 min 20 s"
    assert page.sections["training"].count("a<b>.prototxt") == 4


def test_a_method_that_has_not_learned_is_noted(copy, monkeypatch):
    as_drawn = made.draw

    def draw(method, fold, data, split="test"):
        found = as_drawn(method, fold, data, split)
        return dataclasses.replace(found, probabilities=0.3 + 0.005 * found.probabilities)

    monkeypatch.setattr(made, "draw", draw)
    for method, fold in (("alexnet", 1), ("alexnet", 2), ("lcn", 2)):
        shutil.rmtree(copy / f"fold{fold}" / method)
        made.write_unit(copy, method, fold, copy.parent / "data")
    methods = ("lsvm", "jpml", "alexnet", "convnet", "lcn", "drml")
    table = detection_table.collect("table2", "Table 2", copy, methods, Settings.of(copy), {})
    table.write(copy)
    notes = ["AlexNet: has not learned yet"]
    notes.append("LCN, fold 2: has not learned yet")
    text = (copy / "table2.md").read_text()
    assert [line[2:] for line in text.splitlines() if "has not learned yet" in line] == notes
    assert text.index(notes[0]) > text.rindex("| all positive (trivial) |"), "below the table"
    about = json.loads((copy / "table2.json").read_text())["methods"]
    assert {name: one["predicts_base_rates"] for name, one in about.items()} == {
        **{method: [] for method in methods},
        "alexnet": [1, 2],
        "lcn": [2],
    }
    # Trainings are judged by their own test passes.
    (copy / "fold1/alexnet/train/f1.csv").write_text(
        "iteration,seconds,net,au,tp,fp,fn,tn,f1,auc_estimate,spread_estimate\n"
        "400,1.0,0,AU1,1,1,1,1,0.5,0.49,0.2\n400,1.0,0,AU2,1,1,1,1,0.5,0.52,0.1\n"
    )
    page = write(copy)
    for section in ("averages", "table2"):
        assert all(note in page.sections[section] for note in notes), section
    assert page.sections["averages"].count("has not learned yet") == 2
    said = "AlexNet, fold 1: has not learned yet (test pass at iteration 400: largest"
    assert said in page.sections["training"] and page.sections["training"].count("has not learned yet") == 1


def test_relations_are_told_by_number_and_picture(page, finished):
    figure = json.loads((finished / "fig5.json").read_text())
    tables = [row for row in page.rows_of("relations") if row[0].startswith("AU ")]
    for name, rows in (("truth", tables[:12]), ("drml", tables[12:24])):
        expected = [[f"{value:.2f}" for value in row] for row in figure["relations"][name]]
        assert [row[1:] for row in rows] == expected
    distances = {row[0]: row[1] for row in page.rows_of("relations") if row[0] in TITLES}
    for net, title in (("drml", "DRML"), ("alexnet", "AlexNet")):
        assert distances[title] == f"{figure['differences'][net]['frobenius']:.4f}"
    (picture,) = [a for tag, a in page.of("relations") if tag == "img"]
    assert f"DRML {figure['differences']['drml']['frobenius']:.4f}" in picture["alt"]
    assert int(picture["width"]) > 1000


def test_saliency_times_and_setup(page, finished):
    rows = {row[0]: row[1:] for row in page.rows_of("saliency")}
    assert rows["AU 12 Lip corner puller"] == ["0.160", "0.190", "0.060"]
    (picture,) = [a for tag, a in page.of("saliency") if tag == "img"]
    assert "DRML, AlexNet" in picture["alt"]
    assert ["DRML", "train", "4", "12.50 ± 0.25", "3.12 ± 0.06"] in page.rows_of("table4")
    setup = page.rows_of("setup")
    assert ["seed", "3"] in setup and ["folder", str(finished)] in setup
    assert len([row for row in setup if row[0].startswith(("fold1/", "fold2/"))]) == 2 * 7
    assert "drml experiment unit <out> fold2/drml_5x5" in page.sections["setup"]
    assert "a <machine>" in page.sections["setup"]


def test_patches_of_group_sparsity(copy, page):
    assert "sparsity" not in page.sections
    table = json.loads((copy / "grid.json").read_text())
    table |= {"table": "sparsity", "title": "Group sparsity"}
    table["patches"] = {
        "drml": {"lambda": 0.0, "off": 0.0, "norm_sum": 61.25, "folds": {}},
        "drml_l1e-1": {"lambda": 0.1, "off": 0.3125, "norm_sum": 6.5, "folds": {}},
    }
    (copy / "sparsity.json").write_text(json.dumps(table))
    shutil.copy(copy / "fig4.png", copy / "sparsity.png")
    with_patches = write(copy)
    with_patches.check_that_it_stands_alone()
    rows = {row[0]: row[1:] for row in with_patches.rows_of("sparsity")}
    assert rows["DRML lambda 0.1"] == ["0.1", "31.2%", "6.500"]
    (picture,) = [a for tag, a in with_patches.of("sparsity") if tag == "img"]
    assert "DRML, DRML lambda 0.1" in picture["alt"]


def test_faces_are_of_the_lead_method(page):
    assert "Test faces, DRML" in page.sections["faces"]
    assert len([tag for tag, _ in page.of("faces") if tag == "img"]) == 8 + 2 + 2
    losses = [float(one) for one in re.findall(r"loss ([\d.]+) hit", page.sections["faces"])]
    assert losses == sorted(losses[:2]) + sorted(losses[2:], reverse=True) and losses[1] < losses[3]


def test_another_method_can_lead(finished):
    page = write(finished, method="lsvm")
    assert "Test faces, LSVM" in page.sections["faces"]
    with pytest.raises(UserError, match=r"method 'apl': no finished unit in"):
        write(finished, method="apl")


def test_folders_of_one_folder_share_a_page(copy):
    other = copy.parent / "time <2>"
    other.mkdir()
    for name in ("settings.json", "table4.json"):
        shutil.copy(copy / name, other)
    page = write(copy.parent)
    page.check_that_it_stands_alone()
    assert [name for name in page.sections if "table4" in name] == ["e1-paper-table4", "e2-time-2-table4"]
    assert "time <2>: Table 4: running time (ms)" in page.text
    alone = write(other)
    assert list(alone.sections) == ["table4", "setup"]
    assert "Synthetic" not in alone.text


def test_what_is_not_there_is_left_out(copy):
    for name in ("table2", "grid", "table4", "fig4", "fig5"):
        (copy / f"{name}.json").unlink()
    settings = json.loads((copy / "settings.json").read_text())
    for path in copy.glob("fold*/*/predictions.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        arrays["about"] = np.array(str(arrays["about"]).replace(settings["data"], "/moved"))
        np.savez(path, **arrays)
    page = write(copy)
    assert list(page.sections) == ["averages", "bars", "curves", "training", "relations", "faces", "setup"]
    assert "No faces are shown: /moved/fold1/test_lmdb" in page.sections["faces"]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("settings.json", None, r"no settings.json in it"),
        ("settings.json", "{", r"settings.json: damaged"),
        ("table2.json", "{}", r"does not have the form that drml writes"),
        ("table2.json", "[", r"table2.json: not JSON"),
        ("fig4.png", None, r"fig4.png: cannot be read"),
        ("fig5.png", "text", r"fig5.png: not a picture"),
        ("fold1/drml/result.json", "{", r"result.json: damaged"),
        ("fold2/drml/predictions.npz", "x", r"predictions.npz: cannot be read"),
    ],
)
def test_broken_input_is_named_and_nothing_is_written(copy, name, content, match):
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    with pytest.raises(UserError, match=match) as caught:
        write(copy)
    assert "\n" not in str(caught.value)
    assert not (copy.parent / "page.html").exists()


def test_the_command(copy, capsys):
    out = copy.parent / "page.html"
    assert cli.main(["report", str(out), "--experiment", str(copy)]) == 0
    assert capsys.readouterr().out == f"{out}: report written\n"
    for wrong in (["--experiment", str(copy), "--train", "x"], ["--scores", "x", "--method", "drml"], []):
        with pytest.raises(SystemExit) as caught:
            cli.main(["report", str(out), *wrong])
        assert caught.value.code == 2


@pytest.mark.parametrize("data", ["drawn", "real"])
def test_no_table_of_nets_is_without_its_schedule(finished, data, monkeypatch):
    settings = Settings.of(finished)
    if data == "real":
        load = table_column.load_predictions
        monkeypatch.setattr(
            table_column,
            "load_predictions",
            lambda folder: dataclasses.replace(load(folder), synthetic=False),
        )
    title = "Table 2: AU detection on BP4D"
    full = f"{title}, quick schedule cut to 5 iterations"
    table = detection_table.collect("table2", title, finished, ("lsvm", "drml"), settings, {})
    assert table is not None and table.synthetic == (data == "drawn")
    assert table.title == table.to_dict()["title"] == full
    assert table.to_markdown().startswith(f"# {full}\n")
    table = detection_table.collect("table2", title, finished, ("lsvm",), settings, {})
    assert table is not None and table.title == title  # no net, no schedule
    assert drawing.heading(settings, data == "drawn").endswith("quick schedule cut to 5 iterations")
    paper = dataclasses.replace(settings, scale="paper", max_iter=None)
    assert detection_table.with_schedule(title, ["drml"], paper) == f"{title}, paper schedule"


def test_a_table_of_an_older_version_gets_its_schedule_on_the_page(copy, tmp_path):
    path = copy / "table2.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "title": "Table 2: on BP4D"}))
    write_experiment_report(tmp_path / "page.html", [copy])
    text = (tmp_path / "page.html").read_text()
    assert "Table 2: on BP4D, quick schedule cut to 5 iterations" in text
