#!/usr/bin/env python3
"""Time models/drml on one rank and on two of this machine, and hold a model of larger clusters against that.

    make USE_MPI=1
    .venv/bin/python tools/bench/mpi.py --batch 16

A thread each, random images. What summing costs here is measured by a net that is nothing but parameters.
The model: forward, then backward while bucket after bucket travels on a ring, then the update. Of large
inner products the factors of the gradient travel, and the update multiplies those of all ranks.
docs/parallel.md has the results.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drml.data.lmdb import write_lmdb
from drml.io.shipped import build_info, find_program
from drml.nets.pycaffe import import_caffe

ROOT = Path(__file__).resolve().parents[2]
SOLVER = """
net: "{net}" base_lr: 0.0001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005 random_seed: 1
max_iter: {iterations} display: {display} snapshot_after_train: false solver_mode: CPU
"""
PARAMETERS_NET = """
layer {{ name: "weights" type: "Parameter" top: "weights" parameter_param {{ shape {{ dim: {count} }} }} }}
layer {{ name: "end" type: "Silence" bottom: "weights" }}
"""
DISPLAY = 4
# As in caffe_ext/parallel/member.cpp.
MOST_FACTORED_IMAGES = 64
MACHINES = (2, 4, 8, 16, 32, 64)
# Name, bytes a second (nine tenths of the wire), seconds for a message however short.
NETWORKS = (("10 Gbit/s", 0.9 * 10e9 / 8, 30e-6), ("100 Gbit/s", 0.9 * 100e9 / 8, 5e-6))
# A plain mpirun on this machine: see docs/parallel.md for what these are.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}


def caffe(*words: object, ranks: int = 0) -> str:
    """Run the tool, a thread a rank; return its log."""
    launcher = ["mpirun", "-n", str(ranks)] if ranks else []
    environment = {name: value for name, value in os.environ.items() if name != "GLOG_minloglevel"}
    done = subprocess.run(
        [*launcher, str(find_program("caffe")), *map(str, words)],
        env=environment | MPI | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stderr


def write_solver(folder: Path, net: Path, iterations: int) -> Path:
    """Write the solver beside its net."""
    path = folder / f"{net.stem}_solver.prototxt"
    path.write_text(SOLVER.format(net=net, iterations=iterations, display=DISPLAY))
    return path


def write_net(folder: Path, batch: int) -> Path:
    """Write the TRAIN net of models/drml with random images to read."""
    import_caffe()
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(64))
    write_lmdb(
        folder / "lmdb",
        (
            (f"{k:03d}", cv2.imencode(".jpg", image)[1].tobytes(), rng.choice([-1, 1], 12).tolist())
            for k, image in enumerate(images)
        ),
    )
    net = text_format.Parse((ROOT / "models/drml/train_val.prototxt").read_text(), caffe_pb2.NetParameter())
    layers = [layer for layer in net.layer if not any(rule.phase == caffe_pb2.TEST for rule in layer.include)]
    del net.layer[:]
    net.layer.extend(layers)
    net.layer[0].transform_param.ClearField("mean_file")
    net.layer[0].multi_label_data_param.source = str(folder / "lmdb")
    net.layer[0].multi_label_data_param.batch_size = batch
    path = folder / "drml.prototxt"
    path.write_text(text_format.MessageToString(net))
    return path


def iteration(log: str) -> float:
    """Return the seconds of an iteration: of the displayed stretches but the first two, the fastest."""
    found = [float(x) / DISPLAY for x in re.findall(rf"\(\S+ iter/s, (\S+)s/{DISPLAY} iters\)", log)]
    return min(found[2:])


def summing(folder: Path, count: int) -> float:
    """Return the seconds that two ranks take to sum gradients of `count` values, with nothing else to do."""
    net = folder / f"parameters_{count}.prototxt"
    net.write_text(PARAMETERS_NET.format(count=count))
    log = caffe("train", "-solver", write_solver(folder, net, 4 * DISPLAY + 1), ranks=2)
    stretches = re.findall(r"Ranks: .* whose sums took (\S+) ms", log)
    return min(float(x) for x in stretches[2:]) / 1000


def layer_times(net: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds of the forward pass, and of backward by layer, in backward's order."""
    log = caffe("time", "-model", net, "-phase", "TRAIN", "-iterations", 3)
    rows = re.findall(r"\] +(\S+)\t(forward|backward): (\S+) ms", log)
    forward = sum(float(ms) for _, way, ms in rows if way == "forward") / 1000
    return forward, {name: float(ms) / 1000 for name, way, ms in reversed(rows) if way == "backward"}


@dataclass(frozen=True)
class Bucket:
    """What travels after the backward pass of `layer`.

    That is `size` bytes of gradients, or, for the weights of an inner product, `factors` bytes of each rank.
    """

    size: int
    layer: str
    factors: int = 0


def read_buckets(log: str, net: Path, batch: int) -> list[Bucket]:
    """Return the buckets that a training's log names, with the bytes of factors where they have some."""
    caffe = import_caffe()
    factors = {}
    loaded = caffe.Net(str(net), caffe.TRAIN)
    for name, layer in zip(loaded._layer_names, loaded.layers, strict=True):
        if layer.type == "InnerProduct":
            outputs, inputs = layer.blobs[0].data.shape
            factors[4 * inputs * outputs] = name, 4 * batch * (inputs + outputs)
    buckets = []
    for size, layer in re.findall(r"Bucket \d+: (\d+) bytes, after layer '(\S+)'", log):
        name, given = factors.get(int(size), ("", 0))
        buckets.append(Bucket(int(size), layer, given if name == layer else 0))
    return buckets


def predict(
    backward: dict[str, float],
    buckets: list[Bucket],
    rest: float,
    *,
    batch: int,
    ranks: int,
    bandwidth: float,
    latency: float,
) -> tuple[float, float]:
    """Return an iteration's seconds and what of them is waiting; `rest`: all but backward."""
    now, whole = 0.0, {}
    for layer, seconds in backward.items():
        now += seconds
        whole[layer] = now
    done = products = 0.0
    for bucket in buckets:
        if bucket.factors and ranks * batch <= MOST_FACTORED_IMAGES:
            cost = (ranks - 1) * (bucket.factors / bandwidth + latency)
            # For another rank's images, the update has as many multiply-adds as backward, which computes the
            # bottom's gradient, for this rank's.
            products += (ranks - 1) * backward[bucket.layer]
        else:
            cost = 2 * (ranks - 1) * (bucket.size / ranks / bandwidth + latency)
        done = max(done, whole[bucket.layer]) + cost
    return rest + max(now, done) + products, max(0.0, done - now)


def main() -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, default=16, help="images a rank and iteration")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="*",
        default=[],
        help="what an iteration takes one machine, for the tables (default: as measured)",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=5 * DISPLAY + 1)
    options = parser.parse_args()
    if not build_info().get("MPI"):
        raise SystemExit("This build has no MPI: make USE_MPI=1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        net = write_net(folder, options.batch)
        solver = write_solver(folder, net, options.iterations)
        forward, backward = layer_times(net)
        times: dict[int, list[float]] = {1: [], 2: []}
        waits, log = [], ""
        for _ in range(options.rounds):
            times[1].append(iteration(caffe("train", "-solver", solver)))
            log = caffe("train", "-solver", solver, ranks=2)
            times[2].append(iteration(log))
            waits.append(float(re.findall(r"Ranks: .* and (\S+) ms for gradients", log)[-1]) / 1000)
        buckets = read_buckets(log, net, options.batch)
        total = sum(bucket.size for bucket in buckets)
        short, long = summing(folder, 1), summing(folder, total // 4)
    one, two = (min(times[ranks]) for ranks in (1, 2))
    print(f"models/drml, batch {options.batch} a rank, a thread a rank")
    for bucket in buckets:
        print(
            f"bucket after {bucket.layer}: {bucket.size / 1e6:.1f} MB, factors {bucket.factors / 1e6:.2f} MB"
        )
    print(f"bytes of gradients an iteration: {total}; as factors {sum(b.factors or b.size for b in buckets)}")
    print(f"forward {forward:.3f} s, backward {sum(backward.values()):.3f} s")
    print(f"1 rank:  {one:.3f} s an iteration {[round(x, 3) for x in times[1]]}")
    print(f"2 ranks: {two:.3f} s an iteration {[round(x, 3) for x in times[2]]},", end=" ")
    print(f"{min(waits):.3f} s waiting")
    bandwidth = total / (long - short)
    print(f"summing alone: {long:.3f} s, of one value {short * 1e6:.0f} us: {bandwidth / 1e9:.2f} GB/s")
    rest = max(one - sum(backward.values()), 0.0)
    seconds, wait = predict(
        backward, buckets, rest, batch=options.batch, ranks=2, bandwidth=bandwidth, latency=short / 2
    )
    print(f"2 ranks, predicted: {seconds:.3f} s an iteration, {wait:.3f} s waiting")
    for assumed in options.seconds or [one]:
        scale = assumed / (rest + sum(backward.values()))
        scaled = {layer: scale * seconds for layer, seconds in backward.items()}
        titles = " | ".join(f"{title}: s an iteration | waiting | efficiency" for title, _, _ in NETWORKS)
        print(f"\nalone {assumed:.3f} s an iteration\n\n| machines | {titles} |")
        print("|---" * (1 + 3 * len(NETWORKS)) + "|")
        for ranks in MACHINES:
            cells = []
            for _, speed, latency in NETWORKS:
                seconds, wait = predict(
                    scaled,
                    buckets,
                    scale * rest,
                    batch=options.batch,
                    ranks=ranks,
                    bandwidth=speed,
                    latency=latency,
                )
                cells.append(f"{seconds:.3f} | {wait:.3f} | {assumed / seconds:.0%}")
            print(f"| {ranks} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
