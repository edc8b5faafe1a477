"""The scripts in examples/ that no other test runs."""

import subprocess
import sys
from pathlib import Path

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
