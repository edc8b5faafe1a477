"""``drml train``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_option
from drml.cli.output import note, print_json
from drml.cli.values import gpus, integer
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml train``."""
    parser = add_command(
        subparsers,
        "train",
        run,
        "train a net with caffe, in a folder of its own",
        "Copies the solver and its net to OUT, fills in the paths of the data and runs `caffe train`. The\n"
        "last layer of the net gets one output for each AU of the data. OUT then holds everything that the\n"
        "other commands need of a training: deploy.prototxt and final.caffemodel, which carries its own\n"
        "recipe (AUs, mean, scale and data; drml show OUT prints it); and also snapshots, train.log,\n"
        "loss.csv, and f1.csv with the F1 of each AU in each test pass, or, of intensities, icc.csv with\n"
        "the ICC(3,1). After a test pass in which the net has not learned anything yet, a message says\n"
        "so. At the end, the threshold of each AU that gives the best F1 on the validation split of the\n"
        "fold is kept in the weights, where drml detect finds it.\n"
        "\n"
        "Ctrl-C makes caffe write a snapshot and stop; a second Ctrl-C kills it. The same command with\n"
        "--resume auto then continues the training and gives the result of an uninterrupted one.",
        "drml train --solver models/drml/quick_solver.prototxt --data data/drml/fold2 --out build/fold2\n"
        "drml train --solver models/drml/quick_solver.prototxt --data data/disfa/fold1"
        " --weights build/fold2 --out build/tuned",
    )
    add_option(parser, "--solver", required=True)
    add_option(parser, "--out", ": a folder", required=True, metavar="FOLDER")
    add_option(parser, "--data", ": a fold (default: the one that the net names)", metavar="FOLD")
    add_option(parser, "--weights", "; the training starts from them (default: from random weights)")
    parser.add_argument(
        "--resume",
        dest="snapshot",
        metavar="STATE",
        help="state (.solverstate) from which to resume the training exactly, or auto: the newest complete"
        " state in OUT, or from the start if there is none",
    )
    add_option(parser, "--max-iter", " (default: the solver's)")
    parser.add_argument(
        "--num-aus",
        type=integer(1),
        metavar="N",
        help="number of AUs that the net detects (default: the number of AUs in the manifest of the data)",
    )
    parser.add_argument(
        "--new-output",
        action="store_true",
        help="train the last layer from random weights, even if --weights has values for it; use this where"
        " those weights were trained for other AUs",
    )
    add_option(parser, "--balance")
    add_option(parser, "--augment", nargs="?", const="standard")
    parser.add_argument(
        "--caffe", type=Path, metavar="PROGRAM", help="caffe program (default: the one that make built)"
    )
    parser.add_argument(
        "--gpu", type=gpus, metavar="IDS", help="train on these GPUs: 0, or 0,1, or all (default: on the CPU)"
    )
    add_option(parser, "--overwrite")
    add_option(parser, "--seed", " (default: the solver's)", default=None)
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if args.new_output and args.weights is None and args.snapshot is None:
            parser.error("--new-output needs --weights; without them, all layers start from random weights")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Run caffe in a folder of its own."""
    from drml.evaluation.training import train
    from drml.training.base_rates import REMARK

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        training = train(
            args.solver,
            args.out,
            data=args.data,
            weights=args.weights,
            snapshot=args.snapshot,
            caffe=args.caffe,
            gpu=args.gpu,
            seed=args.seed,
            max_iter=args.max_iter,
            num_aus=args.num_aus,
            new_output=args.new_output,
            balance=args.balance,
            augment=args.augment,
            overwrite=args.overwrite,
            progress=not args.quiet,
        )
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    thresholds = training.thresholds
    if args.json:
        print_json(
            {
                "weights": str(training.weights),
                "thresholds": thresholds and {f"AU{au}": value for au, value in thresholds.items()},
                "iterations": training.iterations,
                "loss": training.loss,
                "test": training.test,
                "f1": training.f1,
                "icc": training.icc,
                "class_weights": training.class_weights,
                "predicts_base_rates": training.predicts_base_rates,
                "dead_layer": training.dead_layer,
                "seconds": round(training.seconds, 3),
            }
        )
    loss = "" if training.loss is None else f", loss {training.loss:.4f}"
    note(
        args,
        f"{training.weights}: {counted(training.iterations, 'iteration')}{loss}, {training.seconds:.0f} s",
    )
    if args.balance:
        values = "".join(f"  {name} {value:.3f}" for name, value in training.class_weights.items())
        note(args, f"Weights of the positives in the loss:{values}")
    for title, figures in (("F1", training.f1), ("ICC(3,1)", training.icc)):
        if figures:
            values = "".join(f"  {name} {value:.3f}" for name, value in figures.items())
            note(args, f"{title} of the last test pass:{values}")
    if training.predicts_base_rates:
        said = "" if training.separation is None else f" ({training.separation.to_text('estimated ')})"
        note(args, f"In the last test pass the net {REMARK}{said}.")
    if training.dead_layer:
        note(args, f"{training.dead_layer}.")
    if thresholds is not None:
        values = "".join(f"  AU{au} {value:.3f}" for au, value in thresholds.items())
        note(args, f"Thresholds with the best F1 on validation, kept in the weights:{values}")
