"""`drml demo`: all steps, going on after an interruption, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drml import cli

STEPS = ["synth", "prepare", "train", "score", "lsvm", "saliency", "report"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert cli.main(["demo", str(out), "--small", "--quiet"]) == 0
    return out


def seconds(demo: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((demo / "demo.json").read_text())["seconds"]
    return found


def test_the_demo_leads_from_drawn_faces_to_a_report(demo: Path) -> None:
    assert list(seconds(demo)) == STEPS
    scores = json.loads((demo / "scores.json").read_text())
    assert len(scores["pooled"]["aus"]) == 12
    assert scores["folds"][0]["subjects"] == 3
    assert (demo / "lsvm/scores.json").is_file()
    page = (demo / "report.html").read_text()
    assert "ROC-AUC" in page
    assert "synthetic" in page.lower()
    for step in STEPS[:-1]:
        assert step in page, f"the report does not say how long {step} took"


def test_a_finished_demo_runs_nothing_again(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in demo.rglob("*") if path.name != "demo.json"}
    assert cli.main(["demo", str(demo), "--small"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    printed = capsys.readouterr().out
    assert "$ drml" not in printed
    assert "report.html" in printed


def test_an_interrupted_demo_goes_on_with_the_step_that_was_not_finished(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((demo / "demo.json").read_text())
    record["seconds"] = dict.fromkeys(STEPS[:-1], 1)
    (demo / "demo.json").write_text(json.dumps(record))
    (demo / "report.html").write_text("half a page")
    assert cli.main(["demo", str(demo), "--small"]) == 0
    commands = [line for line in capsys.readouterr().out.splitlines() if line.startswith("$ drml")]
    assert [line.split()[2] for line in commands] == ["report"]
    assert list(seconds(demo)) == STEPS
    assert "ROC-AUC" in (demo / "report.html").read_text()


def test_other_options_are_refused(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", str(demo)]) == 1
    assert "holds a demo with other options; give another folder, or --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"options": {}, "seconds": 3}'])
def test_a_damaged_record_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "demo.json").write_text(content)
    assert cli.main(["demo", str(tmp_path)]) == 1
    assert "demo.json: not what drml demo wrote; --overwrite starts" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("")
    assert cli.main(["demo", str(tmp_path), *more]) == 1
    assert "holds something other than a demo" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_step_that_fails_ends_the_demo_with_its_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drml.cli.demo._SMALL", {"subjects": 1})  # too few for a fold
    assert cli.main(["demo", str(tmp_path / "demo"), "--small", "--quiet"]) == 1
    assert "subject" in capsys.readouterr().err
    assert list(seconds(tmp_path / "demo")) == ["synth"]
