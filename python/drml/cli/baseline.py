"""``drml baseline``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_jobs, add_json, add_seed, finite
from drml.cli.output import print_result
from drml.io.errors import UserError


def add(subparsers: Any) -> None:
    """Add ``drml baseline``."""
    parser = add_command(
        subparsers,
        "baseline",
        run,
        "fit and score a linear method: SIFT at 49 landmarks, and LSVM, APL or JPML",
        "Fits on FOLD/train_lmdb, chooses on val_lmdb, scores on test_lmdb. Leaves OUT/scores.json,\n"
        "predictions.csv, model.npz, fit.json, and for apl and jpml a picture of each AU's patches.\n"
        "SIFT is computed once and kept beside the LMDBs.",
        "  drml baseline apl --data data/drml/fold1 --out build/apl",
    )
    parser.add_argument("method", choices=["lsvm", "apl", "jpml"], metavar="METHOD", help="lsvm, apl or jpml")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="FOLD", help="fold folder of drml prepare"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--features", type=Path, metavar="DIR", help="folder that keeps the SIFT features (default FOLD)"
    )
    parser.add_argument(
        "--sift-window",
        type=finite,
        default=32.0,
        metavar="PIXELS",
        help="side of the square around a landmark that SIFT sees (default 32)",
    )
    parser.add_argument(
        "--solver",
        choices=["gradient", "liblinear"],
        help="of lsvm: the two find the same minimum; liblinear copies the features (default gradient)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    add_seed(parser)
    add_jobs(parser, "threads")
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Fit a linear baseline, score it, write its folder."""
    from drml.experiments.baseline import run_baseline

    options: dict[str, Any] = {}
    if args.solver is not None:
        if args.method != "lsvm":
            raise UserError(f"--solver {args.solver}: only lsvm has a choice of solvers")
        options["solver"] = args.solver
    result = run_baseline(
        args.method,
        args.data,
        args.out,
        features=args.features,
        window=args.sift_window,
        seed=args.seed,
        jobs=args.jobs,
        progress=not args.quiet,
        overwrite=args.overwrite,
        command=["drml", *args.given],
        **options,
    )
    print_result(args, result)
