"""``drml score``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from drml.cli.arguments import add_command, add_figures, add_net, finite
from drml.cli.output import check_output, write_figures
from drml.data.labels import parse_aus


def add(subparsers: Any) -> None:
    """Add ``drml score``."""
    parser = add_command(
        subparsers,
        "score",
        run,
        "F1-frame, ROC-AUC and AP per AU and on average, as a table or JSON",
        "With several --weights and --data, each pair is a fold: prints pooled figures and mean of folds.\n"
        "The trivial row is what predicting every AU in every frame gives.",
        "  drml score --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/scores.json --predictions build/predictions.csv",
    )
    add_net(parser, several=True)
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: the data's); only shared ones are scored",
    )
    parser.add_argument("--threshold", type=finite, default=0.5, help="for F1-frame (default 0.5)")
    add_figures(parser)


def run(args: argparse.Namespace) -> None:
    """Score a net; print the table, write the files."""
    from drml.evaluation import scoring

    for path in (args.out, args.predictions):
        check_output(path)
    result = scoring.score(
        args.model,
        args.weights,
        args.data,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        aus=parse_aus(args.aus) if args.aus else None,
        threshold=args.threshold,
        progress=not args.quiet,
    )
    write_figures(args, result)
