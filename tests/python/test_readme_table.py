"""tools/readme_table.py: the scores of the demo in README.md and docs/demo.md."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from drml.data.labels import AU_NAMES, BP4D_AUS
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import write_scores

ROOT = Path(__file__).parents[2]
NUMBER = r"(-|[01]\.\d{3})"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_table", ROOT / "tools/readme_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    (tmp_path / "lsvm").mkdir()
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 1], (60, 12)).astype(np.int8)
    for name in ("scores.json", "lsvm/scores.json"):
        values = rng.random((60, 12)) + 0.3 * labels
        keys = [f"{k:08d}_F{1 + k % 3:03d}_T1_{k:04d}" for k in range(60)]
        found = Predictions("w", "d", BP4D_AUS, keys, labels, values.astype(np.float32), 3, True, {}, 1.0)
        write_scores(tmp_path / name, evaluate_folds("m", [found]))
    return tmp_path


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_the_table_has_the_figures_of_both_files(tool: ModuleType, demo: Path) -> None:
    table = rows(tool.table(demo))
    net, lsvm = (
        json.loads((demo / name).read_text())["pooled"] for name in ("scores.json", "lsvm/scores.json")
    )
    assert len(table) == 2 + 12 + 2
    for row, ours, theirs in zip(table[2:], net["aus"], lsvm["aus"], strict=False):
        expected: list[Any] = [ours["base_rate"], ours["auc"], theirs["auc"], ours["f1"], theirs["f1"]]
        assert row == [f"{ours['au']} {AU_NAMES[ours['au']]}", *(f"{value:.3f}" for value in expected)]
    assert table[-2][2] == f"{net['average']['auc']:.3f}" and table[-2][5] == f"{lsvm['average']['f1']:.3f}"
    assert table[-1][2:4] == ["0.500", "0.500"]
    assert "Test set: 60 frames of 3 subjects" in tool.table(demo)


def test_the_table_replaces_the_one_between_the_comments(
    tool: ModuleType, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "page.md"
    document.write_text(f"above\n\n{tool.BEGIN}\nyesterday\n{tool.END}\n\nbelow\n")
    arguments = [str(demo), str(document)]
    with pytest.raises(SystemExit, match="its table is not that of"):
        tool.main([*arguments, "--check"])
    tool.main(arguments)
    text = document.read_text()
    assert text.startswith("above\n") and text.endswith("\n\nbelow\n") and "yesterday" not in text
    assert tool.HEAD in text
    tool.main([*arguments, "--check"])
    tool.main(arguments)
    assert document.read_text() == text
    assert capsys.readouterr().out.count("table written") == 1
    document.write_text("no comments")
    with pytest.raises(SystemExit, match="the comments around the demo's table are not there"):
        tool.main(arguments)
    with pytest.raises(SystemExit, match="run make demo first"):
        tool.main([str(tmp_path / "nothing"), str(document)])


@pytest.mark.parametrize("name", ["README.md", "docs/demo.md"])
def test_the_documents_have_a_table_of_this_form(tool: ModuleType, name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    (block,) = re.findall(re.escape(tool.BEGIN) + "(.*?)" + re.escape(tool.END), text, re.S)
    table = rows(block)
    assert "| " + " | ".join(table[0]) + " |" == tool.HEAD
    names = [f"{au} {AU_NAMES[au]}" for au in BP4D_AUS]
    assert [row[0] for row in table[2:]] == [*names, "**Avg.**", "**all positive (trivial)**"]
    for row in table[2:]:
        assert len(row) == 6 and all(re.fullmatch(NUMBER, cell) for cell in row[1:]), row
    assert re.search(r"Test set: [\d,]+ frames of \d+ subjects", block)


def test_both_documents_have_the_same_table(tool: ModuleType) -> None:
    blocks = [
        re.findall(re.escape(tool.BEGIN) + "(.*?)" + re.escape(tool.END), (ROOT / name).read_text(), re.S)
        for name in ("README.md", "docs/demo.md")
    ]
    assert blocks[0] == blocks[1]
