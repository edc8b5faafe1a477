"""``drml synth``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_option, only
from drml.cli.output import note, print_json
from drml.cli.values import integer
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml synth``."""
    parser = add_command(
        subparsers,
        "synth",
        run,
        "write a synthetic data set in the folder layout of BP4D or DISFA",
        "The faces are drawn: subjects look different, and each AU changes its own region of the face. The\n"
        "files are named and written as in the real data set: BP4D's codes, images and landmarks, or\n"
        "DISFA's intensities, videos and landmarks.",
        "drml synth build/bp4d --layout bp4d --subjects 41 --tasks 8 --frames 24\n"
        "drml synth build/disfa --layout disfa --subjects 27 --frames 120",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--layout",
        choices=["bp4d", "disfa"],
        default="bp4d",
        help="data set whose folder layout to write: bp4d or disfa (default: bp4d)",
    )
    parser.add_argument(
        "--subjects", type=integer(1), metavar="N", help="number of subjects (default: 41; disfa: 27)"
    )
    parser.add_argument(
        "--tasks", type=integer(1), metavar="N", help="videos per subject (default: 8; disfa has only one)"
    )
    parser.add_argument(
        "--frames", type=integer(1), metavar="N", help="frames per video (default: 24; disfa: 120)"
    )
    parser.add_argument(
        "--clean",
        action="store_true",
        default=None,
        help="draw AUs that are clearly present or absent, codes without errors and exact landmarks (default:"
        " graded intensities, a coder who errs near the border of presence, and a tracker's landmarks)",
    )
    only(parser, "layout", "bp4d", ("tasks", "clean"))
    parser.add_argument(
        "--width", type=integer(64), metavar="PIXELS", help="width of the images (default: 260; disfa: 464)"
    )
    add_option(parser, "--overwrite")
    add_option(parser, "--seed")
    add_option(parser, "--jobs")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> None:
    """Draw a data set and write it."""
    from drml.synth import write_bp4d, write_disfa

    write = {"bp4d": write_bp4d, "disfa": write_disfa}[args.layout]
    options: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("subjects", "tasks", "frames")
        if getattr(args, name) is not None
    }
    if args.clean:
        options["clean"] = True
    if args.width is not None:
        options["size"] = args.width
    summary = write(
        args.out,
        seed=args.seed,
        jobs=args.jobs,
        overwrite=args.overwrite,
        progress=not args.quiet,
        **options,
    )
    if args.json:
        print_json(dataclasses.asdict(summary))
    note(
        args,
        f"{args.out}: {counted(summary.subjects, 'subject')}, {counted(summary.videos, 'video')},"
        f" {counted(summary.frames, 'coded frame')};"
        f" {summary.images} frames have an image, {summary.landmarks} have landmarks",
    )
