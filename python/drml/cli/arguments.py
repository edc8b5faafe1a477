"""What the commands' arguments have in common: their types, and options that several commands share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from drml.io.shipped import find_shipped

__all__ = [
    "Parser",
    "add_command",
    "add_figures",
    "add_jobs",
    "add_json",
    "add_net",
    "add_seed",
    "finite",
    "folds",
    "integer",
    "only",
    "probability",
    "share",
]

Parser = argparse.ArgumentParser

# --- types of arguments ---------------------------------------------------------------------------------


def integer(low: int) -> Callable[[str], int]:
    """Return the type of a whole number from `low` up."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        return value

    parse.__name__ = "integer"
    return parse


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share from 0 to below 1")
    return value


def probability(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is not a probability, 0 to 1")
    return value


def finite(text: str) -> float:
    """Read a finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{value} is not a finite number")
    return value


def folds(text: str) -> tuple[int, ...]:
    """Read a choice of folds, such as 1,3."""
    chosen = tuple(int(word) for word in text.replace(",", " ").split())
    if not chosen or not set(chosen) <= {1, 2, 3} or len(set(chosen)) != len(chosen):
        raise argparse.ArgumentTypeError(f"'{text}' is no choice of folds 1,2,3")
    return chosen


def only(parser: Parser, which: str, value: str, names: Sequence[str]) -> None:
    """Refuse options as wrong usage where argument `which` is not `value`; they default to None."""
    before = parser.get_default("check")

    def check(args: argparse.Namespace) -> None:
        if before:
            before(args)
        for name in names:
            if getattr(args, name) is not None and getattr(args, which) != value:
                parser.error(f"--{name.replace('_', '-')} is for {value} alone")

    parser.set_defaults(check=check)


# What argparse calls them where they refuse a text.
folds.__name__ = "folds"
share.__name__ = probability.__name__ = finite.__name__ = "number"

# --- options --------------------------------------------------------------------------------------------


def add_command(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    more: str,
    example: str,
) -> Parser:
    """Add a command: its parser, with help, example and what runs it."""
    parser: Parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".rstrip(),
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar, no closing line")
    return parser


def add_jobs(parser: Parser, what: str = "processes") -> None:
    """Add ``--jobs``."""
    parser.add_argument("--jobs", type=integer(0), default=0, help=f"{what}; 0: one per core (default)")


def add_seed(parser: Parser, default: int | None = 0) -> None:
    """Add ``--seed``."""
    shown = "the solver's" if default is None else str(default)
    parser.add_argument("--seed", type=integer(0), default=default, help=f"random seed (default {shown})")


def add_json(parser: Parser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def add_net(
    parser: Parser, several: bool = False, data: str = "LMDB folder, or the manifest beside it"
) -> None:
    """Add a trained net and its data."""
    parser.add_argument("--model", type=find_shipped, required=True, metavar="DEPLOY", help="deploy.prototxt")
    nargs: dict[str, Any] = {"nargs": "+"} if several else {}
    each = "; several for folds, in the order of --data" if several else ""
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="WEIGHTS", help=f".caffemodel or .h5{each}", **nargs
    )
    parser.add_argument("--data", type=Path, required=True, metavar="DATA", help=data, **nargs)
    parser.add_argument(
        "--mean",
        type=Path,
        metavar="FILE",
        help="mean.binaryproto (default: the one kept with the weights, else the one beside the LMDB)",
    )
    parser.add_argument(
        "--scale",
        type=finite,
        help="factor of the input after the mean is taken off (default: what the weights were trained with:"
        " the net kept in a .caffemodel, else transform.json beside the weights, else 1)",
    )
    parser.add_argument("--batch", type=integer(1), default=32, help="pictures per pass (default 32)")


def add_figures(parser: Parser) -> None:
    """Add what a command that scores writes and prints."""
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures here as well")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE.csv",
        help="write every probability and label (p_AU1, y_AU1)",
    )
    add_json(parser)
