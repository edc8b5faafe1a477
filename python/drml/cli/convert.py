"""``drml convert``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_option
from drml.cli.output import check_files, note, print_json


def add(subparsers: Any) -> None:
    """Add ``drml convert``."""
    parser = add_command(
        subparsers,
        "convert",
        run,
        "convert between Region layers and the branches of the authors' prototxts",
        "The converted net computes the same results. A branch consists of the layers Box, Batch, ReLU,\n"
        "Convolution, Splice and Eltwise for each patch. With --weights and --out-weights, the weights are\n"
        "converted too.",
        "drml convert release.prototxt --to region --out drml.prototxt"
        " --weights release.caffemodel --out-weights drml.caffemodel\n"
        "drml convert models/drml/deploy.prototxt --to branches --out branches.prototxt",
    )
    parser.add_argument("net", type=Path, metavar="PROTOTXT", help="net to convert")
    parser.add_argument("--to", choices=["region", "branches"], required=True, help="form of the new net")
    add_option(parser, "--weights", "; those of PROTOTXT")
    add_option(parser, "--out", ": a prototxt", required=True, metavar="PROTOTXT")
    parser.add_argument(
        "--out-weights", type=Path, metavar="CAFFEMODEL", help="write the converted weights here"
    )
    add_option(parser, "--size", "; needed where PROTOTXT reads data and does not crop them")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if (args.weights is None) != (args.out_weights is None):
            parser.error("give --weights and --out-weights together")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Convert a net; write its prototxt and weights."""
    from drml.nets.convert import convert
    from drml.nets.trained_files import find_weights

    check_files(args, args.out, args.out_weights)
    count = convert(
        args.net,
        args.out,
        to=args.to,
        weights=None if args.weights is None else find_weights(args.weights),
        out_weights=args.out_weights,
        size=args.size,
    )
    written = [str(path) for path in (args.out, args.out_weights) if path is not None]
    if args.json:
        print_json({"files": written, "to": args.to, "region_layers": count})
    layers = f"{count} Region layer{'s' if count > 1 else ''}"
    note(args, f"{' and '.join(written)}: converted {layers} to {args.to}")
