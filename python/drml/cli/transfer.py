"""``drml transfer``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from drml.cli.arguments import add_command, add_figures, add_net, add_option
from drml.cli.output import check_files, write_figures


def add(subparsers: Any) -> None:
    """Add ``drml transfer``."""
    parser = add_command(
        subparsers,
        "transfer",
        run,
        "score linear classifiers on the features of a net that was trained on another data set",
        "For each fold of DATA, the net computes features of the training, validation and test faces. A\n"
        "linear SVM per AU is fitted on the training faces; its C is the one with the best F1 on the\n"
        "validation faces. The command prints the table of drml score. It does not train the net further.",
        "drml transfer build/fold2 data/disfa --out build/transfer.json",
    )
    add_net(parser, data=": the whole folder, with its folds, or one fold")
    add_option(parser, "--blob")
    add_option(parser, "--folds", " (default: all folds of the data)")
    add_option(parser, "--batch")
    add_option(parser, "--refit")
    add_figures(parser)


def run(args: argparse.Namespace) -> None:
    """Score linear classifiers on a net's features; print the table and write the files."""
    from drml.experiments.transfer import transfer
    from drml.nets.trained_files import find_trained

    check_files(args, args.out, args.predictions)
    trained = find_trained(args.weights, args.net)
    result = transfer(
        trained.net,
        trained.weights,
        args.data,
        blob=args.blob,
        folds=args.folds,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        refit=args.refit,
        progress=not args.quiet,
    )
    write_figures(args, result)
