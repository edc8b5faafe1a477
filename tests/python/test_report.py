"""drml.report: a page that stands alone, says what is synthetic, escapes, and shows the right figures."""

import ast
import json
import math
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import report_data as made
import tiny_net as tiny
from drml import cli, report
from drml.data.labels import AU_NAMES
from drml.evaluation import scoring
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import write_predictions
from drml.evaluation.results import write_scores
from drml.io.errors import UserError
from drml.report.faces import choose, extremes, frame_losses
from drml.report.scores import scores_section
from drml.report.thinning import thin
from html_page import Page

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


@pytest.fixture
def inputs(tmp_path):
    """Scores, predictions, a training folder and a data folder as the commands write them."""
    fold, _, _, _ = tiny.write_data(tmp_path / "data", synthetic=True)
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    result = scoring.score(deploy, weights, fold / "test_lmdb", progress=False, probe=False)
    write_scores(tmp_path / "scores.json", result)
    write_predictions(tmp_path / "p.csv", result.folds)
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
    page.check_that_it_stands_alone()
    anchors = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    assert anchors == list(page.sections), "the contents name every section, in order"
    assert anchors[0] == "scores" and {"curves", "training", "relations", "faces", "origin"} < set(anchors)


def test_table_has_the_scores(tmp_path, inputs):
    options, result = inputs
    page = write(tmp_path, options)
    rows = {row[0]: row[1:] for row in page.rows if row}
    for score in result.pooled.rows:
        name = next(name for name in rows if name.startswith(f"AU {score.au} "))
        figures = [score.f1, score.auc, score.ap, score.accuracy, score.mcc]
        shown = [text.split(" ")[0] for text in rows[name][2:]]
        assert shown == ["-" if math.isnan(value) else f"{value:.3f}" for value in figures]
    intervals = result.pooled.intervals
    if intervals is not None:
        found = intervals.average["f1"]
        assert rows["Avg."][2].endswith(f" ({found.low:.2f}-{found.high:.2f})")
    assert rows["all positive (trivial)"][2] == f"{result.pooled.average('trivial_f1'):.3f}"
    assert rows["no image <file>"] == ["3"]
    assert rows["AU2"] == ["-", "-"]
    assert rows["train"] == ["1 min 36 s"]
    assert rows["total"] == ["6 min 48 s"]
    assert "drml prepare bp4d /set" in page.text
    assert "--seed 5" in page.text


def test_table_has_the_thresholds_that_validation_chose(tmp_path):
    folds = [made.draw("drml", fold, tmp_path) for fold in (1, 2)]
    held_out = [made.draw("drml", fold, tmp_path, "val") for fold in (1, 2)]
    result = evaluate_folds("deploy.prototxt", folds, validation=held_out)
    section = scores_section(json.loads(json.dumps(result.to_dict())))
    body = f'<section id="{section.anchor}">{section.body}</section>'
    rows = [row for row in Page(body).rows if row and row[0].startswith("AU 12 ")]
    column = made.AUS.index(12)
    limits = [thresholds[column] for thresholds in result.chosen.by_fold]
    fixed, chosen = result.pooled.rows[column], result.chosen.pooled.rows[column]
    span = f"{min(limits):.3f}-{max(limits):.3f}"
    figures = (fixed.f1, chosen.f1, chosen.accuracy, chosen.mcc)
    assert rows[2][1:] == [span, *(f"{value:.3f}" for value in figures)]
    assert "Thresholds chosen for the best F1 on validation, mean of 2 folds" in body


def test_synthetic_data_are_called_so_and_real_ones_not(tmp_path, inputs):
    options, _ = inputs
    assert "Synthetic data." in write(tmp_path, options).text
    change(options["scores_json"], lambda scores: scores.update(synthetic=False))
    assert "Synthetic data." in write(tmp_path, options).text, "the summary alone says so as well"
    change(options["data_dir"] / "summary.json", lambda summary: summary.update(synthetic=False))
    real = write(tmp_path, options).text
    for words in ("Synthetic data", "(synthetic", ", synthetic", "drawn by"):
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


HOSTILE = '"><script>alert(1)</script><img src=x onerror="alert(2)">{{ 7919 * 7919 }}'


def test_every_template_escapes_what_is_put_into_it(tmp_path, inputs):
    """Hostile text in whatever files and folders may name: it is shown as it stands, and is no element."""
    options, _ = inputs

    def spoil_scores(scores):
        (fold,) = scores["folds"]
        fold.update(data=f"test_{HOSTILE}", weights=HOSTILE, spreads=[0.001, None, 0.001])
        scores.update(model=HOSTILE, folds=[fold, {**fold}], mean_of_folds=scores["pooled"])
        scores["pooled"]["left_out_of_average"] = {"auc": [HOSTILE]}

    def spoil_summary(summary):
        split = {**summary["folds"]["1"]["train"], "subjects": [HOSTILE]}
        summary.update(
            kind=HOSTILE, skipped={HOSTILE: 1}, incomplete={HOSTILE: 2}, folds={HOSTILE: {HOSTILE: split}}
        )

    change(options["scores_json"], spoil_scores)
    change(options["data_dir"] / "summary.json", spoil_summary)
    (options["train_dir"] / "solver.prototxt").write_text(HOSTILE)
    options["stages"].write_text(json.dumps({HOSTILE: 1.0}))
    del options["predictions"]
    page = write(tmp_path, options)
    page.check_that_it_stands_alone()
    assert str(7919 * 7919) not in page.text
    assert not [tag for tag, _ in page.tags if tag in ("script", "img")]
    for section in ("scores", "training", "data", "time", "origin"):
        assert HOSTILE in page.sections[section], section


def test_html_stands_in_templates_alone():
    folder = Path(report.__file__).parent
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        docs = {
            ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)
        }
        assert not [text for text in texts if text not in docs and re.search(r"</?[a-z]+[ >]", text)], (
            path.name
        )
    used = set()
    for path in [*folder.glob("*.py"), *folder.glob("templates/*.html")]:
        used.update(re.findall(r'"(\w+\.(?:html|css))"', path.read_text(encoding="utf-8")))
    assert used == {path.name for path in (folder / "templates").iterdir()}


def test_faces_say_what_was_hit_missed_and_false(tmp_path, inputs):
    options, _ = inputs
    header = "key,p_AU1,p_AU2,p_AU4,y_AU1,y_AU2,y_AU4"
    rows = ["00000002_F001_T1_0002,0.5,0.49,0.9,1,1,-1", "00000003_F002_T1_0003,0.1,0.2,0.3,0,-1,-1"]
    options["predictions"].write_text("\n".join([header, *rows, ""]))
    page = write(tmp_path, options)
    assert "F001_T1_0002 hit 1 missed 2 false 4 F002" in page.text
    assert "F002_T1_0003 hit - missed - false - unknown 1" in page.text
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    faces = ["Face of F001, showing AU 1, AU 2", "Face of F002, showing no AU"]
    # Spread over the test set; then the best ones, which here are both: none is left to be the worst.
    losses = [-(math.log(0.5) + math.log(0.49) + math.log(0.1)) / 3, -(math.log(0.8) + math.log(0.7)) / 2]
    assert losses[0] > losses[1]
    assert [picture["alt"] for picture in pictures] == [*faces, *reversed(faces)]
    for name, loss in zip(("F001_T1_0002", "F002_T1_0003"), losses, strict=True):
        assert f"{name}, loss {loss:.2f} hit" in page.text
    assert all(picture["src"].startswith("data:image/png;base64,iVBOR") for picture in pictures)


def test_curve_leaves_out_what_is_no_number(tmp_path, inputs):
    page = write(tmp_path, inputs[0])
    curve, test = (line.split() for line in page.polylines("training"))
    assert (len(curve), len(test)) == (2, 2)
    heights = [float(point.split(",")[1]) for point in (*curve, *test)]
    # Up is less in SVG: loss 8 above 4, test loss 9 above 5, and 9 above 8.
    assert heights[2] < heights[0] < heights[3] < heights[1]
    assert "20 iterations in 1 min 36 s; the last training loss is 4." in page.text


def test_curve_comes_from_the_log_without_a_table(tmp_path, inputs):
    options, _ = inputs
    (options["train_dir"] / "loss.csv").unlink()
    with pytest.raises(UserError, match=r"neither loss.csv nor train.log"):
        write(tmp_path, options)
    head = "I1123 22:44:28.123456  1234 solver.cpp:239] Iteration "
    (options["train_dir"] / "train.log").write_text(f"{head}0, loss = 8\n{head}20 (1 iter/s), loss = 4\n")
    page = write(tmp_path, options)
    assert "20 iterations; the last training loss is 4." in page.text and "mean F1" not in page.text


def test_f1_of_the_test_net_is_told_where_it_was_counted(tmp_path, inputs):
    options, _ = inputs
    table = options["train_dir"] / "loss.csv"
    with table.open("a") as file:
        file.write("0,1,test,f1,0.25\n10,97,test,f1,nan\n10,98,test,f1,0.75\n20,99,test,f1,0.5\n")
    said = "The test net's mean F1 is 0.500 at iteration 20; its highest is 0.750."
    assert said in write(tmp_path, options).text
    table.unlink()
    # Out of caffe's own log: two classes, of which the second has an F1 of 0.
    counts = "".join(
        f"x] Test net output #{i}: counts = {mean}\n" for i, mean in enumerate([3, 0, 0, 1, 0, 1, 2, 1])
    )
    (options["train_dir"] / "train.log").write_text(
        "x] Initializing solver from parameters: \ntest_iter: 4\n"
        '  type: "MultiLabelCounts"\n  top: "counts"\n'
        f"x] Iteration 7, Testing net (#0)\n{counts}x] Iteration 7, loss = 4\n"
    )
    assert "mean F1 is 0.500 at iteration 7;" in write(tmp_path, options).text


STUCK = "The net has not learned yet."


def write_estimates(folder, passes):
    """Write f1.csv with these estimates, the same of two AUs: AUC and spread by iteration."""
    lines = ["iteration,seconds,net,au,tp,fp,fn,tn,f1,auc_estimate,spread_estimate"]
    for at, (auc, spread) in passes.items():
        lines += [f"{at},1.0,0,{au},1,1,1,1,0.5,{auc},{spread}" for au in ("AU1", "AU2", "Avg.")]
    (folder / "f1.csv").write_text("\n".join(lines) + "\n")


def let_it_have_learned(scores_json):
    """Give each AU of these scores, which are those of random labels, an AUC of a net that has learned."""
    scores = json.loads(scores_json.read_text())
    for fold in scores["folds"]:
        for row in fold["scores"]["aus"]:
            row["auc"] = 0.9
    scores_json.write_text(json.dumps(scores))


def test_a_training_that_has_not_learned_is_called_so(tmp_path, inputs):
    options, _ = inputs
    let_it_have_learned(options["scores_json"])
    assert "has not learned yet" not in write(tmp_path, options).text
    write_estimates(options["train_dir"], {0: (0.5, 0.0), 10: ("", 0.001), 20: (0.61, 0.0042)})
    page = write(tmp_path, options)
    said = "At iteration 20: largest standard deviation between faces 0.0042, estimated AUC 0.610 to 0.610."
    assert f"{STUCK} {said}" in page.sections["training"]
    write_estimates(options["train_dir"], {0: (0.5, 0.0), 10: (0.51, 0.2), 20: (0.61, 0.2)})
    page = write(tmp_path, options)
    assert STUCK not in page.text
    assert "predicted the base rates until the test pass at iteration 10." in page.sections["training"]
    write_estimates(options["train_dir"], {0: (0.5, 0.0), 10: (0.6, 0.2)})
    assert "has not learned yet" not in write(tmp_path, options).text, "of an untrained net nothing is said"


def test_scores_of_a_model_that_has_not_learned_are_called_so(tmp_path, inputs):
    options, _ = inputs
    let_it_have_learned(options["scores_json"])
    scores = json.loads(options["scores_json"].read_text())
    (fold,) = scores["folds"]
    fold["spreads"] = [0.009, None, 0.001]
    options["scores_json"].write_text(json.dumps(scores))
    page = write(tmp_path, options)
    said = "The model has not learned yet. Largest standard deviation between faces"
    assert f"{said} 0.0090, AUC " in page.sections["scores"]
    # Of several folds, those of which it holds.
    fold["data"] = "a<b>"
    scores["folds"].append({**fold, "data": "fold2", "spreads": [0.3, 0.3, 0.3]})
    scores["mean_of_folds"] = scores["pooled"]
    options["scores_json"].write_text(json.dumps(scores))
    text = write(tmp_path, {"scores_json": options["scores_json"]}).sections["scores"]
    assert "a<b>: the model has not learned yet" in text and "fold2: the model" not in text
    # Files of earlier versions have no spreads.
    scores["folds"] = [{name: value for name, value in fold.items() if name != "spreads"}]
    options["scores_json"].write_text(json.dumps(scores))
    assert "has not learned yet" not in write(tmp_path, {"scores_json": options["scores_json"]}).text


def area(line):
    """Return the area under a polyline in the unit square of `square_chart`."""
    points = np.array([[float(number) for number in point.split(",")] for point in line.split()])
    x, y = (points[:, 0] - 28) / (196 - 28), (160 - points[:, 1]) / (160 - 8)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


def test_curves_have_the_areas_of_the_scores(tmp_path, inputs):
    options, result = inputs
    page = write(tmp_path, options)
    lines = page.polylines("curves")
    defined = [row for row in result.pooled.rows if not math.isnan(row.auc)]
    assert len(lines) == 2 * len(defined) > 0
    for row, roc, pr in zip(defined, lines, lines[len(defined) :], strict=False):
        assert area(roc) == pytest.approx(row.auc, abs=0.01)
        assert area(pr) == pytest.approx(row.ap, abs=0.01)
        for figure in (row.auc, row.ap):
            assert f"AU {row.au} {AU_NAMES[row.au]}: {figure:.3f}" in page.sections["curves"]


def test_an_au_without_both_classes_has_no_curve(tmp_path, inputs):
    options, _ = inputs
    options["predictions"].write_text(
        "key,p_AU1,p_AU2,y_AU1,y_AU2\n00000002_F001_T1_0002,0.5,0.5,1,1\n00000003_F002_T1_0003,0.4,0.6,1,-1\n"
    )
    page = write(tmp_path, options)
    assert len(page.polylines("curves")) == 2
    assert page.sections["curves"].count("AU 1 Inner brow raiser: no curve") == 2
    assert "AU 2 Outer brow raiser: 0.000" in page.sections["curves"]


def test_relation_tables_are_those_of_labels_and_predictions(tmp_path, inputs):
    options, result = inputs
    page = write(tmp_path, options)
    fold = result.folds[0]
    shown = [row for row in page.rows_of("relations") if row[0].startswith("AU ")]
    for rows, values in ((shown[:3], fold.labels), (shown[3:], fold.probabilities)):
        for i, row in enumerate(rows):
            for j, text in enumerate(row[1:]):
                both = (fold.labels[:, i] != 0) & (fold.labels[:, j] != 0)
                expected = np.corrcoef(values[both, i].astype(float), values[both, j].astype(float))[0, 1]
                assert text == f"{expected:.2f}"


def test_thinning_keeps_the_line():
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 20001)
    y = np.cumsum(rng.standard_normal(x.size)) / 400
    kept = thin(np.column_stack([x, y]), 150)
    assert len(kept) == 150 and (np.diff(kept) > 0).all() and kept[0] == 0 and kept[-1] == 20000
    assert np.abs(np.interp(x, x[kept], y[kept]) - y).max() < 0.1 * np.ptp(y)
    # What lies on straight lines goes, what does not stays; also where the line comes back on itself.
    assert thin([[0, 0], [0, 0.5], [0, 1], [0.5, 1], [1, 1]]).tolist() == [0, 2, 4]
    assert thin([[0, 0], [2, 0], [1, 0]]).tolist() == [0, 1, 2]
    assert thin([[0, 0], [1, 1], [0, 0]]).tolist() == [0, 1, 2]
    assert thin(np.zeros((0, 2))).tolist() == [] and thin([[3, 4]]).tolist() == [0]


def test_best_and_worst_frames_are_of_different_videos():
    losses = np.array([0.3, 0.1, 0.2, 0.9, 0.8, np.nan])
    assert extremes(losses, ["a", "a", "b", "b", "c", "d"]) == ([1, 2, 4], [3, 0])
    best, worst = extremes(np.arange(20.0), [str(i) for i in range(20)])
    assert (best, worst) == ([0, 1, 2, 3], [19, 18, 17, 16])


def test_frame_loss_is_a_mean_over_known_aus(inputs):
    _, result = inputs
    fold = result.folds[0]
    for loss, labels, values in zip(frame_losses(fold), fold.labels, fold.probabilities, strict=True):
        terms = [-math.log(p if y > 0 else 1 - p) for y, p in zip(labels, values, strict=True) if y]
        np.testing.assert_allclose(loss, sum(terms) / len(terms) if terms else np.nan, rtol=1e-5)


def test_saliency_maps_are_shown(tmp_path, inputs):
    options, _ = inputs
    folder = tmp_path / "saliency"
    folder.mkdir()
    for name in ("face", "AU1", "AU4"):
        cv2.imwrite(str(folder / f"{name}.png"), np.random.default_rng(0).integers(0, 255, (150, 150, 3)))
    about = {
        "AU1": {"label": 1, "focus": 0.25, "area": 0.125},
        "AU4": {"label": -1, "focus": None, "area": 0.5},
    }
    (folder / "saliency.json").write_text(json.dumps({"key": "0_<F>", "synthetic": True, "aus": about}))
    page = write(tmp_path, {**options, "saliency": folder})
    page.check_that_it_stands_alone()
    assert "AU 1 Inner brow raiser, present; focus 0.250, region 0.125" in page.sections["saliency"]
    assert "AU 4 Brow lowerer, absent; focus -, region 0.500" in page.sections["saliency"]
    # Noise is large as PNG.
    maps = [a for tag, a in page.tags if tag == "img" and a.get("class") == "map"]
    assert len(maps) == 3 and all(a["src"].startswith("data:image/jpeg") for a in maps), (
        "noise is large as PNG"
    )
    (folder / "AU4.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"AU4\.png: not a picture"):
        write(tmp_path, {**options, "saliency": folder})
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"saliency\.json: not what drml saliency writes"):
        write(tmp_path, {**options, "saliency": folder})


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
    assert row[4] == "-"
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
        ("scores_json", "{}", "does not have the form that drml writes"),
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
    assert capsys.readouterr().out == f"{out}: report written\n"
    assert Page(out.read_text()).text
    assert cli.main(["report", str(out / "r.html"), *arguments[2:]]) == 1
    assert "cannot be written (Not a directory" in capsys.readouterr().err
