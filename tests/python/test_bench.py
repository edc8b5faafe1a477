"""tools/bench: its networks are the models', and its tables' arithmetic. Nothing here is timed."""

import sys
from pathlib import Path

import pytest

from drml.nets.pycaffe import import_caffe

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/bench"))
caffe = import_caffe()

import architecture  # noqa: E402  (tools/bench is no package)
import caffe_nets  # noqa: E402
import gpu  # noqa: E402
import numpy as np  # noqa: E402
import table  # noqa: E402
from caffe_system import set_weights  # noqa: E402


def deploy(model):
    return ROOT / "models" / model / "deploy.prototxt"


@pytest.mark.parametrize("model", [*architecture.MODELS, "lcn"])
def test_traced_shapes_are_caffes(model):
    layers = architecture.read_layers(deploy(model))
    net = caffe.Net(str(deploy(model)), caffe.TEST)
    for layer, shape in zip(layers, architecture.trace_shapes(layers), strict=True):
        if layer["name"] in net.blobs:
            assert net.blobs[layer["name"]].data.shape[1:] == shape, layer["name"]


@pytest.mark.parametrize(
    ("model", "learned"), [("convnet", 56_271_564), ("lcn", 141_227_132), ("alexnet", 56_917_388)]
)
def test_baselines_have_the_papers_parameters(model, learned):
    for path, phase in ((deploy(model), caffe.TEST),):
        net = caffe.Net(str(path), phase)
        assert sum(blob.count for blobs in net.params.values() for blob in blobs) == learned


def test_multiply_adds_of_drml_and_training_leaves_out_the_images_gradient():
    layers = architecture.read_layers(deploy("drml"))
    counts = architecture.multiply_adds(layers)
    assert counts["conv1"] == 32 * 160 * 160 * 3 * 11 * 11
    assert counts["region2"] == 32 * 160 * 160 * 32 * 9
    assert counts["fc10"] == 2048 * 12
    assert architecture.training_flops(layers) == 2 * (3 * sum(counts.values()) - counts["conv1"])


def test_drawn_weights_have_the_shapes_of_caffes():
    layers = architecture.read_layers(deploy("lcn"))
    # The fully connected layers are Caffe's own and large.
    layers = layers[: next(i for i, layer in enumerate(layers) if layer["name"] == "fc8")]
    weights = architecture.draw_weights(layers)
    net = caffe.Net(str(deploy("lcn")), caffe.TEST)
    for name in ("conv4", "conv5", "conv6", "conv7"):
        shapes = [blob.data.shape for blob in net.params[name]]
        assert shapes == [weights[f"{name}.0"].shape, weights[f"{name}.1"].shape]
    # As spread as those of a convolution of the same kernel.
    assert weights["conv5.0"].std() == pytest.approx((2 / (16 * 8 * 8)) ** 0.5, rel=0.01)


def test_stock_graph_computes_what_region_computes(tmp_path):
    """Uneven values, two images; the first layers only, as the rest is the same."""
    layers = architecture.read_layers(deploy("drml"))[:3]
    weights = architecture.draw_weights(layers)
    images = architecture.draw_images(layers, 2)
    outputs = []
    for stock in (False, True):
        param = caffe_nets.test_net(deploy("drml"), 2, stock)
        last = next(i for i, layer in enumerate(param.layer) if layer.name == "relu2")
        del param.layer[last:]
        path = tmp_path / f"{stock}.prototxt"
        path.write_text(str(param))
        net = caffe.Net(str(path), caffe.TEST)
        for layer in layers:
            set_weights(net, layer, weights, stock)
        net.blobs["data"].data[...] = images
        net.forward()
        outputs.append(net.blobs["region2"].data.copy())
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)
    assert outputs[0].std() > 0.1


def test_training_net_has_inputs_in_place_of_data():
    path = ROOT / "models/drml/train_val.prototxt"
    plain, stock = (caffe_nets.training_net(path, 3, [3, 170, 170], 12, stock) for stock in (False, True))
    assert list(plain.layer[0].input_param.shape[0].dim) == [3, 3, 170, 170]
    assert list(plain.layer[0].input_param.shape[1].dim) == [3, 12]
    assert {layer.type for layer in plain.layer} - {layer.type for layer in stock.layer} == {"Region"}
    assert sum(layer.type == "BatchNorm" for layer in stock.layer) == 64


def test_summary_and_ratio():
    result = table.summarize([0.004, 0.001, 0.003, 0.002, 0.005])
    assert result == pytest.approx({"median_ms": 3, "low_ms": 2, "high_ms": 4})
    systems = {
        "caffe": {"median_ms": 40.0},
        "caffe-plain": {"median_ms": 10.0},
        "torch": {"median_ms": 100.0},
        "tensorflow": {"median_ms": 80.0},
        "openvino": {"missing": "No module named 'openvino'"},
    }
    assert table.best_peer(systems) == "tensorflow"
    assert table.ratio(systems, "tensorflow") == pytest.approx(0.5)
    assert table.ratio(systems, "openvino") is None
    assert table.ratio({"caffe": {"median_ms": 1.0}}, None) is None


def test_bfloat16_is_no_peer_in_float32_but_has_a_verdict_of_its_own():
    cell = {"model": "drml", "mode": "inference", "batch": 16, "threads": 2, "gflop": 1.0}
    cell["systems"] = {
        "caffe": {"median_ms": 40.0},
        "openvino": {"median_ms": 100.0},
        "openvino-bfloat16": {"median_ms": 50.0},
    }
    assert table.verdicts(cell) == [
        "0.40 of OpenVINO, goal at most 0.38: missed.",
        "0.80 of OpenVINO, bfloat16, goal at most 0.65: missed.",
    ]
    assert table.verdicts(cell | {"batch": 1}) == [
        "0.40 of OpenVINO, goal at most 0.55: met.",
        "0.80 of OpenVINO, bfloat16, goal at most 0.95: met.",
    ]
    assert table.verdicts(cell | {"model": "lcn"}) == ["0.40 of OpenVINO.", "0.80 of OpenVINO, bfloat16."]


def test_a_cell_names_what_is_missing_and_says_whether_the_goal_is_met():
    result = {"version": "1", "median_ms": 40.0, "low_ms": 39.0, "high_ms": 41.0}
    cell = {"model": "drml", "mode": "train", "batch": 16, "threads": 2, "gflop": 20.0}
    cell["systems"] = {
        "caffe": result,
        "torch": result | {"median_ms": 100.0},
        "tensorflow": {"missing": "No module named 'tensorflow'"},
    }
    text = table.cell_markdown(cell, 1000)
    assert "missing: No module named 'tensorflow'" in text
    assert "goal at most 0.20: missed" in text
    assert "| 400.0 | 50% | 0.40 |" in text


def test_locally_connected_is_held_against_the_traffic_of_its_weights():
    local = {"read": 10.0, "update": 12.0, "forward": 15.0, "data": 25.0, "weights": 18.0, "backward": 44.0}
    report = {"model": "lcn", "batch": 16, "threads": 2, "cpu": "a CPU", "peak_gflops": 200.0}
    report |= {"rows": [], "total_ms": 100.0, "update_ms": 50.0, "probes": {}, "bare": {}}
    report["local"] = {f"{name}_milliseconds": value for name, value in local.items()}
    text = table.layers_markdown(report)
    assert "conv5 forward, its weights read once: 15.0 ms against 10.0, 1.50x" in text
    assert "bottom diff, its weights read once: 25.0 ms against 10.0, 2.50x" in text
    assert "weight diff, read and written once: 18.0 ms against 12.0, 1.50x" in text
    assert "conv5 backward, all of these: 44.0 ms against 22.0, 2.00x" in text


# --- gpu.py


def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path)])
    gpu.main()
    assert capsys.readouterr().out == "GPU: none here, so nothing was timed on one.\n"


def fake_caffe(tmp_path: Path, text: str, status: int) -> Path:
    program = tmp_path / "caffe"
    program.write_text(f"#!/bin/sh\necho '{text}' >&2\nexit {status}\n")
    program.chmod(0o755)
    return program


def test_caffe_time_is_read(tmp_path: Path) -> None:
    text = (
        "I1125 caffe.cpp:408] Average Forward pass: 12.5 ms.\n"
        "I1125 caffe.cpp:410] Average Backward pass: 20.25 ms.\n"
        "I1125 caffe.cpp:412] Average Forward-Backward: 33 ms."
    )
    found = gpu.time_caffe(fake_caffe(tmp_path, text, 0), "drml", 2, 1, "cuda", tmp_path)
    assert found == {"Forward pass": 12.5, "Backward pass": 20.25, "Forward-Backward": 33.0}


def test_a_caffe_that_fails_is_named_with_its_last_word(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"caffe time .*-gpu 0 failed: F1125 out of memory"):
        gpu.time_caffe(fake_caffe(tmp_path, "F1125 out of memory", 1), "drml", 2, 1, "cuda", tmp_path)
