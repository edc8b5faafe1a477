"""pycaffe's way to write nets, to relate the coordinates of layers, and to draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from pycaffe_names import caffe, runs

from caffe import coord_map, draw, layers, net_spec, params, to_proto, upgrade  # isort: skip
from caffe.proto import caffe_pb2  # isort: skip

# --- net_spec


def written(net: caffe_pb2.NetParameter, folder: Path) -> caffe.Net:
    (folder / "net.prototxt").write_text(str(net))
    return caffe.Net(str(folder / "net.prototxt"), caffe.TEST)


@runs("net_spec.NetSpec", "net_spec.NetSpec.to_proto", "net_spec.Layers", "net_spec.Parameters")
@runs("net_spec.Function", "net_spec.Top")
def test_a_net_is_written_in_python(tmp_path: Path) -> None:
    net = caffe.NetSpec()
    net.data, net["label"] = layers.DummyData(
        shape=[{"dim": [2, 3, 8, 8]}, {"dim": [2, 4]}], ntop=2, data_filler={"type": "constant", "value": 1}
    )
    net.region = layers.Region(net.data, grid_h=2, grid_w=2, weight_filler={"type": "xavier"})
    net.pool = layers.Pooling(net["region"], pool=params.Pooling.MAX, kernel_size=2, stride=2)
    net.relu = layers.ReLU(net.pool, in_place=True)
    net.score = layers.InnerProduct(net.relu, num_output=4, param=[{"lr_mult": 1}, {"lr_mult": 2}])
    net.loss = layers.MultiLabelSigmoidCrossEntropyLoss(net.score, net.label, include={"phase": caffe.TEST})
    net.silence = layers.Silence(net.data, ntop=0)
    assert isinstance(net.data, net_spec.Top) and isinstance(net.silence, net_spec.Function)
    proto = net.to_proto()
    assert [(layer.name, layer.type, list(layer.bottom), list(layer.top)) for layer in proto.layer] == [
        ("data", "DummyData", [], ["data", "label"]),
        ("region", "Region", ["data"], ["region"]),
        ("pool", "Pooling", ["region"], ["pool"]),
        ("relu", "ReLU", ["pool"], ["pool"]),
        ("score", "InnerProduct", ["pool"], ["score"]),
        ("loss", "MultiLabelSigmoidCrossEntropyLoss", ["score", "label"], ["loss"]),
        ("silence", "Silence", ["data"], []),
    ]
    region, pool, score, loss = (proto.layer[i] for i in (1, 2, 4, 5))
    assert (region.region_param.grid_h, region.region_param.weight_filler.type) == (2, "xavier")
    assert (pool.pooling_param.pool, pool.pooling_param.stride) == (caffe_pb2.PoolingParameter.MAX, 2)
    assert [param.lr_mult for param in score.param] == [1, 2]
    assert loss.include[0].phase == caffe.TEST
    shapes = {name: blob.data.shape for name, blob in written(proto, tmp_path).blobs.items()}
    assert shapes["pool"] == (2, 3, 4, 4) and shapes["score"] == (2, 4)
    with pytest.raises(TypeError, match="input 0 is not a Top"):
        layers.ReLU("data")


@runs("net_spec.to_proto", "net_spec.Top.to_proto")
def test_layers_without_names_are_numbered() -> None:
    data = layers.Input(shape={"dim": [1, 3]})
    first = layers.InnerProduct(data, num_output=2)
    second = layers.InnerProduct(first, num_output=1)
    for proto in (to_proto(second, first), second.to_proto()):
        assert [layer.name for layer in proto.layer] == ["Input1", "InnerProduct1", "InnerProduct2"]
        assert list(proto.layer[2].bottom) == ["InnerProduct1"]


@runs("net_spec.param_name_dict", "net_spec.assign_proto")
def test_parameters_go_into_the_message_of_their_layer() -> None:
    names = net_spec.param_name_dict()
    assert names["Convolution"] == "convolution" and names["Region"] == "region"
    layer = caffe_pb2.LayerParameter()
    net_spec.assign_proto(layer, "top", "one")  # a repeated field takes one value as well
    net_spec.assign_proto(layer, "include", [{"phase": 1, "stage": ["a", "b"]}, {"min_level": 2}])
    net_spec.assign_proto(layer, "pooling_param", {"kernel_size": 3})
    assert list(layer.top) == ["one"] and layer.pooling_param.kernel_size == 3
    assert [(rule.phase, list(rule.stage), rule.min_level) for rule in layer.include] == [
        (1, ["a", "b"], 0),
        (0, [], 2),
    ]


# --- coord_map


@runs("coord_map.conv_params", "coord_map.crop_params", "coord_map.coord_map", "coord_map.compose")
@runs("coord_map.inverse", "coord_map.UndefinedMapException", "coord_map.AxisMismatchException")
def test_coordinates_go_forward_and_back() -> None:
    data = layers.Input(shape={"dim": [1, 1, 30, 30]})
    convolution = layers.Convolution(data, num_output=1, kernel_size=5, stride=2, pad=1, dilation=2)
    axis, stride, size, pad = coord_map.conv_params(convolution.fn)
    assert (axis, stride, size, pad) == (1, 2, 9, 1)  # 5 taps, 2 apart
    forward = coord_map.coord_map(convolution.fn)
    # Output i looks at inputs 2i - 1 .. 2i + 7, whose centre is 2i + 3.
    assert [forward[1] * (2 * i + 3) + forward[2] for i in range(4)] == [0, 1, 2, 3]
    back = coord_map.inverse(forward)
    assert [back[1] * i + back[2] for i in range(3)] == [3, 5, 7]
    upward = coord_map.coord_map(layers.Deconvolution(data, kernel_size=4, stride=2, pad=1).fn)
    assert upward[1] * 3 + upward[2] == 6.5  # input 3 reaches outputs 5 .. 8
    crop = layers.Crop(data, convolution, axis=2, offset=[3])
    assert coord_map.crop_params(crop.fn) == (2, [3]) and coord_map.coord_map(crop.fn) == (1, 1, -3)
    both = coord_map.compose(upward, forward)
    assert (both[1], both[2]) == (2 * 0.5, 2 * forward[2] + upward[2])
    with pytest.raises(coord_map.AxisMismatchException):
        coord_map.compose((1, 1, 0), (2, 1, 0))
    with pytest.raises(coord_map.UndefinedMapException):
        coord_map.coord_map(layers.InnerProduct(data, num_output=1).fn)


@runs("coord_map.coord_map_from_to", "coord_map.crop")
def test_a_crop_puts_a_map_upon_another(tmp_path: Path) -> None:
    net = caffe.NetSpec()
    net.data = layers.Input(shape={"dim": [1, 1, 12, 12]})
    net.small = layers.Convolution(net.data, num_output=1, kernel_size=5)
    axis, scale, shift = coord_map.coord_map_from_to(net.data, net.small)
    assert (axis, scale, shift) == (1, 1, -2)  # an output stands in the middle of five inputs
    net.cropped = coord_map.crop(net.data, net.small)
    made = written(net.to_proto(), tmp_path)
    image = np.arange(144, dtype=np.float32).reshape(1, 1, 12, 12)
    np.testing.assert_array_equal(made.forward(data=image)["cropped"], image[:, :, 2:10, 2:10])
    with pytest.raises(RuntimeError, match="connected"):
        coord_map.coord_map_from_to(layers.Input(shape={"dim": [1]}), net.small)


# --- draw and upgrade

NOW = """
name: "small"
layer { name: "data" type: "Data" top: "data" data_param { batch_size: 5 } include { phase: TRAIN } }
layer { name: "in" type: "Input" top: "data" exclude { phase: TRAIN } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 2 } param { lr_mult: 4 }
  convolution_param { num_output: 7 kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 3 } }
"""
V1 = """
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 2 blobs_lr: 4
  convolution_param { num_output: 7 kernel_size: 3 stride: 2 pad: 1 } }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 } }
"""
V0 = """
name: "small" input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { layer { name: "conv" type: "conv" num_output: 7 kernelsize: 3 stride: 2 blobs_lr: 2 blobs_lr: 4 }
  bottom: "data" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 2 } bottom: "conv" top: "pool" }
"""


def parsed(text: str) -> caffe_pb2.NetParameter:
    return text_format.Parse(text, caffe_pb2.NetParameter())


@runs("upgrade.upgraded_net")
@pytest.mark.parametrize("old", [V1, V0], ids=["V1", "V0"])
def test_old_nets_are_upgraded(old: str) -> None:
    given = parsed(old)
    kept = given.SerializeToString()
    net = upgrade.upgraded_net(given)
    assert given.SerializeToString() == kept and not net.layers
    assert [layer.type for layer in net.layer] == ["Input", "Convolution", "Pooling"]
    convolution = net.layer[1].convolution_param
    assert (convolution.num_output, list(convolution.kernel_size), list(convolution.stride)) == (7, [3], [2])
    assert [param.lr_mult for param in net.layer[1].param] == [2, 4]
    assert net.layer[2].pooling_param.pool == caffe_pb2.PoolingParameter.AVE
    assert upgrade.upgraded_net(net) is net
    given.layer.add(name="new", type="ReLU", bottom=["pool"], top=["relu"])  # both forms in a net
    with pytest.raises(RuntimeError, match="cannot be upgraded"):
        upgrade.upgraded_net(given)


def nodes_and_edges(graph: object) -> tuple[list[str], list[tuple[str, str, str]]]:
    nodes = [node.get_name().strip('"') for node in graph.get_nodes()]
    edges = [
        (edge.get_source().strip('"'), edge.get_destination().strip('"'), edge.get_label().strip('"'))
        for edge in graph.get_edges()
    ]
    return nodes, edges


@runs("draw.get_pydot_graph", "draw.get_layer_label", "draw.get_edge_label", "draw.get_pooling_types_dict")
@runs("draw.get_layer_lr_mult", "draw.choose_color_by_layertype")
def test_a_graph_has_every_layer_and_blob() -> None:
    net = parsed(NOW)
    nodes, edges = nodes_and_edges(draw.get_pydot_graph(net, "LR", phase=caffe.TRAIN, display_lrm=True))
    convolution = r"conv\n(Convolution)\nkernel size: 3\nstride: 2\npad: 1\nlr mult: 2.0, 4.0"
    pooling = r"pool\n(Pooling AVE)\nkernel size: 2\nstride: 1\npad: 0"
    product = r"ip\n(InnerProduct)\nlr mult: 1.0, 1.0"
    assert nodes == [
        *(r"data\n(Data)", "data", convolution, "conv", r"relu\n(ReLU)", pooling, "pool", product, "ip")
    ]
    assert edges == [
        (r"data\n(Data)", "data", "Batch 5"),
        ("data", convolution, ""),
        (convolution, "conv", "7"),
        ("conv", r"relu\n(ReLU)", ""),
        (r"relu\n(ReLU)", "conv", ""),
        ("conv", pooling, ""),
        (pooling, "pool", ""),
        ("pool", product, ""),
        (product, "ip", "3"),
    ]
    assert r"in\n(Input)" in nodes_and_edges(draw.get_pydot_graph(net, "LR", phase=caffe.TEST))[0]
    assert draw.get_layer_label(net.layer[4], "TB") == '"pool (Pooling AVE) kernel size: 2 stride: 1 pad: 0"'
    assert draw.get_edge_label(net.layer[3]) == '""'
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}
    assert draw.get_layer_lr_mult(net.layer[2]) == (2, 4)
    with pytest.raises(ValueError, match="ReLU layers do not have"):
        draw.get_layer_lr_mult(net.layer[3])
    colours = {
        draw.choose_color_by_layertype(kind) for kind in ("Convolution", "Pooling", "InnerProduct", "LRN")
    }
    assert len(colours) == 4
    assert draw.choose_color_by_layertype("Deconvolution") == draw.choose_color_by_layertype("Convolution")


@runs("draw.draw_net", "draw.draw_net_to_file")
@pytest.mark.parametrize("text", [NOW, V1, V0], ids=["now", "V1", "V0"])
def test_pictures_show_the_layers(text: str, tmp_path: Path) -> None:
    picture = draw.draw_net(parsed(text), "TB", ext="svg").decode()
    assert "(Convolution)" in picture and "(Pooling AVE)" in picture
    draw.draw_net_to_file(parsed(text), str(tmp_path / "net.svg"), "TB")
    assert (tmp_path / "net.svg").read_text() == picture
