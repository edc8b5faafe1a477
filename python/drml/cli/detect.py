"""``drml detect``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json, finite, integer, probability
from drml.cli.output import note, print_json
from drml.data.labels import parse_aus
from drml.io.errors import UserError


def add(subparsers: Any) -> None:
    """Add ``drml detect``."""
    parser = add_command(
        subparsers,
        "detect",
        run,
        "find faces and their AUs in photos, videos, or what a webcam sees",
        "Writes OUT/images.csv with the faces of all images, and OUT/NAME.csv of each video, in OpenFace's\n"
        "manner: frame, face_id, timestamp, confidence, success, five points, AU01_c (1 or 0), AU01_p.\n"
        "Folders are searched with their subfolders. What cannot be read is reported, the others are done,\n"
        "and the exit status is 1. After Ctrl-C, which also stops a webcam, the CSV holds the rows so far.",
        "  drml detect photos interview.mp4 --model build/train/final.caffemodel \\\n"
        "      --out build/aus --draw build/aus\n"
        "  drml detect 0 --model build/train/final.caffemodel --max-frames 500",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, video, folder, or a webcam's number"
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--model", type=Path, metavar="WEIGHTS", help="trained .caffemodel or .h5")
    weights.add_argument(
        "--onnx", type=Path, metavar="FILE", help="what drml export-onnx wrote; runs in ONNX Runtime"
    )
    parser.add_argument(
        "--net",
        type=Path,
        metavar="DEPLOY",
        help="deploy.prototxt (default: the one beside the weights, else models/drml/deploy.prototxt)",
    )
    parser.add_argument(
        "--mean",
        type=Path,
        metavar="FILE",
        help="mean.binaryproto (default: the one of the weights' training, else the one beside them)",
    )
    parser.add_argument("--scale", type=finite, help="factor of the input (default: what training had)")
    parser.add_argument(
        "--size", type=integer(16), help="side of the registered faces (default: the mean image's, else 200)"
    )
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: those of the training data where the weights'"
        " folder names them; else BP4D's of 12 outputs, DISFA's of 8)",
    )
    parser.add_argument("--batch", type=integer(1), default=32, help="faces per pass of the net (default 32)")
    parser.add_argument(
        "--threshold", type=probability, default=0.5, help="an AU is present from here on (default 0.5)"
    )
    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--min-confidence", type=probability, default=0.7, help="of the face detector (default 0.7)"
    )
    faces.add_argument("--largest", action="store_true", help="only the largest face of each frame")
    faces.add_argument(
        "--detect-size",
        type=integer(32),
        default=640,
        metavar="PIXELS",
        help="frames are scaled down to this longest side to find faces, which may then be 12 to 600 pixels"
        " wide; points and faces are of the full frame (default 640)",
    )
    faces.add_argument("--detector", type=Path, metavar="ONNX", help="another model file of YuNet")
    parser.add_argument(
        "--max-frames", type=integer(1), metavar="N", help="stop each video or webcam after N frames"
    )
    out = parser.add_argument_group("output")
    out.add_argument(
        "--out",
        type=Path,
        default=Path("detected"),
        metavar="DIR",
        help="folder of the CSVs (default detected)",
    )
    out.add_argument("--draw", type=Path, metavar="DIR", help="write annotated images and videos here")
    out.add_argument("--aligned", type=Path, metavar="DIR", help="write the registered faces here")
    out.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Find faces and AUs; write CSVs and pictures."""
    from drml.detect import Detector, Outputs, write_detections

    if args.onnx is not None and args.net is not None:
        raise UserError(f"{args.onnx}: is net and weights in one; leave --net out")
    if args.onnx is not None and args.onnx.suffix != ".onnx":
        raise UserError(f"{args.onnx}: not an .onnx file; give what drml export-onnx wrote")
    detector = Detector(
        args.onnx or args.model,
        net=args.net,
        mean=args.mean,
        scale=args.scale,
        size=args.size,
        aus=parse_aus(args.aus) if args.aus else None,
        threshold=args.threshold,
        batch=args.batch,
        min_confidence=args.min_confidence,
        largest=args.largest,
        detect_size=args.detect_size,
        face_model=args.detector,
    )
    done = write_detections(
        args.inputs,
        detector,
        Outputs(args.out, args.draw, args.aligned, args.overwrite),
        max_frames=args.max_frames,
        progress=not args.quiet,
    )
    if args.json:
        about = {
            "model": str(args.onnx or args.model),
            "net": detector.recogniser.predictor.name,
            "aus": list(detector.aus),
            "threshold": args.threshold,
            "input": detector.recogniser.preparation.to_dict(),
        }
        print_json({**about, **done.to_dict()})
    rate = done.frames / done.seconds if done.seconds else 0.0
    note(
        args,
        f"{', '.join(map(str, done.tables)) or args.out}: {done.faces} faces in {done.frames} frames,"
        f" {done.seconds:.1f} s ({rate:.1f} frames a second)",
    )
    if done.failed:
        first = done.failed[0]
        total = len(done.failed) + len(done.inputs)
        raise UserError(
            f"{first['input']}: {first['fault']}; {len(done.failed)} of {total} inputs could not be read,"
            " the others are done"
        )
