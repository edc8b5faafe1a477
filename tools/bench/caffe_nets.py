"""The benchmark's networks as prototxts: the project's own, fed random images, and DRML in stock layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SOLVER = """
net: "{net}" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005
max_iter: 1000000 snapshot_after_train: false random_seed: 1
"""


def training_net(train_val: Path, batch: int, shape: list[int], labels: int, stock: bool) -> Any:
    """Return the training net with inputs in place of the data layer, so that images are set once.

    With `stock`, each Region layer becomes the graph that Caffe without it needs.
    """
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    source = text_format.Parse(train_val.read_text(), caffe_pb2.NetParameter())
    net = caffe_pb2.NetParameter(name=source.name)
    data = net.layer.add(name="data", type="Input", top=["data", "label"])
    data.input_param.shape.add(dim=[batch, *shape])
    data.input_param.shape.add(dim=[batch, labels])
    _add_layers(net, source.layer, stock)
    return net


def test_net(deploy: Path, batch: int, stock: bool) -> Any:
    """Return the deploy net for `batch` images."""
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    source = text_format.Parse(deploy.read_text(), caffe_pb2.NetParameter())
    net = caffe_pb2.NetParameter(name=source.name)
    net.layer.add().CopyFrom(source.layer[0])
    net.layer[0].input_param.shape[0].dim[0] = batch
    _add_layers(net, source.layer[1:], stock)
    return net


def _add_layers(net: Any, layers: Any, stock: bool) -> None:
    for layer in layers:
        if layer.type == "MultiLabelData":
            continue
        if stock and layer.type == "Region":
            add_stock_region(net, layer)
        else:
            net.layer.add().CopyFrom(layer)


def patch_name(name: str, row: int, column: int, part: str) -> str:
    """Return the name of one part of one patch's branch."""
    return f"{name}_{row}_{column}_{part}"


def add_stock_region(net: Any, region: Any) -> None:
    """Write one Region layer as Slice, per patch BatchNorm, ReLU, Convolution and Eltwise, and Concat."""
    param, name = region.region_param, region.name
    rows = [f"{name}_row{i}" for i in range(param.grid_h)]
    net.layer.add(name=f"{name}_rows", type="Slice", bottom=[region.bottom[0]], top=rows).slice_param.axis = 2
    spliced = []
    for i, row in enumerate(rows):
        patches = [patch_name(name, i, j, "patch") for j in range(param.grid_w)]
        net.layer.add(name=f"{name}_columns{i}", type="Slice", bottom=[row], top=patches).slice_param.axis = 3
        sums = []
        for j, patch in enumerate(patches):
            norm, conv, total = (patch_name(name, i, j, part) for part in ("norm", "conv", "sum"))
            net.layer.add(name=norm, type="BatchNorm", bottom=[patch], top=[norm])
            net.layer[-1].batch_norm_param.eps = param.eps
            net.layer.add(name=f"{norm}_relu", type="ReLU", bottom=[norm], top=[norm])
            convolution = net.layer.add(name=conv, type="Convolution", bottom=[norm], top=[conv])
            convolution.convolution_param.num_output = param.num_output
            convolution.convolution_param.kernel_size.append(param.kernel_size)
            convolution.convolution_param.pad.append(param.kernel_size // 2)
            convolution.param.extend(region.param[:2])
            if param.HasField("weight_filler"):
                convolution.convolution_param.weight_filler.CopyFrom(param.weight_filler)
                convolution.convolution_param.bias_filler.CopyFrom(param.bias_filler)
            net.layer.add(name=total, type="Eltwise", bottom=[patch, conv], top=[total])
            sums.append(total)
        net.layer.add(
            name=f"{name}_splice{i}", type="Concat", bottom=sums, top=[f"{name}_out{i}"]
        ).concat_param.axis = 3
        spliced.append(f"{name}_out{i}")
    net.layer.add(name=name, type="Concat", bottom=spliced, top=[region.top[0]]).concat_param.axis = 2
