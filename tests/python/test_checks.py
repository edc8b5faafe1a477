"""Checks of numbers say the same in Python and on the command line."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import pytest

import drml
from drml.cli import values
from drml.io import checks, machine
from drml.io.errors import UsageError


@pytest.mark.parametrize(
    ("check", "parse", "good", "bad"),
    [
        (lambda value, name: checks.check_whole(value, 1, name), values.integer(1), (1, 7), (0, -3)),
        (checks.check_probability, values.probability, (0.0, 0.5, 1.0), (-0.1, 1.5, math.nan)),
        (checks.check_share, values.share, (0.0, 0.99), (1.0, -0.1, math.nan)),
        (checks.check_factor, values.factor, (-1.0, 0.25), (0.0, math.inf, math.nan)),
        (checks.check_positive, values.positive, (1e-9, 3.0), (0.0, -1.0, math.inf, math.nan)),
    ],
)
def test_python_and_the_command_line_agree(
    check: Callable[..., Any], parse: Callable[[str], Any], good: tuple[Any, ...], bad: tuple[Any, ...]
) -> None:
    for value in good:
        assert check(value, "name") == value and parse(str(value)) == value
    for value in bad:
        with pytest.raises(UsageError) as in_python:
            check(value, "name")
        with pytest.raises(argparse.ArgumentTypeError) as on_the_line:
            parse(str(value))
        assert str(in_python.value) == f"name {on_the_line.value}"
        assert str(on_the_line.value).startswith(f"{value}: give ")


def test_an_empty_path_does_not_mean_the_current_folder() -> None:
    for call in (
        lambda: drml.prepare("bp4d", "", "o"),
        lambda: drml.prepare("bp4d", "r", ""),
        lambda: drml.load_split(""),
        lambda: drml.Net(""),
        lambda: drml.Detector(""),
        lambda: drml.train("s", ""),
    ):
        with pytest.raises(UsageError, match="an empty path"):
            call()


def test_ranges() -> None:
    assert checks.check_whole(16, 16, "size", high=20) == 16
    with pytest.raises(UsageError, match="size 21: give 16 to 20"):
        checks.check_whole(21, 16, "size", high=20)
    assert checks.check_share(1.0, "share", all_of_it=True) == 1.0
    with pytest.raises(UsageError, match=r"share 1\.1: give a number from 0 to 1"):
        checks.check_share(1.1, "share", all_of_it=True)


def test_wrong_usage_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threshold", type=values.probability)
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--threshold", "2"])
    assert ended.value.code == 2
    assert "argument --threshold: 2.0: give a probability from 0 to 1\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "threads"), [("4", 4), ("4,2", 4), (" 3 , 1", 3), ("", 0), ("many", 0), ("-1", 0), ("²", 0)]
)
def test_threads_of_openmp_may_be_a_list(value: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert machine.omp_threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine.omp_threads() == 0
