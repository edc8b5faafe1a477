"""The kit's steps, in their order, and the program behind run.sh."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import caffe_times
import training
from gtest_shards import run_shards
from libraries import candidate_folders, explain_missing, find_gpu, find_libraries
from report import write_table
from steps import Context, Failure, Skip, Step, exit_status, run_steps

BUDGET_S = 440.0  # of eight minutes; the rest is for finding the GPU


def find_nvidia_smi() -> str | None:
    """Return nvidia-smi's path; some machines have it outside of PATH, beside the driver."""
    return shutil.which("nvidia-smi") or shutil.which("/usr/local/nvidia/bin/nvidia-smi")


def describe_card(context: Context, device: str) -> dict[str, Any]:
    """Print what driver and Caffe say of the card."""
    figures: dict[str, Any] = {}
    context.log.write_text(device + "\n")
    if smi := find_nvidia_smi():
        query = "name,driver_version,memory.total,compute_cap,clocks.max.sm"
        command = (smi, f"--query-gpu={query}", "--format=csv,noheader", "--id=0")
        said = context.call(*command, env=python_environment()).splitlines()[-1]
        figures = dict(zip(query.split(","), (value.strip() for value in said.split(",")), strict=True))
    else:
        figures["nvidia_smi"] = "not found"
    print("      " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    return figures


def time_torch(context: Context, out: Path) -> dict[str, Any]:
    """Time the same nets in PyTorch, where this Python has it."""
    try:
        context.call(sys.executable, "-c", "import torch; print(torch.__version__)", env=python_environment())
    except Failure as failure:
        raise Skip("this Python has no PyTorch") from failure
    rows = out / "torch_times.jsonl"
    rows.unlink(missing_ok=True)
    script = Path(__file__).with_name("torch_times.py")
    try:
        context.call(sys.executable, script, context.folder / "nets", rows, env=python_environment())
    finally:
        lines = rows.read_text().splitlines() if rows.exists() else []
        context.figures["rows"] = [json.loads(line) for line in lines]
    return {}


def python_environment() -> dict[str, str]:
    """Return the caller's library path: programs that are not the kit's must not get its libraries."""
    return {"LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}


def plan(out: Path, device: str) -> list[Step]:
    """Return all steps; the time for all of them together is limited as well."""
    return [
        Step("card", "The card", 20, lambda c: describe_card(c, device)),
        Step("our_tests", "Our tests on the GPU", 80, lambda c: run_shards(c, "bin/test_on_gpu", out)),
        Step("train", "DRML, 200 iterations, twice", 50, lambda c: training.train_twice(c, out)),
        Step("resume", "DRML, resumed from iteration 100", 25, lambda c: training.resume(c, out)),
        Step("cpu", "DRML on the GPU and on the CPU", 50, lambda c: training.compare_with_cpu(c, out)),
        Step("times", "Times of Caffe", 90, lambda c: caffe_times.time_iterations(c, out / "times")),
        Step("layers", "Times of DRML's layers", 15, caffe_times.time_layers),
        Step("torch", "Times of PyTorch", 70, lambda c: time_torch(c, out)),
        Step(
            "upstream_tests",
            "Caffe's own tests on the GPU",
            120,
            lambda c: run_shards(c, "bin/test_upstream", out),
        ),
    ]


def main() -> int:
    """Run all steps; return the exit status that run.sh explains."""
    parser = argparse.ArgumentParser(
        prog="run.sh", description="Test and time the CUDA build on this machine's GPU."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder for the results (default: results)"
    )
    parser.add_argument("--steps", nargs="+", metavar="STEP", help="make these steps only")
    args = parser.parse_args()
    kit = Path(__file__).resolve().parents[1]
    out = args.out.resolve()
    folders, missing = find_libraries(candidate_folders())
    if missing:
        print(f"run.sh: {explain_missing(missing)}", file=sys.stderr)
        return 1
    before = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)  # where the driver may be
    paths = [path for path in (str(kit / "lib"), *folders, *before) if path]
    env = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(paths)}
    gpu, device = find_gpu(kit, env)
    print(f"GPU: {gpu}" if gpu else f"GPU: none that Caffe can use ({device})")
    steps = plan(out, device)
    if args.steps:
        if unknown := set(args.steps) - {step.name for step in steps}:
            parser.error(
                f"unknown steps: {', '.join(sorted(unknown))}; known: {', '.join(s.name for s in steps)}"
            )
        steps = [step for step in steps if step.name in args.steps]
    header = {
        "gpu": gpu,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processor cores",
        "kit": (kit / "version.txt").read_text().strip(),
    }
    results = run_steps(steps, folder=kit, out=out, env=env, gpu=gpu, budget_s=BUDGET_S, header=header)
    table = write_table(out / "results.json", out / "results.md")
    print(f"\n{table}\nWritten: {out}/results.json, {out}/results.md, and a log of each step")
    return exit_status(results, gpu)


if __name__ == "__main__":
    sys.exit(main())
