"""Labels of 0 and 1, where 0 means unknown and -1 absent: no way into a net trains on them without a word."""

import shutil
import subprocess
import sys

import cv2
import h5py
import lmdb
import numpy as np
import pytest

import tiny_net as tiny
from drml.data.lmdb import write_lmdb
from drml.io.errors import UserError
from drml.io.messages import Datum
from drml.nets.pycaffe import fatal_line
from drml.training.caffe_run import find_caffe
from drml.training.train import train

RECORDS, CLASSES, BATCH = 1200, 10, 100

DATA = {
    "lmdb": """type: "MultiLabelData"
  multi_label_data_param { source: "DIR/labels_lmdb" batch_size: 100 MORE }""",
    "list": """type: "MultiLabelImageData"
  multi_label_data_param { source: "DIR/list.txt" batch_size: 100 MORE }""",
    "data": 'type: "Data" data_param { source: "DIR/label_lmdb" batch_size: 1000 backend: LMDB }',
    "hdf5": 'type: "HDF5Data" hdf5_data_param { source: "DIR/hdf5.txt" batch_size: 100 }',
    "memory": 'type: "MemoryData" memory_data_param { batch_size: 600 channels: 3 height: 4 width: 4 }',
    "input": """type: "Input"
  input_param { shape { dim: 100 dim: 3 dim: 4 dim: 4 } shape { dim: 100 dim: 10 } }""",
}
NET = """
layer {{ name: "data" top: "data" top: "label" {data} }}
{between}
layer {{ name: "score" type: "InnerProduct" bottom: "data" top: "score"
  inner_product_param {{ num_output: {classes} weight_filler {{ type: "gaussian" std: 0.0001 }} }} }}
layer {{ name: "cost" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "score" bottom: "{label}"
  top: "cost" {more} }}
"""
SIGNED = """layer { name: "signed" type: "Power" bottom: "label" top: "signed"
  power_param { scale: 2 shift: -1 } }"""

PROGRAM = """
import sys
import numpy as np
import caffe
solver = caffe.get_solver(sys.argv[1])
file = np.load(sys.argv[2])
images, labels = file["images"], file["labels"]
first = np.ascontiguousarray(images[:600]), np.ascontiguousarray(labels[:600, 0]).reshape(-1, 1, 1, 1)
if "memory" in sys.argv[1]:
    solver.net.set_input_arrays(*first)
for step in range(30):
    if "input" in sys.argv[1]:
        solver.net.blobs["data"].data[...] = images[100 * (step % 12) :][:100]
        solver.net.blobs["label"].data[...] = labels[100 * (step % 12) :][:100]
    solver.step(1)
"""


def draw_labels():
    return (np.random.default_rng(3).random((RECORDS, CLASSES)) < 0.3).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the same images and labels for each of the layers."""
    folder = tmp_path_factory.mktemp("zero_one")
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (RECORDS, 4, 4, 3), np.uint8)
    labels = draw_labels()
    encoded = [cv2.imencode(".png", image)[1].tobytes() for image in images]
    keys = [f"{index:06d}" for index in range(RECORDS)]
    rows = [row.astype(int).tolist() for row in labels]
    write_lmdb(folder / "labels_lmdb", zip(keys, encoded, rows, strict=True), shape=(3, 4, 4))
    with lmdb.open(str(folder / "label_lmdb")) as env, env.begin(write=True) as transaction:
        for key, image, row in zip(keys, encoded, rows, strict=True):
            datum = Datum(channels=3, height=4, width=4, data=image, label=row[0], encoded=True)
            transaction.put(key.encode(), datum.SerializeToString())
    lines = []
    for key, image, row in zip(keys, encoded, rows, strict=True):
        (folder / f"{key}.png").write_bytes(image)
        lines.append(" ".join([str(folder / f"{key}.png"), *map(str, row)]))
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    planes = images.transpose(0, 3, 1, 2).astype(np.float32)
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"], file["label"] = planes, labels
    (folder / "hdf5.txt").write_text(f"{folder / 'rows.h5'}\n")
    np.savez(folder / "arrays.npz", images=planes, labels=labels)
    return folder


def run(folder, out, kind, *, signed=False, more="", data_more="", phase="train"):
    """Train (or test) with one of the layers; return the finished process."""
    net = out / f"{kind}_net.prototxt"
    data = DATA[kind].replace("DIR", str(folder)).replace("MORE", data_more)
    classes = 1 if kind in ("data", "memory") else CLASSES
    net.write_text(
        NET.format(
            data=data,
            between=SIGNED if signed else "",
            label="signed" if signed else "label",
            classes=classes,
            more=more,
        )
    )
    solver = out / f"{kind}_solver.prototxt"
    solver.write_text(
        f'net: "{net}" base_lr: 0.00001 lr_policy: "fixed" max_iter: 30 snapshot_after_train: false'
    )
    if phase == "test":
        command = [find_caffe(), "test", "-model", net, "-iterations", "15"]
        # Without weights, `caffe test` does not start.
        (out / "none.caffemodel").write_bytes(b"\n\x04none")
        command += ["-weights", out / "none.caffemodel"]
    elif kind in ("memory", "input"):
        command = [sys.executable, "-c", PROGRAM, solver, folder / "arrays.npz"]
    else:
        command = [find_caffe(), "train", "-solver", solver]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize("kind", DATA)
def test_a_training_on_them_stops(folder, tmp_path, kind):
    done = run(folder, tmp_path, kind)
    assert done.returncode == 1, done.stderr[-2000:]
    last = fatal_line(done.stderr)
    where = {"lmdb": "MultiLabelData layer 'data': LMDB", "list": "MultiLabelImageData layer 'data': list"}
    assert where.get(kind, "MultiLabelSigmoidCrossEntropyLoss layer 'cost': ") in last
    assert "none that is -1" in last if kind == "list" else "are 0 and none is -1" in last
    assert "ignore_label: 0" in last


def test_the_loss_sees_what_the_data_layers_were_told_to_let_through(folder, tmp_path):
    for kind in ("lmdb", "list"):
        done = run(folder, tmp_path, kind, data_more="label_values: SIGNED")
        assert done.returncode == 1
        assert "'cost': of the first 10000 labels" in fatal_line(done.stderr)


@pytest.mark.parametrize("kind", DATA)
def test_each_way_out_trains(folder, tmp_path, kind):
    if kind in ("lmdb", "list"):
        done = run(folder, tmp_path, kind, data_more="label_values: ZERO_ONE")
    else:
        done = run(folder, tmp_path, kind, signed=True)
    assert done.returncode == 0, done.stderr[-2000:]
    told = {"data_more": "label_values: SIGNED"} if kind in ("lmdb", "list") else {}
    done = run(folder, tmp_path, kind, more="loss_param { ignore_label: 0 }", **told)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_test_says_so_once_and_goes_on(folder, tmp_path):
    done = run(folder, tmp_path, "hdf5", phase="test")
    assert done.returncode == 0, done.stderr[-2000:]
    errors = [line for line in done.stderr.splitlines() if line.startswith("E")]
    assert len(errors) == 1 and "'cost': of the first 10000 labels" in errors[0]
    assert "The figures of this test" in errors[0]


def test_drml_train_says_why_it_stopped(tmp_path):
    """Of 36 labels in all: the loss meets them in epoch after epoch."""
    fold = tiny.write_training_data(tmp_path)
    shutil.rmtree(fold / "train_lmdb")
    images = tiny.draw_images(12)
    rows = np.arange(36).reshape(12, 3) % 4 == 0
    write_lmdb(
        fold / "train_lmdb",
        (
            (f"{index:06d}", cv2.imencode(".png", image)[1].tobytes(), row.astype(int).tolist())
            for index, (image, row) in enumerate(zip(images, rows, strict=True))
        ),
        shape=(3, tiny.IMAGE, tiny.IMAGE),
    )
    solver = tiny.write_solver(tmp_path)
    with pytest.raises(
        UserError, match=r"layer 'loss': of the first 10\d\d\d labels.*label_values: ZERO_ONE"
    ):
        train(solver, tmp_path / "out", data=fold, max_iter=2000, progress=False)
    train(solver, tmp_path / "short", data=fold, max_iter=20, progress=False)
