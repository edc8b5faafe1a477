"""``drml convert``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, integer
from drml.cli.output import check_output, note


def add(subparsers: Any) -> None:
    """Add ``drml convert``."""
    parser = add_command(
        subparsers,
        "convert",
        run,
        "turn Region layers into branches as the authors' prototxts have them, or such branches into Regions",
        "The converted net computes the same. Branches are Box, Batch, ReLU, Convolution, Splice and\n"
        "Eltwise, patch by patch; weights move with them where they are given.",
        "  drml convert release.prototxt --to region --out drml.prototxt \\\n"
        "      --weights release.caffemodel --out-weights drml.caffemodel\n"
        "  drml convert models/drml/deploy.prototxt --to branches --out branches.prototxt",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="prototxt to read")
    parser.add_argument("--to", choices=["region", "branches"], required=True, help="what to turn it into")
    parser.add_argument("--out", type=Path, required=True, metavar="PROTOTXT", help="prototxt to write")
    parser.add_argument("--weights", type=Path, metavar="CAFFEMODEL", help="its weights")
    parser.add_argument("--out-weights", type=Path, metavar="CAFFEMODEL", help="weights to write")
    parser.add_argument(
        "--size", type=integer(1), help="side of the pictures, where MODEL reads data and crops none"
    )


def run(args: argparse.Namespace) -> None:
    """Convert a net; write prototxt and weights."""
    from drml.nets.convert import convert

    for path in (args.out, args.out_weights):
        check_output(path)
    count = convert(
        args.model,
        args.out,
        to=args.to,
        weights=args.weights,
        out_weights=args.out_weights,
        size=args.size,
    )
    written = " and ".join(str(path) for path in (args.out, args.out_weights) if path is not None)
    note(args, f"{written}: {count} region layer{'s' if count > 1 else ''} converted to {args.to}")
