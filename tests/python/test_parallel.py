"""`mpirun -n N caffe train`: what equals a training on one rank, and that no rank outlives another."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import parallel_nets as nets
from drml.data.recipe import DataRecipe, Recipe
from drml.data.recipe_text import write_data_recipe
from drml.nets.recipe import read_recipe

WHY_NOT = nets.missing()
if WHY_NOT and os.environ.get("REQUIRE_MPI") == "1":
    raise RuntimeError(WHY_NOT)
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

PLAIN = (
    nets.convolution("conv", "data", "conv")
    + 'layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }\n'
    + 'layer { name: "region" type: "Region" bottom: "conv" top: "region"\n'
    + "  region_param { grid_h: 2 grid_w: 2 batch_norm: false affine: false\n"
    + '  weight_filler { type: "xavier" } } }\n'
    + nets.inner_product("region")
)
RECIPE = Recipe(au=(1, 2, 4, 6, 12), labels="codes", data=DataRecipe("BP4D", "fold 1 of 3", records=24))
# Two layers that share their weights, and one that is frozen.
SHARED = (
    nets.convolution("frozen", "data", "frozen", params="param { lr_mult: 0 } param { lr_mult: 0 }")
    + nets.convolution("first", "frozen", "first", params='param { name: "w" } param { name: "b" }')
    + nets.convolution("second", "first", "second", params='param { name: "w" } param { name: "b" }')
    + nets.inner_product("second")
)


def last_file(solver):
    """Return the file of the last snapshot's weights."""
    return max(solver.parent.glob("*.caffemodel"), key=lambda path: int(re.findall(r"\d+", path.name)[-1]))


def last(solver):
    """Return the weights of the last snapshot."""
    return nets.weights(last_file(solver))


def assert_same(left, right, tolerance):
    assert left.keys() == right.keys()
    for name, blobs in left.items():
        for index, blob in enumerate(blobs):
            np.testing.assert_allclose(blob, right[name][index], rtol=0, atol=tolerance, err_msg=name)


def distance(left, right):
    return max(np.abs(a - b).max() for name in left for a, b in zip(left[name], right[name], strict=True))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_data_recipe(folder, RECIPE)
    return nets.write_records(folder / "lmdb")


@pytest.mark.parametrize(
    ("ranks", "layers", "passes", "extra"),
    [
        (2, PLAIN, 1, ""),
        (3, PLAIN, 1, ""),
        (2, SHARED, 2, 'clip_gradients: 0.5 type: "Nesterov"\n'),
    ],
    ids=["two", "three", "shared weights, iter_size, clipped, Nesterov"],
)
def test_n_ranks_equal_one_with_a_batch_n_times_as_large(tmp_path, records, ranks, layers, passes, extra):
    batch = 12 // passes // ranks
    extra += f"iter_size: {passes}\n"  # on one rank as well: the solver clips the sum of the passes
    alone = nets.write_training(tmp_path / "alone", layers, source=records, batch=batch * ranks, extra=extra)
    together = nets.write_training(tmp_path / "together", layers, source=records, batch=batch, extra=extra)
    done = nets.train(alone)
    assert done.returncode == 0, done.stderr
    done = nets.train(together, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert f"{batch} x iter_size {passes} x {ranks} ranks = 12;" in done.stderr
    assert "All ranks end with the same weights" in done.stderr
    assert_same(last(alone), last(together), 1e-5)
    # Shared weights travel once; frozen ones too where their gradients count for the clipped norm.
    learned = sum(blob.size for name, blobs in last(together).items() for blob in blobs if name != "second")
    assert f"Gradients: {4 * learned} bytes an iteration in 1 bucket(s)" in done.stderr
    start = nets.write_training(tmp_path / "start", layers, source=records, batch=4, iterations=0)
    assert nets.train(start).returncode == 0
    assert distance(last(start), last(alone)) > 0.01  # they did learn
    # The recipe tells the images that all ranks have seen, and is otherwise that of the data.
    kept, expected = (read_recipe(last_file(solver)) for solver in (together, alone))
    assert kept.training.images == expected.training.images == 12 * 50
    assert (kept.au, kept.labels, kept.data) == (RECIPE.au, RECIPE.labels, RECIPE.data)
    assert kept.input == expected.input and kept.training.iterations == 50


# An inner product of 1.2 million weights, whose gradient travels as factors, and a small one.
LARGE = (
    nets.convolution("conv", "data", "conv")
    + nets.inner_product("conv", outputs=2048, name="hidden")
    + 'layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }\n'
    + nets.inner_product("hidden")
)
WEIGHTS, HIDDEN = 600 * 2048, 2048
REST = 6 * 28 + HIDDEN + nets.LABELS * (HIDDEN + 1)


@pytest.mark.parametrize(
    ("ranks", "passes", "extra", "plain_ranks", "images", "most"),
    [
        (2, 1, "", 0, 6, None),
        (3, 1, 'type: "Adam" delta: 1\n', 0, 4, 12),  # a delta at which rounding does not decide a step
        (2, 1, "", 1, 0, None),  # one rank has no factors: all send the gradient
        (2, 2, "clip_gradients: 0.5\n", 0, 0, None),  # so they do where somebody adds to it, or looks at it
        (2, 1, "", 0, 0, 11),
    ],
    ids=["two", "three, Adam", "one without the engine", "iter_size, clipped", "too many images"],
)
def test_a_large_inner_product_travels_as_factors(
    tmp_path, records, monkeypatch, ranks, passes, extra, plain_ranks, images, most
):
    if most is not None:
        monkeypatch.setenv("CAFFE_FACTORED_IMAGES", str(most))
    batch = 12 // passes // ranks
    extra += f"iter_size: {passes}\n"
    options = {"source": records, "iterations": 20}
    alone = nets.write_training(tmp_path / "alone", LARGE, batch=batch * ranks, extra=extra, **options)
    together = nets.write_training(tmp_path / "together", LARGE, batch=batch, extra=extra, **options)
    done = nets.train(alone)
    assert done.returncode == 0, done.stderr
    done = nets.train(together, ranks=ranks, plain_ranks=plain_ranks)
    assert done.returncode == 0, done.stderr
    # The engine and plain Caffe round differently.
    assert ("All ranks end with the same weights" in done.stderr) == (plain_ranks == 0)
    assert_same(last(alone), last(together), 1e-5)
    travelled = images * (600 + HIDDEN) if images else WEIGHTS
    given = re.findall(
        r"each rank gave (\S+) bytes an iteration, (\d) bucket\(s\) as factors$", done.stderr, re.M
    )
    assert len(given) == 2  # after ten iterations, and at the end
    for number, factored in given:
        assert float(number) == pytest.approx(4 * (travelled + REST), rel=1e-5)
        assert int(factored) == bool(images)


def test_a_number_of_factored_images_that_is_none_is_refused(tmp_path, records, monkeypatch):
    monkeypatch.setenv("CAFFE_FACTORED_IMAGES", "many")
    solver = nets.write_training(tmp_path / "refused", PLAIN, source=records, batch=4, iterations=1)
    done = nets.train(solver, ranks=2)
    assert done.returncode != 0
    assert "CAFFE_FACTORED_IMAGES is 'many': give a number of images from 0 to 10000" in done.stderr


def test_one_rank_is_a_plain_training(tmp_path, records):
    plain = nets.write_training(tmp_path / "plain", PLAIN, source=records, batch=8, iterations=10)
    launched = nets.write_training(tmp_path / "launched", PLAIN, source=records, batch=8, iterations=10)
    assert nets.train(plain).returncode == 0
    assert nets.train(launched, ranks=1).returncode == 0
    assert_same(last(plain), last(launched), 0)


def normalising(slices):
    """Return a net with both kinds of normalisation, run on each of `slices` parts of the batch by itself."""
    text, ends = "", []
    if slices > 1:
        tops = " ".join(f'top: "data_{k}"' for k in range(slices))
        text += f'layer {{ name: "slice" type: "Slice" bottom: "data" {tops} slice_param {{ axis: 0 }} }}\n'
    for k in range(slices):
        params = [
            f'param {{ name: "{name}" }}' for name in ("w", "b", "scale", "shift", "region_w", "region_b")
        ]
        conv = nets.convolution(
            f"conv_{k}", f"data_{k}" if slices > 1 else "data", f"conv_{k}", params=" ".join(params[:2])
        )
        text += (
            conv
            + f'layer {{ name: "bn_{k}" type: "BatchNorm" bottom: "conv_{k}" top: "bn_{k}"'
            + "  batch_norm_param { moving_average_fraction: 0.9 } }\n"
            + f'layer {{ name: "scale_{k}" type: "Scale" bottom: "bn_{k}" top: "scale_{k}"'
            + f"  {params[2]} {params[3]} scale_param {{ bias_term: true }} }}\n"
            + f'layer {{ name: "region_{k}" type: "Region" bottom: "scale_{k}" top: "region_{k}"'
            + f"  {params[4]} {params[5]} region_param {{ grid_h: 2 grid_w: 2 affine: false"
            + '  weight_filler { type: "xavier" } } }\n'
        )
        ends.append(f"region_{k}")
    if slices > 1:
        bottoms = " ".join(f'bottom: "{end}"' for end in ends)
        text += f'layer {{ name: "all" type: "Concat" {bottoms} top: "all" concat_param {{ axis: 0 }} }}\n'
    return text + nets.inner_product("all" if slices > 1 else ends[0])


def test_with_bn_every_rank_normalises_its_own_batch(tmp_path, records):
    # One rank whose net normalises the halves of its batch apart. They hold what the two ranks read.
    order = [start + k for start in range(0, nets.RECORDS, 12) for k in (*range(0, 12, 2), *range(1, 12, 2))]
    halves = nets.write_records(tmp_path / "halves_lmdb", order=order)
    oracle = nets.write_training(tmp_path / "oracle", normalising(2), source=halves, batch=12)
    together = nets.write_training(tmp_path / "together", normalising(1), source=records, batch=6)
    start = nets.write_training(tmp_path / "start", normalising(1), source=records, batch=6, iterations=0)
    assert nets.train(start).returncode == 0
    weights = ("-weights", start.parent / "net_iter_0.caffemodel")
    done = nets.train(oracle, flags=weights)
    assert done.returncode == 0, done.stderr
    done = nets.train(together, ranks=2, flags=weights)
    assert done.returncode == 0, done.stderr
    expected, found = last(oracle), last(together)
    for name in ("conv", "scale", "region", "fc"):
        key = name if name == "fc" else f"{name}_0"
        learned = 2 if name == "region" else len(found[key])
        assert_same({key: expected[key][:learned]}, {key: found[key][:learned]}, 1e-5)
    # Running statistics are the means of the ranks' own.
    for name, first in (("bn", 0), ("region", 2)):
        assert len(found[f"{name}_0"]) > first
        for one, other, mean in zip(
            expected[f"{name}_0"][first:],
            expected[f"{name}_1"][first:],
            found[f"{name}_0"][first:],
            strict=True,
        ):
            np.testing.assert_allclose((one + other) / 2, mean, rtol=1e-4, atol=1e-5)
    assert np.abs(expected["bn_0"][0] - expected["bn_1"][0]).max() > 1e-3  # which differ


def test_resume_gives_every_rank_history_and_iteration(tmp_path, records):
    # All records are in every batch, so that it does not matter where a rank goes on to read.
    options = {"source": records, "batch": nets.RECORDS // 2, "extra": "snapshot: 10\n"}
    whole = nets.write_training(tmp_path / "whole", PLAIN, iterations=20, **options)
    done = nets.train(whole, ranks=2)
    assert done.returncode == 0, done.stderr
    assert len(list(whole.parent.glob("*.solverstate"))) == 2
    resumed = nets.write_training(tmp_path / "resumed", PLAIN, iterations=20, **options)
    state = whole.parent / "net_iter_10.solverstate"
    done = nets.train(resumed, ranks=2, flags=("-snapshot", state))
    assert done.returncode == 0, done.stderr
    assert "All ranks end with the same weights" in done.stderr
    assert [path.name for path in resumed.parent.glob("*.caffemodel")] == ["net_iter_20.caffemodel"]
    assert_same(last(whole), last(resumed), 1e-6)


# Everything that differs between ranks: order, crops, mirrors, drop-out, each batch's statistics.
STATEFUL = (
    nets.convolution("conv", "data", "conv")
    + 'layer { name: "norm" type: "BatchNorm" bottom: "conv" top: "norm" }\n'
    + 'layer { name: "drop" type: "Dropout" bottom: "norm" top: "norm" }\n'
    + nets.inner_product("norm")
)


@pytest.mark.parametrize("format", ["BINARYPROTO", "HDF5"])
def test_every_rank_goes_on_from_where_it_was(tmp_path, records, format):
    """A training that was stopped is the one that was not, to the last bit, on two ranks as on one."""
    options = {"source": records, "batch": 5, "extra": f"snapshot: 7\nsnapshot_format: {format}\n"}
    solvers = [
        nets.write_training(tmp_path / name, STATEFUL, iterations=count, **options)
        for name, count in (("whole", 17), ("stopped", 7))
    ]
    for solver in solvers:
        net = solver.parent / "net.prototxt"
        net.write_text(
            net.read_text()
            .replace("shuffle: false", "shuffle: true")
            .replace("mean_value: 127", "mean_value: 127 crop_size: 9 mirror: true")
        )
        done = nets.train(solver, ranks=2)
        assert done.returncode == 0, done.stderr
    stopped = solvers[1]
    stopped.write_text(
        stopped.read_text().replace("max_iter: 7", "max_iter: 17").replace("seed: 3", "seed: 9")
    )
    ending = ".h5" if format == "HDF5" else ""
    state = stopped.parent / f"net_iter_7.solverstate{ending}"
    done = nets.train(stopped, ranks=2, flags=("-snapshot", state))
    assert done.returncode == 0, done.stderr
    assert "begin anew" not in done.stderr
    names = ("net_iter_14", "net_iter_17")
    for name in names if format == "BINARYPROTO" else ():
        left, right = (folder.parent / f"{name}.caffemodel" for folder in solvers)
        # The recipe inside names the seed of the solver that wrote it; all else is the same.
        assert left.read_bytes() == right.read_bytes().replace(b"random_seed: 9", b"random_seed: 3")
    if format == "HDF5":
        import h5py

        files = [h5py.File(solver.parent / "net_iter_17.caffemodel.h5") for solver in solvers]
        for blob in ("conv/0", "fc/0", "norm/0"):
            np.testing.assert_array_equal(*(file[f"data/{blob}"] for file in files))
    # On another number of ranks it goes on with what it can, and says what it cannot.
    done = nets.train(stopped, ranks=3, flags=("-snapshot", state))
    assert done.returncode == 0, done.stderr
    assert "of 2 solvers, and there are 3 now: data and random numbers begin anew" in done.stderr


def test_weights_and_tests_are_rank_0s(tmp_path, records):
    first = nets.write_training(tmp_path / "first", PLAIN, source=records, batch=8, iterations=5)
    assert nets.train(first).returncode == 0
    tuned = nets.write_training(
        tmp_path / "tuned",
        PLAIN,
        source=records,
        batch=4,
        iterations=4,
        extra="test_iter: 2 test_interval: 2\n",
    )
    weights = first.parent / "net_iter_5.caffemodel"
    done = nets.train(tuned, ranks=2, flags=("-weights", weights))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Finetuning from") == 2  # the train net and the test net of one rank
    assert re.findall(r"Iteration (\d+), Testing net", done.stderr) == ["0", "2", "4"]
    assert "All ranks end with the same weights" in done.stderr


def long_training(folder, records):
    return nets.write_training(folder, PLAIN, source=records, batch=4, iterations=10**6, display=1)


@pytest.mark.parametrize("whom", ["rank 1", "mpirun"])
def test_a_signal_stops_all_with_one_snapshot(tmp_path, records, whom):
    solver = long_training(tmp_path / "run", records)
    with nets.running(solver, ranks=2, sight=r"Iteration 2 ") as (mpirun, log, ranks):
        if whom == "mpirun":
            mpirun.send_signal(signal.SIGUSR1)
        else:
            os.kill(ranks[1], signal.SIGINT)
        assert mpirun.wait(20) == 0, log.read_text()
        text = log.read_text()
    assert "Optimization stopped early" in text
    assert "All ranks end with the same weights" in text
    assert len(list(solver.parent.glob("*.caffemodel"))) == 1


def test_a_snapshot_can_be_asked_of_any_rank(tmp_path, records):
    solver = long_training(tmp_path / "run", records)
    with nets.running(solver, ranks=2, sight=r"Iteration 2 ") as (mpirun, log, ranks):
        os.kill(ranks[1], signal.SIGHUP)
        limit = time.monotonic() + 20
        while not list(solver.parent.glob("*.solverstate")):
            assert mpirun.poll() is None and time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        seen = log.read_text().count("waiting for ranks")
        while log.read_text().count("waiting for ranks") == seen:  # and it goes on
            assert mpirun.poll() is None and time.monotonic() < limit, log.read_text()
            time.sleep(0.05)


def test_a_signal_during_rank_0s_test_stops_all(tmp_path, records):
    solver = nets.write_training(
        tmp_path / "run",
        PLAIN,
        source=records,
        batch=4,
        iterations=100,
        extra="test_iter: 1000000 test_interval: 5\n",
    )
    with nets.running(solver, ranks=2, sight="Testing net") as (mpirun, log, ranks):
        os.kill(ranks[0], signal.SIGINT)
        assert mpirun.wait(20) == 0, log.read_text()
    assert [path.name for path in solver.parent.glob("*.caffemodel")] == ["net_iter_0.caffemodel"]


@pytest.mark.parametrize("victim", ["rank 0", "rank 1", "mpirun"])
def test_none_outlives_another(tmp_path, records, victim):
    solver = long_training(tmp_path / "run", records)
    with nets.running(solver, ranks=2, sight=r"Iteration 2 ") as (mpirun, log, ranks):
        if victim == "mpirun":
            mpirun.kill()
        else:
            os.kill(ranks[int(victim[-1])], signal.SIGKILL)
        assert mpirun.wait(15) != 0, log.read_text()
        limit = time.monotonic() + 15
        while any(alive(process) for process in ranks.values()):
            assert time.monotonic() < limit, "a rank is left over"
            time.sleep(0.05)


def alive(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_fault_on_one_rank_stops_all_and_is_told(tmp_path):
    broken = nets.write_records(tmp_path / "lmdb", cut=17)  # an odd place: rank 1's
    solver = nets.write_training(tmp_path / "run", PLAIN, source=broken, batch=4)
    done = nets.train(solver, ranks=2, timeout=30)
    assert done.returncode != 0
    assert "record 0017" in done.stderr or "'0017'" in done.stderr, done.stderr
    assert "cannot be decoded" in done.stderr
    assert re.search(r"Rank 1 of 2 \(process \d+ on .*\) failed", done.stderr)
    assert not list(solver.parent.glob("*.caffemodel"))


def train_with_python(tmp_path, records, name, fault):
    """Train on two ranks with a loss of 0 besides, in whose fourth forward pass rank 1 runs `fault`.

    Return the finished process.
    """
    (tmp_path / "fragile.py").write_text(
        "import os, caffe\n"
        "class Fragile(caffe.Layer):\n"
        "    def setup(self, bottom, top): self.runs = 0\n"
        "    def reshape(self, bottom, top): top[0].reshape(1)\n"
        "    def forward(self, bottom, top):\n"
        "        self.runs += 1\n"
        "        top[0].data[0] = 0\n"
        f"        if self.runs == 4 and '1' in map(os.environ.get, {nets.RANK_VARIABLES}):\n"
        f"            {fault}\n"
        "    def backward(self, top, down, bottom): pass\n"
    )
    layers = PLAIN + (
        'layer { name: "fragile" type: "Python" bottom: "fc" top: "fragile" propagate_down: false\n'
        '  loss_weight: 1 python_param { module: "fragile" layer: "Fragile" } }\n'
    )
    extra = "stop_at_nonfinite_loss: false\n" if name == "goes_on" else ""
    solver = nets.write_training(tmp_path / name, layers, source=records, batch=4, iterations=10, extra=extra)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    settings = ["env", f"PYTHONPATH={path}", "CAFFE_PYTHON_LAYERS=1"]
    return nets.run([*settings, *nets.command(solver, ranks=2)], timeout=40)


def test_an_exception_of_a_python_layer_on_one_rank_stops_all(tmp_path, records):
    done = train_with_python(tmp_path, records, "run", "raise ValueError('enough')")
    assert done.returncode != 0
    assert "ValueError: enough" in done.stderr, done.stderr
    assert re.search(r"Rank 1 of 2 \(process \d+ on .*\) failed", done.stderr)


def test_a_loss_that_is_not_finite_on_one_rank_stops_all_behind_a_snapshot(tmp_path, records):
    done = train_with_python(tmp_path, records, "run", "top[0].data[0] = float('nan')")
    assert done.returncode == 1, done.stderr
    assert re.search(
        r"Rank 1: Iteration 3: the loss is nan\. The first value that is not finite is in blob 'fragile'.*"
        r"For a look at it: \S+/net_iter_3_nonfinite\.caffemodel",
        done.stderr,
    ), done.stderr
    assert sorted(path.name for path in (tmp_path / "run").glob("net_iter*")) == [
        "net_iter_3_nonfinite.caffemodel",
        "net_iter_3_nonfinite.solverstate",
    ]
    # The weights are those before the update, on which all ranks agreed.
    plain = nets.write_training(tmp_path / "plain", PLAIN, source=records, batch=4, iterations=3)
    assert nets.train(plain, ranks=2).returncode == 0
    assert_same(last(plain), last(tmp_path / "run/solver.prototxt"), 1e-6)
    assert train_with_python(tmp_path, records, "goes_on", "top[0].data[0] = float('nan')").returncode == 0


def test_ranks_with_different_nets_are_refused(tmp_path, records):
    solver = nets.write_training(tmp_path / "run", PLAIN, source=records, batch=4)
    net = tmp_path / "run/net.prototxt"
    other = tmp_path / "run/other.prototxt"
    other.write_text(net.read_text().replace("num_output: 6", "num_output: 7"))
    text = solver.read_text()
    (tmp_path / "run/other_solver.prototxt").write_text(text.replace(str(net), str(other)))
    solver.write_text(text)
    choose = tmp_path / "choose"
    caffe = nets.command(solver, ranks=0)[0]
    choose.write_text(
        f"#!/bin/sh\ncd {tmp_path}/run\n"
        "name=solver\n"
        '[ "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}" = 1 ] && name=other_solver\n'
        f'exec {caffe} train -solver "$name.prototxt"\n'
    )
    choose.chmod(0o755)
    done = nets.run(["mpirun", "-n", "2", str(choose)])
    assert done.returncode != 0
    assert "solver or net is not that of rank 0" in done.stderr
