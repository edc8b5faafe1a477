"""Arguments of the other methods and of what is made of results."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml import commands
from drml.cli.arguments import add, add_jobs, add_json, add_seed, finite
from drml.io.shipped import find_shipped


def baseline(subparsers: Any) -> None:
    """Add ``drml baseline``."""
    parser = add(
        subparsers,
        "baseline",
        commands.baseline,
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


def saliency(subparsers: Any) -> None:
    """Add ``drml saliency``."""
    parser = add(
        subparsers,
        "saliency",
        commands.saliency,
        "draw which pixels a net's AU scores hang on",
        "|d score / d pixel| before the sigmoid, the largest of the colours. Writes OUT/AU1.png, ...,\n"
        "grid.png with all of them, maps.npz, saliency.json; the focus is the share of saliency inside the\n"
        "AU's region of the face.",
        "  drml saliency --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/saliency\n"
        "  drml saliency --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --image photo.jpg --out build/photo",
    )
    parser.add_argument("--model", type=find_shipped, required=True, metavar="DEPLOY", help="deploy.prototxt")
    parser.add_argument("--weights", type=Path, required=True, metavar="WEIGHTS", help=".caffemodel or .h5")
    face = parser.add_mutually_exclusive_group(required=True)
    face.add_argument("--data", type=Path, metavar="DATA", help="LMDB folder, or its manifest")
    face.add_argument(
        "--image", type=Path, metavar="FILE", help="photo, whose largest face is found and registered"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    parser.add_argument("--key", help="record of the data (default: the first one)")
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: the data's, or those it was trained with)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    add_json(parser)


def relations(subparsers: Any) -> None:
    """Add ``drml relations``."""
    parser = add(
        subparsers,
        "relations",
        commands.relations,
        "print which AUs go together, in the labels and in a model's predictions",
        "Correlations over the frames where the labels of both AUs are known, and how far the two tables\n"
        "are apart.",
        "  drml relations --predictions build/predictions.csv",
    )
    parser.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        required=True,
        metavar="CSV",
        help="what drml score --predictions wrote; several are taken together",
    )
    add_json(parser)


def report(subparsers: Any) -> None:
    """Add ``drml report``."""
    parser = add(
        subparsers,
        "report",
        commands.report,
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
    run = parser.add_argument_group("with --scores")
    run.add_argument("--train", type=Path, metavar="DIR", help="folder of drml train")
    run.add_argument("--data", type=Path, metavar="DIR", help="folder of drml prepare")
    run.add_argument("--predictions", type=Path, metavar="CSV", help="what drml score --predictions wrote")
    run.add_argument("--saliency", type=Path, metavar="DIR", help="folder of drml saliency")
    run.add_argument("--stages", type=Path, metavar="JSON", help='seconds by stage: {"train": 61.5, ...}')
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
