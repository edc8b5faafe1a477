"""The scripts in examples/ that no other test runs, and the lines of docs/python.md."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import detect_data
import drml
import tiny_net as tiny
from drml.evaluation.scoring import score

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_every_example_is_short_and_says_how_to_use_it() -> None:
    for example in EXAMPLES.glob("*.py"):
        text = example.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40
        assert f"Usage: {example.name} " in text


def test_train_and_score(tmp_path: Path) -> None:
    solver, fold, out = tiny.write_solver(tmp_path), tiny.write_training_data(tmp_path), tmp_path / "out"
    deploy = tiny.write_deploy(tmp_path)
    command = [sys.executable, str(EXAMPLES / "train_and_score.py"), str(solver), str(fold), str(out), "6"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    first, faces, *table = result.stdout.splitlines()
    assert first.startswith(f"{out}/final.caffemodel: 6 iterations, ")
    assert faces.startswith("10 faces of ")
    # The figures are those of drml score.
    expected = score(deploy, out / "final.caffemodel", fold, aus=tiny.AUS, progress=False).pooled
    assert table == str(expected).splitlines()


def test_own_net_trains_with_the_layers_of_this_project(tmp_path: Path) -> None:
    fold = tiny.write_data(tmp_path, count=12, aus=range(1, 13), split="train", size=170)[0]
    command = [sys.executable, str(EXAMPLES / "own_net.py"), str(fold), str(tmp_path / "own"), "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    losses = [float(line.split()[-1]) for line in result.stdout.splitlines()]
    # 12 log 2 is about 8.
    assert len(losses) == 3 and np.isfinite(losses).all() and 2 < losses[0] < 30
    assert (tmp_path / "own/own.caffemodel").stat().st_size > 4 * 12 * 8 * 39 * 39


def test_the_lines_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (EXAMPLES.parent / "docs/python.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    aus = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    Path("build").mkdir()
    detect_data.write_weights(Path("build/fold2"), outputs=12).rename("build/fold2/final.caffemodel")
    tiny.write_data("data/drml", aus=aus)[0].rename("data/drml/fold2")
    cv2.imwrite("photo.jpg", detect_data.astronaut())
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the page's own lines
    table, scores, X, y = (names[name] for name in ("table", "scores", "X", "y"))
    subjects = names["subjects"]
    assert len(table) == 1 and set(table.AU12_c) <= {0, 1}
    assert str(scores) in capsys.readouterr().out
    net = drml.Net("build/fold2")
    assert net.aus == aus
    assert str(scores) == str(drml.evaluate(y, net(X), aus=aus, subjects=subjects))
