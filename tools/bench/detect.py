#!/usr/bin/env python3
"""Measure how many frames per second `drml detect` processes, as a whole and stage by stage.

The program writes a 1280x720 video of a moving photographed face (scikit-image's astronaut) and a net with
random weights to a temporary folder. Before it times anything, it checks that the face is found in every
frame. Run it on an otherwise idle machine with

    .venv/bin/python tools/bench/detect.py

It also prints the CPU time that a frame takes, summed over all threads. Threads that wait for each other may
add to it; on one core (`taskset -c 0`), none does.

The weights are random because the time does not depend on them; the program does not measure accuracy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import cv2
import numpy as np
import pandas as pd
import skimage.data

from drml.data.lmdb import write_mean
from drml.data.recipe import Recipe, RegistrationRecipe
from drml.data.registration import REFERENCE, as_fractions
from drml.detect import Detector, Outputs, write_detections
from drml.detect.frames import open_stream
from drml.detect.sources import find_sources
from drml.detect.video_search import find_in_video
from drml.io.machine import system
from drml.nets.recipe import write_recipe

ROOT = Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, SIDE = 1280, 720, 600
AUS = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)


def write_video(path: Path, count: int) -> None:
    """Write the face as it moves from left to right and back."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (WIDTH, HEIGHT))
    face = cv2.resize(skimage.data.astronaut()[:, :, ::-1], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    backdrop = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 9
    )
    for index in range(count):
        left = round((WIDTH - SIDE) * (0.5 - 0.5 * np.cos(index / 40)))
        frame = backdrop.copy()
        frame[60 : 60 + SIDE, left : left + SIDE] = face
        writer.write(frame)
    writer.release()


def write_weights(net_file: Path, path: Path) -> None:
    """Write random weights of a size that keeps the signal in range."""
    net = caffe.Net(str(net_file), caffe.TEST)
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob in blobs:
            if blob.data.ndim > 1:
                fan_in = np.prod(blob.data.shape[1:])
                blob.data[...] = rng.standard_normal(blob.data.shape, np.float32) * np.sqrt(1 / fan_in)
    net.save(str(path))
    registration = RegistrationRecipe("detector", target=as_fractions(REFERENCE))
    write_recipe(path, Recipe(au=AUS, registration=registration))
    write_mean(path.with_name("mean.binaryproto"), np.full((3, 200, 200), 110, np.float32))


def rate(run: Callable[[], Any], frames: int, runs: int) -> str:
    """Run a stage several times and describe its rate in frames per second, and the CPU time of a frame."""
    rates, costs = [], []
    for _ in range(runs):
        start, start_cpu = time.perf_counter(), time.process_time()
        run()
        rates.append(frames / (time.perf_counter() - start))
        costs.append(1000 * (time.process_time() - start_cpu) / frames)
    return (
        f"{statistics.median(rates):7.1f} frames/s ({min(rates):.1f} to {max(rates):.1f}),"
        f" CPU {statistics.median(costs):5.2f} ms ({min(costs):.2f} to {max(costs):.2f})"
    )


def main() -> None:
    """Prepare, check, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=200, help="frames of the video (200)")
    parser.add_argument("--batch", type=int, default=32, help="faces per pass of the net (32)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each stage; the median is reported (3)")
    parser.add_argument(
        "--search-every", type=int, default=5, metavar="N", help="as in drml detect: search 1 of N frames (5)"
    )
    parser.add_argument("--net", type=Path, default=ROOT / "models/drml/deploy.prototxt", help="deploy net")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video, weights = folder / "video.mp4", folder / "w.caffemodel"
        write_video(video, arguments.frames)
        write_weights(arguments.net, weights)
        (source,) = find_sources([str(video)])
        detector = Detector(
            weights, net=arguments.net, batch=arguments.batch, search_every=arguments.search_every
        )
        faces = detector.face_detector

        def run_all(draw: Path | None = None) -> None:
            outputs = Outputs(folder / "out", draw, overwrite=True)
            write_detections([str(video)], detector, outputs, progress=False)

        run_all()
        table = pd.read_csv(folder / "out/video.csv")
        assert len(table) == arguments.frames and table.success.all(), "a face was not found, or found twice"
        assert table.filter(regex="_p$").std().max() < 0.5, "the probabilities are out of range"

        decoded = [frame for frame, _ in zip(open_stream(source), range(40), strict=False)]
        found = [(frame.image, faces.find(frame.image)[0]) for frame in decoded]
        crops = [detector.registration(image, face) for image, face in found]
        full = (crops * arguments.batch)[: arguments.batch]
        passes = max(1, arguments.frames // arguments.batch)
        print(f"{system()}; {WIDTH}x{HEIGHT}, one face a frame, batches of {arguments.batch}")
        for label, run, frames in (
            ("everything", run_all, arguments.frames),
            ("everything, with an annotated video", lambda: run_all(folder / "out"), arguments.frames),
            ("decoding", lambda: list(open_stream(source)), arguments.frames),
            (
                "finding faces",
                lambda: list(find_in_video(decoded, faces, arguments.search_every)),
                len(decoded),
            ),
            (
                "finding faces in whole frames",
                lambda: [faces.find(image) for image, _ in found],
                len(found),
            ),
            ("registration", lambda: [detector.registration(*one) for one in found], len(found)),
            (
                "net",
                lambda: [detector.net(full) for _ in range(passes)],
                passes * arguments.batch,
            ),
        ):
            print(f"{label:<38}{rate(run, frames, arguments.runs)}")


if __name__ == "__main__":
    main()
