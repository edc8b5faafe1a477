"""Networks as plain lists of layers, read from the prototxts, so that every system builds the same one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

Layer = dict[str, Any]

MODELS = {"drml": "DRML", "convnet": "ConvNet", "alexnet": "AlexNet"}


def read_layers(deploy: Path) -> list[Layer]:
    """Return the layers of a deploy prototxt, in order; the first one is the input with its C, H, W."""
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    net = text_format.Parse(deploy.read_text(), caffe_pb2.NetParameter())
    layers: list[Layer] = []
    for layer in net.layer:
        entry: Layer = {"name": layer.name, "type": layer.type}
        if layer.type == "Input":
            entry["shape"] = list(layer.input_param.shape[0].dim)[1:]
        elif layer.type in ("Convolution", "LocallyConnected"):
            conv = layer.convolution_param
            entry |= {
                "out": conv.num_output,
                "kernel": conv.kernel_size[0],
                "stride": conv.stride[0] if conv.stride else 1,
                "pad": conv.pad[0] if conv.pad else 0,
                "group": conv.group,
            }
        elif layer.type == "Region":
            region = layer.region_param
            if (region.kernel_size, region.affine, region.identity) != (3, False, True):
                raise ValueError(f"{deploy}: this Region layer is none that the benchmark compares")
            entry |= {"grid_h": region.grid_h, "grid_w": region.grid_w, "eps": region.eps}
        elif layer.type == "Pooling":
            entry |= {"kernel": layer.pooling_param.kernel_size, "stride": layer.pooling_param.stride}
        elif layer.type == "LRN":
            lrn = layer.lrn_param
            entry |= {"size": lrn.local_size, "alpha": lrn.alpha, "beta": lrn.beta}
        elif layer.type == "InnerProduct":
            entry["out"] = layer.inner_product_param.num_output
        elif layer.type not in ("ReLU", "Dropout", "Sigmoid"):
            raise ValueError(f"{deploy}: the benchmark does not know layers of type {layer.type}")
        layers.append(entry)
    return layers


def trace_shapes(layers: list[Layer]) -> list[tuple[int, ...]]:
    """Return what each layer gives out for one image: (C, H, W) or (values,)."""
    shape = tuple(layers[0]["shape"])
    shapes = []
    for layer in layers:
        if layer["type"] in ("Convolution", "LocallyConnected"):
            side = [(s + 2 * layer["pad"] - layer["kernel"]) // layer["stride"] + 1 for s in shape[1:]]
            shape = (layer["out"], *side)
        elif layer["type"] == "Pooling":  # rounds up
            side = [-((layer["kernel"] - s) // layer["stride"]) + 1 for s in shape[1:]]
            shape = (shape[0], *side)
        elif layer["type"] == "InnerProduct":
            shape = (layer["out"],)
        shapes.append(shape)
    return shapes


def multiply_adds(layers: list[Layer]) -> dict[str, int]:
    """Return the multiply-adds of each layer's forward pass for one image, by name."""
    shapes = trace_shapes(layers)
    counts = {}
    for layer, before, after in zip(layers[1:], shapes, shapes[1:], strict=False):
        if layer["type"] in ("Convolution", "LocallyConnected"):
            taps = before[0] // layer["group"] * layer["kernel"] ** 2
        elif layer["type"] == "Region":
            taps = before[0] * 9
        elif layer["type"] == "InnerProduct":
            taps = int(np.prod(before))
        else:
            continue
        counts[layer["name"]] = taps * int(np.prod(after))
    return counts


def training_flops(layers: list[Layer]) -> int:
    """Return the floating-point operations per image of forward and backward.

    Each product is made three times, but for the first layer's: nobody wants the image's gradient.
    """
    counts = list(multiply_adds(layers).values())
    return 2 * (3 * sum(counts) - counts[0])


def draw_weights(layers: list[Layer], seed: int = 0) -> dict[str, np.ndarray]:
    """Draw weights under which outputs vary: "name.0" weight, "name.1" bias; Region also mean, variance."""
    rng = np.random.default_rng(seed)
    shapes = trace_shapes(layers)
    weights: dict[str, np.ndarray] = {}
    for layer, before, after in zip(layers[1:], shapes, shapes[1:], strict=False):
        name = layer["name"]
        fan_axes = slice(1, None)
        if layer["type"] == "Convolution":
            shape: tuple[int, ...] = (
                layer["out"],
                before[0] // layer["group"],
                layer["kernel"],
                layer["kernel"],
            )
            bias: tuple[int, ...] = (layer["out"],)
        elif layer["type"] == "LocallyConnected":
            shape = (*after[1:], before[0], layer["kernel"], layer["kernel"], layer["out"])
            bias, fan_axes = after, slice(2, 5)
        elif layer["type"] == "Region":
            patches, channels = layer["grid_h"] * layer["grid_w"], before[0]
            shape, bias = (patches, channels, channels, 3, 3), (patches, channels)
            fan_axes = slice(2, None)
            weights[f"{name}.mean"] = rng.normal(0, 0.1, bias).astype(np.float32)
            weights[f"{name}.variance"] = rng.uniform(0.5, 1.5, bias).astype(np.float32)
        elif layer["type"] == "InnerProduct":
            shape, bias = (layer["out"], int(np.prod(before))), (layer["out"],)
        else:
            continue
        fan_in = int(np.prod(shape[fan_axes]))
        weights[f"{name}.0"] = rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        weights[f"{name}.1"] = rng.normal(0, 0.1, bias).astype(np.float32)
    return weights


def draw_images(layers: list[Layer], batch: int, seed: int = 1) -> np.ndarray:
    """Return random images, N x C x H x W."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (batch, *layers[0]["shape"])).astype(np.float32)


def save_case(folder: Path, deploy: Path) -> None:
    """Write what the workers read: layers.json and weights.npz."""
    layers = read_layers(deploy)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "layers.json").write_text(json.dumps(layers))
    np.savez(folder / "weights.npz", allow_pickle=False, **draw_weights(layers))


def load_case(folder: Path) -> tuple[list[Layer], dict[str, np.ndarray]]:
    """Read what save_case wrote."""
    with np.load(folder / "weights.npz") as archive:
        weights = {name: archive[name] for name in archive.files}
    return json.loads((folder / "layers.json").read_text()), weights
