"""The table of data sets: a new one needs a reader and a row, and no other change."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import bp4d_factory as factory
from drml import cli
from drml.data.prepare import Encoding, prepare
from drml.data.readers import Record, Scan
from drml.data.readers.kinds import DATA_SETS, DataSet, Option
from drml.data.split import load_split
from drml.experiments.protocol import describe
from drml.io.errors import UserError
from drml.report.origin import _commands

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDS = (("ann", "bob"), ("cat", "dan"))


def read_toy(root: Path, *, aus: Any, progress: bool, strict: bool, only: str | None) -> Scan:
    """Read images named SUBJECT_FRAME.png; even frames show the first AU."""
    scan = Scan(tuple(aus))
    for path in sorted(Path(root).glob("*.png")):
        subject, frame = path.stem.split("_")
        if only in (None, subject):
            labels = np.array([1 if int(frame) % 2 == 0 else -1] * len(aus), np.int8)
            scan.records.append(Record(path.stem, path, subject, "", int(frame), labels, None))
    if strict:
        scan.skip("strict", "all")
    return scan


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of faces, whose data set is in the table and nowhere else."""
    options = (
        Option("strict", bool, "count one more skipped frame", False),
        Option("only", str, "read one subject", None, ("ann", "bob", "cat", "dan")),
    )
    row = DataSet(
        read_toy, folds=FOLDS, aus=(6, 12), options=options, coding="even frames (strict: {strict})"
    )
    monkeypatch.setitem(DATA_SETS, "toy", row)
    root = tmp_path / "toy"
    root.mkdir()
    for index, name in enumerate(name for fold in FOLDS for name in fold):
        for frame in range(4):
            cv2.imwrite(str(root / f"{name}_{frame}.png"), np.full((24, 24, 3), 40 * index + frame, np.uint8))
    return root


def test_a_reader_and_a_row_are_enough_for_python(toy: Path, tmp_path: Path) -> None:
    encoding = Encoding(format="png", size=24)
    summary = prepare("toy", toy, tmp_path / "o", encoding=encoding, strict=True, jobs=1, progress=False)
    assert summary["kind"] == "toy" and summary["aus"] == [6, 12] and summary["skipped"] == {"strict": 1}
    assert list(summary["folds"]) == ["1", "2"] and summary["options"]["strict"] is True
    assert summary["options"]["only"] is None
    X, y, subjects = load_split(tmp_path / "o/fold2")
    assert set(subjects) == set(FOLDS[1]) and X.shape == (8, 24, 24, 3)
    # The pixel values are 40 * subject + frame.
    np.testing.assert_array_equal(y[:, 0], np.where(X[:, 0, 0, 0] % 2 == 0, 1, -1))
    assert "Labels: even frames (strict: True);" in describe(tmp_path / "o")[0]


def test_subjects_of_no_fold_are_counted(toy: Path, tmp_path: Path) -> None:
    for frame in range(3):
        cv2.imwrite(str(toy / f"eve_{frame}.png"), np.zeros((24, 24, 3), np.uint8))
    options = {"encoding": Encoding(size=24), "jobs": 1, "progress": False}
    assert prepare("toy", toy, tmp_path / "o", **options)["skipped"] == {"subject in no fold": 3}


def test_a_reader_and_a_row_are_enough_for_the_command_line(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["prepare", "--help"])
    said = capsys.readouterr().out
    assert "data set: bp4d, bp4dplus, disfa, disfaplus, images or toy" in " ".join(said.split())
    assert "only for toy:" in said and "--only {ann,bob,cat,dan}" in said and "toy all" in said
    arguments = ["prepare", "toy", str(toy), str(tmp_path / "o"), "--size", "24", "--jobs", "1", "-q"]
    assert cli.main([*arguments, "--strict", "--folds", "2", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["options"]["strict"] is True and list(summary["folds"]) == ["2"]
    # The report's command gives the same data again.
    command = _commands({"model": "m", "folds": [], "options": {}}, summary, None, tmp_path / "o")[0]
    assert " prepare toy " in command and command.endswith(" --strict")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["toy", "--only", "eve"], "only 'eve': choose one of ann, bob, cat, dan"),
        (["toy", "--folds", "3"], "fold 3: there are 2 folds"),
        (["toy", "--folds", "x"], "argument --folds: invalid list of folds value"),
        (["bp4d", "--strict"], "--strict applies only to toy"),
        (["bp4d", "--positives", "-1"], "positives -1: give 0 or more"),
        (["bp4d", "--size", "8"], "--size: 8: give 16 or more"),
        (["bp4d", "--max-broken", "2"], "share of broken images 2.0"),
        (["bp4d", "--aus", "smile"], "write numbers with commas"),
    ],
)
def test_wrong_values_are_wrong_usage(
    toy: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    kind, *options = wrong
    with pytest.raises(SystemExit) as ended:
        cli.main(["prepare", kind, "a", "b", *options])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_unknown_names_are_refused(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"data set 'mnist': choose one of bp4d, bp4dplus, disfa, disfaplus, images, toy"
    ):
        prepare("mnist", toy, tmp_path / "o")
    with pytest.raises(UserError, match=r"option camera: this data set has strict, only"):
        prepare("toy", toy, tmp_path / "o", camera="left")
    with pytest.raises(
        UserError, match=r"option camera: this data set has intensity, unknown, coding_folder"
    ):
        prepare("bp4d", toy, tmp_path / "o", camera="left")


def test_captions_of_data_of_another_reader(toy: Path, tmp_path: Path) -> None:
    prepare("toy", toy, tmp_path / "o", encoding=Encoding(size=24), jobs=1, progress=False)
    del DATA_SETS["toy"]
    assert describe(tmp_path / "o")[0].startswith("Labels: as the reader of the data set gave them;")


def test_the_example_runs(tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    for index in range(6):
        for frame in range(4):
            smile = "x" if frame == 3 else frame % 2
            image = np.full((32, 32, 3), 20 * index, np.uint8)
            cv2.imwrite(str(tmp_path / f"faces/s{index}_{frame:04d}_{smile}.png"), image)
    example = EXAMPLES / "own_data_set.py"
    assert len(example.read_text().splitlines()) < 40
    command = [sys.executable, str(example), str(tmp_path / "faces"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "18 faces, skipped: {'no known label': 6}\n"
    _, y, _ = load_split(tmp_path / "out/fold1")
    assert y.shape == (6, 1)


UNGUARDED = """
import sys
from drml.data.prepare import prepare
print("started")
summary = prepare("bp4d", sys.argv[1], sys.argv[2], folds=(1,), jobs=2, progress=False)
print(summary["images"], "faces")
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    root = factory.write_set(tmp_path / "BP4D", tasks=1, frames=40)
    script = tmp_path / "run.py"
    script.write_text(UNGUARDED)
    command = [sys.executable, str(script), str(root), str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # The set has six people instead of 41, and its pictures show no faces. There is nothing else to say.
    audit, faces = done.stderr.splitlines()
    assert audit.startswith(f"note: {root} is not as published: subjects 6, expected 41")
    assert faces.startswith("note: the face detector found 0 of")
    assert done.stdout.splitlines() == ["started", "240 faces"]
    shutil.rmtree(tmp_path / "o")
