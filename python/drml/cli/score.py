"""``drml score``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_figures, add_net, add_option
from drml.cli.output import check_files, note, write_figures
from drml.cli.values import integer, threshold
from drml.io.errors import UserError


def add(subparsers: Any) -> None:
    """Add ``drml score``."""
    parser = add_command(
        subparsers,
        "score",
        run,
        "compute F1-frame, ROC-AUC, AP, accuracy and MCC of each AU, or ICC, PCC, MSE and MAE",
        "Runs a trained net on the test split of DATA and prints a table with a row for each AU and their\n"
        "average. The last row has the scores of predicting every AU in every frame.\n\n"
        "F1-frame and ROC-AUC have 95% confidence intervals by bootstrap over subjects. With --threshold\n"
        "validation, a second table compares F1 at 0.5 with F1 at a threshold for each AU that gives the\n"
        "best F1 on the validation split of the fold.\n\n"
        "Several --weights and --data are the folds of one experiment: the command prints the figures\n"
        "pooled over all folds, and the mean of the folds.\n\n"
        "If net and data have intensities, these are scored by ICC(3,1), PCC, MSE and MAE, with the same\n"
        "intervals; the last rows have the scores of always estimating 0 and of the training mean. A net\n"
        "with outputs of both kinds is scored for both; --predictions then writes a second file for the\n"
        "intensities, with -intensities in its name.",
        "drml score build/fold2 data/drml/fold2\n"
        "drml score build/fold2 data/drml/fold2 --out scores.json --predictions predictions.csv\n"
        "drml score build/fold2 data/drml/fold2 --threshold validation --bootstrap 10000\n"
        "drml score --weights build/fold1 build/fold2 --data data/drml/fold1 data/drml/fold2",
    )
    add_net(parser, data=": a fold, whose test split is scored, or one split", several=True)
    add_option(
        parser,
        "--aus",
        "; those of the net's outputs (default: those of the recipe in the weights)."
        " Only AUs that the data have as well are scored",
    )
    add_option(
        parser,
        "--threshold",
        "; or 'validation', to choose one for each AU on the validation split of the fold; or 'recipe', to"
        " take those that the weights carry",
        type=threshold,
        metavar="P|validation|recipe",
    )
    parser.add_argument(
        "--keep-thresholds",
        action="store_true",
        help="with --threshold validation, keep the thresholds in the recipe of the weights, where drml"
        " detect finds them",
    )
    parser.add_argument(
        "--bootstrap",
        type=integer(0),
        default=1000,
        metavar="N",
        help="draws of subjects for the confidence intervals; 0 means no intervals (default: 1000)",
    )
    add_option(parser, "--seed", " that draw the subjects")
    add_option(parser, "--batch")
    add_figures(parser)

    def check(args: argparse.Namespace) -> None:
        if args.keep_thresholds and args.threshold != "validation":
            parser.error("--keep-thresholds keeps what --threshold validation chooses; give both")

    add_check(parser, check)


def _second_file(predictions: Path | None) -> Path | None:
    """Return the file for the intensities of a net with outputs of both kinds."""
    if predictions is None:
        return None
    return predictions.with_name(f"{predictions.stem}-intensities{predictions.suffix}")


def run(args: argparse.Namespace) -> None:
    """Score a net; print the table and write the files."""
    from drml.evaluation import scoring
    from drml.evaluation.intensity_scoring import score_intensities
    from drml.evaluation.kept_thresholds import keep_thresholds
    from drml.evaluation.kinds import kinds_to_score
    from drml.nets.prototxt import read_prototxt
    from drml.nets.trained_files import find_trained

    second = _second_file(args.predictions)
    check_files(args, args.out, args.predictions, second)
    folds = [find_trained(weights, args.net) for weights in args.weights]
    first = folds[0]
    for fold in folds:
        if fold.net != first.net and read_prototxt(fold.net) != read_prototxt(first.net):
            raise UserError(
                f"{fold.net}: differs from {first.net}; score one net at a time, or name the net of all folds"
                " with --net"
            )
    weights = [fold.weights for fold in folds]
    options: dict[str, Any] = {
        "mean": args.mean,
        "scale": args.scale,
        "batch": args.batch,
        "bootstrap": args.bootstrap,
        "seed": args.seed,
        "progress": not args.quiet,
    }
    occurrences, intensities = kinds_to_score(first.net, weights, args.data)
    result = levels = None
    if occurrences:
        result = scoring.score(
            first.net, weights, args.data, aus=args.aus, threshold=args.threshold, **options
        )
    if intensities:
        levels = score_intensities(first.net, weights, args.data, **options)
    write_figures(args, result, levels, second if result else args.predictions)
    if result is None:
        return
    if args.keep_thresholds and result.validation is not None and result.chosen is not None:
        chosen = zip(folds, result.validation, result.chosen.by_fold, strict=True)
        for fold, held_out, values in chosen:
            keep_thresholds(fold.weights, held_out, values)
            note(args, f"{fold.weights}: now carries the thresholds that were chosen on {held_out.data}")
