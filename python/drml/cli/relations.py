"""``drml relations``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from drml.cli.arguments import add_check, add_command, add_net, add_option
from drml.cli.output import print_json
from drml.io.errors import UserError
from drml.io.text import counted

if TYPE_CHECKING:
    from numpy.typing import NDArray


def add(subparsers: Any) -> None:
    """Add ``drml relations``."""
    parser = add_command(
        subparsers,
        "relations",
        run,
        "print the correlations between AUs, in the labels and in the predictions of a net",
        "The correlation of two AUs is computed over the frames in which both labels are known. The last\n"
        "line says how far the table of the predictions is from the table of the labels. The predictions\n"
        "are those of WEIGHTS on DATA, or those in the files of --predictions.",
        "drml relations build/fold2 data/drml/fold2\n  drml relations --predictions build/predictions.csv",
    )
    add_net(parser, data=": a fold, whose test split is used, or one split", optional=True)
    add_option(
        parser,
        "--aus",
        "; those of the net's outputs (default: those of the recipe in the weights)",
    )
    add_option(parser, "--batch")
    add_option(
        parser,
        "--predictions",
        ", as drml score --predictions writes it. Several files are read as one",
        nargs="+",
    )
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if args.predictions is not None:
            for name in ("weights", "data", "net", "mean", "scale", "aus"):
                if getattr(args, name) is not None:
                    parser.error(f"give either --predictions or --{name}")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Print the AU relations of labels and predictions."""
    from drml.evaluation.relations import compare, relations, to_text
    from drml.io.figures import json_value

    aus, labels, values = _predicted(args) if args.predictions is None else _read(args)
    truth, model = relations(labels), relations(labels, values)
    distance = compare(truth, model)
    if args.json:
        figures = (
            {"frobenius": distance.frobenius, "mean_square": distance.mean_square} if distance.entries else {}
        )
        print_json(
            {
                "aus": aus,
                "frames": len(labels),
                "labels": json_value(truth),
                "predictions": json_value(model),
                "difference": {**figures, "entries": distance.entries},
            }
        )
        return
    print(f"{counted(len(labels), 'frame')}. Labels:\n{to_text(truth, aus)}")
    print(f"Predictions:\n{to_text(model, aus)}")
    print(
        f"Frobenius norm of the difference / {distance.entries} entries: {distance.frobenius:.4f};"
        f" mean squared difference: {distance.mean_square:.4f}"
    )


def _read(args: argparse.Namespace) -> tuple[list[int], NDArray[Any], NDArray[Any]]:
    """Read the AUs, the labels and the probabilities of ``--predictions``."""
    import numpy as np

    from drml.evaluation.predictions import read_predictions

    found = [read_predictions(path) for path in args.predictions]
    aus = list(found[0].aus)
    for path, one in zip(args.predictions, found, strict=True):
        if list(one.aus) != aus:
            raise UserError(f"{path}: its AUs differ from those of {args.predictions[0]}")
    labels = np.concatenate([one.labels for one in found])
    if not len(labels):
        raise UserError(f"{args.predictions[0]}: holds no frame; give predictions of at least one")
    return aus, labels, np.concatenate([one.probabilities for one in found])


def _predicted(args: argparse.Namespace) -> tuple[list[int], NDArray[Any], NDArray[Any]]:
    """Run the net on the data; return AUs, labels and probabilities."""
    from drml.evaluation.scoring import predict
    from drml.nets.trained_files import find_trained

    trained = find_trained(args.weights, args.net)
    found = predict(
        trained.net,
        trained.weights,
        args.data,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        aus=args.aus,
        progress=not args.quiet,
    )
    return list(found.aus), found.labels, found.probabilities
