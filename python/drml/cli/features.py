"""``drml features``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_net
from drml.cli.output import note


def add(subparsers: Any) -> None:
    """Add ``drml features``."""
    parser = add_command(
        subparsers,
        "features",
        run,
        "write fc9, or any blob, of every record to .npz or .h5",
        "The file holds keys, features and labels, in the order of the LMDB.",
        "  drml features --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/fc9.npz",
    )
    add_net(parser)
    parser.add_argument("--blob", default="fc9", help="blob to write (default fc9)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .npz or .h5")


def run(args: argparse.Namespace) -> None:
    """Write a blob of every record."""
    from drml.evaluation.features import extract

    done = extract(
        args.model,
        args.weights,
        args.data,
        args.out,
        blob=args.blob,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        progress=not args.quiet,
    )
    note(args, f"{done.path}: {done.rows} rows of {'x'.join(map(str, done.shape)) or '1'} ({args.blob})")
