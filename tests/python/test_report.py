"""drml.report: a page that stands alone, says what is synthetic, escapes, and shows the right figures."""

import json
import re
from html.parser import HTMLParser

import pytest

import tiny_net as tiny
from drml import cli, report, scoring
from drml.errors import UserError
from drml.report.faces import choose

VOID = {"meta", "img", "br", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order; collects text, attributes and table rows."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.rows = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


@pytest.fixture
def inputs(tmp_path):
    """Scores, predictions, a training folder and a data folder as the commands write them."""
    fold, _, _, _ = tiny.write_data(tmp_path / "data", synthetic=True)
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    result = scoring.score(deploy, weights, fold / "test_lmdb", progress=False, probe=False)
    scoring.write_scores(tmp_path / "scores.json", result)
    scoring.write_predictions(tmp_path / "p.csv", result.folds)
    split = {
        "images": 10,
        "subjects": ["F001", "F002"],
        "videos": 2,
        "known": {f"AU{au}": 9 for au in tiny.AUS},
        "base_rate": {"AU1": 0.25, "AU2": None, "AU4": 0.5},
    }
    summary = {
        "kind": "bp4d",
        "root": "/set",
        "synthetic": True,
        "aus": list(tiny.AUS),
        "options": {
            "folds": [1],
            "seed": 5,
            "val_share": 0.2,
            "positives": 100,
            "negatives": 200,
            "unsampled": "keep",
            "encoding": "jpg",
            "size": 200,
        },
        "frames": 13,
        "images": 10,
        "skipped": {"no image <file>": 3},
        "folds": {"1": {"train": split, "test": {**split, "subjects": ["F003"]}}},
    }
    (tmp_path / "data" / "summary.json").write_text(json.dumps(summary))
    train = tmp_path / "train"
    train.mkdir()
    (train / "loss.csv").write_text(
        "iteration,seconds,phase,name,value\n0,0.5,test,loss,9\n0,0.5,train,loss,8\n10,60,train,loss,nan\n"
        "20,90,train,loss,4\n20,95.0,train,lr,0.1\n20,96,test,loss,5\n"
    )
    (train / "solver.prototxt").write_text('net: "a<b>.prototxt"\n')
    (tmp_path / "stages.json").write_text('{"build": 312, "train": 95.5}')
    return {
        "scores_json": tmp_path / "scores.json",
        "train_dir": train,
        "data_dir": tmp_path / "data",
        "predictions": tmp_path / "p.csv",
        "stages": tmp_path / "stages.json",
    }, result


def write(tmp_path, inputs):
    report.write_report(tmp_path / "r.html", **inputs)
    return Page((tmp_path / "r.html").read_text())


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_page_stands_alone_and_is_well_formed(tmp_path, inputs):
    page = write(tmp_path, inputs[0])
    text = (tmp_path / "r.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:image/)", text)
    assert "url(" not in text
    assert "<script" not in text
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag == "meta" and "viewport" in attributes.values() for tag, attributes in page.tags)
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["aria-label"]


def test_table_has_the_scores(tmp_path, inputs):
    options, result = inputs
    page = write(tmp_path, options)
    rows = {row[0]: row[1:] for row in page.rows if row}
    for score in result.pooled.rows:
        name = next(name for name in rows if name.startswith(f"AU {score.au} "))
        assert rows[name][2:] == [f"{score.f1:.3f}", f"{score.auc:.3f}", f"{score.ap:.3f}"]
    # The empty cell has no text.
    assert rows["all positive (trivial)"][1] == f"{result.pooled.average('trivial_f1'):.3f}"
    assert rows["no image <file>"] == ["3"]
    assert rows["AU2"] == ["-", "-"]
    assert rows["train"] == ["1 min 36 s"]
    assert rows["total"] == ["6 min 48 s"]
    assert "drml prepare bp4d /set" in page.text
    assert "--seed 5" in page.text


def test_synthetic_data_are_called_so_and_real_ones_not(tmp_path, inputs):
    options, _ = inputs
    assert "Synthetic data." in write(tmp_path, options).text
    change(options["scores_json"], lambda scores: scores.update(synthetic=False))
    assert "Synthetic data." in write(tmp_path, options).text, "the summary alone says so as well"
    change(options["data_dir"] / "summary.json", lambda summary: summary.update(synthetic=False))
    real = write(tmp_path, options).text
    for words in ("Synthetic data", "(synthetic", ", synthetic", "Drawn"):
        assert words not in real


def test_splits_are_called_apart_only_where_they_are(tmp_path, inputs):
    options, _ = inputs
    words = "No subject is in two splits"
    assert words in write(tmp_path, options).text
    change(
        options["data_dir"] / "summary.json",
        lambda summary: summary["folds"]["1"]["test"].update(subjects=["F002"]),
    )
    assert words not in write(tmp_path, options).text


def test_text_from_files_is_escaped(tmp_path, inputs):
    options, _ = inputs
    change(options["scores_json"], lambda scores: scores.update(model='<script>alert("x")</script>/<b>'))
    page = write(tmp_path, options)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<b>" in page.text
    assert "a<b>.prototxt" in page.text


def test_faces_say_what_was_hit_missed_and_false(tmp_path, inputs):
    options, _ = inputs
    header = "key,p_AU1,p_AU2,p_AU4,y_AU1,y_AU2,y_AU4"
    rows = ["00000002_F001_T1_0002,0.5,0.49,0.9,1,1,-1", "00000003_F002_T1_0003,0.1,0.2,0.3,0,-1,-1"]
    options["predictions"].write_text("\n".join([header, *rows, ""]))
    page = write(tmp_path, options)
    assert "F001_T1_0002 hit 1 missed 2 false 4 F002" in page.text
    assert "F002_T1_0003 hit - missed - false - unknown 1" in page.text
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [picture["alt"] for picture in pictures] == [
        "Face of F001, showing AU 1, AU 2",
        "Face of F002, showing no AU",
    ]
    assert all(picture["src"].startswith("data:image/png;base64,iVBOR") for picture in pictures)


def test_curve_leaves_out_what_is_no_number(tmp_path, inputs):
    page = write(tmp_path, inputs[0])
    curve, test = (attributes["points"].split() for tag, attributes in page.tags if tag == "polyline")
    assert (len(curve), len(test)) == (2, 2)
    heights = [float(point.split(",")[1]) for point in (*curve, *test)]
    # Up is less in SVG: loss 8 above 4, test loss 9 above 5, and 9 above 8.
    assert heights[2] < heights[0] < heights[3] < heights[1]
    assert "20 iterations, 1 min 36 s, loss at the end 4." in page.text


def test_curve_comes_from_the_log_without_a_table(tmp_path, inputs):
    options, _ = inputs
    (options["train_dir"] / "loss.csv").unlink()
    with pytest.raises(UserError, match=r"neither loss.csv nor train.log"):
        write(tmp_path, options)
    head = "I1123 22:44:28.123456  1234 solver.cpp:239] Iteration "
    (options["train_dir"] / "train.log").write_text(f"{head}0, loss = 8\n{head}20 (1 iter/s), loss = 4\n")
    assert "20 iterations, loss at the end 4." in write(tmp_path, options).text


def test_only_the_scores_are_needed(tmp_path, inputs):
    options, _ = inputs
    page = write(tmp_path, {"scores_json": options["scores_json"]})
    headings = page.text
    assert "Scores" in headings
    assert "Training" not in headings
    assert "img" not in {tag for tag, _ in page.tags}


def test_undefined_figures_are_dashes(tmp_path, inputs):
    options, _ = inputs

    def forget(scores):
        scores["pooled"]["aus"][0].update(auc=None, trivial_auc=None)
        scores["pooled"]["left_out_of_average"] = {"auc": [1]}

    change(options["scores_json"], forget)
    page = write(tmp_path, options)
    row = next(row for row in page.rows if row and row[0].startswith("AU 1 "))
    assert row[-2] == "-"
    assert "ROC-AUC is undefined for AU 1" in page.text


def test_folds_have_two_tables(tmp_path, inputs):
    options, _ = inputs

    def double(scores):
        scores["folds"] *= 2
        scores["mean_of_folds"] = scores["pooled"]

    change(options["scores_json"], double)
    page = write(tmp_path, options)
    assert "Pooled over 2 folds" in page.text
    assert "Mean of 2 folds" in page.text


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("scores_json", None, "no such file"),
        ("scores_json", "{", "not JSON"),
        ("scores_json", "[]", "expected what drml score"),
        ("scores_json", "{}", "not as drml writes it"),
        ("predictions", None, "no such file"),
        ("predictions", "a,b\n", "not what drml score --predictions writes"),
        ("predictions", "key,p_AU1,y_AU1\nother,0.1,1\n", "none of its keys"),
        ("stages", '{"train": "long"}', "stages: expected"),
    ],
)
def test_broken_input_is_named_and_nothing_is_written(tmp_path, inputs, name, content, match):
    options, _ = inputs
    if content is None:
        options[name].unlink()
    else:
        options[name].write_text(content)
    with pytest.raises(UserError, match=match):
        write(tmp_path, options)
    assert not (tmp_path / "r.html").exists()


def test_broken_loss_table_is_named(tmp_path, inputs):
    options, _ = inputs
    (options["train_dir"] / "loss.csv").write_text("iteration,value\n1,2\n")
    with pytest.raises(UserError, match=r"loss.csv: not what drml train writes"):
        write(tmp_path, options)


def test_faces_are_of_many_subjects():
    keys = [f"{i:08d}" for i in range(100)]
    chosen = choose(keys, {key: str(int(key) // 10) for key in keys})
    assert len({int(key) // 10 for key in chosen}) == 8
    assert choose(keys[:5], {}) == keys[:5]
    assert len(choose(keys, {})) == 8


def test_command_writes_the_page(tmp_path, inputs, capsys):
    options, _ = inputs
    out = tmp_path / "page.html"
    arguments = ["report", str(out), "--scores", str(options["scores_json"])]
    assert (
        cli.main([*arguments, "--train", str(options["train_dir"]), "--stages", str(options["stages"])]) == 0
    )
    assert capsys.readouterr().out == f"{out}: report\n"
    assert Page(out.read_text()).text
    assert cli.main(["report", str(tmp_path / "none" / "r.html"), *arguments[2:]]) == 1
    assert "does not exist" in capsys.readouterr().err
