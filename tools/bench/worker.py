"""One system, one network, one batch size, in a process of its own, so that pools and memory stay apart.

Reads a request a line from standard input and answers each with one line of JSON: {"run": k} makes k
iterations and gives their seconds, {"output": PATH} saves the outputs, {"memory": true} gives the most memory
that the process ever held, in bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from architecture import draw_images, load_case

Step = Callable[[], object]


def build(args: argparse.Namespace) -> tuple[Step, Callable[[], np.ndarray] | None, str]:
    """Return what makes one iteration, what gives the outputs (inference only), and the version."""
    layers, weights = load_case(args.case)
    images = draw_images(layers, args.batch)
    if args.system.startswith("caffe"):
        from caffe_system import build_caffe

        return build_caffe(args, layers, weights, images)
    if args.system.startswith("torch"):
        from torch_system import build_torch

        return build_torch(args, layers, weights, images)
    if args.system == "tensorflow":
        from tensorflow_system import build_tensorflow

        return build_tensorflow(args, layers, weights, images)
    from onnx_systems import build_onnx

    return build_onnx(args, layers, weights, images)


def peak_memory() -> int:
    """Return the most memory that this process ever held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Answer requests until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", required=True)
    # gradient: training without the update, as `caffe time` measures it; PyTorch only.
    parser.add_argument("--mode", choices=("train", "inference", "gradient"), required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of PyTorch")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--case", type=Path, required=True)
    args = parser.parse_args()
    # Libraries print to standard output: only the answers may.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: dict[str, object]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        step, output, version = build(args)
        step()
        answer({"ready": version})
    except ImportError as error:
        answer({"missing": str(error)})
        return
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            seconds = []
            for _ in range(request["run"]):
                start = time.perf_counter()
                step()
                seconds.append(time.perf_counter() - start)
            answer({"seconds": seconds})
        elif "output" in request:
            assert output is not None
            np.save(request["output"], output())
            answer({"saved": True})
        else:
            answer({"bytes": peak_memory()})


if __name__ == "__main__":
    main()
