"""TensorFlow: one tf.function, NHWC."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from architecture import Layer, trace_shapes


def build_tensorflow(
    args: argparse.Namespace, layers: list[Layer], weights: dict[str, np.ndarray], images: np.ndarray
) -> tuple[Callable[[], object], Callable[[], np.ndarray] | None, str]:
    """Return the step, the outputs and the version."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    training = args.mode == "train"
    variables: dict[str, Any] = {}
    shapes = dict(zip((layer["name"] for layer in layers), [None, *trace_shapes(layers)], strict=False))
    for layer in layers:
        name = layer["name"]
        if f"{name}.0" not in weights:
            continue
        weight = weights[f"{name}.0"]
        if layer["type"] == "Convolution":
            weight = weight.transpose(2, 3, 1, 0)
        elif layer["type"] == "Region":
            weight = weight.transpose(0, 3, 4, 2, 1)
        elif len(shapes[name] or ()) == 3:
            # The first inner product reads a map, here with the channels last.
            weight = weight.reshape(-1, *shapes[name]).transpose(2, 3, 1, 0).reshape(-1, layer["out"])
        else:
            weight = weight.T
        bias = weights[f"{name}.1"]
        if layer["type"] == "Region":
            for g in range(len(weight)):
                variables[f"{name}.0.{g}"] = tf.Variable(np.ascontiguousarray(weight[g]))
                variables[f"{name}.1.{g}"] = tf.Variable(bias[g])
        else:
            variables[f"{name}.0"] = tf.Variable(np.ascontiguousarray(weight))
            variables[f"{name}.1"] = tf.Variable(bias)

    def region(x: Any, layer: Layer) -> Any:
        name = layer["name"]
        rows = []
        for i, row in enumerate(tf.split(x, layer["grid_h"], 1)):
            patches = []
            for j, patch in enumerate(tf.split(row, layer["grid_w"], 2)):
                g = i * layer["grid_w"] + j
                if training:
                    mean, variance = tf.nn.moments(patch, [0, 1, 2])
                else:
                    mean, variance = weights[f"{name}.mean"][g], weights[f"{name}.variance"][g]
                norm = tf.nn.batch_normalization(patch, mean, variance, None, None, layer["eps"])
                out = tf.nn.conv2d(tf.nn.relu(norm), variables[f"{name}.0.{g}"], 1, "SAME")
                patches.append(patch + tf.nn.bias_add(out, variables[f"{name}.1.{g}"]))
            rows.append(tf.concat(patches, 2))
        return tf.concat(rows, 1)

    def forward(x: Any) -> Any:
        for layer in layers[1:]:
            name, kind = layer["name"], layer["type"]
            if kind == "Convolution":
                pad = layer["pad"]
                padding = [[0, 0], [pad, pad], [pad, pad], [0, 0]]
                x = tf.nn.conv2d(x, variables[f"{name}.0"], layer["stride"], padding)
                x = tf.nn.bias_add(x, variables[f"{name}.1"])
            elif kind == "Region":
                x = region(x, layer)
            elif kind == "ReLU":
                x = tf.nn.relu(x)
            elif kind == "Pooling":
                x = tf.nn.max_pool2d(x, layer["kernel"], layer["stride"], "VALID")
            elif kind == "LRN":
                x = tf.nn.local_response_normalization(
                    x, layer["size"] // 2, 1.0, layer["alpha"] / layer["size"], layer["beta"]
                )
            elif kind == "InnerProduct":
                if len(x.shape) == 4:
                    x = tf.reshape(x, [args.batch, -1])
                x = tf.matmul(x, variables[f"{name}.0"]) + variables[f"{name}.1"]
            elif kind == "Dropout" and training:
                x = tf.nn.dropout(x, 0.5)
        return x

    x = tf.constant(images.transpose(0, 2, 3, 1))
    version = f"TensorFlow {tf.__version__}"
    if not training:
        infer = tf.function(lambda: forward(x))
        return (lambda: infer().numpy()), (lambda: infer().numpy()), version
    target = tf.ones([args.batch, layers[-2]["out"]])
    learned = list(variables.values())
    momenta = [tf.Variable(tf.zeros_like(variable)) for variable in learned]

    @tf.function
    def train() -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(target, forward(x))
            loss = tf.reduce_sum(losses) / args.batch
        for variable, momentum, gradient in zip(learned, momenta, tape.gradient(loss, learned), strict=True):
            momentum.assign(0.9 * momentum + gradient + 5e-4 * variable)
            variable.assign_sub(1e-3 * momentum)
        return loss

    return (lambda: train().numpy()), None, version
