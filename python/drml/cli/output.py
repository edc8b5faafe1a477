"""What commands print and write: JSON, tables, closing lines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.io.files import check_target

if TYPE_CHECKING:
    from drml.evaluation.scoring import TestResult

__all__ = ["check_output", "note", "print_json", "print_result", "write_figures"]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def note(args: argparse.Namespace, text: str) -> None:
    """Tell what was done, where nobody asked for quiet or for JSON."""
    if not args.quiet and not getattr(args, "json", False):
        print(text)


def write_figures(args: argparse.Namespace, result: TestResult) -> None:
    """Print and write what a scoring command found."""
    from drml.evaluation import scoring

    print_result(args, result)  # first, so that a full disk does not take it away
    if args.out:
        scoring.write_scores(args.out, result)
    if args.predictions:
        scoring.write_predictions(args.predictions, result.folds)


def print_result(args: argparse.Namespace, result: TestResult) -> None:
    """Print scores: the table, or JSON where it was asked for."""
    if args.json:
        print_json(result.to_dict())
    else:
        print(result.to_text(), end="")


def check_output(path: Path | None) -> None:
    """Refuse before the long work a file that cannot be written after it."""
    if path is not None:
        check_target(path, overwrite=True)
