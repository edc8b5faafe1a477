"""Our messages and fields: round trips through text, binary, NetSpec and the reader of stock Caffe."""

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from drml.io import messages
from drml.nets.pycaffe import import_caffe

caffe = import_caffe()
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level

REGION_DEFAULTS = {
    "grid_h": 8,
    "grid_w": 8,
    "kernel_size": 3,
    "bias_term": True,
    "batch_norm": True,
    "moving_average_fraction": pytest.approx(0.999),
    "eps": pytest.approx(1e-5),
    "affine": False,
    "identity": True,
    "group_sparsity": 0,
}

OURS = {
    *("RegionParameter", "MultiLabelDataParameter", "MultiLabelLossParameter", "MultiLabelCountsParameter"),
    *("MultiLabelEuclideanLossParameter", "AugmentationParameter"),
    *("BoxParameter", "SpliceParameter", "BatchParameter"),
    *("LayerState", "RankState", "ResumeState"),
    *("Recipe", "InputRecipe", "RegistrationRecipe", "DataRecipe", "TrainingRecipe"),
}

NET = """
name: "ours"
layer {
  name: "data" type: "MultiLabelData" top: "data" top: "label"
  multi_label_data_param {
    source: "lmdb" batch_size: 4 num_labels: 12 shuffle: false prefetch: 2 threads: 3
  }
}
layer {
  name: "region2" type: "Region" bottom: "data" top: "region2"
  region_param {
    grid_h: 3 grid_w: 5 num_output: 7 kernel_size: 5 bias_term: false
    weight_filler { type: "msra" } bias_filler { type: "constant" value: 1 }
    batch_norm: false use_global_stats: false moving_average_fraction: 0.5 eps: 0.25 affine: true
    identity: false group_sparsity: 0.125
  }
}
layer {
  name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "region2" bottom: "label" top: "loss"
  multi_label_loss_param { pos_weight: 1.5 pos_weight: 2 }
}
"""


@pytest.fixture
def net():
    return text_format.Parse(NET, caffe_pb2.NetParameter())


@pytest.fixture(scope="module")
def stock():
    """Stock Caffe's messages, generated from the untouched caffe.proto, in a descriptor pool of their own."""
    file = Path(caffe_pb2.__file__).with_name("stock_caffe.desc")
    files = descriptor_pb2.FileDescriptorSet.FromString(file.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(files.file[0])
    return lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


def test_text_round_trip(net):
    assert text_format.Parse(text_format.MessageToString(net), caffe_pb2.NetParameter()) == net


def test_binary_round_trip(net):
    assert caffe_pb2.NetParameter.FromString(net.SerializeToString()) == net


def test_stock_caffe_reads_our_files_and_keeps_our_fields(net, stock):
    Net = stock("NetParameter")
    assert "region_param" not in stock("LayerParameter").DESCRIPTOR.fields_by_name
    theirs = Net.FromString(net.SerializeToString())
    assert [layer.type for layer in theirs.layer] == [layer.type for layer in net.layer]
    theirs.layer[1].name = "renamed"
    back = caffe_pb2.NetParameter.FromString(theirs.SerializeToString())
    assert back.layer[1].name == "renamed"
    back.layer[1].name = "region2"
    assert back == net


def test_stock_caffe_reads_our_datum_as_an_image(stock):
    ours = caffe_pb2.Datum(channels=3, height=2, width=2, data=b"image", encoded=True, labels=[1, -1, 0])
    theirs = stock("Datum").FromString(ours.SerializeToString())
    assert (theirs.channels, theirs.data, theirs.encoded) == (3, b"image", True)
    assert caffe_pb2.Datum.FromString(theirs.SerializeToString()) == ours


def test_our_fields_begin_at_1000_and_nothing_else_differs(stock):
    for name in caffe_pb2.DESCRIPTOR.message_types_by_name:
        ours = caffe_pb2.DESCRIPTOR.message_types_by_name[name]
        if name in OURS:
            continue
        theirs = stock(name).DESCRIPTOR
        added = {field.name: field.number for field in ours.fields} | {}
        for field in theirs.fields:
            assert added.pop(field.name) == field.number, f"{name}.{field.name}"
        assert all(number >= 1000 for number in added.values()), (name, added)


def test_defaults_of_region_param():
    parameter = caffe_pb2.RegionParameter()
    for name, value in REGION_DEFAULTS.items():
        assert getattr(parameter, name) == value, name
    assert not parameter.HasField("num_output")
    assert not parameter.HasField("use_global_stats")


def test_netspec_writes_our_layers(net):
    spec = caffe.NetSpec()
    spec.data, spec.label = caffe.layers.MultiLabelData(
        source="lmdb", batch_size=4, num_labels=12, shuffle=False, prefetch=2, threads=3, ntop=2
    )
    spec.region2 = caffe.layers.Region(
        spec.data,
        grid_h=3,
        grid_w=5,
        num_output=7,
        kernel_size=5,
        bias_term=False,
        weight_filler={"type": "msra"},
        bias_filler={"type": "constant", "value": 1},
        batch_norm=False,
        use_global_stats=False,
        moving_average_fraction=0.5,
        eps=0.25,
        affine=True,
        identity=False,
        group_sparsity=0.125,
    )
    spec.loss = caffe.layers.MultiLabelSigmoidCrossEntropyLoss(
        spec.region2, spec.label, multi_label_loss_param={"pos_weight": [1.5, 2]}
    )
    written = spec.to_proto()
    net.ClearField("name")
    assert written == net


@pytest.mark.parametrize("name", messages.Recipe.DESCRIPTOR.file.message_types_by_name)
def test_messages_without_caffe_are_caffes(name):
    ours = messages.Recipe.DESCRIPTOR.file.message_types_by_name[name]
    theirs = caffe_pb2.DESCRIPTOR.message_types_by_name[name]
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        for what in ("number", "type", "is_packed", "is_repeated", "default_value"):
            if what != "default_value" or field.type != field.TYPE_MESSAGE:
                assert getattr(field, what) == getattr(other, what), (field.name, what)
        assert getattr(field.message_type, "name", "") == getattr(other.message_type, "name", "")
    if name.endswith("Recipe"):
        assert len(ours.fields) == len(theirs.fields)


def test_datum_passes_between_both():
    ours = messages.Datum(
        channels=3, height=1, width=1, data=b"abc", label=7, labels=[0, 1, -1], encoded=True
    )
    theirs = caffe_pb2.Datum.FromString(ours.SerializeToString())
    assert list(theirs.labels) == [0, 1, -1]
    assert theirs.SerializeToString(deterministic=True) == ours.SerializeToString(deterministic=True)
