"""``drml report``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_option
from drml.cli.output import check_files, note


def add(subparsers: Any) -> None:
    """Add ``drml report``."""
    parser = add_command(
        subparsers,
        "report",
        run,
        "write an HTML page about a training or about experiments",
        "With --scores, the page shows the scores of one training, its curves and losses, AU relations and\n"
        "faces. With --experiment, it also shows the tables and figures of drml experiment. The page is\n"
        "self-contained: it loads no other file.",
        "drml report build/demo/report.html --scores build/demo/scores.json --train build/demo/train"
        " --data data/drml --predictions build/demo/predictions.csv\n"
        "drml report build/paper.html --experiment build/paper",
    )
    parser.add_argument("out", type=Path, metavar="OUT.html", help="page to write")
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--scores", type=Path, metavar="JSON", help="scores that drml score --out wrote")
    of.add_argument(
        "--experiment",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="folders of drml experiment, or a folder that contains such folders",
    )
    training = parser.add_argument_group("with --scores")
    training.add_argument("--train", type=Path, metavar="FOLDER", help="folder of drml train")
    add_option(training, "--data", ": the whole folder, with its folds")
    add_option(training, "--predictions", ", as drml score --predictions writes it")
    training.add_argument("--saliency", type=Path, metavar="FOLDER", help="folder of drml saliency")
    training.add_argument(
        "--stages", type=Path, metavar="JSON", help='seconds of each stage: {"train": 61.5, ...}'
    )
    experiment = parser.add_argument_group("with --experiment")
    experiment.add_argument(
        "--method",
        help="method whose faces and relations are shown first (default: drml, if it is finished)",
    )
    add_option(parser, "--overwrite")

    def check(args: argparse.Namespace) -> None:
        wrong = ("method",) if args.scores else ("train", "data", "predictions", "saliency", "stages")
        for name in wrong:
            if getattr(args, name) is not None:
                parser.error(f"--{name} applies only to --{'experiment' if args.scores else 'scores'}")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from drml.report import write_experiment_report, write_report

    check_files(args, args.out)
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
    note(args, f"{args.out}: report written")
