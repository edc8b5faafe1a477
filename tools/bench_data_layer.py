#!/usr/bin/env python3
"""Measure how many images a second the MultiLabelData layer makes ready for a net.

Draws synthetic faces, writes them as 200x200 JPEGs of quality 95 to an LMDB in a temporary folder, and
takes batches from a net that has only the data layer, in TRAIN: random crop of 170, mirror, mean image.
What it takes is checked before it is timed. Run it, on a machine that does nothing else, with

    .venv/bin/python tools/bench_data_layer.py --threads 2

The first line names the machine, the second is the result: the median of five runs, with the
slowest and the fastest.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import cv2
import numpy as np

from drml.data.lmdb import write_lmdb, write_mean
from drml.data.registration import register
from drml.synth import Subject, View, render
from drml.training.augmentation import STANDARD

# What `drml train --augment` sets.
AUGMENTATION = f"augmentation {{ {' '.join(f'{name}: {value}' for name, value in STANDARD.items())} }}"

SIZE, CROP, LABELS, RUNS = 200, 170, 12, 5

NET = """
layer {{
  name: "data" type: "MultiLabelData" top: "data" top: "label"
  transform_param {{ crop_size: {crop} mirror: true mean_file: "{folder}/mean.binaryproto" }}
  multi_label_data_param {{ source: "{folder}/lmdb" batch_size: {batch} threads: {threads} {augmentation} }}
}}
"""


def faces(count: int) -> Iterator[np.ndarray]:
    """Yield registered faces of many subjects, poses and lights."""
    rng = np.random.default_rng(0)
    for i in range(count):
        image, landmarks = render(Subject.draw(f"F{i % 40 + 1:03d}"), {12: i % 6}, View.draw(rng))
        yield register(image, landmarks)


def prepare(folder: Path, count: int) -> float:
    """Write the LMDB and the mean image; return the mean number of bytes of an image."""
    total = np.zeros((SIZE, SIZE, 3))
    items = []
    for i, face in enumerate(faces(count)):
        total += face
        code = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        items.append((f"{i:08d}", code, [(i >> k) % 2 * 2 - 1 for k in range(LABELS)]))
    write_lmdb(folder / "lmdb", items)
    write_mean(folder / "mean.binaryproto", (total / count).transpose(2, 0, 1))
    return statistics.mean(len(code) for _, code, _ in items)


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=positive, default=500, help="different images in the LMDB (500)")
    parser.add_argument("--batch", type=positive, default=128, help="images of a batch (128)")
    parser.add_argument("--threads", type=int, default=0, help="threads of the layer (0: one per core)")
    parser.add_argument("--augment", action="store_true", help="with the changes of drml train --augment")
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long one run takes (3)")
    return parser.parse_args()


def run(net: caffe.Net, batches: int) -> float:
    """Take batches; return the seconds that took."""
    start = time.perf_counter()
    for _ in range(batches):
        net.forward()
    return time.perf_counter() - start


def main() -> None:
    """Prepare, check, warm up, time, print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = prepare(folder, arguments.images)
        (folder / "net.prototxt").write_text(
            NET.format(
                crop=CROP,
                folder=folder,
                batch=arguments.batch,
                threads=arguments.threads,
                augmentation=AUGMENTATION if arguments.augment else "",
            )
        )
        net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
        out = net.forward()
        assert out["data"].shape == (arguments.batch, 3, CROP, CROP), out["data"].shape
        assert set(np.unique(out["label"])) <= {-1, 1}, "labels are not those written"
        assert 5 < out["data"].std() < 128 and abs(out["data"].mean()) < 30, (
            "these are no faces less their mean"
        )

        # The warm-up empties the queue that filled up before, and tells how many batches a run has.
        warm_up = run(net, 10)
        batches = max(10, round(arguments.seconds * 10 / warm_up))
        rates = [batches * arguments.batch / run(net, batches) for _ in range(RUNS)]
        del net  # its threads read the folder
    threads = arguments.threads or "all"
    print(
        f"{os.cpu_count()} cores, {arguments.images} JPEGs of {size / 1000:.1f} kB, "
        f"batches of {arguments.batch}"
    )
    print(
        f"{threads} threads: {statistics.median(rates):.0f} images/s"
        f" (median of {RUNS} runs of {batches} batches, {min(rates):.0f} to {max(rates):.0f})"
    )


if __name__ == "__main__":
    main()
