"""Training that is killed at any moment and goes on is the training that never stopped, to the last bit."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

import tiny_net as tiny
from drml.io.errors import UserError
from drml.nets import snapshots
from drml.training.caffe_run import find_caffe
from drml.training.f1_table import F1_FILE
from drml.training.folder import FINAL_STEM
from drml.training.log import LOG_FILE, LOSS_FILE
from drml.training.setup import Changes, set_up
from drml.training.train import train

KILLS = 24
STEP = 4  # iterations between two kills, about
ITERATIONS = 2 * KILLS * STEP

# Momentum, drop-out, running statistics, crops, mirrors, tests and an averaged loss: all that has a state.
_LAYERS = """
layer { name: "norm" type: "BatchNorm" bottom: "data" top: "norm" }
layer { name: "conv1" type: "Convolution" bottom: "norm" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 5 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "region" type: "Region" bottom: "conv1" top: "region"
  region_param { grid_h: 4 grid_w: 4 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "region" top: "region" }
layer { name: "fc9" type: "InnerProduct" bottom: "region" top: "fc9"
  inner_product_param { num_output: 48 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "drop9" type: "Dropout" bottom: "fc9" top: "fc9" }
layer { name: "fc10" type: "InnerProduct" bottom: "fc9" top: "fc10"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "counts" type: "MultiLabelCounts" bottom: "fc10" bottom: "label" top: "counts"
  include { phase: TEST } }
"""


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return tiny.write_training_data(tmp_path_factory.mktemp("data"))


def write_solver(folder, extra=""):
    folder.mkdir(parents=True, exist_ok=True)
    path = tiny.write_solver(folder)
    (folder / "train_val.prototxt").write_text(tiny.TRAIN_VAL.format(layers=_LAYERS))
    text = path.read_text().replace("display: 5", "display: 1").replace("snapshot: 0", "snapshot: 2")
    path.write_text(text.replace("base_lr: 0.01", "base_lr: 0.001") + "average_loss: 5\n" + extra)
    return path


@pytest.fixture
def solver(tmp_path):
    return write_solver(tmp_path / "model")


def rows(table):
    """Return the rows of a table of a training but their times."""
    with table.open() as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def drml_train(solver, out, fold):
    options = ("--solver", solver, "--data", fold, "--out", out, "--seed", 5, "--max-iter", ITERATIONS)
    return subprocess.Popen(
        [sys.executable, "-m", "drml", "train", "--quiet", *map(str, options), "--resume", "auto"],
        stderr=subprocess.PIPE,
        text=True,
    )


def follow(log, start, child):
    """Yield what a program writes to a log behind a place, as it comes, until the program ends."""
    place = start
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        ended = child.poll() is not None
        text = log.read_text() if log.exists() else ""
        if len(text) > place:
            yield text[place:]
            place = len(text)
        if ended:
            return
        time.sleep(0.002)
    raise TimeoutError(log)


def is_writing(out):
    return any(out.glob("*.partial"))


def kill_at_a_moment(child, out, chance):
    """Kill a training somewhere in the next few iterations; return where it was, or None if it ended."""
    log = out / LOG_FILE
    start = len(log.read_text()) if log.exists() else 0
    how = chance.choice(["start", "iteration", "iteration", "iteration", "snapshot", "writing"])
    wanted = chance.randint(1, 2 * STEP)
    seen = 0
    for text in follow(log, start, child):
        if how == "start" and "Initializing solver" in text:
            break
        seen += len(re.findall(r"\] Iteration \d+ \(", text))
        if seen >= wanted and (
            how == "iteration"
            or (how == "snapshot" and "Snapshotting" in text)
            or (how == "writing" and is_writing(out))
        ):
            break
    if how in ("start", "iteration"):
        time.sleep(chance.uniform(0, 0.03))
    if child.poll() is not None:
        return None
    child.kill()
    child.communicate()
    return "writing" if is_writing(out) else how


def test_kills_at_any_moment_leave_no_trace(solver, fold, tmp_path):
    chance = random.Random(7)
    expected = train(solver, tmp_path / "whole", data=fold, seed=5, max_iter=ITERATIONS, progress=False)
    out = tmp_path / "killed"
    kills = []
    while len(kills) < KILLS:
        where = kill_at_a_moment(drml_train(solver, out, fold), out, chance)
        assert where is not None, f"it was done after {len(kills)} kills"
        kills.append(where)
        for path in out.glob("*.partial"):
            path.rename(path.with_suffix(".torn"))  # so that the next one's is told apart
    print(f"killed {len(kills)} times: {', '.join(f'{kills.count(w)} {w}' for w in sorted(set(kills)))}")
    last = drml_train(solver, out, fold)
    _, said = last.communicate()
    assert last.returncode == 0, said
    differing = [
        path.name
        for path in sorted((tmp_path / "whole").glob("tiny_iter_*.caffemodel"))
        if path.read_bytes() != (out / path.name).read_bytes()
    ]
    assert not differing
    assert expected.weights.read_bytes() == (out / FINAL_STEM).read_bytes()
    for table in (LOSS_FILE, F1_FILE):
        assert rows(out / table) == rows(tmp_path / "whole" / table), table


def test_torn_snapshots_are_passed_over(solver, fold, tmp_path):
    out = tmp_path / "out"
    train(solver, out, data=fold, seed=5, max_iter=6, progress=False)
    assert snapshots.newest(out).iteration == 6
    state = out / "tiny_iter_6.solverstate"
    content = state.read_bytes()
    for size in (0, 1, 16, 17, 100, len(content) - 1):
        state.write_bytes(content[:size])
        assert snapshots.newest(out).iteration == 4
        with pytest.raises(UserError, match=r"tiny_iter_6.solverstate: (has|not) "):
            snapshots.read(state)
    for at in (0, 1, 5, 12, 40, len(content) - 1):
        state.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        with pytest.raises(UserError, match=r"damaged|cut short"):
            snapshots.read(state)
    state.write_bytes(content)
    weights = out / "tiny_iter_6.caffemodel"
    whole = weights.read_bytes()
    for at in (0, len(whole) // 2, len(whole) - 1):
        weights.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(UserError, match=r"its weights .*6\.caffemodel do not match their checksum"):
            snapshots.read(state)
        assert snapshots.newest(out).iteration == 4
    weights.write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"its weights .* have \d+ bytes of \d+"):
        snapshots.read(state)
    # caffe says the same, and names the one before.
    program = find_caffe()
    done = subprocess.run(
        [program, "train", "-solver", out / "solver.prototxt", "-snapshot", state],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search(
        r"tiny_iter_6.solverstate: training cannot be resumed from this snapshot: its weights .* bytes of"
        r" \d+\."
        r" The newest intact one before it: -snapshot \S*/tiny_iter_4.solverstate\n$",
        done.stderr,
    )
    (out / "final.caffemodel").unlink()
    again = train(solver, out, data=fold, seed=5, max_iter=6, snapshot="auto", progress=False)
    assert again.weights.resolve().name == "tiny_iter_6.caffemodel"
    assert snapshots.read(state).weights == weights


def test_snapshots_that_a_stock_caffe_wrote_are_taken(solver, fold, tmp_path):
    from drml.nets.pycaffe import new_message

    out = tmp_path / "out"
    train(solver, out, data=fold, seed=5, max_iter=2, progress=False)
    path = out / "tiny_iter_2.solverstate"
    state = new_message("SolverState")
    state.ParseFromString(path.read_bytes())
    state.ClearField("resume")
    path.write_bytes(state.SerializeToString())
    assert snapshots.read(path).iteration == 2
    train(solver, out, data=fold, seed=5, max_iter=4, snapshot=path, progress=False)
    assert "they begin anew" in (out / "train.log").read_text()


def test_hdf5_snapshots(fold, tmp_path):
    solver = write_solver(tmp_path / "model", "snapshot_format: HDF5\n")
    whole = train(solver, tmp_path / "whole", data=fold, seed=5, max_iter=7, progress=False)
    out = tmp_path / "out"
    train(solver, out, data=fold, seed=5, max_iter=4, progress=False)
    found = snapshots.newest(out)
    assert (found.iteration, found.weights.name) == (4, "tiny_iter_4.caffemodel.h5")
    (out / "tiny_iter_4.solverstate.h5").write_bytes(found.path.read_bytes()[:3000])
    assert snapshots.newest(out).iteration == 2
    again = train(solver, out, data=fold, seed=5, max_iter=7, snapshot="auto", progress=False)
    import h5py
    import numpy as np

    with h5py.File(whole.weights) as one, h5py.File(again.weights) as other:
        for name in ("fc9/0", "region/0", "norm/0"):
            np.testing.assert_array_equal(one[f"data/{name}"], other[f"data/{name}"])


def test_auto_starts_anew_without_a_snapshot_and_keeps_what_is_finished(solver, fold, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.log").write_text("killed before its first snapshot\n")
    train(solver, out, data=fold, seed=5, max_iter=2, snapshot="auto", progress=False)
    assert "killed before" not in (out / "train.log").read_text()
    # All done: the same again.
    done = train(solver, out, data=fold, seed=5, max_iter=2, snapshot="auto", progress=False)
    assert done.weights.resolve().name == "tiny_iter_2.caffemodel"
    (out / "tiny_iter_2.solverstate").unlink()
    with pytest.raises(UserError, match="holds a finished training without an intact snapshot"):
        train(solver, out, data=fold, seed=5, max_iter=2, snapshot="auto", progress=False)
    assert done.weights.exists()


def test_two_trainings_in_one_folder(solver, fold, tmp_path):
    out = tmp_path / "out"
    first = drml_train(solver, out, fold)
    try:
        while first.poll() is None and not (out / "train.log").exists():
            time.sleep(0.01)
        with pytest.raises(UserError, match="another training is running in this folder"):
            train(solver, out, data=fold, max_iter=2, overwrite=True, progress=False)
    finally:
        first.kill()
        first.communicate()


# --- signals and full disks -----------------------------------------------------------------------------


class Caffe:
    """``caffe train`` at work, its log in a file."""

    def __init__(self, solver, log, *options):
        self.log = log
        with log.open("w") as file:
            self.child = subprocess.Popen(
                [find_caffe(), "train", "-solver", solver, *options],
                stderr=file,
                env={**os.environ, "GLOG_minloglevel": "0", "GLOG_logtostderr": "1"},
            )

    def wait_for(self, text):
        for _ in follow(self.log, 0, self.child):
            if text in self.log.read_text():
                return
        raise AssertionError(f"no '{text}' in {self.log.read_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


@pytest.fixture
def endless(fold, tmp_path):
    solver = write_solver(tmp_path / "model")
    text = (
        solver.read_text()
        .replace("snapshot: 2", "snapshot: 0")
        .replace("test_interval: 10", "test_interval: 100000")
    )
    solver.write_text(text)
    out = tmp_path / "out"
    set_up(solver, out, Changes(data=fold, seed=5, max_iter=10_000_000))
    return out / "solver.prototxt"


def test_sighup_takes_a_snapshot_and_sigint_stops_with_one(endless, tmp_path):
    out = endless.parent
    with Caffe(endless, tmp_path / "log") as caffe:
        caffe.wait_for("Iteration 3 (")
        caffe.child.send_signal(signal.SIGHUP)
        caffe.wait_for("Snapshotting solver state")
        assert caffe.child.poll() is None
        while is_writing(out) or not list(out.glob("*.solverstate")):
            time.sleep(0.01)
        first = snapshots.newest(out).iteration
        caffe.wait_for(f"Iteration {first + 3} (")
        caffe.child.send_signal(signal.SIGINT)
        assert caffe.child.wait() == 0
    assert "Optimization stopped early" in caffe.log.read_text()
    states = sorted(path.name for path in out.glob("*.solverstate"))
    assert len(states) == 2 and snapshots.newest(out).iteration > first


def test_signals_do_what_they_are_told(endless, tmp_path):
    out = endless.parent
    with Caffe(endless, tmp_path / "log", "-sighup_effect", "stop", "-sigint_effect", "none") as caffe:
        caffe.wait_for("Iteration 2 (")
        caffe.child.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert caffe.child.poll() is None and not list(out.glob("*.solverstate"))
        caffe.child.send_signal(signal.SIGHUP)
        assert caffe.child.wait() == 0
    assert len(list(out.glob("*.solverstate"))) == 1


def test_full_disk_keeps_the_last_snapshot_and_training_goes_on(solver, fold, tmp_path):
    """The disk has room for a few snapshots; then somebody makes room."""
    out = tmp_path / "out"
    set_up(solver, out, Changes(data=fold, seed=5, max_iter=12))
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", disk], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        text = (out / "solver.prototxt").read_text()
        (out / "solver.prototxt").write_text(text.replace(f"{out}/tiny", f"{disk}/tiny"))
        (disk / "ballast").write_bytes(bytes(11 << 20))
        with Caffe(out / "solver.prototxt", tmp_path / "log") as caffe:
            caffe.wait_for("No snapshot of iteration")
            good = snapshots.newest(disk)
            assert good.iteration >= 2
            (disk / "ballast").unlink()
            assert caffe.child.wait() == 0
        log = caffe.log.read_text()
        assert re.search(
            r"No snapshot of iteration \d+: \S*/tiny_iter_\d+\.\S+ cannot be written: .*No space left on"
            r" device.* Training goes on; the next try is at iteration \d+\.",
            log,
        )
        assert f"The last good one is {good.path}" in log
        assert not list(disk.glob("*.partial"))
        assert len(list(disk.glob("*.caffemodel"))) == len(list(disk.glob("*.solverstate")))
        assert snapshots.newest(disk).iteration == 12
        for path in disk.glob("*.solverstate"):
            snapshots.read(path)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_loss_that_is_not_finite_stops_training(solver, fold, tmp_path):
    text = solver.read_text().replace("base_lr: 0.001", "base_lr: 1e35")
    solver.write_text(text)
    with pytest.raises(UserError) as error:
        train(solver, tmp_path / "out", data=fold, seed=5, max_iter=30, progress=False)
    said = str(error.value)
    assert re.search(
        r"ended with status 1: Iteration \d+: the loss is -?(nan|inf)\. The first value that is not", said
    )
    assert "base_lr" in said and "_nonfinite.caffemodel (not to go on from)" in said
    assert list((tmp_path / "out").glob("tiny_iter_*_nonfinite.solverstate"))
    newest = snapshots.newest(tmp_path / "out")
    assert newest is None or "nonfinite" not in newest.path.name
    solver.write_text(text + "stop_at_nonfinite_loss: false\n")
    train(solver, tmp_path / "on", data=fold, seed=5, max_iter=30, progress=False)
    assert (tmp_path / "on" / "train.log").read_text().count("Training goes on, as stop_at") == 1
