"""``drml saliency``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_net, add_option
from drml.cli.output import check_folder, print_json


def add(subparsers: Any) -> None:
    """Add ``drml saliency``."""
    parser = add_command(
        subparsers,
        "saliency",
        run,
        "draw which pixels of a face the AU scores depend on",
        "The saliency of a pixel is |d score / d pixel|, with the score taken before the sigmoid; of the\n"
        "three colours the largest counts. The face is a record of DATA, or the largest face of a photo.\n"
        "Writes OUT/AU1.png, ..., grid.png with all AUs, maps.npz and saliency.json. The printed focus is\n"
        "the share of the saliency that lies in the AU's region of the face.\n"
        "\n"
        "A net that estimates intensities has a map for each of them too, AU6_r.png, of |d estimate / d\n"
        "pixel|, in place of those of the scores or, if it has outputs of both kinds, beside them.",
        "drml saliency build/fold2 data/drml/fold2 --out build/saliency\n"
        "drml saliency build/fold2 --image photo.jpg --out build/photo",
    )
    add_net(parser, data=": a fold, whose test split is read, or one split", data_required=False)
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="photo; its largest face is found and registered"
    )
    parser.add_argument("--key", help="key of the record (default: the first record of the data)")
    add_option(
        parser,
        "--aus",
        "; those of the net's outputs (default: those of the recipe in the weights)",
    )
    add_option(parser, "--out", ": a folder", required=True, metavar="FOLDER")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if (args.data is None) == (args.image is None):
            parser.error("give either DATA or --image")
        if args.image is not None and args.key is not None:
            parser.error("--key names a record of DATA; leave it out with --image")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Write the saliency maps of a face; print how focused they are."""
    from drml.detect.photo import read_photo_face
    from drml.evaluation.saliency_pictures import read_face, write_saliency
    from drml.nets.trained_files import find_trained

    check_folder(args, args.out)
    trained = find_trained(args.weights, args.net)
    aus = args.aus
    pixels = {"mean": args.mean, "scale": args.scale}
    if args.image is not None:
        face = read_photo_face(trained.net, trained.weights, args.image, aus, **pixels)
    else:
        face = read_face(trained.weights, args.data, args.key, aus, **pixels)
    found = write_saliency(trained.net, trained.weights, face, args.out, overwrite=args.overwrite)
    if args.json:
        print_json(found)
        return
    print(f"{found['key']}{', SYNTHETIC DATA (a drawn face)' if found['synthetic'] else ''}")
    width = max(5, *map(len, found["aus"]))
    for name, about in found["aus"].items():
        value = f"p {about['score']:.3f}" if "score" in about else f"intensity {about['intensity']:.2f}"
        line = f"{name:<{width}} {value}"
        if about.get("focus") is not None:
            line += f", focus {about['focus']:.3f}, region's share of the face {about['area']:.3f}"
        print(line)
