"""drml.nets.onnx_export: each layer by itself in ONNX Runtime, against Caffe."""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import expit

from drml.io.errors import UserError
from drml.nets.onnx_export import lrn, region
from drml.nets.onnx_export.build import build_graph
from drml.nets.onnx_export.graph import BATCH
from drml.nets.onnx_export.layers import CONVERTERS
from drml.nets.probe import probe_net
from drml.nets.pycaffe import import_caffe

caffe = import_caffe()


def fill(net, seed=0):
    """Draw all parameters; a Region's running statistics, before and with the blob of one value, as sums."""
    rng = np.random.default_rng(seed)
    for blobs in net.params.values():
        for blob in blobs:
            blob.data[...] = rng.standard_normal(blob.shape)
        for mean, variance, factor in zip(blobs, blobs[1:], blobs[2:], strict=False):
            if tuple(factor.shape) == (1,):
                factor.data[...] = 7.25
                mean.data[...] *= 7.25
                variance.data[...] = 7.25 * rng.uniform(0.2, 3, variance.shape)


def make_net(tmp_path, layer, shape, prepare=fill):
    """Return the prototxt and the net: an input of C x H x W, the layer, and a sigmoid."""
    deploy = tmp_path / "deploy.prototxt"
    axes = " ".join(f"dim: {size}" for size in (2, *shape))
    deploy.write_text(
        'name: "one"\n'
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {axes} }} }} }}\n'
        f'layer {{ name: "it" bottom: "data" top: "it" {layer} }}\n'
        'layer { name: "prob" type: "Sigmoid" bottom: "it" top: "prob" }\n'
    )
    net = caffe.Net(str(deploy), caffe.TEST)
    prepare(net)
    return deploy, net


def export(deploy, net):
    """Export and check; return the graph, and what runs it: scores and probabilities, one row per input."""
    shape = tuple(net.blobs["data"].shape)[1:]
    graph, _ = build_graph(deploy, SimpleNamespace(net=net, input_shape=shape))
    count = int(np.prod(net.blobs["it"].shape[1:]))
    outputs = [(name, [BATCH, count], "") for name in ("scores", "probabilities")]
    model = graph.model("one", [("data", [BATCH, *shape], "")], outputs)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return graph, lambda batch: session.run(["scores", "probabilities"], {"data": batch})


def check(tmp_path, layer, shape, prepare=fill):
    """Hold the exported layer against Caffe, for two sizes of batch through one graph; return that."""
    deploy, net = make_net(tmp_path, layer, shape, prepare)
    graph, run = export(deploy, net)
    inputs = (2 * np.random.default_rng(1).standard_normal((3, *shape))).astype(np.float32)
    for batch in (inputs[:2], inputs):
        net.blobs["data"].reshape(*batch.shape)
        net.reshape()
        net.blobs["data"].data[...] = batch
        net.forward()
        expected = net.blobs["it"].data.reshape(len(batch), -1).copy()
        assert np.abs(expected).max() > 1e-2
        scores, probabilities = run(batch)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()))
        np.testing.assert_allclose(probabilities, expit(expected), atol=1e-4)
    return graph


# --- plain ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        "num_output: 6 kernel_size: 3",
        "num_output: 6 kernel_h: 3 kernel_w: 5 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 2 group: 2",
        "num_output: 3 kernel_size: 2 kernel_size: 4 stride: 3 stride: 2 pad: 0 pad: 3 bias_term: false",
        "num_output: 2 kernel_size: 3 dilation: 2 dilation: 3 pad: 1",
    ],
)
def test_convolution(tmp_path, parameters):
    check(tmp_path, f'type: "Convolution" convolution_param {{ {parameters} }}', (4, 9, 13))


@pytest.mark.parametrize("shape", [(4, 3, 5), (7,)])
@pytest.mark.parametrize(
    "parameters", ["num_output: 6", "num_output: 5 bias_term: false", "num_output: 4 transpose: true"]
)
def test_inner_product(tmp_path, shape, parameters):
    check(tmp_path, f'type: "InnerProduct" inner_product_param {{ {parameters} }}', shape)


@pytest.mark.parametrize(
    "parameters",
    [
        "local_size: 5 alpha: 0.0001 beta: 0.75",
        # Where alpha was not divided by the size, or the window cut otherwise, this would be far off.
        "local_size: 5 alpha: 2.5 beta: 0.75",
        "local_size: 3 alpha: 1.5 beta: 0.4 k: 2.5",
        "local_size: 9 alpha: 1.5 beta: 1.2 k: 0.5",
    ],
)
def test_lrn(tmp_path, parameters):
    check(tmp_path, f'type: "LRN" lrn_param {{ {parameters} }}', (7, 4, 5))


@pytest.mark.parametrize("form", [lrn.as_node, lrn.by_roots])
def test_both_forms_of_lrn_agree(tmp_path, monkeypatch, form):
    monkeypatch.setitem(CONVERTERS, "LRN", form)
    check(tmp_path, 'type: "LRN" lrn_param { local_size: 5 alpha: 2.5 beta: 0.75 k: 0.5 }', (7, 4, 5))


@pytest.mark.parametrize(
    "layer", ['type: "ReLU"', 'type: "ReLU" relu_param { negative_slope: 0.3 }', 'type: "Sigmoid"']
)
def test_functions_of_single_values(tmp_path, layer):
    check(tmp_path, layer, (3, 4, 5))


def test_dropout_is_no_node(tmp_path):
    graph = check(
        tmp_path,
        'type: "InnerProduct" inner_product_param { num_output: 6 } }'
        ' layer { name: "drop" type: "Dropout" bottom: "it" top: "it" dropout_param { dropout_ratio: 0.5 }',
        (4, 3, 5),
    )
    assert [node.op_type for node in graph.nodes] == ["Flatten", "Gemm", "Sigmoid"]


# --- pooling --------------------------------------------------------------------------------------------

POOLINGS = [
    ("kernel_size: 2 stride: 2", (3, 8, 6)),  # nothing hangs over
    ("kernel_size: 3 stride: 2", (2, 8, 10)),  # the last window hangs over by one
    ("kernel_size: 3 stride: 2 pad: 1", (2, 7, 8)),
    ("kernel_size: 2 stride: 2 pad: 1", (2, 7, 9)),  # the last window would start beyond: left out
    ("kernel_size: 2 stride: 3", (2, 5, 7)),  # pixels between the windows
    ("kernel_size: 2 stride: 3 pad: 1", (2, 5, 7)),  # a last row in no window
    ("kernel_size: 5 stride: 4 pad: 3", (2, 9, 12)),
    ("kernel_h: 4 kernel_w: 2 stride_h: 3 stride_w: 1 pad_h: 2 pad_w: 0", (2, 9, 5)),
    ("global_pooling: true", (3, 5, 4)),
    ("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 8, 6)),
    ("kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR", (2, 6, 8)),
]


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(("parameters", "shape"), POOLINGS)
def test_pooling(tmp_path, pool, parameters, shape):
    check(tmp_path, f'type: "Pooling" pooling_param {{ pool: {pool} {parameters} }}', shape)


@pytest.mark.parametrize("seed", range(12))
def test_pooling_of_any_geometry(tmp_path, seed):
    rng = np.random.default_rng(seed)
    kernel = rng.integers(1, 6, 2)
    stride = [rng.integers(1, k + 1) for k in kernel]
    pad = [rng.integers(0, k) for k in kernel]
    shape = (2, *(int(k + rng.integers(0, 9)) for k in kernel))
    names = [f"{what}_{axis}" for what in ("kernel", "stride", "pad") for axis in "hw"]
    values = [*kernel, *stride, *pad]
    parameters = " ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
    for pool in ("MAX", "AVE"):
        check(tmp_path, f'type: "Pooling" pooling_param {{ pool: {pool} {parameters} }}', shape)


def test_a_pooling_window_without_a_pixel_is_refused(tmp_path):
    deploy, _ = make_net(tmp_path, 'type: "Pooling" pooling_param { kernel_size: 1 stride: 1 }', (2, 6, 6))
    deploy.write_text(deploy.read_text().replace("stride: 1", "stride: 4"))
    with pytest.raises(UserError, match=r"windows of 1 x 1 at stride 4 x 4 .* the last would lie outside"):
        probe_net(deploy)


# --- region ---------------------------------------------------------------------------------------------


def operators(graph):
    return [node.op_type for node in graph.nodes]


@pytest.mark.parametrize(
    ("parameters", "shape", "even"),
    [
        ("grid_h: 2 grid_w: 3", (3, 8, 9), True),
        ("grid_h: 3 grid_w: 2", (3, 10, 7), False),
        ("grid_h: 4 grid_w: 2", (3, 8, 7), False),  # one axis even, the other not
        ("grid_h: 1 grid_w: 1", (3, 5, 4), True),
        ("grid_h: 2 grid_w: 3 affine: true", (3, 8, 9), True),
        ("grid_h: 3 grid_w: 4 affine: true", (2, 10, 11), False),
        ("grid_h: 2 grid_w: 3 batch_norm: false", (3, 8, 9), True),
        ("grid_h: 3 grid_w: 3 batch_norm: false bias_term: false", (3, 10, 7), False),
        ("grid_h: 2 grid_w: 3 num_output: 5 identity: false", (3, 8, 9), True),
        ("grid_h: 3 grid_w: 4 num_output: 2 identity: false eps: 0.5", (3, 10, 7), False),
        ("grid_h: 3 grid_w: 3 kernel_size: 7 bias_term: false", (2, 9, 6), True),  # wider than the patch
        ("grid_h: 4 grid_w: 3 kernel_size: 5 use_global_stats: true", (2, 9, 11), False),
        ("grid_h: 2 grid_w: 2 kernel_size: 1", (2, 5, 4), False),
    ],
)
def test_region(tmp_path, parameters, shape, even):
    graph = check(tmp_path, f'type: "Region" region_param {{ {parameters} }}', shape)
    assert ("Split" in operators(graph)) is not even


@pytest.mark.parametrize("grid", [5, 6, 7, 8, 9, 10])
def test_region_on_the_papers_grids(tmp_path, grid):
    graph = check(tmp_path, f'type: "Region" region_param {{ grid_h: {grid} grid_w: {grid} }}', (2, 160, 160))
    assert operators(graph).count("Relu") == (1 if 160 % grid == 0 else grid * grid)


def test_a_region_that_was_never_trained(tmp_path):
    """A factor of 0: mean and variance are 0 then."""

    def prepare(net):
        fill(net)
        for blob in list(net.params["it"])[2:]:
            blob.data[...] = 0

    check(tmp_path, 'type: "Region" region_param { grid_h: 2 grid_w: 2 eps: 0.01 }', (3, 6, 4), prepare)


@pytest.mark.parametrize("parameters", ["", "affine: true", "num_output: 4 identity: false"])
def test_both_forms_of_an_even_region_agree(tmp_path, monkeypatch, parameters):
    layer = f'type: "Region" region_param {{ grid_h: 2 grid_w: 3 {parameters} }}'
    monkeypatch.setitem(CONVERTERS, "Region", region.split)
    assert operators(check(tmp_path, layer, (3, 8, 9))).count("Relu") == 6
    monkeypatch.setitem(CONVERTERS, "Region", region.grouped)
    assert operators(check(tmp_path, layer, (3, 8, 9))).count("Relu") == 1


# --- locally connected ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ("num_output: 4 kernel_size: 3", (2, 7, 6)),
        ("num_output: 3 kernel_h: 2 kernel_w: 4 stride_h: 3 stride_w: 2 pad_h: 1 pad_w: 2", (3, 7, 9)),
        ("num_output: 2 kernel_size: 3 stride: 2 bias_term: false", (3, 8, 6)),
        ("num_output: 5 kernel_size: 1 stride: 2", (2, 5, 4)),
        ("num_output: 3 kernel_h: 6 kernel_w: 2 pad: 1", (2, 4, 5)),  # one row
    ],
)
def test_locally_connected(tmp_path, parameters, shape):
    check(tmp_path, f'type: "LocallyConnected" convolution_param {{ {parameters} }}', shape)


# --- what cannot be exported ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (
            'type: "TanH"',
            "layer 'it' is of type TanH, which cannot be exported; these types can:",
        ),
        ('type: "LRN" lrn_param { norm_region: WITHIN_CHANNEL }', "of type LRN: norm_region WITHIN_CHANNEL"),
        ('type: "Pooling" pooling_param { pool: STOCHASTIC kernel_size: 2 }', "of type Pooling: stochastic"),
        (
            'type: "InnerProduct" inner_product_param { num_output: 2 axis: 2 }',
            "of type InnerProduct: axis 2",
        ),
        (
            'type: "Region" region_param { grid_h: 2 grid_w: 2 use_global_stats: false }',
            "of type Region: use_gl",
        ),
        (
            'type: "Convolution" convolution_param { num_output: 2 kernel_size: 1 axis: 2 }',
            "Convolution: axis 2",
        ),
    ],
)
def test_layers_that_cannot_be_exported_are_named(tmp_path, layer, said):
    deploy, net = make_net(tmp_path, layer, (3, 4, 5))
    with pytest.raises(UserError, match="layer 'it'") as raised:
        export(deploy, net)
    assert said in str(raised.value)


def test_pooling_with_a_mask_is_refused(tmp_path):
    layer = 'type: "Pooling" top: "mask" pooling_param { kernel_size: 2 }'
    deploy, net = make_net(tmp_path, layer, (3, 4, 5))
    with pytest.raises(UserError, match=r"layer 'it' of type Pooling: has 1 bottoms and 2 tops"):
        export(deploy, net)
