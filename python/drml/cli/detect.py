"""``drml detect``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from drml.cli.arguments import Parser, add_check, add_command, add_option
from drml.cli.output import note, print_json
from drml.cli.values import detection_threshold, integer, positive, probability
from drml.io.errors import UserError
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml detect``."""
    parser = add_command(
        subparsers,
        "detect",
        run,
        "detect faces and their AUs in photos, videos or the images of a webcam",
        "Writes OUT/images.csv with the faces of all photos, and OUT/NAME.csv for each video. The columns\n"
        "are OpenFace's: frame, face_id, timestamp, confidence, success, five points, then for each AU\n"
        "AU01_c (1 or 0) and AU01_p (the probability), or AU01_r (the intensity, 0 to 5), whichever the net\n"
        "gives. Subfolders are searched as well.\n"
        "\n"
        "If an input cannot be read, the command reports it, processes the others and exits with 1.\n"
        "Ctrl-C stops a webcam or a video; the CSV then holds the rows up to that point.",
        "drml detect photos interview.mp4 --weights build/fold2 --out build/aus --draw build/aus\n"
        "drml detect clip.mp4 --weights build/levels --neutral median --smooth 0.5\n"
        "drml detect 0 --weights build/fold2 --max-frames 500",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="photo, video, folder, or the number of a webcam"
    )
    _add_net(parser)
    _add_faces(parser)
    parser.add_argument(
        "--max-frames", type=integer(1), metavar="N", help="stop each video or webcam after this many frames"
    )
    _add_adjustment(parser)
    out = parser.add_argument_group("output")
    add_option(
        out,
        "--out",
        ": a folder for the CSV files (default: detected)",
        default=Path("detected"),
        metavar="FOLDER",
    )
    out.add_argument("--draw", type=Path, metavar="FOLDER", help="write annotated photos and videos here")
    out.add_argument("--aligned", type=Path, metavar="FOLDER", help="write the registered faces here")
    add_option(out, "--overwrite")
    add_option(out, "--json")


def _add_net(parser: Parser) -> None:
    """Add the options of the net."""
    net = parser.add_argument_group("net")
    add_option(
        net,
        "--weights",
        "; or an .onnx file of drml export-onnx, which runs in ONNX Runtime and needs no --net",
        required=True,
    )
    add_option(net, "--net", " (default: the one in the folder of the weights, or else that of models/drml)")
    add_option(net, "--mean", " (default: the one that the weights were trained with)")
    add_option(net, "--scale", " (default: the one that the weights were trained with)")
    add_option(net, "--size", " (default: that of the training, or else 200)")
    add_option(
        net,
        "--aus",
        "; those of the net's outputs (default: those of the recipe in the weights)",
    )
    add_option(net, "--batch")
    net.add_argument(
        "--thresholds",
        "--threshold",
        dest="threshold",
        type=detection_threshold,
        default="recipe",
        metavar="recipe|P",
        help="probability from which on an AU counts as present: one for all AUs, or those of the recipe in"
        " the weights, which were chosen on validation, or 0.5 if it has none (default: recipe)",
    )

    def check(args: argparse.Namespace) -> None:
        if args.net is None:
            return
        from drml.nets.trained_files import is_onnx

        if is_onnx(args.weights):
            parser.error(f"{args.weights}: an .onnx file contains the net; leave --net out")

    add_check(parser, check)


def _add_faces(parser: Parser) -> None:
    """Add the options of the face detector."""
    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--min-confidence",
        type=probability,
        default=0.7,
        metavar="P",
        help="lowest confidence of the face detector to accept (default: 0.7)",
    )
    faces.add_argument("--largest", action="store_true", help="use only the largest face of each frame")
    faces.add_argument(
        "--detect-size",
        type=integer(32),
        default=640,
        metavar="PIXELS",
        help="longest side to which frames are reduced to find faces in them (default: 640). Faces of 12 to"
        " 600 pixels are found at that size; their points and pixels come from the full frame",
    )
    faces.add_argument(
        "--search-every",
        type=integer(1),
        default=5,
        metavar="N",
        help="of a video, search one of N frames as a whole, and the others near the faces found there, which"
        " takes less time; 1 searches every frame as a whole (default: 5)",
    )
    faces.add_argument("--detector", type=Path, metavar="FILE", help="another YuNet model (.onnx)")


def _add_adjustment(parser: Parser) -> None:
    """Add the options that adjust the intensities of videos."""
    group = parser.add_argument_group(
        "intensities of videos, adjusted (columns AU01_r_adjusted beside AU01_r)"
    )
    group.add_argument(
        "--neutral",
        metavar="median|FILE",
        help="subtract what the person shows at rest: the median of the face's intensities up to the frame,"
        " or those of a photo or video of the person's neutral face",
    )
    group.add_argument(
        "--smooth",
        type=positive,
        metavar="SECONDS",
        help="average over this time, which ends at the frame",
    )
    group.add_argument(
        "--centred",
        action="store_true",
        help="with --smooth, average over the time around the frame instead; rows follow half of it later",
    )

    def check(args: argparse.Namespace) -> None:
        if args.centred and args.smooth is None:
            parser.error("--centred says where the window of --smooth lies; give both")

    add_check(parser, check)


def _adjustment(args: argparse.Namespace, detector: Any) -> Any:
    """Return how to adjust intensities; None if nothing was asked for."""
    from drml.detect.adjusting import Adjustment

    if args.neutral is None and args.smooth is None:
        return None
    if not detector.intensity_aus:
        raise UserError(
            f"{args.weights}: estimates no intensities, which --neutral and --smooth adjust; leave them out,"
            " or train a net on data with intensities (drml prepare --target intensity)"
        )
    neutral = args.neutral
    if neutral is not None and neutral != "median":
        neutral = detector.neutral_intensities(neutral)
    return Adjustment(neutral, args.smooth or 0.0, args.centred)


def run(args: argparse.Namespace) -> None:
    """Detect faces and AUs; write CSV files and pictures."""
    from drml.detect import Detector, Outputs, write_detections
    from drml.detect.thresholds import Thresholds
    from drml.nets.trained import Net

    net = Net(
        args.weights,
        net=args.net,
        mean=args.mean,
        scale=args.scale,
        aus=args.aus,
        batch=args.batch,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        detector = Detector(
            net,
            size=args.size,
            threshold=args.threshold,
            batch=args.batch,
            min_confidence=args.min_confidence,
            largest=args.largest,
            detect_size=args.detect_size,
            search_every=args.search_every,
            face_model=args.detector,
        )
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    found = write_detections(
        args.inputs,
        detector,
        Outputs(args.out, args.draw, args.aligned, args.overwrite),
        max_frames=args.max_frames,
        adjustment=_adjustment(args, detector),
        progress=not args.quiet,
    )
    thresholds = Thresholds(detector.thresholds, detector.threshold_source)
    if args.json:
        about = {
            "weights": str(args.weights),
            "net": net.name,
            "aus": list(detector.aus),
            "intensity_aus": list(detector.intensity_aus),
            **thresholds.to_dict(detector.aus),
            "input": net.preprocessing.to_dict(),
        }
        print_json({**about, **found.to_dict()})
    rate = found.frames / found.seconds if found.seconds else 0.0
    note(
        args,
        f"{', '.join(map(str, found.tables)) or args.out}: {counted(found.faces, 'face')} in"
        f" {counted(found.frames, 'frame')},"
        f" {found.seconds:.1f} s ({rate:.1f} frames per second)",
    )
    if detector.aus:
        note(args, f"AU_c columns at thresholds: {thresholds.to_text(detector.aus)}")
    if found.failed:
        first = found.failed[0]
        total = len(found.failed) + len(found.inputs)
        raise UserError(
            f"{first['input']}: {first['fault']}; {len(found.failed)} of {total} inputs could not be read,"
            " the others were processed"
        )
