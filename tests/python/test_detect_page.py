"""docs/detect.md is true, and other programs can read the CSV files of drml detect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest

import detect_data as data
from drml import cli


def test_the_csv_reads_as_py_feat_reads_openface(run_detect: Any, tmp_path: Path) -> None:
    """What its read_openface asks: commas, and OpenFace's names for AUs, times and points, without blanks."""
    run_detect(data.write_video(tmp_path / "clip.mp4", list(data.moving(4))))
    table = pd.read_csv(tmp_path / "out/clip.csv", sep=",")
    assert list(table) == list(table.columns.str.strip(" "))
    assert "input" not in table, "read_openface writes the CSV's own name there"
    assert {"frame", "timestamp", "confidence", "success"} <= set(table)
    # Its Fex takes columns with AU in their name as AUs, which must be numbers.
    of_aus = [name for name in table if "AU" in name]
    assert of_aus == data.AUS
    known = {f"AU{au:02d}_c" for au in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)}
    assert {name for name in of_aus if name.endswith("_c")} <= known
    assert all(pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes)
    assert table[[f"{axis}_{point}" for axis in "xy" for point in range(5)]].notna().all().all()


DOC = Path(__file__).resolve().parents[2] / "docs/detect.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_shows_commands_that_exist() -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [line.split()[1:] for line in lines if line.startswith("drml ")]
    assert commands and all(cli.build_parser().parse_args(command).run for command in commands)
    for line in lines:
        if line.startswith(".venv/bin/python"):
            assert (DOC.parents[1] / line.split()[1]).is_file()


def test_the_page_describes_all_options() -> None:
    with pytest.raises(SystemExit):
        cli.main(["detect", "--help"])
    for option in ("--net", "--mean", "--size", "--aus", "--detect-size", "--largest", "--aligned", "--json"):
        assert f"`{option}" in DOC.read_text(encoding="utf-8")


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write_weights(tmp_path / "train", outputs=12)
    (tmp_path / "build").mkdir()
    (tmp_path / "train").rename(tmp_path / "build/train")
    (tmp_path / "build/train/w.caffemodel").rename(tmp_path / "build/train/final.caffemodel")
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos/a.png"), data.astronaut())
    monkeypatch.chdir(tmp_path)
    table, files, *_ = blocks("python")
    names: dict[str, Any] = {}
    exec(table, names)  # noqa: S102 - our own page
    assert len(names["faces"]) == 1
    exec(files, {})  # noqa: S102 - our own page
    assert pd.read_csv("build/aus/images.csv").success.tolist() == [1]


def test_the_command_reports_what_it_did(
    detect_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(5)))
    out = tmp_path / "out"
    assert (
        cli.main(["detect", str(path), "--weights", str(detect_weights), "--aus", "1,2,4", "--out", str(out)])
        == 0
    )
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{out}/clip.csv: 5 faces in 5 frames, ")
    assert "clip.mp4: 100%" in captured.err and "5/5" in captured.err
