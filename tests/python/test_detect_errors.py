"""drml detect when something goes wrong: full disks, interrupts, files that exist or do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import pytest

import detect_data as data
import tiny_net as tiny
from drml import cli
from drml.io.errors import UserError


def test_an_output_that_is_no_folder_is_refused_at_once(run_detect: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    with pytest.raises(UserError, match=r"a\.png: is a file; name a folder to write to"):
        run_detect(tmp_path / "a.png", out=tmp_path / "a.png")
    with pytest.raises(NotADirectoryError):
        run_detect(tmp_path / "a.png", out=tmp_path / "a.png" / "sub")


def test_a_folder_without_permission_is_one_line(
    detect_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Root may write anywhere: the system's answer is put in its mouth.
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    real = Path.open

    def denied(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if set("wx") & set(mode) and path.parent.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    out = tmp_path / "locked"
    given = ["detect", "-q", str(tmp_path / "a.png"), "--weights", str(detect_weights), "--aus", "1,2,4"]
    assert cli.main([*given, "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"drml: error: {out}/images.csv.partial: Permission denied\n"


def test_a_full_disk_leaves_whole_rows_and_says_where(run_detect: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(30)))
    with tiny.file_size_limit(2000), pytest.raises(OSError, match="File too large") as caught:
        run_detect(path, batch=1)
    part = tmp_path / "out/clip.csv.partial"
    assert caught.value.filename == str(part)
    assert not (tmp_path / "out/clip.csv").exists()
    text = part.read_text()
    assert len(text) <= 2000 and text.endswith("\n")
    assert pd.read_csv(part).frame.tolist() == list(range(1, text.count("\n")))
    with tiny.file_size_limit(50), pytest.raises(OSError, match="File too large"):
        run_detect(path, out=tmp_path / "none")
    assert not list((tmp_path / "none").iterdir()), "there is no row to keep"


def test_a_full_disk_is_noticed_in_the_annotated_video(run_detect: Any, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "clip.mp4", list(data.moving(30)))
    with tiny.file_size_limit(20_000), pytest.raises(UserError, match=r"clip\.mp4: .* is the disk full\?"):
        run_detect(path, draw=tmp_path / "drawn")
    assert not list((tmp_path / "drawn").iterdir())
    assert len(pd.read_csv(tmp_path / "out/clip.csv")) == 30


def test_ctrl_c_leaves_the_rows_so_far(detect_weights: Path, tmp_path: Path) -> None:
    path = data.write_video(tmp_path / "long.avi", list(data.moving(25)) * 40, codec="MJPG")
    out = tmp_path / "out"
    given = ["detect", "-q", str(path), "--weights", str(detect_weights), "--aus", "1,2,4", "--batch", "4"]
    child = subprocess.Popen(
        [sys.executable, "-m", "drml", *given, "--out", str(out), "--draw", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    part = out / "long.csv.partial"
    end = time.monotonic() + 60
    while (
        not (part.exists() and part.stat().st_size > 1500) and time.monotonic() < end and child.poll() is None
    ):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=60)
    assert child.returncode == 130
    table = pd.read_csv(out / "long.csv")
    assert said == ("", f"kept: {out}/long.csv: {len(table)} rows\ndrml: interrupted\n")
    assert 5 < len(table) < 1000
    assert table.frame.tolist() == list(range(1, len(table) + 1)) and not table.isna().any().any()
    assert cv2.VideoCapture(str(out / "long.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) >= len(table) - 1
    assert sorted(os.listdir(out)) == ["long.csv", "long.mp4"]  # noqa: PTH208 -- names alone


def test_inputs_that_do_not_exist_are_refused_at_once(run_detect: Any, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), data.astronaut())
    with pytest.raises(UserError, match=r"gone\.png: no such file or folder"):
        run_detect(tmp_path / "a.png", tmp_path / "gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no image or video in this folder"):
        run_detect(tmp_path / "empty")
    assert not (tmp_path / "out").exists()
