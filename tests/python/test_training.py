"""drml.training: the folder it sets up, the log it follows, and the real caffe at work on a tiny net."""

import csv
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import drml
import tiny_net as tiny
from drml.data.lmdb import check_lmdb, read_lmdb, read_mean, write_lmdb
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.data.recipe_text import write_data_recipe
from drml.evaluation import scoring
from drml.io.errors import UsageError, UserError
from drml.nets.prototxt import read_prototxt
from drml.nets.recipe import read_recipe
from drml.training.caffe_log import LogReader
from drml.training.caffe_run import find_caffe
from drml.training.folder import rename_in_solver
from drml.training.setup import Changes, set_up
from drml.training.train import train


@pytest.fixture
def solver(tmp_path):
    return tiny.write_solver(tmp_path)


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    return tiny.write_training_data(tmp_path_factory.mktemp("data"))


def run(solver, out, fold, **options):
    return train(solver, out, data=fold, progress=False, **options)


# --- the folder -----------------------------------------------------------------------------------------


def test_paths_seed_and_prefix_are_filled_in(solver, fold, tmp_path):
    out = tmp_path / "out"
    set_up(solver, out, Changes(data=fold, seed=7, max_iter=3))
    message = read_prototxt(out / "solver.prototxt", "SolverParameter")
    assert (message.random_seed, message.max_iter) == (7, 3)
    assert message.snapshot_prefix == str(out / "tiny")
    assert message.net == str(out / "train_val.prototxt")
    assert message.base_lr == pytest.approx(0.01)
    net = read_prototxt(message.net)
    assert [layer.multi_label_data_param.source for layer in net.layer[:2]] == [
        str(fold / "train_lmdb"),
        str(fold / "test_lmdb"),
    ]
    assert {layer.transform_param.mean_file for layer in net.layer[:2]} == {str(fold / "mean.binaryproto")}
    original = read_prototxt(solver.parent / "train_val.prototxt")
    assert list(net.layer[2:]) == list(original.layer[2:])


def test_the_weights_carry_their_recipe(solver, fold, tmp_path):
    recipe = Recipe(
        au=(4, 9, 25),
        labels="as coded",
        input=InputRecipe(face_size=24),
        registration=RegistrationRecipe("detector", "YuNet", target=(0.25, 0.5)),
        data=DataRecipe("DISFA", "fold 1 of 3", "ab", 12, "every frame"),
        program=("drml 0 (data)",),
    )
    fold = shutil.copytree(fold, tmp_path / "fold")
    write_data_recipe(fold, recipe)
    for kind, suffix in (("BINARYPROTO", ""), ("HDF5", ".h5")):
        solver = tiny.write_solver(tmp_path, extra=f"snapshot_format: {kind}\nrandom_seed: 3\n")
        done = run(solver, tmp_path / kind, fold, max_iter=2)
        copy = shutil.copy(done.weights, tmp_path / f"copy.caffemodel{suffix}")
        found = read_recipe(copy)
        assert (found.au, found.labels, found.registration) == (recipe.au, recipe.labels, recipe.registration)
        assert found.data == recipe.data
        assert found.input.scale == pytest.approx(0.02) and found.input.crop_size == 20
        assert found.input.face_size == 24
        np.testing.assert_array_equal(found.input.mean, read_mean(fold / "mean.binaryproto"))
        assert found.training.iterations == 2 and found.training.images == 8
        assert "random_seed: 3" in found.training.solver and found.training.start is None
        assert found.program == ("drml 0 (data)", f"drml {drml.__version__} (training)")
        # Resuming and fine-tuning keep it right.
        tuned = run(solver, tmp_path / f"{kind}_tuned", fold, weights=copy, max_iter=1)
        again = run(solver, tmp_path / f"{kind}_tuned", fold, snapshot="auto", max_iter=3)
        start = f"{tmp_path.name}/{Path(copy).name} (DISFA, fold 1 of 3, 2 iterations)"
        assert tuned.weights == again.weights
        tuned_recipe = read_recipe(again.weights)
        assert (tuned_recipe.training.iterations, tuned_recipe.training.start) == (3, start)
        assert tuned_recipe.program == found.program and tuned_recipe.au == recipe.au


def test_data_with_a_manifest_alone_name_the_aus(solver, fold, tmp_path):
    done = run(solver, tmp_path / "out", fold, max_iter=1)
    found = read_recipe(done.weights)
    fold = shutil.copytree(fold, tmp_path / "fold")
    assert found.au == tiny.AUS and found.input.scale == pytest.approx(0.02)
    shutil.rmtree(tmp_path / "out")
    for manifest in fold.glob("*.csv"):
        manifest.unlink()
    found = read_recipe(run(solver, tmp_path / "out", fold, max_iter=1).weights)
    # Nobody knows the AUs, but how the input is made is known.
    assert found.au == () and found.input.scale == pytest.approx(0.02) and found.input.mean is not None


def test_weights_that_are_none_are_refused_before_a_folder_is_made(solver, fold, tmp_path):
    junk = tmp_path / "junk.caffemodel"
    junk.write_text("junk")
    with pytest.raises(UserError, match=r"junk\.caffemodel"):
        run(solver, tmp_path / "out", fold, weights=junk)
    with pytest.raises(UsageError, match="new_output without weights"):
        run(solver, tmp_path / "out", fold, new_output=True)
    assert not (tmp_path / "out").exists()


def test_without_data_the_nets_own_paths_are_made_absolute(solver, fold, tmp_path, monkeypatch):
    shutil.copytree(fold, tmp_path / "data/drml/fold1")
    monkeypatch.chdir(tmp_path)
    set_up("solver.prototxt", "out")
    net = read_prototxt("out/train_val.prototxt")
    assert net.layer[0].multi_label_data_param.source == str(tmp_path / "data/drml/fold1/train_lmdb")


def test_data_that_are_not_there_are_named(solver, fold, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"data/drml/fold1/train_lmdb: not found; layer 'data' of .*drml prep"
    ):
        set_up(solver, tmp_path / "out")
    with pytest.raises(UserError, match=r"train_lmdb: not found; .* .is --data a fold folder"):
        set_up(solver, tmp_path / "out", Changes(data=fold.parent))
    with pytest.raises(UserError, match="none: no such folder"):
        set_up(solver, tmp_path / "out", Changes(data=tmp_path / "none"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [({"max_iter": 0}, "max_iter 0"), ({"seed": -1}, "seed -1")],
)
def test_wrong_numbers_are_refused(solver, fold, tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        set_up(solver, tmp_path / "out", Changes(data=fold, **options))


def test_solver_without_its_net_is_refused(fold, tmp_path):
    with pytest.raises(UserError, match=r"net gone.prototxt not found"):
        set_up(tiny.write_solver(tmp_path, net="gone.prototxt"), tmp_path / "out", Changes(data=fold))
    path = tmp_path / "bare.prototxt"
    path.write_text("base_lr: 1\n")
    with pytest.raises(UserError, match="names no net"):
        set_up(path, tmp_path / "out", Changes(data=fold))
    path.write_text("base_rl: 1\n")
    with pytest.raises(UserError, match="not a SolverParameter: line 1:1"):
        set_up(path, tmp_path / "out", Changes(data=fold))


def test_another_net_than_the_solvers(solver, fold, tmp_path):
    other = tmp_path / "other.prototxt"
    other.write_text((tmp_path / "train_val.prototxt").read_text().replace('"tiny"', '"other"'))
    set_up(solver, tmp_path / "out", Changes(data=fold, net=other))
    message = read_prototxt(tmp_path / "out/solver.prototxt", "SolverParameter")
    assert message.net == str(tmp_path / "out/other.prototxt") and read_prototxt(message.net).name == "other"
    rename_in_solver(tmp_path / "out", Path("/elsewhere"))
    message = read_prototxt(tmp_path / "out/solver.prototxt", "SolverParameter")
    assert (message.net, message.snapshot_prefix) == ("/elsewhere/other.prototxt", "/elsewhere/tiny")


def test_caffe_is_found_or_the_way_out_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such program"):
        find_caffe(tmp_path / "caffe")
    program = tmp_path / "caffe"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_caffe(program) == program
    assert find_caffe().name == "caffe" and find_caffe() != program
    monkeypatch.setattr("drml.training.caffe_run.find_program", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_caffe() == program
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="caffe not found: run make"):
        find_caffe()


# --- the log --------------------------------------------------------------------------------------------

HEAD = "I1123 22:44:28.123456  1234 solver.cpp:239] "


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("Iteration 20 (3.1 iter/s, 6.4s/20 iters), loss = 0.69", (20, "train", "loss", 0.69)),
        ("Iteration 20 (3.1 iter/s, 6.4s/20 iters), loss = 1.5e-05", (20, "train", "loss", 1.5e-5)),
        ("Iteration 40, loss = 8.25", (40, "train", "loss", 8.25)),
        ("Iteration 40, lr = 0.001", (40, "train", "lr", 0.001)),
        ("    Train net output #0: loss = 0.5 (* 1 = 0.5 loss)", (0, "train", "batch loss", 0.5)),
        ("    Test net output #1: accuracy = 0.25", (0, "test", "accuracy", 0.25)),
        ("Solving tiny", None),
    ],
)
def test_figures_are_read_from_the_log(text, figure):
    found = LogReader().read(HEAD + text + "\n")
    assert [(one.iteration, one.phase, one.name, one.value) for one in found] == ([figure] if figure else [])


def test_loss_that_is_no_number_is_read_as_such():
    (found,) = LogReader().read(HEAD + "Iteration 4 (1 iter/s, 1s/4 iters), loss = -nan\n")
    assert np.isnan(found.value)


def test_outputs_belong_to_the_iteration_and_net_before_them():
    reader = LogReader()
    assert reader.read(HEAD + "Iteration 30, Testing net (#1)\n") == []
    (figure,) = reader.read(HEAD + "    Test net output #0: loss = 2\n")
    assert (figure.iteration, figure.name) == (30, "loss (net 1)")
    reader.read(HEAD + "Snapshotting to binary proto file /a b/tiny_iter_30.caffemodel\n")
    assert reader.snapshot == "/a b/tiny_iter_30.caffemodel"
    reader.read(HEAD + "Snapshotting solver state to binary proto file /a b/tiny_iter_30.solverstate\n")
    reader.read(HEAD + "Snapshotting to HDF5 file /x/tiny_iter_40.caffemodel.h5\n")
    assert reader.snapshot == "/x/tiny_iter_40.caffemodel.h5"


# --- caffe at work --------------------------------------------------------------------------------------


def test_training_leaves_weights_log_and_losses_that_score_reads(solver, fold, tmp_path):
    out = tmp_path / "out"
    done = run(solver, out, fold, seed=1)
    assert done.iterations == 20
    assert done.weights.name == "final.caffemodel"
    assert done.weights.resolve() == out / "tiny_iter_20.caffemodel"
    with (out / "loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = {int(row["iteration"]): float(row["value"]) for row in rows if row["name"] == "loss"}
    trained = [int(row["iteration"]) for row in rows if (row["phase"], row["name"]) == ("train", "loss")]
    tested = [int(row["iteration"]) for row in rows if row["phase"] == "test"]
    assert trained == [0, 5, 10, 15, 20]
    assert tested == [0, 10, 20]
    assert all(np.isfinite(value) for value in losses.values())
    assert "Optimization Done" in (out / "train.log").read_text()
    assert set(done.test) == {"loss"}
    # The trained weights carry their scale; the same probabilities come out of pycaffe.
    result = scoring.score(
        tiny.write_deploy(tmp_path), done.weights, fold / "test_lmdb", progress=False, probe=False
    )
    assert result.folds[0].input["scale"] == pytest.approx(0.02)
    assert result.folds[0].input["mean_from"] == "image, recipe in the weights"
    # Twice the 5 pictures of a test batch are the whole test set: its loss can be computed by hand.
    labels, probabilities = result.folds[0].labels, result.folds[0].probabilities.astype(np.float64)
    log = np.where(labels > 0, np.log(probabilities), np.where(labels < 0, np.log(1 - probabilities), 0))
    assert done.test["loss"] == pytest.approx(-log.sum() / len(labels), rel=1e-3)


def test_seed_fixes_the_result(solver, fold, tmp_path):
    def weights(seed, name):
        return run(solver, tmp_path / name, fold, seed=seed, max_iter=2).weights.read_bytes()

    assert weights(3, "a") == weights(3, "b").replace(b"/b/", b"/a/")
    assert weights(3, "c") != weights(4, "d").replace(b"/d/", b"/c/")


def test_earlier_training_is_kept_unless_overwritten_or_resumed(solver, fold, tmp_path):
    out = tmp_path / "out"
    run(solver, out, fold, max_iter=4, seed=1)
    with pytest.raises(UserError, match="holds an earlier training"):
        run(solver, out, fold)
    resumed = run(solver, out, fold, max_iter=6, snapshot=out / "tiny_iter_4.solverstate")
    assert resumed.weights.resolve().name == "tiny_iter_6.caffemodel"
    assert (out / "train.log").read_text().count("Solving tiny") == 2
    assert (out / "loss.csv").read_text().count("iteration,seconds") == 1
    with (out / "loss.csv").open() as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert seconds == sorted(seconds), "a training that goes on counts its time from where it was"
    # What cannot start takes nothing away.
    with pytest.raises(UserError, match="no such folder"):
        run(solver, out, tmp_path / "none", overwrite=True)
    with pytest.raises(UserError, match="belongs to the training that would be overwritten"):
        run(solver, out, fold, overwrite=True, weights=out / "tiny_iter_6.caffemodel")
    assert (out / "tiny_iter_6.caffemodel").exists()
    (out / "notes.txt").write_text("mine")
    run(solver, out, fold, max_iter=2, overwrite=True)
    assert not (out / "tiny_iter_6.caffemodel").exists()
    assert (out / "notes.txt").exists()


def test_training_starts_from_weights(solver, fold, tmp_path):
    parameters = tiny.draw_parameters()
    start = tiny.write_caffemodel(tmp_path / "start.caffemodel", parameters)
    path = tiny.write_solver(tmp_path, extra="")
    path.write_text(path.read_text().replace("base_lr: 0.01", "base_lr: 0"))
    done = run(path, tmp_path / "out", fold, weights=start, max_iter=1)
    from drml.nets.net import CaffeNet

    net = CaffeNet(tiny.write_deploy(tmp_path), done.weights, probe=False).net
    np.testing.assert_array_equal(net.params["fc9"][0].data, parameters["fc9"][0])
    with pytest.raises(UserError, match="both given"):
        run(path, tmp_path / "other", fold, weights=start, snapshot=start)
    with pytest.raises(UserError, match="no such weights file"):
        run(path, tmp_path / "other", fold, weights=tmp_path / "none.caffemodel")


def test_hdf5_snapshots_are_found(fold, tmp_path):
    solver = tiny.write_solver(tmp_path, extra="snapshot_format: HDF5\n")
    done = run(solver, tmp_path / "out", fold, max_iter=2)
    assert done.weights.name == "final.caffemodel.h5"
    result = scoring.score(
        tiny.write_deploy(tmp_path), done.weights, fold / "test_lmdb", progress=False, probe=False
    )
    assert result.folds[0].input == {
        "scale": pytest.approx(0.02),
        "scale_from": "recipe in the weights",
        "mean": "image",
        "mean_from": "image, recipe in the weights",
    }


def test_caffes_own_last_words_are_the_error(solver, fold, tmp_path):
    net = tmp_path / "train_val.prototxt"
    net.write_text(net.read_text().replace('bottom: "fc9" top: "fc10"', 'bottom: "fc8" top: "fc10"'))
    with pytest.raises(UserError, match="Unknown bottom blob 'fc8'") as raised:
        run(solver, tmp_path / "out", fold)
    assert str(tmp_path / "out" / "train.log") in str(raised.value)


def test_the_gpu_reaches_caffe(solver, fold, tmp_path):
    program = tmp_path / "caffe"
    program.write_text('#!/bin/sh\necho "F1125 00:00:00.0 1 caffe.cpp:1] asked for: $*" >&2\nexit 1\n')
    program.chmod(0o755)
    with pytest.raises(UserError, match=r"asked for: train -solver \S+ -gpu 0,1"):
        run(solver, tmp_path / "out", fold, caffe=program, gpu="0,1")
    with pytest.raises(UserError, match="asked for: train -solver") as raised:
        run(solver, tmp_path / "out", fold, caffe=program, overwrite=True)
    assert "-gpu" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": b"no image"}, "image of 8 bytes cannot be decoded"),
        ({"labels": (1, 1)}, "has 2 labels instead of 3"),
        ({"labels": (1, 1, 6)}, "label 2 is 6"),
    ],
)
@pytest.mark.parametrize("place", [0, 5])
def test_broken_record_stops_training_with_its_key(solver, fold, tmp_path, change, said, place):
    # The first record is read while the net is set up, others by a thread while the solver goes on.
    bad = tmp_path / "bad"
    shutil.copytree(fold, bad)
    items = [item._replace(labels=list(item.labels)) for item in read_lmdb(fold / "train_lmdb")]
    items[place] = items[place]._replace(**change)
    shutil.rmtree(bad / "train_lmdb")
    write_lmdb(bad / "train_lmdb", items)
    with pytest.raises(UserError, match=rf"record '{items[place].key}' .*{said}"):
        run(solver, tmp_path / "out", bad)


def test_fatal_line_far_above_the_end_of_the_log_is_found(solver, fold, tmp_path):
    program = tmp_path / "caffe"
    program.write_text(
        "#!/bin/sh\necho 'F20261124 00:50:08.375576  8509 layer.cpp:176] record x is broken'\n"
        "for i in $(seq 100); do echo 'I20261124 00:50:08.375576  8507 net.cpp:1] Creating'; done\nexit 134\n"
    )
    program.chmod(0o755)
    with pytest.raises(UserError, match="ended with status 134: record x is broken"):
        run(solver, tmp_path / "out", fold, caffe=program)


def test_log_that_does_not_fit_the_disk_ends_caffe_and_is_named(solver, fold, tmp_path, monkeypatch):
    program = tmp_path / "caffe"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/process\nexec sleep 100\n")
    program.chmod(0o755)
    full = SimpleNamespace(f_bavail=0)
    monkeypatch.setattr("drml.training.log.os.statvfs", lambda folder: full)
    with pytest.raises(OSError, match=r"train\.log") as raised:
        run(solver, tmp_path / "out", fold, caffe=program)
    assert raised.value.errno == errno.ENOSPC
    assert not Path(f"/proc/{(tmp_path / 'process').read_text().strip()}").exists()


def test_program_that_ends_without_a_fatal_line_is_quoted(solver, fold, tmp_path):
    program = tmp_path / "caffe"
    program.write_text(
        "#!/bin/sh\necho starting\necho 'error while loading shared libraries' >&2\nexit 127\n"
    )
    program.chmod(0o755)
    with pytest.raises(UserError, match="ended with status 127: error while loading shared libraries"):
        run(solver, tmp_path / "out", fold, caffe=program)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_a_snapshot(solver, fold, tmp_path, number):
    out = tmp_path / "out"
    options = ("--quiet", "--max-iter", "100000000", "--solver", solver, "--data", fold, "--out", out)
    child = subprocess.Popen(
        [sys.executable, "-m", "drml", "train", *map(str, options)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        log = out / "train.log"
        while child.poll() is None and not (log.exists() and "Iteration 10," in log.read_text()):
            time.sleep(0.05)
        child.send_signal(number)
        _, error = child.communicate()
    finally:
        child.kill()
    assert child.returncode == 130
    assert "interrupted" in error
    assert "Traceback" not in error
    snapshots = list(Path(out).glob("tiny_iter_*.solverstate"))
    assert len(snapshots) == 1
    assert check_lmdb(fold / "test_lmdb") == 10
