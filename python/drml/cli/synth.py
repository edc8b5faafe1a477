"""``drml synth``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_jobs, add_json, add_seed, integer, only
from drml.cli.output import note, print_json


def add(subparsers: Any) -> None:
    """Add ``drml synth``."""
    parser = add_command(
        subparsers,
        "synth",
        run,
        "write a synthetic data set in a real one's folder layout",
        "Faces are drawn: subjects differ, each AU changes its own region. BP4D's codes, frame names and\n"
        "landmark files are written as the real ones are, and so are DISFA's intensities and videos.",
        "  drml synth build/bp4d --layout bp4d --subjects 41 --tasks 8 --frames 24\n"
        "  drml synth build/disfa --layout disfa --subjects 27 --frames 120",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--layout", choices=["bp4d", "disfa"], default="bp4d", help="whose layout (default bp4d)"
    )
    parser.add_argument("--subjects", type=integer(1), help="subjects (default 41, as BP4D; disfa 27)")
    parser.add_argument("--tasks", type=integer(1), help="videos per subject (default 8; disfa has one)")
    parser.add_argument("--frames", type=integer(1), help="frames per video (default 24; disfa 120)")
    only(parser, "layout", "bp4d", ("tasks",))
    parser.add_argument("--size", type=integer(64), help="width of the pictures in pixels")
    add_seed(parser)
    add_jobs(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Draw a data set and write it."""
    from drml.synth import write_bp4d, write_disfa

    write = {"bp4d": write_bp4d, "disfa": write_disfa}[args.layout]
    options: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("subjects", "tasks", "frames", "size")
        if getattr(args, name) is not None
    }
    done = write(args.out, seed=args.seed, jobs=args.jobs, progress=not args.quiet, **options)
    if args.json:
        print_json(dataclasses.asdict(done))
    note(
        args,
        f"{args.out}: {done.subjects} subjects, {done.videos} videos, {done.frames} coded frames;"
        f" {done.images} with an image, {done.landmarks} with landmarks",
    )
