"""Compare drml detect on whole frames with drml score on the registered faces of the same frames.

Usage: tools/detect_against_score.py WEIGHTS FOLD ROOT [--every N] [--threshold P] [--out scores.json]

WEIGHTS is what drml score takes, FOLD a prepared fold (its test split is used), and ROOT the data set that it
was prepared from, whose frames are image files. A frame without a face counts with probability 0 for each AU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from drml.data.split import open_split
from drml.detect import Detector
from drml.detect.frames import read_images
from drml.detect.sources import Source
from drml.evaluation.score_table import ScoreTable, evaluate
from drml.io.errors import UserError
from drml.nets.trained import Net

LARGEST_MEAN, LARGEST_AU = 0.02, 0.06  # differences of F1 that are still the same


def main() -> None:
    """Print the two tables side by side; exit with 1 if they differ by more than the limits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("fold", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every Nth test frame")
    parser.add_argument("--threshold", type=float, default=0.5, metavar="P")
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args()
    try:
        scored, detected, missed = compare(args.weights, args.fold, args.root, args.every, args.threshold)
    except UserError as error:
        sys.exit(f"error: {error}")
    apart = [b.f1 - a.f1 for a, b in zip(scored.rows, detected.rows, strict=True)]
    mean = detected.average("f1") - scored.average("f1")
    print("| AU | F1, score | F1, detect | difference | AUC, score | AUC, detect |")
    print("|---|---|---|---|---|---|")
    for a, b, difference in zip(scored.rows, detected.rows, apart, strict=True):
        print(f"| {a.au} | {a.f1:.3f} | {b.f1:.3f} | {difference:+.3f} | {a.auc:.3f} | {b.auc:.3f} |")
    averages = (one.average(name) for name in ("f1", "auc") for one in (scored, detected))
    print("| Avg. | {:.3f} | {:.3f} | {:+.3f} | {:.3f} | {:.3f} |".format(*_with(mean, *averages)))
    print(f"{missed} frames without a face")
    if args.out:
        both = {"score": scored.to_dict(), "detect": detected.to_dict(), "frames_without_a_face": missed}
        args.out.write_text(json.dumps(both, indent=2) + "\n")
    if abs(mean) > LARGEST_MEAN or max(map(abs, apart)) > LARGEST_AU:
        sys.exit(f"differences of F1 above {LARGEST_MEAN} on average or {LARGEST_AU} for an AU")


def _with(mean: float, *figures: float) -> tuple[float, ...]:
    return (*figures[:2], mean, *figures[2:])


def compare(
    weights: Path, fold: Path, root: Path, every: int, threshold: float
) -> tuple[ScoreTable, ScoreTable, int]:
    """Score the registered faces and the whole frames; return also how many frames have no face."""
    net = Net(weights)
    detector = Detector(net, largest=True)
    split = open_split(fold, "test")
    if split.manifest is None:
        raise UserError(f"{fold}: has no manifest, so its frames are unknown")
    sources: list[Source] = []
    labels: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    for index, (key, face, known) in enumerate(split.records()):
        if index % every == 0:
            path = str(root / split.manifest.rows[key].source)
            sources.append(Source(path, "image", path))
            labels.append(known)
            faces.append(face)
        if len(faces) == 64:
            scores.append(net(faces))
            faces = []
    if faces:
        scores.append(net(faces))
    found = np.concatenate([scores[0][:0], *_detect(detector, sources)])
    missed = int(np.isnan(found).any(axis=1).sum())
    aus = list(net.aus)
    return (
        evaluate(np.stack(labels), np.concatenate(scores), aus=aus, threshold=threshold),
        evaluate(np.stack(labels), np.nan_to_num(found), aus=aus, threshold=threshold),
        missed,
    )


def _detect(detector: Detector, sources: list[Source]) -> Iterator[np.ndarray]:
    """Yield the probabilities of the face of each frame, 1 x K; NaN if there is none."""
    for detected in detector.detect_images(read_images(sources)):
        if detected.frame.fault is not None:
            raise UserError(f"{detected.frame.source.name}: {detected.frame.fault}")
        if detected.faces and detected.crops[0] is not None:
            yield detected.probabilities[:1]
        else:
            yield np.full((1, len(detector.aus)), np.nan)


if __name__ == "__main__":
    main()
