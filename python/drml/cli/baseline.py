"""``drml baseline``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_option, only
from drml.cli.output import print_result
from drml.cli.values import positive


def add(subparsers: Any) -> None:
    """Add ``drml baseline``."""
    parser = add_command(
        subparsers,
        "baseline",
        run,
        "fit and score a linear method on SIFT features: LSVM, APL, JPML, or ridge regression",
        "SIFT describes the face at 49 landmarks. The method is fitted on the training split of a fold, its\n"
        "parameters are chosen on the validation split, and it is scored on the test split. lsvm, apl and\n"
        "jpml detect occurrences, ridge estimates intensities. Writes OUT/scores.json, predictions.csv,\n"
        "model.npz, fit.json and, for apl and jpml, a picture of the patches of each AU. The SIFT features\n"
        "are computed once and kept beside the LMDBs.",
        "drml baseline apl --data data/drml/fold1 --out build/apl",
    )
    parser.add_argument(
        "method",
        choices=["lsvm", "apl", "jpml", "ridge"],
        metavar="METHOD",
        help="lsvm, apl, jpml or ridge",
    )
    add_option(parser, "--data", ": a fold", required=True, metavar="FOLD")
    add_option(parser, "--out", ": a folder", required=True, metavar="FOLDER")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FOLDER",
        help="folder in which to keep the SIFT features (default: FOLD)",
    )
    parser.add_argument(
        "--sift-window",
        type=positive,
        default=32.0,
        metavar="PIXELS",
        help="side of the square around a landmark that SIFT describes (default: 32)",
    )
    parser.add_argument(
        "--lsvm-solver",
        choices=["gradient", "liblinear"],
        help="solver of lsvm: both find the same minimum, but liblinear copies the features"
        " (default: gradient)",
    )
    add_option(parser, "--refit")
    only(parser, "method", "lsvm", ("lsvm_solver",))

    def check(args: argparse.Namespace) -> None:
        if args.method == "ridge" and args.refit:
            parser.error("--refit does not apply to ridge")

    add_check(parser, check)
    add_option(parser, "--overwrite")
    add_option(parser, "--seed")
    add_option(parser, "--jobs")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> None:
    """Fit a linear baseline, score it and write its folder."""
    shared = {
        "features": args.features,
        "window": args.sift_window,
        "jobs": args.jobs,
        "progress": not args.quiet,
        "overwrite": args.overwrite,
    }
    if args.method == "ridge":
        from drml.experiments.ridge import run_ridge

        print_result(args, None, run_ridge(args.data, args.out, **shared)[0])
        return
    from drml.experiments.baseline import run_baseline

    options = {} if args.lsvm_solver is None else {"solver": args.lsvm_solver}
    result = run_baseline(
        args.method,
        args.data,
        args.out,
        seed=args.seed,
        command=["drml", *args.given],
        refit=args.refit,
        **shared,
        **options,
    )
    print_result(args, result)
