"""pycaffe on today's Python: nets, solvers, weights and snapshots as HDF5, Classifier, io, draw."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from drml.nets.pycaffe import import_caffe

caffe = import_caffe()
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level

NET = """
layer {{ name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param {{
    shape {{ dim: 4 dim: 2 dim: 9 dim: 7 }} shape {{ dim: 4 dim: 3 }}
    data_filler {{ type: "gaussian" std: 1 }} data_filler {{ type: "constant" value: 1 }} }} }}
layer {{ name: "region" type: "Region" bottom: "data" top: "region"
  region_param {{ grid_h: 2 grid_w: 3 weight_filler {{ type: "gaussian" std: 0.1 }} affine: {affine} }} }}
layer {{ name: "score" type: "InnerProduct" bottom: "region" top: "score"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "score" bottom: "label" top: "loss" }}
"""


@pytest.fixture
def net_file(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(affine="true"))
    return path


def write_solver(folder, net_file, **fields):
    solver = caffe_pb2.SolverParameter(
        net=str(net_file),
        base_lr=0.1,
        lr_policy="fixed",
        momentum=0.9,
        weight_decay=0.001,
        random_seed=3,
        snapshot_prefix=str(folder / "snap"),
        **fields,
    )
    path = Path(folder) / "solver.prototxt"
    path.write_text(str(solver))
    return str(path)


def parameters(net):
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}


def assert_equal(ours, theirs):
    assert list(ours) == list(theirs)
    for name in ours:
        for a, b in zip(ours[name], theirs[name], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "Nesterov", "RMSProp", "AdaGrad", "AdaDelta"])
def test_every_solver_lowers_the_loss_and_leaves_the_statistics_to_the_layer(tmp_path, net_file, kind):
    extra = {"RMSProp": {"rms_decay": 0.9, "momentum": 0}, "AdaGrad": {"momentum": 0}}.get(kind, {})
    rate = {"Adam": 0.01, "RMSProp": 0.001, "AdaDelta": 1.0}.get(kind, 0.02)
    file = Path(write_solver(tmp_path, net_file, type=kind))
    text = caffe_pb2.SolverParameter()
    text_format.Parse(file.read_text(), text)
    text.base_lr = rate
    for name, value in extra.items():
        setattr(text, name, value)
    if kind == "AdaDelta":
        text.delta = 1e-3
    file.write_text(str(text))
    solver = caffe.get_solver(str(file))
    solver.step(1)
    first = float(solver.net.blobs["loss"].data)
    solver.step(30)
    assert float(solver.net.blobs["loss"].data) < first
    # 31 forwards: the factor is a sum that only the layer's own average touches.
    factor = solver.net.params["region"][4].data
    np.testing.assert_allclose(factor, sum(0.999**k for k in range(31)), rtol=1e-5)


def test_hdf5_weights_load_into_another_net(tmp_path, net_file):
    solver = caffe.get_solver(write_solver(tmp_path, net_file))
    solver.step(2)
    file = tmp_path / "weights.caffemodel.h5"
    solver.net.save_hdf5(str(file))
    for load in (
        lambda: caffe.Net(str(net_file), caffe.TEST, weights=str(file)),  # told by its content
        lambda: _load_hdf5(net_file, file),
    ):
        assert_equal(parameters(load()), parameters(solver.net))


def _load_hdf5(net_file, file):
    net = caffe.Net(str(net_file), caffe.TEST)
    net.load_hdf5(str(file))
    return net


def test_binary_weights_load_into_another_net(tmp_path, net_file):
    solver = caffe.get_solver(write_solver(tmp_path, net_file))
    solver.step(2)
    file = tmp_path / "weights.caffemodel"
    solver.net.save(str(file))
    net = caffe.Net(str(net_file), caffe.TEST, weights=str(file))
    assert_equal(parameters(net), parameters(solver.net))


@pytest.mark.parametrize("snapshot_format", ["HDF5", "BINARYPROTO"])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_a_snapshot_goes_on_where_it_was_taken(tmp_path, net_file, snapshot_format, kind):
    file = write_solver(
        tmp_path, net_file, type=kind, snapshot_format=getattr(caffe_pb2.SolverParameter, snapshot_format)
    )
    solver = caffe.get_solver(file)
    solver.step(3)
    solver.snapshot()
    suffix = ".h5" if snapshot_format == "HDF5" else ""
    state = tmp_path / f"snap_iter_3.solverstate{suffix}"
    assert state.is_file()
    assert (tmp_path / f"snap_iter_3.caffemodel{suffix}").is_file()

    restored = caffe.get_solver(file)
    restored.restore(str(state))
    assert restored.iter == 3
    assert_equal(parameters(restored.net), parameters(solver.net))
    # The next step needs the solver's history as well; DummyData draws anew, so feed both the same.
    data = np.random.default_rng(0).standard_normal((4, 2, 9, 7)).astype(np.float32)
    for each in (solver, restored):
        each.net.blobs["data"].data[...] = data
        each.net.blobs["label"].data[...] = 1
        each.net.clear_param_diffs()
        each.net.forward(start="region")
        each.net.backward()
        each.apply_update()
    assert_equal(parameters(restored.net), parameters(solver.net))


def test_classifier_returns_the_nets_probabilities(tmp_path):
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(
        """
        layer { name: "data" type: "Input" top: "data"
          input_param { shape { dim: 10 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "score" type: "InnerProduct" bottom: "data" top: "score"
          inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.01 } } }
        layer { name: "prob" type: "Softmax" bottom: "score" top: "prob" }
        """
    )
    weights = tmp_path / "w.caffemodel"
    caffe.Net(str(deploy), caffe.TEST).save(str(weights))
    classifier = caffe.Classifier(str(deploy), str(weights), image_dims=(12, 12), raw_scale=255)
    image = tmp_path / "face.png"
    cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 256, (20, 16, 3), dtype=np.uint8))
    faces = [caffe.io.load_image(str(image))] * 2
    whole = classifier.predict(faces, oversample=False)
    assert whole.shape == (2, 4)
    np.testing.assert_allclose(whole.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(whole[0], whole[1])
    assert classifier.predict(faces, oversample=True).shape == (2, 4)


@pytest.mark.parametrize("color", [True, False])
def test_load_image_reads_colour_and_grey(tmp_path, color):
    image = tmp_path / "face.png"
    bgr = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    cv2.imwrite(str(image), bgr)
    loaded = caffe.io.load_image(str(image), color=color)
    assert loaded.shape == (5, 6, 3 if color else 1)
    assert loaded.dtype == np.float32
    if color:
        np.testing.assert_allclose(loaded * 255, bgr[:, :, ::-1], atol=1e-3)


def test_datum_and_array_pass_into_each_other():
    array = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    datum = caffe.io.array_to_datum(array, 2)
    assert datum.label == 2
    back = caffe.io.datum_to_array(datum)
    np.testing.assert_array_equal(back, array)
    back[0, 0, 0] = 1  # an array of its own, to write into


def test_draw_knows_our_layers(net_file):
    from caffe import draw

    net = text_format.Parse(net_file.read_text(), caffe_pb2.NetParameter())
    picture = draw.draw_net(net, "LR", ext="svg")
    assert b"Region" in picture
    assert b"MultiLabelSigmoidCrossEntropyLoss" in picture


def test_layers_are_known_with_no_flag():
    assert {"Region", "MultiLabelData", "MultiLabelSigmoidCrossEntropyLoss"} <= set(caffe.layer_type_list())


def test_weights_beyond_half_a_gigabyte_load(tmp_path):
    """LCN's have 565 MB."""
    path = tmp_path / "wide.prototxt"
    path.write_text(
        """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 14000 } } }
layer { name: "wide" type: "InnerProduct" bottom: "data" top: "wide"
  inner_product_param { num_output: 10000 bias_term: false } }
"""
    )
    weights = tmp_path / "wide.caffemodel"
    net = caffe.Net(str(path), caffe.TEST)
    net.params["wide"][0].data[-1, -2:] = 0.5, -2
    net.save(str(weights))
    del net
    assert weights.stat().st_size > 536_870_912
    read = caffe.Net(str(path), caffe.TEST, weights=str(weights)).params["wide"][0].data
    assert read[-1, -2:].tolist() == [0.5, -2] and not read[:-1].any()
    weights.unlink()
