"""Solvers that hold a net themselves, in the forms that Caffe had before `layer`, train as usual."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from drml.io.errors import UserError
from drml.io.shipped import find_program
from drml.nets.prototxt import read_prototxt
from drml.nets.weights import read_caffemodel
from drml.training.caffe_run import find_caffe
from drml.training.train import train

SOLVER = """
test_iter: 2 test_interval: 3 base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001
max_iter: 6 snapshot: 3 random_seed: 5 snapshot_prefix: "PREFIX"
"""

# Today's form: the reference.
TODAY = """
layer { name: "data" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "LIST" batch_size: 4 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SECOND = """
layers { name: "data" type: HDF5_DATA top: "data" top: "label"
  hdf5_data_param { source: "LIST" batch_size: 4 } }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
  convolution_param { num_output: 3 kernel_size: 3 stride: 2 pad: 1 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layers { name: "ip" type: INNER_PRODUCT bottom: "pool" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip" bottom: "label" top: "loss" }
"""

FIRST = """
layers { layer { name: "data" type: "hdf5_data" source: "LIST" batchsize: 4 } top: "data" top: "label" }
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 3 kernelsize: 3 stride: 2
  weight_filler { type: "xavier" } blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 }
  bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "ip" type: "innerproduct" num_output: 3 weight_filler { type: "xavier" } }
  bottom: "pool" top: "ip" }
layers { layer { name: "loss" type: "softmax_loss" } bottom: "ip" bottom: "label" }
"""

FORMS = {"today": TODAY, "second": SECOND, "first": FIRST}
PLACES = {
    "one net": "net_param { NET }",
    "two nets": "train_net_param { NET } test_net_param { NET }",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old_nets")
    rng = np.random.default_rng(1)
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"] = rng.standard_normal((11, 2, 9, 8)).astype(np.float32)
        file["label"] = rng.integers(0, 3, 11).astype(np.float32)
    (folder / "list.txt").write_text(f"{folder / 'rows.h5'}\n")
    return folder / "list.txt"


def write_solver(folder, data, text, name="solver.prototxt"):
    solver = folder / name
    folder.mkdir(exist_ok=True)
    solver.write_text((SOLVER + text).replace("PREFIX", str(folder / "net")).replace("LIST", str(data)))
    return solver


def run(*command):
    environment = {**os.environ, "GLOG_minloglevel": "0"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def assert_same(ours, theirs):
    ours, theirs = (
        {layer.name: [np.array(blob.data) for blob in layer.blobs] for layer in read_caffemodel(path).layer}
        for path in (ours, theirs)
    )
    ours, theirs = ({name: value for name, value in one.items() if value} for one in (ours, theirs))
    assert list(ours) == list(theirs) == ["conv", "ip"]
    for name in ours:
        for a, b in zip(ours[name], theirs[name], strict=True):
            assert a.any()
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory):
    """Train the net in today's form, from a file of its own; return the folder."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "net.prototxt").write_text(TODAY.replace("LIST", str(data)))
    run(find_caffe(), "train", "-solver", write_solver(folder, data, f'net: "{folder}/net.prototxt"'))
    return folder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_a_net_inside_a_solver_trains_as_one_in_a_file(data, reference, tmp_path, form, place):
    solver = write_solver(tmp_path, data, PLACES[place].replace("NET", FORMS[form]))
    log = run(find_caffe(), "train", "-solver", solver)
    assert "Iteration 3, Testing net (#0)" in log
    assert_same(tmp_path / "net_iter_6.caffemodel", reference / "net_iter_6.caffemodel")
    # And goes on from a snapshot.
    resumed = write_solver(tmp_path / "resumed", data, PLACES[place].replace("NET", FORMS[form]))
    run(find_caffe(), "train", "-solver", resumed, "-snapshot", tmp_path / "net_iter_3.solverstate")
    assert_same(tmp_path / "resumed/net_iter_6.caffemodel", reference / "net_iter_6.caffemodel")


@pytest.mark.parametrize("form", ["second", "first"])
def test_pycaffe_trains_it(data, reference, tmp_path, form):
    solver = write_solver(tmp_path, data, PLACES["two nets"].replace("NET", FORMS[form]))
    for maker in ("caffe.SGDSolver", "caffe.get_solver"):
        run(sys.executable, "-c", f"import sys, caffe; {maker}(sys.argv[1]).solve()", solver)
        assert_same(tmp_path / "net_iter_6.caffemodel", reference / "net_iter_6.caffemodel")
        (tmp_path / "net_iter_6.caffemodel").unlink()


@pytest.mark.parametrize("form", ["second", "first"])
def test_the_tool_upgrades_it(data, reference, tmp_path, form):
    text = PLACES["two nets"].replace("NET", FORMS[form]) + "solver_type: SGD"
    old = write_solver(tmp_path, data, text, "old.prototxt")
    log = run(find_program("upgrade_solver_proto_text"), old, tmp_path / "new.prototxt")
    assert "already in latest" not in log
    new = (tmp_path / "new.prototxt").read_text()
    assert "layers {" not in new and new.count('type: "Convolution"') == 2 and 'type: "SGD"' in new
    run(find_caffe(), "train", "-solver", tmp_path / "new.prototxt")
    assert_same(tmp_path / "net_iter_6.caffemodel", reference / "net_iter_6.caffemodel")
    log = run(
        find_program("upgrade_solver_proto_text"), tmp_path / "new.prototxt", tmp_path / "again.prototxt"
    )
    assert "already in latest" in log and (tmp_path / "again.prototxt").read_text() == new


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_drml_train_takes_it(data, reference, tmp_path, form, place):
    solver = write_solver(tmp_path, data, PLACES[place].replace("NET", FORMS[form]))
    before = solver.read_text()
    done = train(solver, tmp_path / "out", progress=False)
    assert_same(done.weights, reference / "net_iter_6.caffemodel")
    written = read_prototxt(tmp_path / "out/solver.prototxt", "SolverParameter")
    files = ["net.prototxt"] if place == "one net" else ["train_net.prototxt", "test_net_0.prototxt"]
    named = [written.net or written.train_net, *written.test_net]
    assert [Path(name).name for name in named] == files and all(Path(name).is_file() for name in named)
    assert solver.read_text() == before
    # Resuming sets the folder up again.
    shutil.rmtree(tmp_path / "out")
    train(solver, tmp_path / "out", max_iter=3, progress=False)
    done = train(solver, tmp_path / "out", snapshot="auto", progress=False)
    assert_same(done.weights, reference / "net_iter_6.caffemodel")


def test_test_nets_keep_their_order(data, reference, tmp_path):
    """Those inside a solver come first, as for Caffe, and each keeps its number of iterations."""
    (tmp_path / "file.prototxt").write_text(TODAY.replace("LIST", str(data)))
    text = PLACES["two nets"].replace("NET", SECOND) + f'test_net: "{tmp_path}/file.prototxt" test_iter: 5'
    train(write_solver(tmp_path, data, text), tmp_path / "out", progress=False)
    written = read_prototxt(tmp_path / "out/solver.prototxt", "SolverParameter")
    assert [Path(name).name for name in written.test_net] == ["test_net_0.prototxt", "file.prototxt"]
    assert list(written.test_iter) == [2, 5]


def test_a_solver_may_not_smuggle_in_layers_that_run_code(data, tmp_path):
    for layer in ('layer { name: "x" type: "Python" }', "layers { name: 'x' type: HDF5_OUTPUT }"):
        for place in ("net_param", "train_net_param", "test_net_param"):
            solver = write_solver(tmp_path, data, f"{place} {{ {layer} }}")
            with pytest.raises(UserError, match=r"layer 'x' of the type (Python|HDF5Output)"):
                train(solver, tmp_path / "out", progress=False)


def test_both_forms_in_one_net_are_refused(data, tmp_path):
    solver = write_solver(tmp_path, data, f"net_param {{ {TODAY} {SECOND} }}")
    with pytest.raises(
        UserError, match=r"an old prototxt.*upgrade_solver_proto_text cannot upgrade: Refusing"
    ):
        train(solver, tmp_path / "out", progress=False)
    done = subprocess.run(
        [find_caffe(), "train", "-solver", solver], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "includes both 'layer' and 'layers'" in done.stderr
