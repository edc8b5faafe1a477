"""What commands print and write: JSON, tables, closing lines, and the checks of output paths."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.io.errors import UsageError
from drml.io.files import check_inputs_kept, check_target

if TYPE_CHECKING:
    from drml.evaluation.intensity_scoring import IntensityEvaluation
    from drml.evaluation.results import Evaluation

__all__ = ["check_files", "check_folder", "note", "print_json", "print_result", "write_figures"]


def print_json(value: Any) -> None:
    """Print a value as JSON; figures that are undefined become null."""
    from drml.io.figures import json_value

    print(json.dumps(json_value(value), indent=2, allow_nan=False, default=str))


def note(args: argparse.Namespace, text: str) -> None:
    """Print a closing line, unless ``--quiet`` or ``--json`` was given."""
    if not args.quiet and not getattr(args, "json", False):
        print(text)


def write_figures(
    args: argparse.Namespace,
    result: Evaluation | None,
    levels: IntensityEvaluation | None = None,
    level_file: Path | None = None,
) -> None:
    """Print the figures of a scoring command, then write them.

    `levels` are the scores of intensities, and `level_file` the file for their estimates.
    """
    from drml.evaluation.intensity_scoring import write_intensities
    from drml.evaluation.predictions import write_predictions
    from drml.evaluation.results import write_scores

    # Printed first: should the disk be full, the figures of a long scoring are not lost.
    print_result(args, result, levels)
    if args.out:
        write_scores(args.out, _figures(result, levels))
    if args.predictions and result is not None:
        write_predictions(args.predictions, result.folds)
    if level_file and levels is not None:
        write_intensities(level_file, levels.folds)


def print_result(
    args: argparse.Namespace, result: Evaluation | None, levels: IntensityEvaluation | None = None
) -> None:
    """Print scores as a table, or as JSON with ``--json``."""
    if args.json:
        print_json(_figures(result, levels))
    else:
        print("\n".join(one.to_text() for one in (result, levels) if one is not None), end="")


def _figures(result: Evaluation | None, levels: IntensityEvaluation | None) -> dict[str, Any]:
    """Return the scores of occurrences, with those of intensities as ``"intensity"``."""
    figures = {} if result is None else result.to_dict()
    return figures if levels is None else {**figures, "intensity": levels.to_dict()}


def check_files(args: argparse.Namespace, *paths: Path | None) -> None:
    """Check before the work that each file can be written; without ``--overwrite``, none may exist.

    No file may replace another one, nor an input of the command.
    """
    written = [path for path in paths if path is not None]
    for path in written:
        check_target(path, overwrite=args.overwrite)
        check_inputs_kept(path, _inputs(args, written))
    if len({path.resolve() for path in written}) < len(written):
        raise UsageError(f"{written[0]}: two outputs have this name; give each a file of its own")


def check_folder(args: argparse.Namespace, out: Path) -> None:
    """Check before the work that a folder can be made, and that no input of the command is lost with it."""
    check_target(out, folder=True, overwrite=args.overwrite)
    check_inputs_kept(out, _inputs(args, [out]))


def _inputs(args: argparse.Namespace, outputs: Sequence[Path]) -> list[Path]:
    """Return all paths among the arguments except the outputs."""
    values = [one for value in vars(args).values() for one in (value if isinstance(value, list) else [value])]
    return [one for one in values if isinstance(one, Path) and not any(one is path for path in outputs)]
