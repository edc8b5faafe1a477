"""``drml transfer``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from drml.cli.arguments import add_command, add_figures, add_net, folds
from drml.cli.output import check_output, write_figures


def add(subparsers: Any) -> None:
    """Add ``drml transfer``."""
    parser = add_command(
        subparsers,
        "transfer",
        run,
        "fit a linear classifier per AU on a net's features, on another data set's folds, and score it",
        "For each fold in DATA: features of its training, validation and test faces, a linear SVM per AU\n"
        "whose C is chosen by F1 on the validation faces, and the table of drml score.",
        "  drml transfer --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/disfa --out build/transfer.json",
    )
    add_net(parser, data="folder that drml prepare wrote")
    parser.add_argument("--blob", default="fc9", help="blob to take as features (default fc9)")
    parser.add_argument("--folds", type=folds, help="folds of DATA (default: all that it has)")
    add_figures(parser)


def run(args: argparse.Namespace) -> None:
    """Score a linear classifier on a net's features; print the table, write the files."""
    from drml.experiments.transfer import transfer

    for path in (args.out, args.predictions):
        check_output(path)
    result = transfer(
        args.model,
        args.weights,
        args.data,
        blob=args.blob,
        folds=args.folds,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        progress=not args.quiet,
    )
    write_figures(args, result)
