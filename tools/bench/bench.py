#!/usr/bin/env python3
"""Time training and inference of DRML, ConvNet and AlexNet: Caffe with and without the engine, and its peers.

Every system runs in a process of its own and takes turns with the others, while the rest are stopped. Before
anything is timed, all must compute the same outputs from the same weights and images.

    make bench                                               # every table
    .venv/bin/python tools/bench/bench.py --models drml --batch 16 --mode train

Results: bench.json and bench.md in --out, written after each table, so that ctrl-C keeps what is done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from architecture import MODELS, multiply_adds, read_layers, save_case, training_flops
from table import cell_markdown, memory_markdown, report_markdown, summarize

ROOT = Path(__file__).parents[2]
SYSTEMS = {
    "train": ("caffe", "caffe-plain", "caffe-stock", "torch", "torch-channels-last", "tensorflow"),
    "inference": (
        "caffe",
        "caffe-plain",
        "caffe-stock",
        "torch",
        "torch-channels-last",
        "tensorflow",
        "onnxruntime",
        "openvino",
        "openvino-bfloat16",
    ),
}
UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Largest differences from the outputs of plain Caffe: in float32, and in bfloat16 as a share of the largest.
TOLERANCE = 1e-3
BFLOAT16_TOLERANCE = 5e-2


class Worker:
    """One system in a process that is stopped whenever it has nothing to do."""

    def __init__(
        self, system: str, mode: str, model: str, batch: int, threads: int, case: Path, device: str = "cpu"
    ) -> None:
        python = sys.executable if system.startswith("caffe") else str(args_venv() / "bin/python")
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        env |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2"}
        env.pop("CAFFE_ENGINE", None)
        if system in ("caffe-plain", "caffe-stock"):
            env["CAFFE_ENGINE"] = "plain"
        command = [python, str(Path(__file__).with_name("worker.py")), "--system", system, "--mode", mode]
        command += ["--model", model, "--batch", str(batch), "--threads", str(threads), "--case", str(case)]
        command += ["--device", device]
        # A file, not a pipe: nobody reads it before the end, and a full pipe would block the worker.
        self.log = (case / f"{system}.log").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env
        )
        self.first = self._read()
        self._pause()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            text = Path(self.log.name).read_text().strip().splitlines()
            faults = [line for line in text if re.match(r"[\w.]+(Error|Exception)\b", line)]
            return {"missing": (faults or text or [f"exit status {self.process.wait()}"])[-1]}
        return json.loads(line)

    def _pause(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGSTOP)

    def ask(self, request: dict[str, object]) -> dict[str, Any]:
        """Wake the worker, send it a request, return its answer."""
        assert self.process.stdin is not None
        self.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):  # then _read says why the worker ended
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        answer = self._read()
        self._pause()
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()
        self.log.close()


def args_venv() -> Path:
    """Return the environment of the peers, which `make bench` fills."""
    return Path(os.environ.get("BENCH_VENV", ROOT / "build/bench/venv"))


def check_outputs(workers: dict[str, Worker], case: Path) -> None:
    """Stop unless all systems give the same outputs."""
    outputs = {}
    for name, worker in workers.items():
        path = case / f"{name}.npy"
        answer = worker.ask({"output": str(path)})
        if "missing" in answer:
            raise SystemExit(f"{name} failed: {answer['missing']}")
        outputs[name] = np.load(path)
    reference = outputs["caffe-plain"] if "caffe-plain" in outputs else next(iter(outputs.values()))
    if len(reference) > 1 and np.ptp(reference, axis=0).max() < 10 * TOLERANCE:
        raise SystemExit("the outputs hardly differ between images: they would prove nothing")
    for name, output in outputs.items():
        difference = float(np.abs(output - reference).max())
        print(f"  {name}: outputs differ by {difference:.1e} at most")
        bfloat16 = BFLOAT16_TOLERANCE * float(np.abs(reference).max())
        if not difference <= (bfloat16 if name.endswith("bfloat16") else TOLERANCE):
            raise SystemExit(f"{name} does not compute the same function: nothing is timed")


def run_cell(
    model: str, mode: str, batch: int, threads: int, systems: list[str], rounds: int, case: Path
) -> dict[str, Any]:
    """Measure one network, mode and batch size."""
    layers = read_layers(ROOT / "models" / model / "deploy.prototxt")
    counts = multiply_adds(layers)
    flops = training_flops(layers) if mode == "train" else 2 * sum(counts.values())
    cell: dict[str, Any] = {
        "model": model,
        "mode": mode,
        "batch": batch,
        "threads": threads,
        "gflop": flops * batch / 1e9,
        "systems": {},
    }
    workers: dict[str, Worker] = {}
    times: dict[str, list[float]] = {}
    try:
        for name in systems:
            if name == "caffe-stock" and model != "drml":
                continue
            print(f"  starting {name}", flush=True)
            worker = Worker(name, mode, model, batch, threads, case)
            cell["systems"][name] = {}
            if "missing" in worker.first:
                cell["systems"][name]["missing"] = worker.first["missing"]
                worker.close()
                continue
            cell["systems"][name]["version"] = worker.first["ready"]
            workers[name], times[name] = worker, []
        if mode == "inference":
            check_outputs(workers, case)
        start = time.monotonic()
        for done in range(rounds + 1):  # the first round warms up
            for name, worker in workers.items():
                answer = worker.ask({"run": 2})
                if "missing" in answer:
                    raise SystemExit(f"{name} failed: {answer['missing']}")
                if done:
                    times[name] += answer["seconds"]
            left = (time.monotonic() - start) / (done + 1) * (rounds - done)
            print(f"\r  round {done} of {rounds}, {left:.0f} s left ", end="", flush=True)
        print()
        for name in workers:
            cell["systems"][name] |= summarize(times[name])
    finally:
        for worker in workers.values():
            worker.close()
    return cell


def check_model(model: str, threads: int, systems: list[str], case: Path) -> None:
    """Compare the outputs of all systems on a few images, one worker at a time; stop where they differ."""
    workers: dict[str, Worker] = {}
    try:
        for name in systems:
            if name == "caffe-stock" and model != "drml":
                continue
            worker = Worker(name, "inference", model, 4, threads, case)
            if "missing" in worker.first:
                worker.close()
            else:
                workers[name] = worker
        check_outputs(workers, case)
    finally:
        for worker in workers.values():
            worker.close()


def measure_memory(batch: int, threads: int, case: Path) -> dict[str, Any]:
    """Return the peak memory of two training iterations of DRML, in bytes by system."""
    sizes: dict[str, int | None] = {}
    for name in ("caffe", "caffe-stock", "torch", "torch-channels-last"):
        print(f"  {name}", flush=True)
        worker = Worker(name, "train", "drml", batch, threads, case)
        if "missing" in worker.first:
            sizes[name] = None
        else:
            worker.ask({"run": 1})
            sizes[name] = worker.ask({"memory": True})["bytes"]
        worker.close()
    return {"batch": batch, "bytes": sizes}


def measure_peak(program: Path, threads: int) -> float:
    """Return the GFLOP/s of multiply-adds that need no memory; program is fma_peak of `make bench`."""
    env = {name: value for name, value in os.environ.items() if name not in UNSET}
    env |= {"OMP_NUM_THREADS": str(threads), "GLOG_minloglevel": "1"}
    result = subprocess.run([str(program)], env=env, capture_output=True, check=True, text=True)
    return float(result.stdout.split()[1])


def cpu_name() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--mode", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS["inference"], help="default: all")
    parser.add_argument("--rounds", type=int, default=5, help="of two iterations each")
    parser.add_argument("--scaling", action="store_true", help="batch 1 to 128, threads 1 and 2, DRML")
    parser.add_argument("--quick", action="store_true", help="DRML, batch 16, two rounds, no peak memory")
    parser.add_argument("--memory", action="store_true", help="peak memory of DRML training only")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory out")
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench")
    return parser.parse_args()


def main() -> None:
    """Run the cells that the command line asks for."""
    args = parse()
    if args.scaling:
        args.models, args.batch, args.threads = ["drml"], [1, 4, 16, 64, 128], [1, 2]
        args.no_memory = True
    if args.quick:
        args.models, args.batch, args.rounds, args.no_memory = ["drml"], [16], 2, True
    if args.memory:
        args.models, args.mode, args.no_memory = ["drml"], [], False
        save_case(args.out / "drml", ROOT / "models/drml/deploy.prototxt")
    args.out.mkdir(parents=True, exist_ok=True)
    unset = [name for name in UNSET if name in os.environ]
    report: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": " and ".join(map(str, args.threads)),
        "environment": f"{' and '.join(UNSET)} unset for all (set here: {', '.join(unset) or 'neither'}).",
        "peak_gflops": measure_peak(ROOT / "build/bench/fma_peak", max(args.threads)),
        "cells": [],
    }
    print(f"{report['cpu']}, FMA peak {report['peak_gflops']:.0f} GFLOP/s. {report['environment']}")

    def save() -> None:
        (args.out / "bench.json").write_text(json.dumps(report, indent=1))
        (args.out / "bench.md").write_text(report_markdown(report))

    try:
        for model in args.models if args.mode else []:
            case = args.out / model
            save_case(case, ROOT / "models" / model / "deploy.prototxt")
            # Inference first: its cells compare the outputs.
            if "inference" not in args.mode:
                print(f"{MODELS[model]}, outputs")
                names = [name for name in SYSTEMS["train"] if not args.systems or name in args.systems]
                check_model(model, args.threads[0], names, case)
            for mode in sorted(args.mode):
                systems = [name for name in SYSTEMS[mode] if not args.systems or name in args.systems]
                for threads in args.threads:
                    for batch in args.batch:
                        print(f"{MODELS[model]}, {mode}, batch {batch}, {threads} threads", flush=True)
                        cell = run_cell(model, mode, batch, threads, systems, args.rounds, case)
                        report["cells"].append(cell)
                        save()
                        print(cell_markdown(cell, report["peak_gflops"]))
        if not args.no_memory and "drml" in args.models:
            print("Peak memory of DRML training, batch 128")
            report["memory"] = measure_memory(128, max(args.threads), args.out / "drml")
            save()
            print(memory_markdown(report["memory"]))
    except KeyboardInterrupt:
        print(f"\nStopped; what was measured is in {args.out}/bench.md", file=sys.stderr)
        sys.exit(130)
    print(f"{args.out}/bench.md, {args.out}/bench.json")


if __name__ == "__main__":
    main()
