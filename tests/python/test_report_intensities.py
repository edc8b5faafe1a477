"""The page of a net that estimates intensities: its figures against those of other code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report_data as made
from drml.cli import main
from drml.data.prepare import prepare
from drml.data.sampling import Sampling
from drml.io.errors import UserError
from drml.report import write_report
from drml.report.losses import read_losses
from drml.synth import write_bp4d
from drml.training.base_rates import REMARK
from html_page import Page
from tiny_levels import train_tiny

LEVEL_AUS = (6, 12, 17)


def page_of(tmp_path: Path, options: dict[str, Any]) -> Page:
    write_report(tmp_path / "r.html", **options)
    page = Page((tmp_path / "r.html").read_text())
    page.check_that_it_stands_alone()
    return page


def pooled(folder: Path, column: int) -> tuple[np.ndarray, np.ndarray]:
    """The known labels and the estimates of an AU, of both folds."""
    folds = [made.draw_intensities(fold, folder) for fold in (1, 2)]
    labels = np.concatenate([fold.labels[:, column] for fold in folds])
    estimates = np.concatenate([fold.estimates[:, column] for fold in folds])
    return labels[labels != 9], estimates[labels != 9]


@pytest.mark.parametrize("both", [True, False])
def test_the_figures_are_those_of_labels_and_estimates(tmp_path: Path, both: bool) -> None:
    page = page_of(tmp_path, made.write_level_run(tmp_path / "run", both=both))
    assert ("scores" in page.sections) == ("ROC-AUC, Avg." in page.text) == both
    assert "ICC(3,1), Avg." in page.text and "Synthetic data" in page.text
    shown = page.sections["intensities"]
    assert "Pooled over 2 folds" in shown and "Mean of 2 folds" in shown
    # With both kinds, the tables of occurrences come first.
    table = next(at for at, row in enumerate(page.rows) if row[:3] == ["AU", "frames", "mean label"])
    rows = {row[0]: row[1:] for row in page.rows[table + 1 : table + 7]}
    iccs = []
    for column, name in enumerate(("AU 6 Cheek raiser", "AU 12 Lip corner puller", "AU 17 Chin raiser")):
        labels, estimates = pooled(tmp_path, column)
        frames, mean, icc, pcc, mae, mse = rows[name]
        assert (frames, mean) == (str(len(labels)), f"{labels.mean():.3f}")
        # By the analysis of variance itself, and by NumPy.
        pairs = np.stack([labels, estimates], 1)
        rest = pairs - pairs.mean(1, keepdims=True) - pairs.mean(0) + pairs.mean()
        between = 2 * pairs.mean(1).var(ddof=1)
        error = (rest**2).sum() / (len(pairs) - 1)
        iccs.append((between - error) / (between + error))
        assert icc.split(" ")[0] == f"{iccs[-1]:.3f}"
        assert pcc.split(" ")[0] == f"{np.corrcoef(labels, estimates)[0, 1]:.3f}"
        assert mse.split(" ")[0] == f"{((labels - estimates) ** 2).mean():.3f}"
        assert mae.split(" ")[0] == f"{np.abs(labels - estimates).mean():.3f}"
        assert "(" in icc and ")" in icc, "its interval"
    assert rows["Avg."][2].split(" ")[0] == f"{np.mean(iccs):.3f}"
    assert rows["always 0 (trivial)"][2] == "0.000" and rows["training mean (trivial)"][2] == "0.000"
    always = np.mean([np.abs(pooled(tmp_path, column)[0]).mean() for column in range(3)])
    assert rows["always 0 (trivial)"][4] == f"{always:.3f}" and f"{always:.3f} if always 0" in page.text


def test_estimates_are_counted_by_label(tmp_path: Path) -> None:
    page = page_of(tmp_path, made.write_level_run(tmp_path / "run", both=False))
    starts = [at for at, row in enumerate(page.rows) if row == ["label", *"012345"]]
    assert len(starts) == 3
    for column, start in enumerate(starts):
        labels, estimates = pooled(tmp_path, column)
        for level in range(6):
            rounded = [round(float(value)) for value in estimates[labels == level]]
            assert page.rows[start + 1 + level] == [str(level), *(str(rounded.count(at)) for at in range(6))]
    assert "AU 12 Lip corner puller: frames by label (rows) and rounded estimate (columns)" in page.text
    tones = {attributes.get("class") for tag, attributes in page.tags if tag == "td"}
    assert "more5" in tones and not any((tone or "").startswith("less") for tone in tones)


def test_bars_have_intervals_and_stay_on_the_chart(tmp_path: Path) -> None:
    options = made.write_level_run(tmp_path / "run", both=False)
    page = page_of(tmp_path, options)
    found = json.loads(options["scores_json"].read_text())["intensity"]["pooled"]
    negative = found["aus"][2]
    assert negative["icc"] < 0, "a bar that has no length"
    (chart,) = (a for tag, a in page.tags if tag == "svg" and a["aria-label"].startswith("ICC(3,1)"))
    ends = found["intervals"]["aus"][0]["icc"]
    said = f"AU 6 {found['aus'][0]['icc']:.2f} ({ends['low']:.2f} to {ends['high']:.2f})"
    assert said in chart["aria-label"] and f"AU 17 {negative['icc']:.2f}" in chart["aria-label"]
    bars = [a for tag, a in page.tags if tag == "rect" and a.get("class") == "bar"]
    assert len(bars) == 3 and float(bars[2]["width"]) == 0
    left = float(bars[0]["x"])
    right = 300.0
    lines = [a for tag, a in page.tags if tag == "line" and a.get("class") == "interval"]
    assert len(lines) == 9
    for end, line in zip((ends["low"], ends["high"]), lines[1:3], strict=True):
        assert float(line["x1"]) == pytest.approx(left + (right - left) * end, abs=0.06)
    assert all(left - 0.1 <= float(line["x1"]) <= float(line["x2"]) <= right + 0.1 for line in lines)


def test_a_net_that_has_not_learned_is_called_so(tmp_path: Path) -> None:
    options = made.write_level_run(tmp_path / "run", both=False)
    assert REMARK not in page_of(tmp_path, options).text
    content = json.loads(options["scores_json"].read_text())
    second = content["intensity"]["folds"][1]
    for row, icc in zip(second["scores"]["aus"], (0.2, None, -0.1), strict=True):
        row["icc"] = icc
    second["scores"]["average"]["icc"] = 0.05
    options["scores_json"].write_text(json.dumps(content))
    page = page_of(tmp_path, options)
    assert f"{second['data']}: the model {REMARK}" in page.text
    assert "Its mean ICC(3,1) is 0.050, below 0.1" in page.text
    assert f"{content['intensity']['folds'][0]['data']}: the model" not in page.text


def test_one_fold_without_subjects(tmp_path: Path) -> None:
    options = made.write_level_run(tmp_path / "run", both=False, folds=(1,))

    def change(scores: dict[str, Any]) -> None:
        del scores["pooled"]["intervals"]
        scores["folds"][0]["subjects"] = None
        scores["pooled"]["aus"][1].update(icc=None, pcc=None)
        scores["pooled"]["left_out_of_average"] = {"icc": [12], "pcc": [12]}

    content = json.loads(options["scores_json"].read_text())
    change(content["intensity"])
    options["scores_json"].write_text(json.dumps(content))
    page = page_of(tmp_path, options)
    assert "Test set" in page.sections["intensities"] and "ICC(3,1) is undefined for AU 12" in page.text
    assert not any(a.get("class") == "interval" for _, a in page.tags)
    row = next(row for row in page.rows if row[0] == "AU 12 Lip corner puller")
    assert row[3:5] == ["-", "-"]


def test_a_drawn_data_set_from_preparing_to_the_page(tmp_path: Path, capsys: Any) -> None:
    """Data, training, scores and report of both kinds, of the tiny net."""
    for kind in ("both", "intensity"):
        out, fold = train_tiny(tmp_path / kind, kind, max_iter=20)
        scores = tmp_path / f"{kind}.json"
        assert main(["score", str(out), str(fold), "--out", str(scores), "--seed", "4", "-q"]) == 0
        command = ["report", str(tmp_path / f"{kind}.html"), "--scores", str(scores), "--train", str(out)]
        assert main(command) == 0
        page = Page((tmp_path / f"{kind}.html").read_text())
        assert "--seed 4" in page.sections["origin"] and "drml score --net" in page.sections["origin"]
        assert "held-out data" in page.sections["training"]
        found = json.loads(scores.read_text())["intensity"]["pooled"]["average"]["icc"]
        not_yet = f"Its mean ICC(3,1) is {found:.3f}, below 0.1" in page.text
        assert not_yet == (found < 0.1)
        capsys.readouterr()
    predictions = ["--predictions", str(scores), "--overwrite"]
    assert main([*command, *predictions]) == 1
    assert "has scores of intensities alone, to which predictions add nothing" in capsys.readouterr().err


def test_the_icc_of_test_passes_is_told(tmp_path: Path) -> None:
    train = made.write_loss(tmp_path / "train")
    rows = ["iteration,seconds,net,au,icc,pcc,mse", "100,9,0,AU6,0.9,0.9,1", "100,9,0,Avg.,0.51234,0.9,1"]
    rows += ["200,19,0,AU6,0.2,0.3,1", "200,19,0,Avg.,0.25,0.3,1", "200,19,1,Avg.,0.7,0.8,1"]
    (train / "icc.csv").write_text("\n".join(rows) + "\n")
    options = {**made.write_level_run(tmp_path / "run", both=False), "train_dir": train}
    shown = page_of(tmp_path, options).sections["training"]
    assert "The test net's mean ICC(3,1) is 0.250 at iteration 200; its highest is 0.512." in shown
    (train / "icc.csv").write_text("iteration,net\n1,0\n")
    with pytest.raises(UserError, match=r"icc.csv: not what drml train writes"):
        page_of(tmp_path, options)


def test_the_held_out_loss_is_the_sum_of_both(tmp_path: Path) -> None:
    lines = ["iteration,seconds,phase,name,value", "0,1,train,loss,9"]
    lines += [
        "0,1,test,loss,2",
        "0,1,test,intensity_loss,5",
        "10,2,test,intensity_loss,4",
        "10,2,test,loss,1",
    ]
    (tmp_path / "loss.csv").write_text("\n".join(lines) + "\n")
    assert read_losses(tmp_path).test == [(0, 7), (10, 5)]


@pytest.mark.parametrize("target", ["both", "intensity"])
def test_data_with_intensities(tmp_path: Path, target: str) -> None:
    write_bp4d(tmp_path / "faces", subjects=6, tasks=1, frames=8, progress=False)
    summary = prepare(
        "bp4d",
        tmp_path / "faces",
        tmp_path / "data",
        target=target,
        folds=[1],
        sampling=Sampling(positives=2, negatives=2),
        jobs=1,
        progress=False,
    )
    options = {**made.write_level_run(tmp_path / "run", both=False), "data_dir": tmp_path / "data"}
    page = page_of(tmp_path, options)
    shown = page.sections["data"]
    assert "Frames of each level, fold 1 test" in shown
    assert "Frames of each level drawn for training, fold 1" in shown
    assert "BP4D's intensity codes: 0 absent to 5 maximum" in shown
    assert ("Share of frames with the AU" in shown) == (target == "both")
    counts = summary["folds"]["1"]["test"]["levels"]["AU12_r"]
    assert ["AU12", *map(str, counts.values())] in page.rows
    assert f"--target {target} --aus" in page.sections["origin"]
