"""ONNX Runtime and OpenVINO, from one ONNX file; inference only."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from architecture import Layer


def build_onnx(
    args: argparse.Namespace, layers: list[Layer], weights: dict[str, np.ndarray], images: np.ndarray
) -> tuple[Callable[[], object], Callable[[], np.ndarray] | None, str]:
    """Return the step, the outputs and the version; args.system starts with onnxruntime or openvino."""
    path = args.case / f"{args.system}_{args.batch}.onnx"
    write_onnx(path, layers, weights, args.batch)
    if args.system == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        def run() -> np.ndarray:
            return session.run(None, {"data": images})[0]

        return run, run, f"ONNX Runtime {onnxruntime.__version__}"
    import openvino

    core = openvino.Core()
    bfloat16 = args.system == "openvino-bfloat16"
    if bfloat16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ImportError("this processor does not compute in bfloat16")
    config = {
        "INFERENCE_NUM_THREADS": args.threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(str(path), "CPU", config)
    request = model.create_infer_request()

    def infer() -> np.ndarray:
        return request.infer({0: images})[model.output(0)].copy()

    return infer, infer, f"OpenVINO {openvino.__version__}"


def write_onnx(path: Path, layers: list[Layer], weights: dict[str, np.ndarray], batch: int) -> None:
    """Write the network; batch normalisation as BatchNormalization, the patches as Split and Concat."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    x, flat = "data", False
    for layer in layers[1:]:
        name, kind = layer["name"], layer["type"]
        if kind == "Convolution":
            x = node(
                "Conv",
                [x, constant(f"{name}.w", weights[f"{name}.0"]), constant(f"{name}.b", weights[f"{name}.1"])],
                name,
                kernel_shape=[layer["kernel"]] * 2,
                strides=[layer["stride"]] * 2,
                pads=[layer["pad"]] * 4,
                group=layer["group"],
            )
        elif kind == "Region":
            x = _region(layer, weights, x, node, constant, nodes, helper)
        elif kind == "ReLU":
            x = node("Relu", [x], name)
        elif kind == "Pooling":
            x = node(
                "MaxPool",
                [x],
                name,
                kernel_shape=[layer["kernel"]] * 2,
                strides=[layer["stride"]] * 2,
                ceil_mode=1,
            )
        elif kind == "LRN":
            x = node("LRN", [x], name, size=layer["size"], alpha=layer["alpha"], beta=layer["beta"], bias=1.0)
        elif kind == "InnerProduct":
            if not flat:
                x, flat = node("Flatten", [x], "flat"), True
            inputs = [
                x,
                constant(f"{name}.w", weights[f"{name}.0"]),
                constant(f"{name}.b", weights[f"{name}.1"]),
            ]
            x = node("Gemm", inputs, name, transB=1)
    shape = [batch, *layers[0]["shape"]]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [batch, layers[-2]["out"]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(path))


def _region(layer, weights, x, node, constant, nodes, helper):  # type: ignore[no-untyped-def]
    name = layer["name"]
    rows = [f"{name}.row{i}" for i in range(layer["grid_h"])]
    nodes.append(helper.make_node("Split", [x], rows, axis=2))
    channels = weights[f"{name}.1"].shape[1]
    one, zero = (
        constant(f"{name}.one", np.ones(channels, np.float32)),
        constant(f"{name}.zero", np.zeros(channels, np.float32)),
    )
    spliced = []
    for i, row in enumerate(rows):
        patches = [f"{row}.patch{j}" for j in range(layer["grid_w"])]
        nodes.append(helper.make_node("Split", [row], patches, axis=3))
        sums = []
        for j, patch in enumerate(patches):
            g = i * layer["grid_w"] + j
            mean = constant(f"{patch}.mean", weights[f"{name}.mean"][g])
            variance = constant(f"{patch}.variance", weights[f"{name}.variance"][g])
            norm = node(
                "BatchNormalization",
                [patch, one, zero, mean, variance],
                f"{patch}.norm",
                epsilon=layer["eps"],
            )
            clipped = node("Relu", [norm], f"{patch}.clipped")
            inputs = [
                clipped,
                constant(f"{patch}.w", weights[f"{name}.0"][g]),
                constant(f"{patch}.b", weights[f"{name}.1"][g]),
            ]
            conv = node("Conv", inputs, f"{patch}.conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            sums.append(node("Add", [patch, conv], f"{patch}.sum"))
        spliced.append(node("Concat", sums, f"{row}.out", axis=3))
    return node("Concat", spliced, name, axis=2)
