"""The log of ``caffe train`` as programs for BVLC Caffe read it: those in tools/extra of its source."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from drml.io.shipped import find_program
from drml.training.caffe_log import Figure, LogReader

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build/caffe/source/tools/extra"

NET = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param {
  num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "z" bottom: "y" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "z" bottom: "y" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 4 display: 1
test_iter: 3 test_interval: 2 random_seed: 1 snapshot_prefix: "s" snapshot_after_train: false
"""


def train(folder: Path, *flags: str, **environment: str) -> str:
    (folder / "net.prototxt").write_text(NET)
    (folder / "solver.prototxt").write_text(SOLVER)
    program = find_program("caffe")
    assert program is not None
    done = subprocess.run(
        [program, "train", "-solver", "solver.prototxt", *flags],
        cwd=folder,
        env={**os.environ, "GLOG_minloglevel": "0", **environment},  # drml sets another level
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("flags", "environment", "date"),
    [
        ((), {}, r"\d{4}"),
        (("--log_year_in_prefix",), {}, r"\d{8}"),
        ((), {"GLOG_log_year_in_prefix": "1"}, r"\d{8}"),
        (("--nolog_year_in_prefix",), {"GLOG_log_year_in_prefix": "1"}, r"\d{4}"),
    ],
)
def test_lines_begin_with_the_date_as_caffes_always_have(
    flags: tuple[str, ...], environment: dict[str, str], date: str, tmp_path: Path
) -> None:
    lines = [line for line in train(tmp_path, *flags, **environment).splitlines() if "] Iteration " in line]
    assert lines
    for line in lines:
        assert re.match(
            rf"I{date} \d\d:\d\d:\d\d\.\d{{6}} +\d+ solver\.cpp:\d+\] |I{date} .*sgd_solver", line
        )


def figures(log: str) -> dict[tuple[str, str], dict[int, float]]:
    """Return what drml reads from a log: by phase and name, the values by iteration."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    reader = LogReader()
    for line in log.splitlines():
        for one in reader.read(line):
            assert isinstance(one, Figure)
            found.setdefault((one.phase, one.name), {})[one.iteration] = one.value
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return the log of a training, next to the tools that read it."""
    for tool in ("parse_log.py", "parse_log.sh", "extract_seconds.py"):
        text = (TOOLS / tool).read_text()
        # The one line that Python 3 cannot compile.
        text = re.sub(r"^( +)print '(.*)' % (\w+)$", r"\1print('\2' % \3)", text, flags=re.MULTILINE)
        (tmp_path / tool).write_text(text)
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "caffe.log").write_text(train(tmp_path))
    return tmp_path / "caffe.log"


def run(*command: str | Path, cwd: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stderr


def check_seconds(seconds: pd.Series) -> None:
    assert seconds.between(0, 600).all() and seconds.is_monotonic_increasing


def test_parse_log_py_makes_tables_of_a_log(log: Path) -> None:
    run(sys.executable, "-W", "ignore", "parse_log.py", "--verbose", log, ".", cwd=log.parent)
    expected = figures(log.read_text())
    train_table = pd.read_csv(log.with_name("caffe.log.train"))
    test_table = pd.read_csv(log.with_name("caffe.log.test"))
    assert list(train_table["NumIters"]) == [0, 1, 2, 3] and list(test_table["NumIters"]) == [0, 2, 4]
    # The rate stands behind the outputs of its iteration: the tool takes the line before.
    assert list(train_table["LearningRate"]) == [0.1, 0.1, 0.1, 0.05]
    for table, phase, name in (
        (train_table, "train", "loss"),
        (test_table, "test", "loss"),
        (test_table, "test", "accuracy"),
    ):
        values = expected[phase, name]
        for iteration, value in zip(table["NumIters"], table[name], strict=True):
            # drml's "loss" of a training is the smoothed one: with average_loss 1, that of the iteration.
            assert math.isclose(values[int(iteration)], value, rel_tol=1e-5)
        check_seconds(table["Seconds"])


@pytest.mark.skipif(shutil.which("column") is None, reason="parse_log.sh aligns its tables with column")
def test_parse_log_sh_makes_tables_of_a_log(log: Path) -> None:
    """plot_training_log.py draws these."""
    run("bash", "parse_log.sh", "caffe.log", cwd=log.parent)
    expected = figures(log.read_text())
    tables = {
        phase: pd.read_csv(log.with_name(f"caffe.log.{phase}"), sep=r"\s+") for phase in ("train", "test")
    }
    assert list(tables["train"]) == ["#Iters", "Seconds", "TrainingLoss", "LearningRate"]
    assert list(tables["train"]["#Iters"]) == [0, 1, 2, 3, 4]
    # The loss after the last step has no rate.
    assert list(tables["train"]["LearningRate"].dropna()) == [0.1, 0.1, 0.05, 0.05]
    assert list(tables["train"]["TrainingLoss"]) == pytest.approx(list(expected["train", "loss"].values()))
    assert list(tables["test"]["#Iters"]) == [0, 2, 4]
    assert list(tables["test"]["TestAccuracy"]) == pytest.approx(list(expected["test", "accuracy"].values()))
    assert list(tables["test"]["TestLoss"]) == pytest.approx(
        list(expected["test", "loss"].values()), rel=1e-5
    )
    for table in tables.values():
        check_seconds(table["Seconds"])
