#!/usr/bin/env python3
"""Watch memory over a long run, and with many records; fail where it is not flat.

    make long-run
    .venv/bin/python tools/long_run.py --batches 2000 --iterations 400 --records 100000 --training 40

Each line of the table is a process of its own. What is counted is RssAnon of /proc/PID/status: memory that
the process alone has, not the pages of files that it has mapped or that the system keeps for it. Flat is a
run whose median over the last quarter is less than 1 MiB above that over the second; the curves go to
OUT/long_run.json.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "1")

import cv2
import numpy as np

from drml.data.lmdb import write_lmdb
from drml.io.machine import system
from drml.io.shipped import find_program
from drml.training.setup import Changes, set_up

TOLERANCE = 1 << 20
# Of a training that takes snapshots of 450 MB meanwhile.
SNAPSHOT_TOLERANCE = 64 << 20
SAMPLES = 100  # points of a curve
BYTES, SECONDS = 16, 2.0  # a record, and until the first batch is there
FEW, LABELS, SIDE, CROP = 1000, 4, 24, 20
TYPES = {"MultiLabelData": "lmdb", "MultiLabelImageData": "list.txt"}

DATA = """
layer {{ name: "data" type: "{type}" top: "data" top: "label" {phase}
  transform_param {{ crop_size: {crop} mirror: true scale: 0.01 mean_value: 128 }}
  multi_label_data_param {{ source: "{source}" batch_size: {batch} threads: 3 {root} }} }}
"""

NET = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 5 weight_filler { type: "msra" } } }
layer { name: "region" type: "Region" bottom: "conv" top: "region" region_param { grid_h: 4 grid_w: 4
  num_output: 8 kernel_size: 3 weight_filler { type: "gaussian" std: 0.01 } } }
layer { name: "relu" type: "ReLU" bottom: "region" top: "region" }
layer { name: "pool" type: "Pooling" bottom: "region" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" }
layer { name: "local" type: "LocallyConnected" bottom: "norm" top: "local"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "drop" type: "Dropout" bottom: "local" top: "local" }
layer { name: "fc" type: "InnerProduct" bottom: "local" top: "fc"
  inner_product_param { num_output: 4 weight_filler { type: "msra" } } }
layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc" bottom: "label" top: "loss" }
layer { name: "counts" type: "MultiLabelCounts" bottom: "fc" bottom: "label" top: "counts"
  include { phase: TEST } }
"""

SOLVER = """
net: "{folder}/net.prototxt" type: "SGD" base_lr: 0.001 momentum: 0.9 lr_policy: "fixed" random_seed: 1
display: {display} max_iter: {iterations} test_iter: 5 test_interval: {every} snapshot: {every}
snapshot_prefix: "{folder}/net" solver_mode: CPU
"""


def anonymous_bytes(process: int | str = "self") -> int:
    """Return the memory that a process alone has."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1])


# --- What the processes do. Each prints lines `N BYTES`.


def feed(kind: str, folder: Path, batches: int) -> None:
    """Take batches from a data layer."""
    import caffe

    root = f'root_folder: "{folder}/"' if kind == "MultiLabelImageData" else ""
    text = DATA.format(type=kind, phase="", crop=CROP, source=folder / TYPES[kind], batch=16, root=root)
    (folder / f"{kind}.prototxt").write_text(text)
    net = caffe.Net(str(folder / f"{kind}.prototxt"), caffe.TRAIN)
    trim = ctypes.CDLL(None).malloc_trim
    for batch in range(1, batches + 1):
        net.forward()
        if batch % max(1, batches // SAMPLES) == 0:
            trim(0)  # what was freed is not in use
            print(batch, anonymous_bytes(), flush=True)


def step(solver: Path, iterations: int) -> None:
    """Train through pycaffe."""
    import caffe

    solver = caffe.get_solver(str(solver))
    size = max(1, iterations // SAMPLES)
    for iteration in range(size, iterations + 1, size):
        solver.step(size)
        print(iteration, anonymous_bytes(), flush=True)


def open_source(kind: str, source: Path, root: str) -> None:
    """Open many records and take the first batch: print seconds, and what memory that took."""
    import caffe

    net_file = source.with_suffix(".prototxt")
    root = f'root_folder: "{root}"' if root else ""
    net_file.write_text(DATA.format(type=kind, phase="", crop=4, source=source, batch=4, root=root))
    caffe.set_random_seed(1)
    before, wall, cpu = anonymous_bytes(), time.perf_counter(), time.process_time()
    net = caffe.Net(str(net_file), caffe.TRAIN)
    net.forward()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    ctypes.CDLL(None).malloc_trim(0)
    print(json.dumps({"bytes": anonymous_bytes() - before, "seconds": wall, "processor": cpu}), flush=True)
    del net


# --- What they work on.


def pictures(count: int, side: int) -> list[bytes]:
    """Draw noise, as JPEG and PNG in turn, of sizes that differ."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(side, side + 9, (count, 2))
    images = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)
    return [cv2.imencode((".jpg", ".png")[i % 2], image)[1].tobytes() for i, image in enumerate(images)]


def labels(record: int) -> list[int]:
    """Return -1, 0, 1 by turns."""
    return [(record + k) % 3 - 1 for k in range(LABELS)]


def make_small(folder: Path) -> None:
    """Write an LMDB and a list of the same 300 images."""
    (folder / "images").mkdir(parents=True)
    codes = pictures(300, SIDE)
    write_lmdb(folder / "lmdb", ((f"{i:08d}", code, labels(i)) for i, code in enumerate(codes)))
    lines = []
    for i, code in enumerate(codes):
        (folder / f"images/{i}.jpg").write_bytes(code)
        lines.append(f"images/{i}.jpg {' '.join(map(str, labels(i)))}\n")
    (folder / "list.txt").write_text("".join(lines))


def make_many(folder: Path, count: int) -> dict[str, Path]:
    """Write an LMDB and a list of so many tiny records; the list names a thousand images again and again."""
    rng = np.random.default_rng(0)
    greys = rng.integers(0, 256, 64)
    codes = [cv2.imencode(".png", np.full((4, 4, 3), grey, np.uint8))[1].tobytes() for grey in greys]
    lmdb, listed = folder / f"lmdb{count}", folder / f"list{count}.txt"
    write_lmdb(lmdb, ((f"{i:08d}", codes[i % 64], labels(i)) for i in range(count)), shape=(3, 4, 4))
    (folder / "tiny").mkdir(exist_ok=True)
    for i in range(FEW):
        (folder / f"tiny/{i:04d}.png").write_bytes(codes[i % 64])
    with listed.open("w") as file:
        for i in range(count):
            file.write(f"tiny/{i % FEW:04d}.png {' '.join(map(str, labels(i)))}\n")
    return {"MultiLabelData": lmdb, "MultiLabelImageData": listed}


def make_solver(folder: Path, iterations: int) -> Path:
    """Write a net of all kinds of layers, tested and kept every 100 iterations (20 times in a short run)."""
    phases = [f"include {{ phase: {phase} }}" for phase in ("TRAIN", "TEST")]
    data = [
        DATA.format(type="MultiLabelData", phase=phase, crop=CROP, source=folder / "lmdb", batch=16, root="")
        for phase in phases
    ]
    (folder / "net.prototxt").write_text("".join(data) + NET)
    display, every = max(1, iterations // SAMPLES), min(100, max(1, iterations // 20))
    text = SOLVER.format(folder=folder, iterations=iterations, display=display, every=every)
    (folder / "solver.prototxt").write_text(text)
    return folder / "solver.prototxt"


# --- Watching.


def watch(*arguments: object, **environment: str) -> Iterator[tuple[int, int]]:
    """Run a function of this file in a process of its own; give its curve."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--inside", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    for line in process.stdout:
        if re.fullmatch(r"\d+ \d+\n", line):
            yield tuple(map(int, line.split()))
    if process.wait():
        sys.exit(f"long_run: {' '.join(map(str, arguments))} ended with {process.returncode}")


def watch_caffe(solver: Path, hang_up: float = math.inf, **environment: str) -> Iterator[tuple[int, int]]:
    """Run `caffe train`; give the memory it has whenever its log tells of an iteration.

    Every `hang_up` seconds it gets a SIGHUP, on which it takes a snapshot; earlier snapshots are removed.
    """
    process = subprocess.Popen(
        [find_program("caffe"), "train", "-solver", solver],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLOG_minloglevel": "0", **environment},
    )
    fault, signalled = "", time.monotonic()
    for line in process.stderr:
        fault = line if line.startswith("F") else fault
        if time.monotonic() > signalled + hang_up:
            keep_newest(solver.parent)
            process.send_signal(signal.SIGHUP)
            signalled = time.monotonic()
        if (found := re.search(r"Iteration (\d+) \(", line)) and process.poll() is None:
            yield int(found[1]), anonymous_bytes(process.pid)
    if process.wait():
        sys.exit(f"long_run: caffe train ended with {process.returncode}: {fault}")


def keep_newest(folder: Path) -> None:
    """Remove all snapshots of a folder but the newest."""
    for state in sorted(folder.glob("*.solverstate"), key=lambda file: file.stat().st_mtime)[:-1]:
        state.with_suffix(".caffemodel").unlink(missing_ok=True)
        state.unlink()


def growth(curve: list[tuple[int, int]]) -> float:
    """Return the median of a curve's last quarter less that of its second."""
    values = [value for _, value in curve]
    quarter = len(values) // 4
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])


def run_curves(folder: Path, batches: int, iterations: int) -> tuple[dict[str, object], list[str]]:
    """Watch the data layers and training; return the curves and what is not flat."""
    make_small(folder)
    solver = make_solver(folder, iterations)
    plain = {"CAFFE_ENGINE": "plain"}
    runs = {f"{batches} batches, {kind}": watch("feed", kind, folder, batches) for kind in TYPES}
    runs |= {
        f"{iterations} iterations, caffe train": watch_caffe(solver),
        f"{iterations} iterations, caffe train, plain": watch_caffe(solver, **plain),
        f"{iterations} iterations, solver.step": watch("step", solver, iterations),
        f"{iterations} iterations, solver.step, plain": watch("step", solver, iterations, **plain),
    }
    curves, faults = {}, []
    print(f"{'RssAnon in MiB':44}{'a quarter':>10}{'half':>8}{'end':>8}{'growth':>10}{'seconds':>9}")
    for name, run in runs.items():
        start = time.perf_counter()
        curve = curves[name] = list(run)
        if len(curve) < 20:
            sys.exit(f"long_run: {name}: {len(curve)} points are no curve; give it more")
        shown = [curve[len(curve) * k // 4 - 1][1] / (1 << 20) for k in (1, 2, 4)]
        grown = growth(curve)
        print(
            f"{name:44}{shown[0]:10.2f}{shown[1]:8.2f}{shown[2]:8.2f}{grown / (1 << 20):+10.3f}"
            f"{time.perf_counter() - start:9.0f}",
            flush=True,
        )
        if grown > TOLERANCE:
            faults.append(f"{name}: {grown:.0f} bytes more")
    return curves, faults


def run_records(folder: Path, records: int) -> tuple[dict[str, object], list[str]]:
    """Open few records and many; return the figures, and what is too much."""
    few, many = make_many(folder, FEW), make_many(folder, records)
    figures, faults = {}, []
    for kind in TYPES:
        root = f"{folder}/" if kind == "MultiLabelImageData" else ""
        least = _open(kind, few[kind], root)
        data = many[kind] / "data.mdb" if many[kind].is_dir() else many[kind]
        _forget(data)
        cold, warm = _open(kind, many[kind], root), _open(kind, many[kind], root)
        size = (warm["bytes"] - least["bytes"]) / (records - FEW)
        figures[kind] = {"bytes a record": size, "cold": cold, "warm": warm, "file": data.stat().st_size}
        print(
            f"{records} records, {kind}: {size:.1f} bytes each; first batch after {warm['seconds']:.2f} s"
            f" ({warm['processor']:.2f} s of the processor), {cold['seconds']:.2f} s with the file of"
            f" {data.stat().st_size / 1e6:.0f} MB not in memory"
        )
        # A list is kept as the bytes of its paths.
        most = BYTES if kind == "MultiLabelData" else len("tiny/0000.png") + LABELS + BYTES
        if size > most:
            faults.append(f"{kind}: {size:.1f} bytes a record")
        if warm["processor"] > SECONDS:
            faults.append(f"{kind}: {warm['processor']:.1f} s until the first batch")
    return figures, faults


def run_training(folder: Path, iterations: int) -> tuple[dict[str, object], list[str]]:
    """Train the whole DRML on drawn faces, with signals in between and the C library's checks of its heap."""
    drawn, data, out = folder / "bp4d", folder / "data", folder / "drml"
    for words in (["synth", drawn], ["prepare", "bp4d", drawn, data, "--folds", "1"]):
        subprocess.run([sys.executable, "-m", "drml", *map(str, words)], check=True)
    # The paper's solver on batches of 16.
    set_up(
        "models/drml/solver.prototxt",
        out,
        Changes(data=data / "fold1", net="models/drml/quick_train_val.prototxt", max_iter=iterations),
    )
    solver = out / "solver.prototxt"
    solver.write_text(
        re.sub(r"display: \d+", f"display: {max(1, iterations // SAMPLES)}", solver.read_text())
    )
    checks = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"}
    start = time.perf_counter()
    curve = list(watch_caffe(solver, hang_up=60, **checks))
    seconds = time.perf_counter() - start
    grown = growth(curve)
    print(
        f"{iterations} iterations of the whole DRML in {seconds:.0f} s:"
        f" {curve[-1][1] >> 20} MiB at the end, growth {grown / (1 << 20):+.1f}"
    )
    faults = [f"DRML: {grown:.0f} bytes more"] if grown > SNAPSHOT_TOLERANCE else []
    return {"drml": curve}, faults


def _open(kind: str, source: Path, root: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--inside", "open_source", kind, source, root]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _forget(path: Path) -> None:
    """Let the system drop its copy of a file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Measure, print, judge."""
    if sys.argv[1:2] == ["--inside"]:
        kinds = {"feed": (str, Path, int), "step": (Path, int), "open_source": (str, Path, str)}
        name, *words = sys.argv[2:]
        globals()[name](*(kind(word) for kind, word in zip(kinds[name], words, strict=True)))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batches", type=int, default=20000, help="of a data layer (20000)")
    parser.add_argument("--iterations", type=int, default=2000, help="of a training (2000)")
    parser.add_argument("--records", type=int, default=1000000, help="of an LMDB and of a list (1000000)")
    parser.add_argument(
        "--training", type=int, default=20000, help="iterations of the whole DRML (20000; 0: none)"
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder to make")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True)
    folder = arguments.out.absolute()
    print(system())
    curves, faults = run_curves(folder, arguments.batches, arguments.iterations)
    figures, more = run_records(folder, arguments.records)
    if arguments.training:
        training, signs = run_training(folder, arguments.training)
        curves, more = curves | training, more + signs
    (folder / "long_run.json").write_text(json.dumps({"curves": curves, "records": figures}) + "\n")
    if faults + more:
        sys.exit("long_run: " + "; ".join(faults + more))


if __name__ == "__main__":
    main()
