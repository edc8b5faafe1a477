"""pycaffe's nets, blobs, layers and solvers, compared with NumPy."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pycaffe_names import caffe, runs

RNG = np.random.default_rng(0)
NET = """
input: "a" input_shape { dim: 2 dim: 3 } input: "b" input_shape { dim: 2 dim: 4 }
layer { name: "one" type: "InnerProduct" bottom: "a" top: "one"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 1 }
    bias_filler { type: "constant" value: 0.5 } } }
layer { name: "sum" type: "Eltwise" bottom: "one" bottom: "b" top: "sum" }
layer { name: "relu" type: "ReLU" bottom: "sum" top: "out" }
"""


@pytest.fixture
def net(tmp_path: Path) -> caffe.Net:
    (tmp_path / "net.prototxt").write_text(NET)
    return caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def expected(net: caffe.Net, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    weights, bias = (blob.data.astype(float) for blob in net.params["one"])
    return np.maximum(a @ weights.T + bias + b, 0)


def inputs(rows: int) -> dict[str, np.ndarray]:
    return {name: RNG.standard_normal((rows, n)).astype(np.float32) for name, n in (("a", 3), ("b", 4))}


@runs("_caffe.Net", "_caffe.Net.blobs", "_caffe.Net.params", "_caffe.Net.inputs", "_caffe.Net.outputs")
@runs("_caffe.Net.top_names", "_caffe.Net.bottom_names", "_caffe.Net.layer_dict", "_caffe.Net.layers")
@runs("_caffe.Net.blob_loss_weights")
def test_a_net_tells_what_it_consists_of(net: caffe.Net, tmp_path: Path) -> None:
    assert net.inputs == ["a", "b"] and net.outputs == ["out"]
    assert list(net.blobs) == ["a", "b", "one", "sum", "out"]
    assert list(net.params) == ["one"]
    assert [blob.data.shape for blob in net.params["one"]] == [(4, 3), (4,)]
    np.testing.assert_array_equal(net.params["one"][1].data, [0.5] * 4)
    assert dict(net.top_names) == {"input": ["a", "b"], "one": ["one"], "sum": ["sum"], "relu": ["out"]}
    assert dict(net.bottom_names) == {"input": [], "one": ["a"], "sum": ["one", "b"], "relu": ["sum"]}
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "Eltwise", "ReLU"]
    assert net.layer_dict["sum"].type == "Eltwise"
    assert dict(net.blob_loss_weights) == dict.fromkeys(net.blobs, 0)
    (tmp_path / "loss.prototxt").write_text(
        NET + 'layer { name: "l" type: "EuclideanLoss" bottom: "out" bottom: "b" top: "l" loss_weight: 0.25 }'
    )
    loss = caffe.Net(str(tmp_path / "loss.prototxt"), caffe.TEST)
    assert dict(loss.blob_loss_weights) == {**dict.fromkeys(loss.blobs, 0), "l": 0.25}


@runs("_caffe.Net.forward")
def test_forward_computes_the_net_and_parts_of_it(net: caffe.Net) -> None:
    given = inputs(2)
    found = net.forward(blobs=["sum"], **given)
    assert set(found) == {"sum", "out"}
    np.testing.assert_allclose(found["out"], expected(net, **given), rtol=1e-5, atol=1e-6)
    assert net.forward(end="one").keys() == {"one"}
    net.blobs["sum"].data[...] = -1
    assert not net.forward(start="relu")["out"].any()
    with pytest.raises(Exception, match="do not match"):
        net.forward(a=given["a"])
    with pytest.raises(Exception, match="not batch sized"):
        net.forward(**inputs(3))


@runs("_caffe.Net.backward", "_caffe.Net.clear_param_diffs")
def test_backward_computes_gradients(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    given, top = inputs(2), RNG.standard_normal((2, 4)).astype(np.float32)
    net.forward(**given)
    net.clear_param_diffs()
    found = net.backward(diffs=["one"], out=top)
    through = top * (expected(net, **given) > 0)
    weights = net.params["one"][0]
    for name, gradient in (("one", through), ("b", through), ("a", through @ weights.data)):
        np.testing.assert_allclose(found[name], gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weights.diff, through.T @ given["a"], rtol=1e-5, atol=1e-6)
    net.clear_param_diffs()
    assert not weights.diff.any()


@runs("_caffe.Net.forward_all", "_caffe.Net.forward_backward_all")
def test_more_rows_than_a_batch_are_computed_in_batches(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    given, top = inputs(5), RNG.standard_normal((5, 4)).astype(np.float32)
    out = expected(net, **given)
    found = net.forward_all(blobs=["sum"], **given)
    np.testing.assert_allclose(found["out"], out, rtol=1e-5, atol=1e-6)
    assert found["sum"].shape == (5, 4)
    # One blob, three gradients: all of them are arrays of five rows.
    blobs, gradients = net.forward_backward_all(diffs=["one"], out=top, **given)
    np.testing.assert_allclose(blobs["out"], out, rtol=1e-5, atol=1e-6)
    through = top * (out > 0)
    weights = net.params["one"][0].data
    for name, gradient in (("one", through), ("b", through), ("a", through @ weights)):
        np.testing.assert_allclose(gradients[name], gradient, rtol=1e-5, atol=1e-6)


@runs("_caffe.Net.save", "_caffe.Net.copy_from", "_caffe.Net.save_hdf5", "_caffe.Net.load_hdf5")
@runs("_caffe.Net.share_with")
def test_weights_are_saved_copied_and_shared(net: caffe.Net, tmp_path: Path) -> None:
    net.save(str(tmp_path / "w.caffemodel"))
    net.save_hdf5(str(tmp_path / "w.h5"))
    kept = net.params["one"][0].data.copy()
    for load in ("copy_from", "load_hdf5"):
        other = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        assert not np.array_equal(other.params["one"][0].data, kept)
        getattr(other, load)(str(tmp_path / ("w.h5" if load == "load_hdf5" else "w.caffemodel")))
        np.testing.assert_array_equal(other.params["one"][0].data, kept)
    other.share_with(net)
    net.params["one"][0].data[0, 0] = 42
    assert other.params["one"][0].data[0, 0] == 42


@runs("_caffe.Net.reshape", "_caffe.Blob", "_caffe.Blob.reshape", "_caffe.Blob.shape", "_caffe.Blob.count")
@runs("_caffe.Blob.num", "_caffe.Blob.channels", "_caffe.Blob.height", "_caffe.Blob.width")
@runs("_caffe.Blob.data", "_caffe.Blob.diff", "_caffe.BlobVec.add_blob")
def test_blobs_take_another_shape(net: caffe.Net) -> None:
    for name, columns in (("a", 3), ("b", 4)):
        net.blobs[name].reshape(5, columns)
    net.reshape()
    assert net.blobs["out"].data.shape == (5, 4)
    given = inputs(5)
    np.testing.assert_allclose(net.forward(**given)["out"], expected(net, **given), rtol=1e-5, atol=1e-6)
    blobs = caffe._caffe.BlobVec()
    blobs.add_blob(2, 3, 4, 5)
    blob = blobs[0]
    assert list(blob.shape) == [2, 3, 4, 5] and blob.count == 120
    assert (blob.num, blob.channels, blob.height, blob.width) == (2, 3, 4, 5)
    assert blob.data.shape == blob.diff.shape == (2, 3, 4, 5)
    blob.data[1, 2] = 7  # a view of the blob's memory
    assert blob.data.sum() == 7 * 20 and not blob.diff.any()


@runs("_caffe.Net.before_forward", "_caffe.Net.after_forward")
@runs("_caffe.Net.before_backward", "_caffe.Net.after_backward")
def test_callbacks_come_before_and_after_each_layer(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + NET)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    calls: list[tuple[str, int]] = []
    for hook in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, hook)(lambda layer, hook=hook: calls.append((hook, layer)))
    net.forward()
    net.backward()
    assert [layer for hook, layer in calls if hook == "before_forward"] == [0, 1, 2, 3]
    assert calls[:2] == [("before_forward", 0), ("after_forward", 0)]
    assert [layer for hook, layer in calls if hook == "before_backward"] == [3, 2, 1, 0]
    assert calls[-2:] == [("before_backward", 0), ("after_backward", 0)]
    assert len(calls) == 16


@runs("_caffe.Net.set_input_arrays")
def test_arrays_in_memory_are_a_nets_data(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        """layer { name: "data" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""
    )
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    data, labels = RNG.standard_normal((4, 3, 4, 5)).astype(np.float32), np.arange(4, dtype=np.float32)
    net.set_input_arrays(data, labels)
    for first in (0, 2, 0):
        tops = net.forward()
        np.testing.assert_array_equal(tops["data"], data[first : first + 2])
        np.testing.assert_array_equal(tops["label"].ravel(), labels[first : first + 2])


VECTORS = ("BlobVec", "RawBlobVec", "LayerVec", "StringVec", "IntVec", "DtypeVec", "NetVec", "BoolVec")


@runs(*(f"_caffe.{name}.{method}" for name in VECTORS for method in ("append", "extend")))
@runs(*(f"_caffe.{name}" for name in VECTORS))
def test_vectors_take_items(net: caffe.Net) -> None:
    blobs, layers = [net.blobs["a"], net.blobs["b"]], [net.layers[0], net.layers[1]]
    items = (blobs, blobs, layers, ["x", "y"], [1, 2], [0.5, 1.5], [net, net], [True, False])
    for name, (first, second) in zip(VECTORS, items, strict=True):
        vector = getattr(caffe._caffe, name)()
        vector.append(first)
        vector.extend([second])
        assert len(vector) == 2
        if name == "BlobVec":
            assert [list(blob.shape) for blob in vector] == [[2, 3], [2, 4]]
        elif name == "LayerVec":
            assert [layer.type for layer in vector] == ["Input", "InnerProduct"]
        elif name == "NetVec":
            assert [each.inputs for each in vector] == [["a", "b"]] * 2
        elif name != "RawBlobVec":
            assert list(vector) == [first, second]


# --- solvers

SOLVER = """
net: "{net}" base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 5 random_seed: 3 display: 7
layer_wise_reduce: false test_iter: 1 test_interval: 100 test_initialization: false
snapshot_prefix: "{folder}/s" snapshot_after_train: false type: "{type}"
"""
TRAIN = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
  data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z" inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
"""


def write_solver(folder: Path, kind: str) -> str:
    (folder / "train.prototxt").write_text(TRAIN)
    text = SOLVER.format(net=folder / "train.prototxt", folder=folder, type=kind)
    (folder / "solver.prototxt").write_text(text)
    return str(folder / "solver.prototxt")


def by_hand(kind: str, steps: int) -> np.ndarray:
    """Return weights and bias after steps by the formulas of the papers, with a delta of 1e-8."""
    x = np.array([0.5, 0.5, 0.5, 1.0])  # all rows are the same; the last is the bias's
    w, m, v = np.zeros((3, 4))
    for t in range(1, steps + 1):
        rate = 0.1 * 0.5 ** ((t - 1) // 2)
        g = (w @ x - 1) * x
        if kind == "Adam":
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            w = w - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        elif kind == "AdaGrad":
            v = v + g**2
            w = w - rate * g / (np.sqrt(v) + 1e-8)
        elif kind == "RMSProp":
            v = 0.9 * v + 0.1 * g**2
            w = w - rate * g / (np.sqrt(v) + 1e-8)
        elif kind == "AdaDelta":
            v = 0.9 * v + 0.1 * g**2
            step = g * np.sqrt((m + 1e-8) / (v + 1e-8))
            m = 0.9 * m + 0.1 * step**2
            w = w - rate * step
        else:
            before, m = m, 0.9 * m + rate * g
            w = w - (1.9 * m - 0.9 * before if kind == "Nesterov" else m)
    return w


SETTINGS = {
    "SGD": "momentum: 0.9",
    "Nesterov": "momentum: 0.9",
    "Adam": "momentum: 0.9 momentum2: 0.999",
    "AdaGrad": "",
    "RMSProp": "rms_decay: 0.9",
    "AdaDelta": "momentum: 0.9",
}


@runs("_caffe.SGDSolver", "_caffe.NesterovSolver", "_caffe.AdamSolver", "_caffe.AdaGradSolver")
@runs("_caffe.RMSPropSolver", "_caffe.AdaDeltaSolver", "_caffe.get_solver", "_caffe.Solver")
@runs("_caffe.Solver.step", "_caffe.Solver.iter", "_caffe.Solver.net", "_caffe.SGDSolver.lr")
@pytest.mark.parametrize("kind", SETTINGS)
def test_every_solver_takes_the_steps_of_its_formula(kind: str, tmp_path: Path) -> None:
    file = write_solver(tmp_path, kind)
    with Path(file).open("a") as text:
        text.write(SETTINGS[kind] + " delta: 1e-8")
    for solver in (caffe.get_solver(file), getattr(caffe, f"{kind}Solver")(file)):
        solver.step(3)
        solver.step(1)
        assert solver.iter == 4
        weights, bias = (blob.data for blob in solver.net.params["ip"])
        found = np.append(weights.ravel(), bias)
        # AdaDelta's first steps are near the square root of float's smallest differences.
        np.testing.assert_allclose(found, by_hand(kind, 4), rtol=1e-3 if kind == "AdaDelta" else 1e-5)
        if kind == "SGD":
            assert solver.lr == pytest.approx(0.025)  # of the next step


@runs("_caffe.Solver.solve", "_caffe.Solver.test_nets", "_caffe.Solver.param")
@runs("_caffe.SolverParameter", "_caffe.SolverParameter.max_iter", "_caffe.SolverParameter.display")
@runs("_caffe.SolverParameter.layer_wise_reduce", "_caffe.SolverParameter.base_lr")
@runs("_caffe.Solver.snapshot", "_caffe.Solver.restore", "_caffe.Solver.share_weights")
def test_a_solver_solves_and_resumes(tmp_path: Path) -> None:
    file = write_solver(tmp_path, "SGD")
    solver = caffe.SGDSolver(file)
    param = solver.param
    assert (param.max_iter, param.display, param.layer_wise_reduce) == (5, 7, False)
    assert param.base_lr == pytest.approx(0.1)
    solver.step(2)
    solver.snapshot()
    solver.solve()
    assert solver.iter == 5
    resumed = caffe.SGDSolver(file)
    resumed.restore(str(tmp_path / "s_iter_2.solverstate"))
    assert resumed.iter == 2
    resumed.solve()
    again = caffe.SGDSolver(file)
    again.solve(str(tmp_path / "s_iter_2.solverstate"))
    for other in (resumed, again):
        assert other.iter == 5
        np.testing.assert_array_equal(other.net.params["ip"][0].data, solver.net.params["ip"][0].data)
    assert len(solver.test_nets) == 1
    test = caffe.Net(str(tmp_path / "train.prototxt"), caffe.TEST)
    solver.share_weights(test)
    solver.net.params["ip"][0].data[...] = 3
    np.testing.assert_array_equal(test.params["ip"][0].data, [[3, 3, 3]])
    param.base_lr = 0
    solver.step(1)
    np.testing.assert_array_equal(test.params["ip"][0].data, [[3, 3, 3]])


@runs("_caffe.Solver.add_callback", "_caffe.Solver.apply_update")
def test_callbacks_come_around_a_step(tmp_path: Path) -> None:
    solver = caffe.SGDSolver(write_solver(tmp_path, "SGD"))
    weights = solver.net.params["ip"][0]
    seen: list[tuple[str, float]] = []
    solver.add_callback(
        lambda: seen.append(("start", float(weights.data[0, 0]))),
        lambda: seen.append(("gradients", float(weights.diff[0, 0]))),
    )
    solver.step(2)
    assert [name for name, _ in seen] == ["start", "gradients"] * 2
    first, gradient, second, _ = (value for _, value in seen)
    assert first == 0 and gradient == pytest.approx(-0.5)
    assert second == pytest.approx(0.05)
    weights.data[...], weights.diff[...] = 1, 2
    solver.apply_update()
    np.testing.assert_allclose(weights.data, 1 - 0.05 * 2, rtol=1e-6)  # the third step's rate


# --- the rest of the module


@runs("_caffe.layer_type_list")
def test_the_layers_are_those_of_the_messages() -> None:
    found = set(caffe.layer_type_list())
    assert {"Convolution", "Region", "LocallyConnected", "MultiLabelData", "Python"} <= found
    known = {name for name in caffe.net_spec.param_name_dict() if name in found}
    assert {"Region", "MultiLabelData", "InnerProduct", "Pooling"} <= known


@runs("_caffe.set_random_seed", "_caffe.set_mode_cpu")
def test_a_seed_determines_the_weights(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_mode_cpu()

    def weights(seed: int) -> np.ndarray:
        caffe.set_random_seed(seed)
        made = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        return made.params["one"][0].data.copy()

    np.testing.assert_array_equal(weights(1), weights(1))
    assert not np.array_equal(weights(1), weights(2))


@runs("_caffe.solver_count", "_caffe.set_solver_count", "_caffe.solver_rank", "_caffe.set_solver_rank")
@runs("_caffe.set_multiprocess", "_caffe.has_nccl", "_caffe.NCCL")
def test_the_place_among_several_solvers(tmp_path: Path) -> None:
    try:
        caffe.set_solver_count(3)
        caffe.set_solver_rank(2)
        caffe.set_multiprocess(True)
        assert (caffe.solver_count(), caffe.solver_rank()) == (3, 2)
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)
        caffe.set_multiprocess(False)
    if caffe.has_nccl():
        assert {"new_uid", "bcast"} <= set(dir(caffe.NCCL))
    else:  # a class without methods, so that scripts that name it can be imported
        caffe.NCCL(caffe.SGDSolver(write_solver(tmp_path, "SGD")), "")
        assert not hasattr(caffe.NCCL, "bcast")


@runs("_caffe.Timer", "_caffe.Timer.start", "_caffe.Timer.stop", "_caffe.Timer.ms")
def test_a_timer_measures_time() -> None:
    timer, before = caffe.Timer(), time.perf_counter()
    timer.start()
    time.sleep(0.05)
    timer.stop()
    assert 45 <= timer.ms <= (time.perf_counter() - before) * 1000 + 1


def child(code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "import caffe\n" + code], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr


@runs("_caffe.init_log", "_caffe.log")
def test_the_log_has_levels() -> None:
    for call, shown in (("0", True), ("0, True", True), ("2, True", False)):
        status, said = child(f"caffe.init_log({call}); caffe.log('a line of mine')")
        assert status == 0
        assert ("a line of mine" in said) == (shown and "True" in call), (call, said)


@runs("_caffe.set_mode_gpu", "_caffe.set_device")
def test_a_build_for_the_cpu_has_no_gpu(net: caffe.Net, tmp_path: Path) -> None:
    if hasattr(net.blobs["a"], "_gpu_data_ptr"):
        pytest.skip("this build is for GPUs")
    for code in ("caffe.set_mode_gpu()", "caffe.set_device(0)"):
        status, said = child(
            f"net = {str(tmp_path / 'net.prototxt')!r}; caffe.init_log(2, True); {code}\n"
            "caffe.Net(net, caffe.TEST).forward()"
        )
        assert status == 1 and "Cannot use GPU in CPU-only Caffe" in said


@runs("_caffe.Layer", "_caffe.Layer.blobs", "_caffe.Layer.setup", "_caffe.Layer.reshape", "_caffe.Layer.type")
@runs("_caffe.LayerParameter")
def test_a_layer_in_python_computes_and_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scale_by_a_blob.py").write_text(
        """
import caffe

class Scale(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[...] = float(self.param_str)
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data * self.blobs[0].data[0]
    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[...] = (top[0].diff * bottom[0].data).sum()
        assert list(propagate_down) == [True]
        bottom[0].diff[...] = top[0].diff * self.blobs[0].data[0]
"""
    )
    (tmp_path / "net.prototxt").write_text(
        """force_backward: true input: "x" input_shape { dim: 2 dim: 3 }
        layer { name: "scale" type: "Python" bottom: "x" top: "y"
          python_param { module: "scale_by_a_blob" layer: "Scale" param_str: "2.5" } }"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CAFFE_PYTHON_LAYERS", "1")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    x, top = RNG.standard_normal((2, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(net.forward(x=x)["y"], 2.5 * x)
    np.testing.assert_allclose(net.backward(y=top)["x"], 2.5 * top)
    np.testing.assert_allclose(net.params["scale"][0].diff, [(x * top).sum()], rtol=1e-5)
    assert net.layer_dict["scale"].type == "Python"
