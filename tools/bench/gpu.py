#!/usr/bin/env python3
"""DRML on a GPU: `caffe time -gpu 0` against PyTorch on the same card, forward and backward in float32.

make bench USE_CUDA=1                                  # after the tables for the CPU
.venv/bin/python tools/bench/gpu.py --device cpu       # the same comparison, to try it without a GPU
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from architecture import MODELS, read_layers, save_case
from bench import ROOT, UNSET, Worker
from caffe_nets import training_net

AVERAGE = re.compile(r"Average (Forward pass|Backward pass|Forward-Backward): ([\d.]+) ms")


def gpu_name() -> str | None:
    """Return the first GPU's name, None where there is none."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0] if lines else None


def time_caffe(
    caffe: Path, model: str, batch: int, iterations: int, device: str, case: Path
) -> dict[str, float]:
    """Return the milliseconds that `caffe time` prints, by what they are of."""
    layers = read_layers(ROOT / "models" / model / "deploy.prototxt")
    train_val = ROOT / "models" / model / "train_val.prototxt"
    net = training_net(train_val, batch, layers[0]["shape"], layers[-2]["out"], stock=False)
    path = case / f"time_{batch}.prototxt"
    path.write_text(str(net))
    command = [str(caffe), "time", "-model", str(path), "-iterations", str(iterations)]
    if device == "cuda":
        command += ["-gpu", "0"]
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    found = {name: float(value) for name, value in AVERAGE.findall(done.stderr)}
    if done.returncode or len(found) != 3:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise SystemExit(f"{' '.join(command)} failed: {said[-1]}")
    return found


def time_torch(model: str, batch: int, iterations: int, device: str, case: Path) -> dict[str, Any]:
    """Return the median milliseconds of PyTorch's forward and backward, and its version."""
    worker = Worker("torch", "gradient", model, batch, os.cpu_count() or 1, case, device)
    try:
        if "missing" in worker.first:
            return {"missing": worker.first["missing"]}
        worker.ask({"run": 3})
        answer = worker.ask({"run": iterations})
        if "missing" in answer:
            return {"missing": answer["missing"]}
        return {"version": worker.first["ready"], "ms": 1e3 * statistics.median(answer["seconds"])}
    finally:
        worker.close()


def main() -> None:
    """Time each model and batch size; write gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=["drml"])
    parser.add_argument("--batch", nargs="+", type=int, default=[16, 128])
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--caffe", type=Path, default=ROOT / ".venv/bin/caffe")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench")
    args = parser.parse_args()
    name = gpu_name() if args.device == "cuda" else "the CPU"
    if name is None:
        print("GPU: none here, so nothing was timed on one.")
        return
    asked = subprocess.run([args.caffe, "device_query", "-gpu", "0"], capture_output=True, text=True)
    if args.device == "cuda" and asked.returncode:
        print(f"GPU: {name}, but this build cannot use it; make USE_CUDA=1 builds one that can.")
        return
    print(f"{name}; `caffe time` waits after every layer, PyTorch after every iteration")
    print("| model | batch | caffe forward | backward | both | PyTorch both | ratio |")
    print("|---" * 7 + "|")
    rows = []
    for model in args.models:
        case = args.out / model
        save_case(case, ROOT / "models" / model / "deploy.prototxt")
        for batch in args.batch:
            caffe = time_caffe(args.caffe, model, batch, args.iterations, args.device, case)
            torch = time_torch(model, batch, args.iterations, args.device, case)
            both = caffe["Forward-Backward"]
            shown = (
                f"{torch['ms']:.1f} | {both / torch['ms']:.2f}"
                if "ms" in torch
                else f"{torch['missing']} | -"
            )
            forward, backward = caffe["Forward pass"], caffe["Backward pass"]
            print(
                f"| {MODELS[model]} | {batch} | {forward:.1f} | {backward:.1f} | {both:.1f} | {shown} |",
                flush=True,
            )
            rows.append({"model": model, "batch": batch, "caffe_ms": caffe, "torch": torch})
    report = {"device": name, "iterations": args.iterations, "rows": rows}
    (args.out / "gpu.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
