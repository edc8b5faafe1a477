"""Times of exported nets in ONNX Runtime against Caffe, and both forms of Region: docs/onnx.md.

Run from the repository's root, after make:

    .venv/bin/python tools/bench_onnx.py --threads 2 --batch 1 16

Weights are random, the running statistics too. In a turn each system runs once to warm up and then some
times; it waits before, until the threads of the one before no longer spin. Printed are best and median.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

PAUSE = 0.3  # seconds; OpenMP's and ONNX Runtime's threads spin for less


def draw(net: object) -> None:
    """Draw weights that keep the values in bounds."""
    rng = np.random.default_rng(0)
    for blobs in net.params.values():  # type: ignore[attr-defined]
        weight = blobs[0].data
        # LocallyConnected: positions, then the inputs, then the outputs. Region: patches first.
        inputs = {6: slice(2, 5), 5: slice(2, None)}.get(weight.ndim, slice(1, None))
        spread = np.float32(np.sqrt(2 / np.prod(weight.shape[inputs])))
        weight[...] = rng.standard_normal(weight.shape, dtype=np.float32) * spread
        for blob in list(blobs)[1:]:
            blob.data[...] = 0.1
        if len(blobs) == 5:
            blobs[2].data[...] = rng.standard_normal(blobs[2].shape)
            blobs[3].data[...] = rng.uniform(0.5, 2, blobs[3].shape)
            blobs[4].data[...] = 1


def measure(systems: dict[str, Callable[[], object]], turns: int, runs: int) -> dict[str, list[float]]:
    """Return the milliseconds of every timed run."""
    found: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(turns):
        for name, run in systems.items():
            time.sleep(PAUSE)
            run()
            for _ in range(runs):
                start = time.perf_counter()
                run()
                found[name].append(1e3 * (time.perf_counter() - start))
    return found


def main() -> None:
    """Print a line per model, batch and system."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["drml", "convnet", "lcn", "alexnet"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3, help="timed runs a turn")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)

    from drml.nets.onnx_export import export, layers, lrn, region
    from drml.nets.onnx_net import OnnxNet
    from drml.nets.pycaffe import import_caffe

    caffe = import_caffe()
    plain = dict(layers.CONVERTERS)
    other_forms = {
        "ONNX Runtime, Region split": {"Region": region.split},
        "ONNX Runtime, LRN as a node": {"LRN": lrn.as_node},
    }
    for model in args.models:
        deploy = Path("models") / model / "deploy.prototxt"
        net = caffe.Net(str(deploy), caffe.TEST)
        draw(net)
        exported = {}
        with tempfile.TemporaryDirectory() as folder:
            weights, out = Path(folder) / "weights.h5", Path(folder) / "net.onnx"
            net.save_hdf5(str(weights))
            for name, replaced in {"ONNX Runtime": {}, **(other_forms if model == "drml" else {})}.items():
                layers.CONVERTERS.update({**plain, **replaced})
                done = export(deploy, weights, out, progress=False, probe=False)
                exported[name] = OnnxNet(out, threads=args.threads)
                print(f"{model}, {name}: {done.bytes / 1e6:.1f} MB, {done.nodes} nodes, {done.difference}")
        for batch in args.batch:
            images = np.random.default_rng(1).standard_normal((batch, *net.blobs["data"].shape[1:]))
            images = images.astype(np.float32)
            net.blobs["data"].reshape(*images.shape)
            net.reshape()
            net.blobs["data"].data[...] = images
            systems: dict[str, Callable[[], object]] = {"Caffe": net.forward}
            for name, runner in exported.items():
                systems[name] = lambda runner=runner, images=images: runner.predict(images)
            for name, times in measure(systems, args.turns, args.runs).items():
                print(
                    f"{model}, batch {batch}, {name}: best {min(times):.1f} ms, median {np.median(times):.1f}"
                )


if __name__ == "__main__":
    main()
