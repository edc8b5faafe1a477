"""``drml report``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command
from drml.cli.output import check_output, note


def add(subparsers: Any) -> None:
    """Add ``drml report``."""
    parser = add_command(
        subparsers,
        "report",
        run,
        "write one self-contained HTML page of a training or of an experiment",
        "Of a training (--scores): scores, curves, losses, AU relations, faces. Of the folders of\n"
        "drml experiment (--experiment): the tables and figures as well. The page loads nothing.",
        "  drml report build/demo/report.html --scores build/demo/scores.json --train build/demo/train \\\n"
        "      --data data/drml --predictions build/demo/predictions.csv\n"
        "  drml report build/paper.html --experiment build/paper",
    )
    parser.add_argument("out", type=Path, metavar="OUT.html", help="page to write")
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--scores", type=Path, metavar="JSON", help="what drml score --out wrote")
    of.add_argument(
        "--experiment",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders of drml experiment, or a folder of such ones",
    )
    training = parser.add_argument_group("with --scores")
    training.add_argument("--train", type=Path, metavar="DIR", help="folder of drml train")
    training.add_argument("--data", type=Path, metavar="DIR", help="folder of drml prepare")
    training.add_argument(
        "--predictions", type=Path, metavar="CSV", help="what drml score --predictions wrote"
    )
    training.add_argument("--saliency", type=Path, metavar="DIR", help="folder of drml saliency")
    training.add_argument(
        "--stages", type=Path, metavar="JSON", help='seconds by stage: {"train": 61.5, ...}'
    )
    experiment = parser.add_argument_group("with --experiment")
    experiment.add_argument(
        "--method", help="whose faces and relations are shown first (default drml where it is finished)"
    )

    def check(args: argparse.Namespace) -> None:
        wrong = ("method",) if args.scores else ("train", "data", "predictions", "saliency", "stages")
        for name in wrong:
            if getattr(args, name) is not None:
                parser.error(f"--{name} is for --{'experiment' if args.scores else 'scores'} alone")

    parser.set_defaults(check=check)


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from drml.report import write_experiment_report, write_report

    check_output(args.out)
    if args.experiment:
        write_experiment_report(args.out, args.experiment, method=args.method, progress=not args.quiet)
    else:
        write_report(
            args.out,
            scores_json=args.scores,
            train_dir=args.train,
            data_dir=args.data,
            predictions=args.predictions,
            saliency=args.saliency,
            stages=args.stages,
        )
    note(args, f"{args.out}: report")
