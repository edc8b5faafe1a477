"""tools/starts.py: a start changes what it says, and nothing else; what was learned is judged as written."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import draw_starts  # noqa: E402 - a script, in no package
import starts  # noqa: E402 - a script, in no package

from drml.nets.prototxt import read_prototxt  # noqa: E402 - behind the scripts


def net(name, model="drml"):
    return read_prototxt(ROOT / "models" / model / name)


def test_the_release_s_start_is_that_of_its_own_net():
    ours, released = net("train_val.prototxt"), net("as_released_train_val.prototxt")
    starts.as_released(ours)
    ours.name = released.name
    for layer in ours.layer:
        if layer.type == "MultiLabelData":
            assert layer.transform_param.scale == 1
            layer.transform_param.ClearField("scale")
    assert ours == released


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
def test_the_chosen_start_is_xavier_and_a_tenth_of_the_pixels(model):
    ours, made = net("train_val.prototxt", model), net("train_val.prototxt", model)
    starts.fan_in("xavier", edges=False, scale=0.1)(made)
    assert made == ours


@pytest.mark.parametrize("start", sorted(set(starts.STARTS) - {"chosen"}))
def test_a_start_changes_fillers_and_scale_alone(start):
    changed, ours = net("train_val.prototxt"), net("train_val.prototxt")
    starts.STARTS[start](changed)
    assert changed != ours
    for one in (changed, ours):
        for layer in one.layer:
            layer.transform_param.ClearField("scale")
            for parameters in (layer.convolution_param, layer.inner_product_param, layer.region_param):
                parameters.ClearField("weight_filler")
                parameters.ClearField("bias_filler")
    assert changed == ours


def test_the_runs_that_are_kept_make_the_table_of_the_readme(capsys):
    runs = draw_starts.read_runs(ROOT / "models/drml/starts.jsonl")
    draw_starts.print_table(runs)
    assert capsys.readouterr().out.strip() in (ROOT / "models/drml/readme.md").read_text()
    for run in runs:
        at = run["learned"]
        assert len(run["loss"]) == at
        assert np.mean(run["loss"][-starts.WINDOW :]) < starts.LEARNED_LOSS
        assert run["auc"][str(at)] > starts.LEARNED_AUC


def test_a_picture_is_drawn_of_runs_that_did_not_learn(tmp_path, capsys):
    run = {
        "net": "drml",
        "start": "as_released",
        "seed": 1,
        "threads": "1",
        "loss": [7.0] * 60,
        "auc": {},
        "learned": None,
    }
    (tmp_path / "runs.jsonl").write_text(json.dumps(run) + "\n")
    runs = draw_starts.read_runs(tmp_path / "runs.jsonl")
    draw_starts.print_table(runs)
    assert "not in 60 | 7.00 | nan" in capsys.readouterr().out
    draw_starts.draw(runs, tmp_path / "runs.png")
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
