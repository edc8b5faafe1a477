"""``drml relations``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json
from drml.cli.output import print_json
from drml.io.errors import UserError


def add(subparsers: Any) -> None:
    """Add ``drml relations``."""
    parser = add_command(
        subparsers,
        "relations",
        run,
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


def run(args: argparse.Namespace) -> None:
    """Print the AU relations of labels and predictions."""
    import numpy as np

    from drml.evaluation.relations import compare, relations, to_text
    from drml.evaluation.scoring import read_predictions

    found = [read_predictions(path) for path in args.predictions]
    aus = list(found[0].aus)
    for path, one in zip(args.predictions, found, strict=True):
        if list(one.aus) != aus:
            raise UserError(f"{path}: other AUs than in {args.predictions[0]}")
    labels = np.concatenate([one.labels for one in found])
    if not len(labels):
        raise UserError(f"{args.predictions[0]}: no frame in it")
    values = np.concatenate([one.probabilities for one in found])
    truth, model = relations(labels), relations(labels, values)
    apart = compare(truth, model)
    if args.json:

        def plain(table: Any) -> list[list[float | None]]:
            return [[None if np.isnan(value) else float(value) for value in row] for row in table]

        distance = {"frobenius": apart.frobenius, "mean_square": apart.mean_square} if apart.entries else {}
        shown = {"aus": aus, "frames": len(labels), "labels": plain(truth), "predictions": plain(model)}
        print_json({**shown, "difference": {**distance, "entries": apart.entries}})
        return
    print(f"{len(labels)} frames. Labels:\n{to_text(truth, aus)}")
    print(f"Predictions:\n{to_text(model, aus)}")
    print(
        f"Frobenius norm of the difference / {apart.entries} entries: {apart.frobenius:.4f};"
        f" mean squared difference: {apart.mean_square:.4f}"
    )
