"""``drml features``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from drml.cli.arguments import add_command, add_net, add_option
from drml.cli.output import check_files, note, print_json
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml features``."""
    parser = add_command(
        subparsers,
        "features",
        run,
        "write a blob of the net, such as fc9, for every record",
        "Runs a trained net on DATA and writes one file with the arrays keys, features and labels, in the\n"
        "order of the LMDB. Labels of intensities are an array of their own, intensities.",
        "drml features build/fold2 data/drml/fold2 --out build/fc9.npz\n"
        "drml features build/fold2 data/drml/fold2/train_lmdb --blob fc8 --out build/fc8.h5",
    )
    add_net(parser, data=": a fold, whose test split is read, or one split")
    add_option(parser, "--blob")
    add_option(parser, "--batch")
    add_option(parser, "--out", ": a file whose name ends in .npz or .h5", required=True, metavar="FILE")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> None:
    """Write a blob of every record."""
    from drml.evaluation.features import extract
    from drml.nets.trained_files import find_trained

    check_files(args, args.out)
    trained = find_trained(args.weights, args.net)
    written = extract(
        trained.net,
        trained.weights,
        args.data,
        args.out,
        blob=args.blob,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        progress=not args.quiet,
    )
    if args.json:
        print_json(
            {"file": str(written.path), "blob": args.blob, "rows": written.rows, "shape": list(written.shape)}
        )
    shape = "x".join(map(str, written.shape)) or "1"
    note(args, f"{written.path}: {counted(written.rows, 'row')} of {shape} ({args.blob})")
