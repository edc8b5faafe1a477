"""drml convert: Region layers and branches turn into each other and compute the same."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

import authors_net as authors
import tiny_net as tiny
from drml.cli import main
from drml.data.lmdb import write_mean
from drml.data.recipe import InputRecipe, Recipe
from drml.io.errors import UserError
from drml.nets.conversion.to_branches import to_branches
from drml.nets.conversion.to_region import _kernel_size, to_region
from drml.nets.convert import convert
from drml.nets.grid import borders
from drml.nets.probe import map_shape
from drml.nets.prototxt import read_prototxt
from drml.nets.pycaffe import import_caffe
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.weights import read_caffemodel
from drml.training.train import train

MODELS = Path(__file__).resolve().parents[2] / "models"
caffe = import_caffe()
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level


@pytest.fixture
def in_process(monkeypatch):
    """Let caffe tell the maps' sizes here: a process for each is slow, and these nets are good."""

    def shape(_code, path, blob):
        return " ".join(map(str, caffe.Net(str(path), caffe.TEST).blobs[blob].shape))

    monkeypatch.setattr("drml.nets.probe._in_child", shape)


def region_net(region_param, *, channels=4, height=11, width=13, more=""):
    """Write a net with a Region over a map whose sides the grid does not divide."""
    return f"""
name: "ours"
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 3 dim: {channels} dim: {height} dim: {width} }} }} }}
layer {{ name: "region2" type: "Region" bottom: "data" top: "region2" {more}
  region_param {{ {region_param} }} }}
layer {{ name: "relu2" type: "ReLU" bottom: "region2" top: "region2" }}
"""


def write(path, text):
    path.write_text(text)
    return path


def randomize(net, seed):
    """Draw all blobs, statistics among them: as a training could have left them."""
    rng = np.random.default_rng(seed)
    for name, blobs in net.params.items():
        kind = net.layer_dict[name].type
        first = len(blobs)  # of the statistics
        if kind in ("Batch", "BatchNorm"):
            first = 0
        elif kind == "Region" and any(blob.data.shape == (1,) for blob in blobs):
            first = next(index for index, blob in enumerate(blobs) if blob.data.shape == (1,)) - 2
        factor = rng.uniform(2, 5)
        for index, blob in enumerate(blobs):
            values = rng.standard_normal(blob.data.shape) * 0.5 + 0.1
            if index == first:
                values = factor * values
            elif index == first + 1:
                values = factor * rng.uniform(0.3, 3, blob.data.shape)
            elif index == first + 2:
                values = np.full(blob.data.shape, factor)
            blob.data[...] = values


def outputs(prototxt, weights, phase=None, seed=9):
    net = caffe.Net(str(prototxt), str(weights), caffe.TEST if phase is None else phase)
    blob = net.blobs[net.inputs[0]]
    blob.data[...] = np.random.default_rng(seed).standard_normal(blob.data.shape) * 2
    return next(iter(net.forward().values())).copy()


def save_random(prototxt, weights, seed=0):
    net = caffe.Net(str(prototxt), caffe.TEST)
    randomize(net, seed)
    net.save(str(weights))
    return weights


def check_same(folder, text, to, **options):
    """Convert a net and its random weights; hold outputs to each other; return the new prototxt."""
    before, after = write(folder / "before.prototxt", text), folder / "after.prototxt"
    weights = save_random(before, folder / "before.caffemodel")
    assert convert(before, after, to=to, weights=weights, out_weights=folder / "after.caffemodel", **options)
    for phase in (caffe.TEST, caffe.TRAIN):
        expected = outputs(before, weights, phase)
        assert np.abs(expected).max() > 0.1, "a test that could not fail"
        np.testing.assert_allclose(
            outputs(after, folder / "after.caffemodel", phase), expected, rtol=0, atol=1e-5
        )
    return read_prototxt(after)


# --- branches -> Region ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm": ""},
        {"norm": "batch_param { use_global_stats: true eps: 0.01 moving_average_fraction: 0.9 }"},
        {"norm": "batch_norm_param { use_global_stats: true }"},
        {"norm": None},
        {"scale": True},
        {"identity": False},
    ],
)
def test_branches_become_a_region_that_computes_the_same(tmp_path, options):
    net = check_same(tmp_path, authors.deploy(**options), "region")
    assert [layer.type for layer in net.layer] == [
        *("Input", "Convolution", "Region", "ReLU", "Pooling", "InnerProduct", "Sigmoid")
    ]
    region = net.layer[2]
    assert (region.name, list(region.top)) == ("add" if options.get("identity", True) else "Splice", ["add"])
    assert (region.region_param.grid_h, region.region_param.grid_w) == (2, 2)
    assert region.region_param.weight_filler.std == pytest.approx(0.01)
    learned = [(1, 1), (2, 0)]
    if options.get("scale"):
        learned += [(0, 0)] * 3 + [(3, 1), (4, 1)]
    assert [(spec.lr_mult, spec.decay_mult) for spec in region.param] == learned


@pytest.mark.usefixtures("in_process")
def test_statistics_of_different_age_become_one_set(tmp_path):
    # Each branch keeps its own factor; randomize draws one for each layer.
    text = authors.deploy(norm="batch_param { use_global_stats: true }")
    check_same(tmp_path, text, "region")
    stored = read_caffemodel(tmp_path / "before.caffemodel")
    factors = {layer.blobs[2].data[0] for layer in stored.layer if layer.type == "Batch"}
    assert len(factors) == 4
    # One that nothing was ever counted for has mean and variance 0, as in Caffe; 1 is the first batch's.
    for factor in (0, 1):
        for layer in stored.layer:
            if layer.name == "bn1_2":
                layer.blobs[2].data[0] = factor
        (tmp_path / "changed.caffemodel").write_bytes(stored.SerializeToString())
        convert(
            *(tmp_path / "before.prototxt", tmp_path / "z.prototxt"),
            to="region",
            weights=tmp_path / "changed.caffemodel",
            out_weights=tmp_path / "z.caffemodel",
        )
        expected = outputs(tmp_path / "before.prototxt", tmp_path / "changed.caffemodel")
        found = outputs(tmp_path / "z.prototxt", tmp_path / "z.caffemodel")
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_training_net_is_converted_without_its_data(tmp_path):
    before = write(tmp_path / "train_val.prototxt", authors.train_val())
    convert(before, tmp_path / "ours.prototxt", to="region")
    net = read_prototxt(tmp_path / "ours.prototxt")
    kinds = [layer.type for layer in net.layer]
    assert kinds[:4] == ["MultilabelImageData"] * 2 + ["Convolution", "Region"]
    assert kinds[-1] == "MultiSigmoidCrossEntropyLoss"
    assert list(net.layer[:2]) == list(read_prototxt(before).layer[:2])
    before.write_text(authors.train_val().replace("crop_size: 14", ""))
    with pytest.raises(UserError, match="does not say how large its images are; give --size"):
        convert(before, tmp_path / "no.prototxt", to="region")
    assert convert(before, tmp_path / "sized.prototxt", to="region", size=14) == 1


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('bottom: "conv1" bottom: "c', 'bottom: "res1_1" bottom: "c'), "'add' takes 'res1_1' too"),
        (("width: 6 height: 6 xcoord: 0", "width: 6 height: 6 xcoord: 1"), "was not cut out there"),
        (("kernel_size: 3 pad: 1", "kernel_size: 1 pad: 0"), "convolutions differ"),
        (("kernel_size: 3 pad: 1", "kernel_size: 3 pad: 1 dilation: 1 group: 2"), "convolutions differ"),
        (('"bn1_3" batch_param { use_', '"bn1_3" batch_param { eps: 1 use_'), "normalisations differ"),
        (('top: "bn1_4" }', 'top: "bn1_4" relu_param { negative_slope: 0.1 } }'), "no negative_slope"),
        (('"ReLU" name: "relu1_2"', '"TanH" name: "relu1_2"'), r"'relu1_2' \(TanH\) is in a branch"),
        (("param { lr_mult: 2 decay_mult: 0 }\n  convolution_param { num_output: 4 kernel_size: 3 pad",
          "param { lr_mult: 3 decay_mult: 0 }\n  convolution_param { num_output: 4 kernel_size: 3 pad"),
         "param of its convolutions differ"),
    ],
)  # fmt: skip
def test_branches_that_are_no_region_are_refused(tmp_path, change, said):
    text = authors.deploy().replace(*change, 1)
    assert text != authors.deploy()
    model = write(tmp_path / "net.prototxt", text)
    with pytest.raises(UserError, match=said) as raised:
        convert(model, tmp_path / "out.prototxt", to="region")
    assert str(raised.value).startswith(f"{model}: ")
    assert not (tmp_path / "out.prototxt").exists()


@pytest.mark.usefixtures("in_process")
def test_patches_that_are_no_grid_are_refused(tmp_path):
    text = authors.deploy(identity=False).replace(
        authors.PLACES, "xcoord: 0 xcoord: 6 xcoord: 0 xcoord: 6 ycoord: 0 ycoord: 0 ycoord: 6 ycoord: 6"
    )
    model = write(tmp_path / "net.prototxt", text.replace("dim: 14 dim: 14", "dim: 15 dim: 14"))
    with pytest.raises(UserError, match="not a grid of 2x2 over the map of 13x12"):
        convert(model, tmp_path / "out.prototxt", to="region")


@pytest.mark.usefixtures("in_process")
def test_patches_in_another_order_compute_the_same(tmp_path):
    other = "xcoord: 6 xcoord: 0 xcoord: 0 xcoord: 6 ycoord: 0 ycoord: 6 ycoord: 0 ycoord: 6"
    check_same(tmp_path, authors.deploy().replace(authors.PLACES, other), "region")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("param", ["", "bias_term: false", "bias_term: true axis: 0"])
def test_scales_that_do_not_shift_channels_are_refused(tmp_path, param):
    text = authors.deploy(scale=True).replace("scale_param { bias_term: true }", f"scale_param {{ {param} }}")
    model = write(tmp_path / "net.prototxt", text)
    with pytest.raises(UserError, match="'scale1_1': a Region scales and shifts channels; this needs"):
        convert(model, tmp_path / "out.prototxt", to="region")


@pytest.mark.parametrize(
    ("param", "size"),
    [
        ("kernel_size: 3 pad: 1", 3),
        ("kernel_size: 5 pad: 2 stride: 1 dilation: 1 group: 1 axis: 1", 5),
        ("kernel_size: 1", 1),
        ("kernel_size: 3 kernel_size: 3 pad: 1 pad: 1 stride: 1 stride: 1", 3),
        ("kernel_h: 3 kernel_w: 3 pad_h: 1 pad_w: 1 stride_h: 1 stride_w: 1", 3),
        ("kernel_size: 3", None),
        ("kernel_size: 3 pad: 2", None),
        ("kernel_size: 3 pad: 1 pad: 0", None),
        ("kernel_size: 2 pad: 0", None),
        ("kernel_size: 4 pad: 1", None),
        ("kernel_size: 3 kernel_size: 1 pad: 1 pad: 0", None),
        ("kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0", None),
        ("kernel_size: 3 pad_h: 1 pad_w: 0", None),
        ("kernel_size: 3 pad: 1 stride: 2", None),
        ("kernel_size: 3 pad: 1 stride_h: 2 stride_w: 1", None),
        ("kernel_size: 3 pad: 1 dilation: 2", None),
        ("kernel_size: 3 pad: 1 group: 2", None),
        ("kernel_size: 3 pad: 1 axis: 2", None),
    ],
)
def test_a_regions_convolution_keeps_the_size_of_a_patch(param, size):
    layer = caffe_pb2.LayerParameter(name="c")
    text_format.Parse(param, layer.convolution_param)
    if size is None:
        with pytest.raises(UserError, match="'c': a Region's convolution has an odd kernel_size k, pad"):
            _kernel_size(layer)
    else:
        assert _kernel_size(layer) == size


# --- Region -> branches ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    "region_param",
    [
        "grid_h: 3 grid_w: 2",
        "grid_h: 2 grid_w: 5 affine: true use_global_stats: true",
        "grid_h: 3 grid_w: 3 identity: false num_output: 6 kernel_size: 5",
        "grid_h: 2 grid_w: 2 batch_norm: false",
        "grid_h: 1 grid_w: 1 bias_term: false eps: 0.1",
        "grid_h: 2 grid_w: 3 bias_term: false affine: true identity: false moving_average_fraction: 0.5",
    ],
)
def test_a_region_becomes_branches_that_compute_the_same_and_back(tmp_path, region_param):
    text = region_net(region_param)
    branches = check_same(tmp_path, text, "branches")
    assert not any(layer.type == "Region" for layer in branches.layer)
    (tmp_path / "back").mkdir()
    again = check_same(tmp_path / "back", text_format.MessageToString(branches), "region")
    original = text_format.Parse(text, caffe_pb2.NetParameter())
    original.layer[1].region_param.num_output = original.layer[1].region_param.num_output or 4
    original.layer[1].region_param.kernel_size = original.layer[1].region_param.kernel_size
    assert again == original
    # And the weights are what they were.
    convert(
        *(tmp_path / "after.prototxt", tmp_path / "z.prototxt"),
        to="region",
        weights=tmp_path / "after.caffemodel",
        out_weights=tmp_path / "z.caffemodel",
    )
    first, second = (
        next(layer for layer in read_caffemodel(tmp_path / name).layer if layer.name == "region2")
        for name in ("before.caffemodel", "z.caffemodel")
    )
    assert [(list(blob.shape.dim), list(blob.data)) for blob in first.blobs] == [
        (list(blob.shape.dim), list(blob.data)) for blob in second.blobs
    ]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("rule", ["include", "exclude"])
def test_rules_survive_both_directions(rule):
    net = text_format.Parse(
        region_net("grid_h: 2 grid_w: 2", more=f'{rule} {{ stage: "a" }}'), caffe_pb2.NetParameter()
    )
    (piece,) = to_branches(net)
    layers = {layer.name: layer for layer in net.layer}
    assert all(getattr(layers[name], rule)[0].stage == ["a"] for name in piece.names)
    to_region(net)
    (region,) = [layer for layer in net.layer if layer.type == "Region"]
    assert [list(one.stage) for one in getattr(region, rule)] == [["a"]]
    assert len(region.include) + len(region.exclude) == 1
    to_branches(net)
    getattr(next(layer for layer in net.layer if layer.type == "Splice"), rule)[0].stage[:] = ["b"]
    with pytest.raises(UserError, match=f"{rule} rules differ"):
        to_region(net)


@pytest.mark.usefixtures("in_process")
def test_rates_fillers_and_rules_move_along(tmp_path):
    more = (
        "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 } "
        "param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } "
        "param { lr_mult: 5 } param { lr_mult: 6 } include { phase: TEST }"
    )
    text = region_net('grid_h: 2 grid_w: 2 affine: true weight_filler { type: "msra" }', more=more)
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    (piece,) = to_branches(net)
    layers = {layer.name: layer for layer in net.layer}
    for name in piece.convolutions:
        assert [spec.lr_mult for spec in layers[name].param] == [1, 2]
        assert layers[name].convolution_param.weight_filler.type == "msra"
    assert [spec.lr_mult for spec in layers[piece.scales[0]].param] == [5, 6]
    assert [spec.lr_mult for spec in layers[piece.norms[0]].param] == [0, 0, 0]
    assert all(layers[name].include[0].phase == caffe.TEST for name in piece.names)
    assert [layer.name for layer in net.layer][-2:] == ["region2", "relu2"]
    to_region(net)
    assert [spec.lr_mult for spec in net.layer[1].param] == [1, 2, 0, 0, 0, 5, 6]
    # Without biases, the others are one place further on.
    fewer = more.replace("param { lr_mult: 2 decay_mult: 0 } ", "")
    text = region_net("grid_h: 2 grid_w: 2 affine: true bias_term: false", more=fewer)
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    (piece,) = to_branches(net)
    layers = {layer.name: layer for layer in net.layer}
    assert [spec.lr_mult for spec in layers[piece.convolutions[3]].param] == [1]
    assert all([spec.lr_mult for spec in layers[name].param] == [5, 6] for name in piece.scales)
    to_region(net)
    assert [spec.lr_mult for spec in net.layer[1].param] == [1, 0, 0, 0, 5, 6]


@pytest.mark.usefixtures("in_process")
def test_a_grid_has_at_most_1024_patches():
    def net(rows, columns):
        text = region_net(f"grid_h: {rows} grid_w: {columns}", channels=1, height=41, width=32)
        return text_format.Parse(text, caffe_pb2.NetParameter())

    (piece,) = to_branches(net(32, 32))
    assert len(piece.convolutions) == 1024
    with pytest.raises(UserError, match="a grid of 41x25 over a map of 41x32; choose a grid of at most 1024"):
        to_branches(net(41, 25))
    assert len(to_branches(net(41, 1))[0].norms) == len(to_branches(net(1, 32))[0].norms) + 9 == 41
    for rows, columns in ((42, 1), (1, 33), (0, 1), (1, 0)):
        with pytest.raises(UserError, match=f"a grid of {rows}x{columns} over a map of 41x32"):
            to_branches(net(rows, columns))


@pytest.mark.usefixtures("in_process")
def test_layers_are_named_after_the_region_and_the_patch():
    net = text_format.Parse(region_net("grid_h: 2 grid_w: 2", height=4, width=6), caffe_pb2.NetParameter())
    to_branches(net)
    assert [layer.name for layer in net.layer[1:6]] == [
        *("region2_box", "region2_bn1", "region2_relu1", "region2_conv1", "region2_bn2")
    ]
    assert list(net.layer[1].top) == [f"region2_patch{number}" for number in (1, 2, 3, 4)]
    # A Box layer for each size of patches, the largest first.
    net = text_format.Parse(region_net("grid_h: 2 grid_w: 2", height=5, width=6), caffe_pb2.NetParameter())
    to_branches(net)
    boxes = [layer for layer in net.layer if layer.type == "Box"]
    assert [box.name for box in boxes] == ["region2_box_3x3", "region2_box_2x3"]
    assert [list(box.top) for box in boxes] == [
        ["region2_patch3", "region2_patch4"],
        ["region2_patch1", "region2_patch2"],
    ]
    assert [list(box.box_param.ycoord) for box in boxes] == [[2, 2], [0, 0]]
    assert [list(box.box_param.xcoord) for box in boxes] == [[0, 3], [0, 3]]


def test_the_models_own_region_becomes_64_branches():
    net = read_prototxt(MODELS / "drml/deploy.prototxt")
    (piece,) = to_branches(net)
    assert len(piece.convolutions) == 64
    (box,) = (layer for layer in net.layer if layer.type == "Box")
    assert (box.box_param.width, box.box_param.height, len(box.top)) == (20, 20, 64)
    assert list(box.box_param.xcoord[:9]) == [*range(0, 160, 20), 0]
    assert map_shape(net, "region2") == (32, 160, 160)
    to_region(net)
    ours = read_prototxt(MODELS / "drml/deploy.prototxt")
    assert net == ours


@pytest.mark.usefixtures("in_process")
def test_regions_that_branches_cannot_compute_are_refused(tmp_path):
    for more, said in [
        ('top: "norms"', "has 2 tops"),
        ('param { name: "shared" }', "shares its weights by name"),
    ]:
        model = write(tmp_path / "net.prototxt", region_net("grid_h: 2 grid_w: 2", more=more))
        with pytest.raises(UserError, match=said):
            convert(model, tmp_path / "out.prototxt", to="branches")
    taken = (
        region_net("grid_h: 2 grid_w: 2")
        + 'layer { name: "region2_conv3" type: "Silence" bottom: "region2" }'
    )
    model = write(tmp_path / "net.prototxt", taken)
    with pytest.raises(UserError, match="layer 'region2_conv3': is there already"):
        convert(model, tmp_path / "out.prototxt", to="branches")


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_process")
def test_wrong_files_are_refused(tmp_path):
    model = write(tmp_path / "net.prototxt", authors.deploy())
    out, out_weights = tmp_path / "out.prototxt", tmp_path / "out.caffemodel"

    def refused(said, model=model, to="region", **options):
        with pytest.raises(UserError, match=said):
            convert(model, out, to=to, **options)
        assert not out.exists() and not out_weights.exists()

    refused("no layer Region to convert", to="branches")
    refused("no layer Splice to convert", model=write(tmp_path / "ours.prototxt", region_net("grid_h: 2")))
    refused("need each other", weights=tmp_path / "w.caffemodel")
    both = {"weights": tmp_path / "w.caffemodel", "out_weights": out_weights}
    refused("w.caffemodel: no such weights", **both)
    tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters())
    refused("w.caffemodel: no weights for layer 'conv1_1'", **both)
    tiny.write_hdf5(tmp_path / "w.h5", tiny.draw_parameters())
    refused("w.h5: HDF5 weights; give a .caffemodel", weights=tmp_path / "w.h5", out_weights=out_weights)
    (tmp_path / "w.caffemodel").write_bytes(b"no weights")
    refused("not a .caffemodel", **both)


def test_the_command(tmp_path, capsys):
    model = write(tmp_path / "net.prototxt", authors.deploy())
    weights = save_random(model, tmp_path / "w.caffemodel")
    recipe = Recipe(au=(4, 12), threshold=(0.25, 0.75), input=InputRecipe(scale=0.5, mean_value=(99.0,)))
    write_recipe(weights, recipe)
    arguments = ["convert", str(model), "--to", "region", "--out", str(tmp_path / "out.prototxt")]
    more = ["--weights", str(weights), "--out-weights", str(tmp_path / "out.caffemodel")]
    assert main([*arguments, *more]) == 0
    assert "converted 1 Region layer to region" in capsys.readouterr().out
    np.testing.assert_allclose(
        outputs(tmp_path / "out.prototxt", tmp_path / "out.caffemodel"), outputs(model, weights), atol=1e-5
    )
    assert read_recipe(tmp_path / "out.caffemodel") == recipe
    below_a_file = model / "out.prototxt"
    assert main([*arguments[:4], "--out", str(below_a_file)]) == 1
    assert f"{below_a_file}: cannot be written" in capsys.readouterr().err
    before = model.read_bytes()
    assert main([*arguments[:4], "--out", str(model), "--overwrite"]) == 1
    assert "net.prototxt, which is an input" in capsys.readouterr().err and model.read_bytes() == before


def test_a_net_that_caffe_refuses_is_refused(tmp_path):
    text = region_net("grid_h: 2 grid_w: 2").replace('bottom: "data"', 'bottom: "conv1"')
    text = text.replace(
        'layer { name: "region2"',
        'layer { name: "conv1" type: "Gone" bottom: "data" top: "conv1" } layer { name: "region2"',
    )
    model = write(tmp_path / "net.prototxt", text)
    with pytest.raises(UserError, match=r"net.prototxt: Caffe refuses this net: .*Unknown layer type: Gone"):
        convert(model, tmp_path / "out.prototxt", to="branches")


def test_borders_are_the_layers():
    assert borders(11, 3) == [0, 3, 7, 11]


# --- the authors' files run -----------------------------------------------------------------------------


def test_a_net_in_the_authors_way_trains_from_lists_and_converts(tmp_path):
    """Lists and mean image on disk -> caffe train on the branches -> Region, same probabilities."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 7), ("val", 4)):
        lines = []
        for index, picture in enumerate(tiny.draw_images(count, seed=count, size=16)):
            path = tmp_path / f"{name}{index}.png"
            cv2.imwrite(str(path), picture)
            labels = rng.permutation([-1, 0, 1])
            lines.append(f"{path} {' '.join(map(str, labels))}\n")
        write(tmp_path / f"{name}.txt", "".join(lines))
    write_mean(tmp_path / "mean.binaryproto", np.full((3, 16, 16), 128, np.float32))
    write(tmp_path / "train_val.prototxt", authors.train_val())
    solver = tiny.SOLVER.format(net="train_val.prototxt").replace("models/tiny/tiny", "drml")
    # Pixels as they are: at a larger rate the net runs away.
    write(tmp_path / "solver.prototxt", solver.replace("base_lr: 0.01", "base_lr: 0.0001"))
    done = train(tmp_path / "solver.prototxt", tmp_path / "out", data=tmp_path, max_iter=10, progress=False)
    assert np.isfinite(done.loss) and np.isfinite(done.test["loss"])
    deploy = write(tmp_path / "deploy.prototxt", authors.deploy())
    ours, weights = tmp_path / "ours.prototxt", tmp_path / "ours.caffemodel"
    convert(deploy, ours, to="region", weights=done.weights, out_weights=weights)
    expected = outputs(deploy, done.weights)
    np.testing.assert_allclose(outputs(ours, weights), expected, rtol=0, atol=1e-5)
    assert expected.std() > 0
