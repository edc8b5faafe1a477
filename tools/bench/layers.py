#!/usr/bin/env python3
"""Time one network layer by layer, forward and backward, against what the machine can do.

    make bench-layers                      # models/drml, batch 16
    make bench-layers BENCH="--model alexnet --batch 64"

The last lines hold Region against the bare convolution inside it, and the SGD update against the memory
traffic that it cannot avoid; with `--model lcn`, conv5 against its weights' traffic. Results: layers.json and
layers.md in BUILD/bench.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Parameters and nothing else, so that a step is the solver's own work.
UPDATE_NET = """
layer {{
  name: "weights" type: "Parameter" top: "weights"
  parameter_param {{ shape {{ dim: {parameters} }} }}
}}
layer {{ name: "end" type: "Silence" bottom: "weights" }}
"""
PARAMETERS = 56_863_436  # of models/drml
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=("drml", "convnet", "lcn", "alexnet"), default="drml")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build")
    return parser.parse_args()


def probe(program: Path, argument: int) -> dict[str, float]:
    """Run one of the programs; return what it measured, nothing where it was not built."""
    if not program.exists():
        return {}
    text = subprocess.run([program, str(argument)], capture_output=True, check=True, text=True).stdout
    return {name: float(value) for name, value in (line.split() for line in text.splitlines())}


def traffic(net: Any, index: int) -> int:
    """Return the bytes that a layer's forward pass reads and writes at least."""
    blobs = list(net.blobs)
    names = net.bottom_names[net._layer_names[index]] + net.top_names[net._layer_names[index]]
    values = sum(net.blobs[name].count for name in names if name in blobs)
    values += sum(blob.count for blob in net.params.get(net._layer_names[index], []))
    return 4 * values


def time_layers(net: Any, rounds: int) -> dict[str, tuple[float, float]]:
    """Return the median milliseconds of each layer, forward and backward."""
    names = list(net._layer_names)
    times: dict[tuple[str, str], list[float]] = {}

    def measure(name: str, way: str, call: Any, index: int) -> None:
        start = time.perf_counter()
        call(index, index)
        times.setdefault((name, way), []).append(1e3 * (time.perf_counter() - start))

    net._forward(0, len(names) - 1)
    net._backward(len(names) - 1, 0)
    for _ in range(rounds):
        for i, name in enumerate(names):
            measure(name, "forward", net._forward, i)
        for i, name in reversed(list(enumerate(names))):
            measure(name, "backward", net._backward, i)
    return {
        name: (statistics.median(times[name, "forward"]), statistics.median(times[name, "backward"]))
        for name in names
    }


def time_update(parameters: int, rounds: int, path: Path) -> float:
    """Return the milliseconds in which a solver clears and updates that many parameters."""
    import caffe
    from caffe_nets import SOLVER

    path.write_text(UPDATE_NET.format(parameters=parameters))
    path.with_suffix(".solver").write_text(SOLVER.format(net=path))
    solver = caffe.SGDSolver(str(path.with_suffix(".solver")))
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        solver.step(1)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds[1:])


def main() -> None:
    """Measure and print."""
    args = parse()
    if any(name in os.environ for name in UNSET) or os.environ.get("OMP_NUM_THREADS") != str(args.threads):
        env = {name: value for name, value in os.environ.items() if name not in UNSET}
        env["OMP_NUM_THREADS"] = str(args.threads)
        os.execve(sys.executable, [sys.executable, *sys.argv], env)  # the libraries read it when they load
    os.environ.setdefault("GLOG_minloglevel", "1")
    import caffe
    from architecture import draw_images, draw_weights, multiply_adds, read_layers
    from bench import cpu_name, measure_peak
    from caffe_nets import SOLVER, training_net
    from caffe_system import set_weights
    from table import layers_markdown

    out = args.build / "bench"
    out.mkdir(parents=True, exist_ok=True)
    folder = HERE.parents[1] / "models" / args.model
    layers = read_layers(folder / "deploy.prototxt")
    path = out / f"layers_{args.model}.prototxt"
    net_param = training_net(
        folder / "train_val.prototxt", args.batch, layers[0]["shape"], layers[-2]["out"], stock=False
    )
    path.write_text(str(net_param))
    path.with_suffix(".solver").write_text(SOLVER.format(net=path))
    bare = probe(out / "grouped_convolution", args.batch) if args.model == "drml" else {}
    local = probe(out / "locally_connected", args.batch) if args.model == "lcn" else {}
    solver = caffe.SGDSolver(str(path.with_suffix(".solver")))
    weights = draw_weights(layers)
    for layer in layers:
        set_weights(solver.net, layer, weights, stock=False)
    solver.net.blobs["data"].data[...] = draw_images(layers, args.batch)
    solver.net.blobs["label"].data[...] = 1
    times = time_layers(solver.net, args.rounds)
    counts = multiply_adds(layers)
    names = list(solver.net._layer_names)
    rows = [
        {
            "layer": name,
            "forward_ms": forward,
            "backward_ms": backward,
            # The first convolution has one gradient, the others two.
            "gflop": 2 * counts.get(name, 0) * args.batch / 1e9,
            "backward_gflop": 2 * counts.get(name, 0) * args.batch / 1e9 * (1 if name == "conv1" else 2),
            "gb": traffic(solver.net, i) / 1e9,
        }
        for i, (name, (forward, backward)) in enumerate(zip(names, times.values(), strict=True))
    ]
    total = sum(sum(pair) for pair in times.values())
    report = {
        "cpu": cpu_name(),
        "model": args.model,
        "batch": args.batch,
        "threads": args.threads,
        "peak_gflops": measure_peak(out / "fma_peak", args.threads),
        "rows": rows,
        "total_ms": total,
        "update_ms": time_update(PARAMETERS, args.rounds, out / "update.prototxt"),
        "probes": probe(out / "probes", PARAMETERS),  # next to what it is compared with
        "bare": bare,
        "local": local,
    }
    text = layers_markdown(report)
    (out / "layers.json").write_text(json.dumps(report, indent=1))
    (out / "layers.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
