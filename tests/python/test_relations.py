"""drml.evaluation.relations against NumPy and by hand, and the command."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from drml import cli
from drml.evaluation.relations import compare, relations, to_text


def draw() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    labels = rng.choice([-1, 0, 1], (60, 4), p=[0.5, 0.2, 0.3])
    return labels, rng.random((60, 4))


def test_entries_are_correlations_of_the_frames_known_for_both() -> None:
    labels, values = draw()
    for table, numbers in ((relations(labels), labels), (relations(labels, values), values)):
        np.testing.assert_array_equal(table, table.T)
        np.testing.assert_allclose(np.diag(table), 1)
        for i, j in ((0, 1), (2, 3), (0, 3)):
            both = (labels[:, i] != 0) & (labels[:, j] != 0)
            expected = np.corrcoef(numbers[both, i], numbers[both, j])[0, 1]
            assert table[i, j] == pytest.approx(expected)


def test_what_is_undefined_is_nan_and_left_out() -> None:
    labels, values = draw()
    labels[:, 1] = np.where(labels[:, 1] == 0, 0, 1)  # never absent
    labels[:, 3] = 0
    truth, model = relations(labels), relations(labels, values)
    assert np.isnan(truth[1]).all() and np.isnan(truth[3]).all() and np.isnan(model[3]).all()
    assert np.isfinite(model[1, :3]).all()
    apart = compare(truth, model)
    assert apart.entries == 4
    expected = truth[[0, 2]][:, [0, 2]] - model[[0, 2]][:, [0, 2]]
    assert apart.frobenius == pytest.approx(np.linalg.norm(expected) / 4)
    assert apart.mean_square == pytest.approx((expected**2).mean())
    nothing = compare(truth[3:, 3:], model[3:, 3:])
    assert nothing.entries == 0 and math.isnan(nothing.frobenius)
    assert " -" in to_text(truth, (1, 2, 4, 6))


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="N x K"):
        relations([[1, 1]], [[0.5]])
    with pytest.raises(ValueError, match="not finite"):
        relations([[1, 1]], [[0.5, np.nan]])
    with pytest.raises(ValueError, match="shapes"):
        compare(np.eye(2), np.eye(3))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, values = draw()
    paths = []
    for part in range(2):
        path = tmp_path / f"{part}.csv"
        rows = ["key,p_AU1,p_AU2,p_AU4,p_AU6,y_AU1,y_AU2,y_AU4,y_AU6"]
        for index in range(part * 30, part * 30 + 30):
            rows.append(",".join(map(str, [f"k{index}", *values[index], *labels[index]])))
        path.write_text("\n".join(rows) + "\n")
        paths.append(str(path))
    assert cli.main(["relations", "--predictions", *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(found["labels"], relations(labels))
    np.testing.assert_allclose(found["predictions"], relations(labels, values))
    assert found["difference"]["frobenius"] == pytest.approx(
        compare(relations(labels), relations(labels, values)).frobenius
    )
    assert cli.main(["relations", "--predictions", *paths]) == 0
    assert "60 frames. Labels:" in capsys.readouterr().out
    other = tmp_path / "other.csv"
    other.write_text("key,p_AU1,y_AU1\na,0.5,1\n")
    for files, said in (
        ([paths[0], str(other)], "its AUs differ from those of"),
        ([str(tmp_path / "none.csv")], "no such file"),
        ([str(tmp_path)], "Is a directory"),
    ):
        assert cli.main(["relations", "--predictions", *files]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    other.write_text("key,p_AU1,y_AU1\na,0.5,x\n")
    assert cli.main(["relations", "--predictions", str(other)]) == 1
    assert "not what drml score --predictions writes" in capsys.readouterr().err
