"""PyTorch, eager: memory in NCHW or channels_last."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from architecture import Layer


def make_net(layers: list[Layer], weights: dict[str, np.ndarray]) -> Any:
    """Return the net as one writes it in PyTorch, with the benchmark's weights."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Region(nn.Module):
        """A BatchNorm2d and a Conv2d for each patch, as one writes it in PyTorch."""

        def __init__(self, layer: Layer, channels: int) -> None:
            super().__init__()
            self.grid = layer["grid_h"], layer["grid_w"]
            patches = layer["grid_h"] * layer["grid_w"]
            self.norms = nn.ModuleList(
                nn.BatchNorm2d(channels, eps=layer["eps"], affine=False) for _ in range(patches)
            )
            self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(patches))

        def forward(self, x: Any) -> Any:
            rows = []
            for i, row in enumerate(x.tensor_split(self.grid[0], 2)):
                patches = []
                for j, patch in enumerate(row.tensor_split(self.grid[1], 3)):
                    g = i * self.grid[1] + j
                    patches.append(patch + self.convs[g](F.relu(self.norms[g](patch))))
                rows.append(torch.cat(patches, 3))
            return torch.cat(rows, 2)

    class LocallyConnected(nn.Module):
        """A product for each position: PyTorch has no such layer."""

        def __init__(self, layer: Layer, weight: np.ndarray, bias: np.ndarray) -> None:
            super().__init__()
            self.taps = layer["kernel"], 1, layer["pad"], layer["stride"]
            self.out = layer["out"], weight.shape[0], weight.shape[1]
            taps = int(np.prod(weight.shape[2:5]))
            self.weight = nn.Parameter(torch.from_numpy(weight.reshape(-1, taps, layer["out"]).copy()))
            self.bias = nn.Parameter(torch.from_numpy(bias.copy()))

        def forward(self, x: Any) -> Any:
            columns = F.unfold(x, *self.taps)
            products = torch.bmm(columns.permute(2, 0, 1), self.weight)  # position x image x output
            return products.permute(1, 2, 0).reshape(-1, *self.out) + self.bias

    modules: list[Any] = []
    channels = layers[0]["shape"][0]
    flat = False

    def load(module: Any, weight: np.ndarray, bias: np.ndarray) -> Any:
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weight))
            module.bias.copy_(torch.from_numpy(bias))
        return module

    for layer in layers[1:]:
        name, kind = layer["name"], layer["type"]
        if kind == "Convolution":
            conv = nn.Conv2d(
                channels, layer["out"], layer["kernel"], layer["stride"], layer["pad"], groups=layer["group"]
            )
            modules.append(load(conv, weights[f"{name}.0"], weights[f"{name}.1"]))
            channels = layer["out"]
        elif kind == "LocallyConnected":
            modules.append(LocallyConnected(layer, weights[f"{name}.0"], weights[f"{name}.1"]))
            channels = layer["out"]
        elif kind == "Region":
            region = Region(layer, channels)
            for g, (norm, conv) in enumerate(zip(region.norms, region.convs, strict=True)):
                load(conv, weights[f"{name}.0"][g], weights[f"{name}.1"][g])
                norm.running_mean.copy_(torch.from_numpy(weights[f"{name}.mean"][g]))
                norm.running_var.copy_(torch.from_numpy(weights[f"{name}.variance"][g]))
            modules.append(region)
        elif kind == "ReLU":
            modules.append(nn.ReLU(inplace=True))
        elif kind == "Pooling":
            modules.append(nn.MaxPool2d(layer["kernel"], layer["stride"], ceil_mode=True))
        elif kind == "LRN":
            modules.append(nn.LocalResponseNorm(layer["size"], layer["alpha"], layer["beta"]))
        elif kind == "InnerProduct":
            if not flat:
                modules.append(nn.Flatten())
                flat = True
            weight = weights[f"{name}.0"]
            modules.append(load(nn.Linear(weight.shape[1], weight.shape[0]), weight, weights[f"{name}.1"]))
        elif kind == "Dropout":
            modules.append(nn.Dropout(0.5))
    return nn.Sequential(*modules)


def build_torch(
    args: argparse.Namespace, layers: list[Layer], weights: dict[str, np.ndarray], images: np.ndarray
) -> tuple[Callable[[], object], Callable[[], np.ndarray] | None, str]:
    """Return the step, the outputs and the version; args.system is torch or torch-channels-last.

    On a GPU (args.device cuda) a step waits until it is done, and all is in float32 as in Caffe.
    """
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(args.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    net = make_net(layers, weights).to(args.device)
    x = torch.from_numpy(images).to(args.device)
    wait = torch.cuda.synchronize if args.device == "cuda" else (lambda: None)
    if args.system == "torch-channels-last":
        net = net.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    version = f"PyTorch {torch.__version__}"
    if args.mode != "inference":
        target = torch.ones(args.batch, layers[-2]["out"], device=args.device)
        optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)

        def step() -> None:
            optimizer.zero_grad()
            loss = F.binary_cross_entropy_with_logits(net(x), target, reduction="sum") / args.batch
            loss.backward()
            if args.mode == "train":
                optimizer.step()
            wait()

        return step, None, version
    net.eval()

    def infer() -> Any:
        with torch.inference_mode():
            y = net(x)
        wait()
        return y

    return infer, (lambda: infer().cpu().numpy()), version
