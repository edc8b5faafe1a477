"""Compare how drml detect searches videos with searches of whole frames, on faces with known landmarks.

Usage: tools/bench/video_search.py ROOT [--every N] [--zoom Z] [--videos N]

ROOT is a data set in BP4D's layout with exact landmarks, such as drml synth --clean --width 400 writes. The
frames of each video move through a picture of 1280x720, enlarged by Z. The error of the registration is the
root mean square, over the face, of the distance between where the transform puts a pixel and where that of
the data set's landmarks puts it, in pixels of 200.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import Path

import cv2
import numpy as np

from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.data.readers import Record, bp4d
from drml.data.readers.images import load_bgr
from drml.data.registration import SIZE, apply, similarity, transform
from drml.detect.frames import Frame
from drml.detect.sources import Source
from drml.detect.video_search import find_in_video
from drml.io.errors import UserError

WIDTH, HEIGHT = 1280, 720
SOURCE = Source("video", "video", "video")


def main() -> None:
    """Print a row for each of the two searches, and how far apart their points are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument(
        "--every", type=int, default=5, metavar="N", help="as --search-every of drml detect (5)"
    )
    parser.add_argument("--zoom", type=float, default=0.8, metavar="Z", help="size of the faces (0.8)")
    parser.add_argument("--videos", type=int, default=6, metavar="N", help="number of videos (6)")
    args = parser.parse_args()
    try:
        records = bp4d.read(args.root).records
    except UserError as error:
        sys.exit(f"error: {error}")
    detector = FaceDetector(largest=True)
    seconds = dict.fromkeys((1, args.every), 0.0)
    rows: list[tuple[np.ndarray, list[Face]]] = []  # landmarks, and the face that each search finds
    lost = dict.fromkeys(seconds, 0)
    for _, video in islice(groupby(records, key=lambda record: record.video), args.videos):
        frames, landmarks = zip(*moving(list(video), args.zoom), strict=True)
        found = {}
        for every in seconds:
            start = time.process_time()
            found[every] = [faces for _, faces in find_in_video(iter(frames), detector, every)]
            seconds[every] += time.process_time() - start
            lost[every] += sum(not faces for faces in found[every])
        for known, *both in zip(landmarks, *found.values(), strict=True):
            if known is not None and all(both):
                rows.append((known, [faces[0] for faces in both]))
    truth = [transform(known) for known, _ in rows]
    whole, near = zip(*(both for _, both in rows), strict=True)
    target = np.mean([apply(true, face.landmarks) for true, face in zip(truth, whole, strict=True)], axis=0)
    box = np.mean([face.box[2:] for face in whole], axis=0)
    print(f"{len(rows)} frames with landmarks, faces of {box[0]:.0f}x{box[1]:.0f} pixels")
    print("| search | without a face | CPU time of a frame, ms | error of the registration |")
    print("|---|---|---|---|")
    for every, faces in zip(seconds, (whole, near), strict=True):
        errors = [square_error(face, true, target) for face, true in zip(faces, truth, strict=True)]
        label = "every frame" if every == 1 else f"1 of {every} frames"
        cost = 1000 * seconds[every] / (len(rows) + lost[every])
        print(f"| {label} | {lost[every]} | {cost:.1f} | {np.sqrt(np.mean(errors)):.3f} |")
    apart = [np.linalg.norm(a.points - b.points, axis=1).mean() for a, b in zip(whole, near, strict=True)]
    print(
        f"five points: {np.mean(apart):.3f} pixels apart on average, {np.max(apart):.1f} at most,"
        f" less than 0.001 in {np.mean(np.array(apart) < 1e-3):.0%} of the frames"
    )


def moving(video: list[Record], zoom: float) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Yield frames of a video as they move from side to side before a blurred ground, and their landmarks."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    ground = cv2.GaussianBlur(noise, (0, 0), 9)
    for index, record in enumerate(video):
        assert isinstance(record.image, Path)
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        image = cv2.resize(load_bgr(record.image)[0], None, fx=zoom, fy=zoom, interpolation=how)
        rows, columns = image.shape[:2]
        left, top = int((WIDTH - columns) * (0.5 + 0.3 * np.sin(index / 30))), (HEIGHT - rows) // 2
        picture = ground.copy()
        picture[max(top, 0) : top + rows, left : left + columns] = image[max(-top, 0) :][:HEIGHT]
        known = record.landmarks
        yield (
            Frame(SOURCE, index + 1, index / 25, picture),
            None if known is None else (known + 0.5) * zoom - 0.5 + (left, top),
        )


def square_error(face: Face, true: np.ndarray, target: np.ndarray) -> float:
    """Return the mean square of the distance between two registrations, over the registered face."""
    side = np.linspace(0, SIZE - 1, 9)
    pixels = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert face.landmarks is not None
    moved = apply(similarity(face.landmarks, target), apply(cv2.invertAffineTransform(true), pixels))
    return float(((moved - pixels) ** 2).sum(axis=1).mean())


if __name__ == "__main__":
    main()
