"""models/: architecture and schedule are the paper's, each model's three nets are one network."""

from pathlib import Path

import pytest

from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import import_caffe

ROOT = Path(__file__).resolve().parents[2] / "models"
MODELS = ROOT / "drml"
caffe = import_caffe()

# Paper's layer, output C x H x W, learned parameters.
LAYERS = [
    ("conv1", (32, 160, 160), 11_648),
    ("region2", (32, 160, 160), 591_872),
    ("pool3", (32, 80, 80), 0),
    ("norm3", (32, 80, 80), 0),
    ("conv4", (16, 73, 73), 32_784),
    ("conv5", (16, 66, 66), 16_400),
    ("conv6", (16, 31, 31), 9_232),
    ("conv7", (16, 27, 27), 6_416),
    ("fc8", (4096,), 47_779_840),
    ("fc9", (2048,), 8_390_656),
    ("fc10", (12,), 24_588),
]
LEARNED = 56_863_436
LCN_LAYERS = [
    ("conv1", (32, 160, 160), 11_648),
    ("pool3", (32, 80, 80), 0),
    ("norm3", (32, 80, 80), 0),
    ("conv4", (16, 73, 73), 32_784),
    ("conv5", (16, 66, 66), 71_438_400),
    ("conv6", (16, 31, 31), 8_871_952),
    ("conv7", (16, 27, 27), 4_677_264),
    ("fc8", (4096,), 47_779_840),
    ("fc9", (2048,), 8_390_656),
    ("fc10", (12,), 24_588),
]
LCN_LEARNED = 141_227_132
NETS = ["train_val.prototxt", "quick_train_val.prototxt"]
STATISTICS = {"region2": 3}  # trailing blobs: running mean, running variance, factor


def net_parameter(name, model="drml"):
    return read_prototxt(ROOT / model / name, "NetParameter")


def layers(name, model="drml"):
    net = net_parameter(name, model)
    return {layer.name: layer for layer in net.layer if layer.type != "MultiLabelData"}


@pytest.fixture(scope="module")
def deploy():
    return caffe.Net(str(MODELS / "deploy.prototxt"), caffe.TEST)


def test_layers_have_the_papers_shapes_and_sizes(deploy):
    learned = 0
    for name, shape, parameters in LAYERS:
        assert deploy.blobs[name].data.shape[1:] == shape, name
        blobs = deploy.params.get(name, [])
        blobs = list(blobs)[: len(blobs) - STATISTICS.get(name, 0)]
        assert sum(blob.count for blob in blobs) == parameters, name
        learned += sum(blob.count for blob in blobs)
    assert learned == LEARNED
    assert sum(parameters for _, _, parameters in LAYERS) == LEARNED


def test_no_other_layer_has_parameters(deploy):
    assert set(deploy.params) == {name for name, _, parameters in LAYERS if parameters}


def test_probabilities_are_the_sigmoid_of_the_scores(deploy):
    assert net_parameter("deploy.prototxt").layer[-1].type == "Sigmoid"
    assert deploy.blobs["prob"].data.shape == (1, 12)


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
@pytest.mark.parametrize("name", NETS)
def test_all_nets_are_one_architecture(name, model):
    """Fillers, rates and a memory of the statistics may differ; shapes and connections may not."""
    shared = [{}, {}]
    for into, net in zip(shared, (name, "deploy.prototxt"), strict=True):
        for layer in layers(net, model).values():
            if layer.type in ("Input", "Sigmoid", "MultiLabelSigmoidCrossEntropyLoss", "MultiLabelCounts"):
                continue
            layer.ClearField("param")
            for parameters in (layer.convolution_param, layer.inner_product_param, layer.region_param):
                parameters.ClearField("weight_filler")
                parameters.ClearField("bias_filler")
            layer.region_param.ClearField("moving_average_fraction")
            into[layer.name] = layer
    ours, deployed = shared
    assert list(ours) == list(deployed)
    for layer in ours:
        assert ours[layer].SerializeToString() == deployed[layer].SerializeToString(), layer


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
@pytest.mark.parametrize("name", NETS)
def test_the_test_net_counts_what_the_loss_is_of(name, model):
    *_, loss, counts = net_parameter(name, model).layer
    assert (loss.type, counts.type) == ("MultiLabelSigmoidCrossEntropyLoss", "MultiLabelCounts")
    assert list(counts.bottom) == list(loss.bottom)
    assert list(counts.top) == ["counts", "moments"]
    assert [rule.phase for rule in counts.include] == [caffe.TEST]


def test_lcn_has_the_papers_shapes_and_sizes():
    net = caffe.Net(str(ROOT / "lcn/deploy.prototxt"), caffe.TEST)
    for name, shape, parameters in LCN_LAYERS:
        assert net.blobs[name].data.shape[1:] == shape, name
        assert sum(blob.count for blob in net.params.get(name, [])) == parameters, name
    assert sum(blob.count for blobs in net.params.values() for blob in blobs) == LCN_LEARNED


@pytest.mark.parametrize("name", ["train_val.prototxt", "deploy.prototxt"])
def test_lcn_is_convnet_with_three_layers_locally_connected(name):
    ours, theirs = layers(name, "lcn"), layers(name, "convnet")
    assert list(ours) == list(theirs)
    local = {layer.name for layer in ours.values() if layer.type == "LocallyConnected"}
    assert local == {"conv5", "conv6", "conv7"}
    for layer in ours:
        if layer in local:
            ours[layer].type = "Convolution"
        assert ours[layer] == theirs[layer], layer


def test_conv1_has_no_relu_and_region2_has():
    relus = {layer.bottom[0] for layer in layers("train_val.prototxt").values() if layer.type == "ReLU"}
    assert "conv1" not in relus
    assert relus == {"region2", "conv4", "conv5", "conv6", "conv7", "fc8", "fc9"}


def fillers(name, model):
    """Layers with weights: name, type, the parameter that has the fillers."""
    kinds = {"InnerProduct": "inner_product_param", "Region": "region_param"}
    kinds |= dict.fromkeys(("Convolution", "LocallyConnected"), "convolution_param")
    return [
        (layer.name, layer.type, getattr(layer, kinds[layer.type]))
        for layer in layers(name, model).values()
        if layer.type in kinds
    ]


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
def test_the_start_is_one_that_learns(model):
    """Xavier fillers and pixels of this size give scores of about 1: larger ones make the first steps too
    large for the paper's rate, smaller ones leave no gradient, and biases of 1 would drown the signal."""
    for _, kind, parameters in fillers("train_val.prototxt", model):
        weights, bias = parameters.weight_filler, parameters.bias_filler
        # The region layer adds to the patch it came from, and begins small.
        assert weights.type == ("gaussian" if kind == "Region" else "xavier")
        assert kind != "Region" or weights.std == pytest.approx(0.01)
        assert (bias.type, bias.value) == ("constant", 0)
    data = [
        layer for layer in net_parameter("train_val.prototxt", model).layer if layer.type == "MultiLabelData"
    ]
    assert [layer.transform_param.scale for layer in data] == pytest.approx([0.1, 0.1])


def test_fillers_and_rates_are_the_releases():
    nets = layers("as_released_train_val.prototxt")
    for name, std, bias in [
        ("conv1", 0.01, 0),
        ("region2", 0.01, 1),
        ("conv4", 0.01, 1),
        ("conv5", 0.01, 1),
        ("conv6", 0.01, 1),
        ("conv7", 0.01, 1),
        ("fc8", 0.005, 1),
        ("fc9", 0.005, 1),
        ("fc10", 0.01, 0),
    ]:
        layer = nets[name]
        parameters = {
            "Convolution": layer.convolution_param,
            "InnerProduct": layer.inner_product_param,
            "Region": layer.region_param,
        }[layer.type]
        assert parameters.weight_filler.type == "gaussian"
        assert parameters.weight_filler.std == pytest.approx(std), name
        assert parameters.bias_filler.type == "constant"
        assert parameters.bias_filler.value == bias, name
        assert [(p.lr_mult, p.decay_mult) for p in layer.param] == [(1, 1), (2, 0)], name


def test_the_released_start_changes_nothing_else():
    ours, released = net_parameter("train_val.prototxt"), net_parameter("as_released_train_val.prototxt")
    released.name = ours.name
    for net in (ours, released):
        for layer in net.layer:
            layer.transform_param.ClearField("scale")
            for parameters in (layer.convolution_param, layer.inner_product_param, layer.region_param):
                parameters.ClearField("weight_filler")
                parameters.ClearField("bias_filler")
    assert ours == released


def test_the_released_schedule_divides_the_rate_every_4000_iterations():
    ours, released = (
        read_prototxt(MODELS / name, "SolverParameter")
        for name in ("solver.prototxt", "as_released_solver.prototxt")
    )
    assert released.net == "models/drml/as_released_train_val.prototxt"
    assert (released.lr_policy, released.stepsize, released.max_iter) == ("step", 4000, 450_000)
    for field in ("net", "stepsize", "max_iter", "snapshot_prefix"):
        setattr(released, field, getattr(ours, field))
    assert ours == released


def test_data_layers_crop_mirror_and_subtract_the_mean():
    for name, batch in (
        ("train_val.prototxt", 128),
        ("as_released_train_val.prototxt", 128),
        ("quick_train_val.prototxt", 16),
    ):
        train, test = (layer for layer in net_parameter(name).layer if layer.type == "MultiLabelData")
        assert [train.include[0].phase, test.include[0].phase] == [caffe.TRAIN, caffe.TEST]
        assert train.multi_label_data_param.batch_size == batch
        assert (train.transform_param.mirror, test.transform_param.mirror) == (True, False)
        for layer in (train, test):
            assert layer.transform_param.crop_size == 170
            assert layer.transform_param.mean_file == "data/drml/fold1/mean.binaryproto"


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
def test_the_quick_schedule_has_one_start_and_one_solver_for_all_models(model):
    """What else could differ, test_all_nets_are_one_architecture holds."""
    for _, kind, parameters in fillers("quick_train_val.prototxt", model):
        assert parameters.weight_filler.type == ("gaussian" if kind == "Region" else "msra")
        assert (parameters.bias_filler.type, parameters.bias_filler.value) == ("constant", 0)
        if kind == "Region":
            assert parameters.moving_average_fraction == pytest.approx(0.95)
    paper, quick = (
        [layer for layer in net_parameter(name, model).layer if layer.type == "MultiLabelData"]
        for name in NETS
    )
    for ours, theirs in zip(quick, paper, strict=True):
        assert ours.transform_param.scale == pytest.approx(1 / 60)
        ours.transform_param.scale = theirs.transform_param.scale
        theirs.multi_label_data_param.batch_size = ours.multi_label_data_param.batch_size
        assert ours == theirs
    solver, reference = (
        read_prototxt(ROOT / of / "quick_solver.prototxt", "SolverParameter") for of in (model, "drml")
    )
    assert solver.net == f"models/{model}/quick_train_val.prototxt"
    assert solver.snapshot_prefix == f"models/{model}/{model}_quick"
    for field in ("net", "snapshot_prefix"):
        setattr(solver, field, getattr(reference, field))
    assert solver == reference


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
def test_solver_is_the_papers_schedule(model):
    solver = read_prototxt(ROOT / model / "solver.prototxt", "SolverParameter")
    assert solver.net == f"models/{model}/train_val.prototxt"
    assert solver.type == "SGD"
    assert solver.base_lr == pytest.approx(0.001)
    assert (solver.lr_policy, solver.stepsize) == ("step", 8000)
    assert solver.gamma == pytest.approx(0.1)
    assert solver.momentum == pytest.approx(0.9)
    assert solver.weight_decay == pytest.approx(0.0005)
    assert solver.max_iter > solver.stepsize
