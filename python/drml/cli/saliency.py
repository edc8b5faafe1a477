"""``drml saliency``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json
from drml.cli.output import print_json
from drml.data.labels import parse_aus
from drml.io.shipped import find_shipped


def add(subparsers: Any) -> None:
    """Add ``drml saliency``."""
    parser = add_command(
        subparsers,
        "saliency",
        run,
        "draw which pixels a net's AU scores hang on",
        "|d score / d pixel| before the sigmoid, the largest of the colours. Writes OUT/AU1.png, ...,\n"
        "grid.png with all of them, maps.npz, saliency.json; the focus is the share of saliency inside the\n"
        "AU's region of the face.",
        "  drml saliency --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/saliency\n"
        "  drml saliency --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --image photo.jpg --out build/photo",
    )
    parser.add_argument("--model", type=find_shipped, required=True, metavar="DEPLOY", help="deploy.prototxt")
    parser.add_argument("--weights", type=Path, required=True, metavar="WEIGHTS", help=".caffemodel or .h5")
    face = parser.add_mutually_exclusive_group(required=True)
    face.add_argument("--data", type=Path, metavar="DATA", help="LMDB folder, or its manifest")
    face.add_argument(
        "--image", type=Path, metavar="FILE", help="photo, whose largest face is found and registered"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    parser.add_argument("--key", help="record of the data (default: the first one)")
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: the data's, or those it was trained with)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Write the saliency maps of a face; print how focused they are."""
    from drml.detect.photo import read_photo_face
    from drml.evaluation.saliency_pictures import read_face, write_saliency

    aus = parse_aus(args.aus) if args.aus else None
    if args.image is not None:
        face = read_photo_face(args.model, args.weights, args.image, aus)
    else:
        face = read_face(args.weights, args.data, args.key, aus)
    found = write_saliency(args.model, args.weights, face, args.out, overwrite=args.overwrite)
    if args.json:
        print_json(found)
        return
    print(f"{found['key']}{', SYNTHETIC DATA (a drawn face)' if found['synthetic'] else ''}")
    for name, about in found["aus"].items():
        line = f"{name:<5} p {about['score']:.3f}"
        if about.get("focus") is not None:
            line += f", focus {about['focus']:.3f}, region's share of the face {about['area']:.3f}"
        print(line)
