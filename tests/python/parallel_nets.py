"""Small nets, their data, and `caffe train` on several ranks: for the tests of data parallelism."""

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from drml.data.lmdb import write_lmdb
from drml.io.shipped import build_info, find_program
from drml.nets.pycaffe import import_caffe

SIZE, LABELS, RECORDS = 12, 5, 24

# Started by tests, mpirun may be root's, and has fewer cores than ranks; nothing binds them to one another's.
MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "OMP_NUM_THREADS": "1",
}

# Where Open MPI and MPICH tell a process its rank.
RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMI_RANK")

DATA = """
layer {{ name: "data" type: "MultiLabelData" top: "data" top: "label"
  transform_param {{ scale: 0.008 mean_value: 127 }}
  multi_label_data_param {{ source: "{source}" batch_size: {batch} shuffle: false }} }}
"""
LOSS = """
layer { name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc" bottom: "label" top: "loss" }
"""

SOLVER = """
net: "{net}"
base_lr: 0.05
lr_policy: "fixed"
momentum: 0.9
weight_decay: 0.001
max_iter: {iterations}
display: {display}
snapshot_prefix: "{prefix}"
random_seed: 3
"""


def convolution(name, bottom, top, *, outputs=6, params=""):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}" {params}'
        f"  convolution_param {{ num_output: {outputs} kernel_size: 3"
        '  weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 } } }\n'
    )


def inner_product(bottom, outputs=LABELS, name="fc"):
    return (
        f'layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"'
        f"  inner_product_param {{ num_output: {outputs}"
        '  weight_filler { type: "xavier" } } }\n'
    )


def write_records(path, *, order=None, cut=None):
    """Write the records, of `order` where given; that of place `cut` ends too soon."""
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, (RECORDS, SIZE, SIZE, 3), dtype=np.uint8)
    labels = rng.choice([-1, 0, 1], (RECORDS, LABELS))
    items = []
    for place, record in enumerate(range(RECORDS) if order is None else order):
        png = cv2.imencode(".png", images[record])[1].tobytes()
        items.append((f"{place:04d}", png[: 60 if place == cut else None], labels[record].tolist()))
    write_lmdb(path, items, shape=(3, SIZE, SIZE))
    return path


def write_training(folder, layers, *, source, batch, iterations=50, display=10, extra=""):
    """Write solver and net into a folder of their own; return the solver."""
    folder = Path(folder)
    folder.mkdir()
    net = folder / "net.prototxt"
    net.write_text(DATA.format(source=source, batch=batch) + layers + LOSS)
    solver = folder / "solver.prototxt"
    text = SOLVER.format(net=net, prefix=folder / "net", iterations=iterations, display=display)
    solver.write_text(text + extra)
    return solver


def command(solver, *, ranks, flags=(), plain_ranks=0):
    """Return the words of a training, whose last `plain_ranks` ranks run without the engine."""
    words = [str(find_program("caffe")), "train", "-solver", str(solver), *map(str, flags)]
    if not ranks:
        return words
    both = ["mpirun", "-n", str(ranks - plain_ranks), *words]
    if plain_ranks:
        both += [":", "-n", str(plain_ranks), "env", "CAFFE_ENGINE=plain", *words]
    return both


def environment():
    # Importing caffe here has silenced its log.
    return {name: value for name, value in os.environ.items() if name != "GLOG_minloglevel"} | MPI


def run(words, *, timeout=60):
    return subprocess.run(
        words,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=environment(),
        check=False,
    )


def train(solver, *, ranks=0, flags=(), timeout=60, plain_ranks=0):
    """Run `caffe train`, on several ranks where given; return the finished process."""
    return run(command(solver, ranks=ranks, flags=flags, plain_ranks=plain_ranks), timeout=timeout)


@contextmanager
def running(solver, *, ranks, sight):
    """Start a training, wait until its log shows the pattern `sight`; give mpirun, log, the ranks' processes.

    Whatever still runs at the end of the block is killed.
    """
    log = Path(solver).parent / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command(solver, ranks=ranks), stderr=file, stdin=subprocess.DEVNULL, env=environment()
        )
    try:
        limit = time.monotonic() + 40
        while not re.search(sight, log.read_text()):
            assert process.poll() is None and time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        found = re.findall(r"Rank (\d+) of \d+: .*, process (\d+),", log.read_text())
        yield process, log, {int(rank): int(pid) for rank, pid in found}
    finally:
        if process.poll() is None:
            process.kill()  # its ranks die with it
        process.wait()


def weights(path):
    """Return the blobs of a .caffemodel by layer."""
    import_caffe()
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter.FromString(Path(path).read_bytes())
    return {layer.name: [np.array(blob.data) for blob in layer.blobs] for layer in net.layer if layer.blobs}


def missing():
    """Return why no test can run here, or nothing."""
    if not build_info().get("MPI"):
        return "this build has no MPI: make mpi-check runs these tests"
    if shutil.which("mpirun") is None:
        return "no mpirun on PATH"
    return ""
