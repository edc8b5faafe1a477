"""The options of the commands: what each means, its type, and the checks that several commands share.

An option has one meaning in all commands. `OPTIONS` says it once, and `add_option` adds it to a command, with
what is particular to that command after the meaning.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.cli.values import au_list, augmentation, factor, folds, integer, probability
from drml.io.shipped import find_shipped

__all__ = [
    "OPTIONS",
    "Option",
    "Parser",
    "add_check",
    "add_command",
    "add_figures",
    "add_net",
    "add_option",
    "only",
]

Parser = argparse.ArgumentParser


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Fill the paragraphs of a description to the width of the terminal, but not its indented lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = []
        for block in text.split("\n\n"):
            raw = any(line.startswith("  ") for line in block.splitlines())
            blocks.append(block if raw else textwrap.fill(" ".join(block.split()), width))
        return "\n\n".join(blocks)


@dataclass(frozen=True)
class Option:
    """An option: what it means in every command, and how its text is read.

    Attributes
    ----------
    meaning : str
        The beginning of its help text; a command may add to it.
    type : callable or None
        As in `argparse`; None for a switch.
    metavar : str or None
    default : object
        The default of most commands; it appears in the help text.
    """

    meaning: str
    type: Callable[[str], Any] | None = None
    metavar: str | None = None
    default: Any = None


OPTIONS: dict[str, Option] = {
    "--weights": Option("trained weights (.caffemodel or .h5), or the folder of a training", Path, "WEIGHTS"),
    "--net": Option("deploy.prototxt of the net", find_shipped, "PROTOTXT"),
    "--data": Option("data that drml prepare wrote", Path, "DATA"),
    "--mean": Option("mean image (.binaryproto) to subtract from the pixels", Path, "FILE"),
    "--scale": Option(
        "factor by which to multiply the pixels after the mean is subtracted", factor, "FACTOR"
    ),
    "--aus": Option("AU numbers, separated by commas, such as 1,2,4", au_list, "AUS"),
    "--batch": Option("number of images in one pass of the net", integer(1), "N", 32),
    "--blob": Option("blob of the net to take the features from", str, "NAME", "fc9"),
    "--threshold": Option("probability from which on an AU counts as present", probability, "P", 0.5),
    "--size": Option("side of the registered faces in pixels", integer(16), "PIXELS"),
    "--folds": Option("numbers of the folds, separated by commas, such as 1,3", folds, "FOLDS"),
    "--solver": Option("solver.prototxt of the training", find_shipped, "PROTOTXT"),
    "--max-iter": Option("number of training iterations", integer(1), "N"),
    "--balance": Option(
        "weigh the positives of each AU in the loss: by the ratio of negatives to positives in the training"
        " labels, limited to 0.1 to 10, over the mean of these ratios"
    ),
    "--augment": Option(
        "change colours and place of training images at random: largest values for some of brightness,"
        " contrast, saturation, scale (shares), hue and rotation (degrees), such as rotation=10,scale=.1;"
        " without CHANGES brightness=.2,contrast=.2,saturation=.2,hue=5,rotation=5,scale=.05",
        augmentation,
        "CHANGES",
    ),
    "--jobs": Option("number of parallel workers; 0 means one per processor core", integer(0), "N", 0),
    "--seed": Option("seed of the random numbers", integer(0), "SEED", 0),
    "--out": Option("where to write the results", Path),
    "--predictions": Option("CSV table with the probability and label of each frame and AU", Path, "CSV"),
    "--overwrite": Option("replace output that exists already"),
    "--json": Option("print the figures as JSON"),
    "--refit": Option(
        "after parameters and thresholds were chosen on the validation subjects, fit again with them, on the"
        " training and validation subjects together"
    ),
    "--quiet": Option("show no progress bar and no closing line"),
}
"""The options that more than one command has."""


def add_option(to: Any, name: str, more: str = "", **settings: Any) -> None:
    """Add one of `OPTIONS` to a parser or to a group of it.

    Parameters
    ----------
    to : ArgumentParser or a group of it
    name : str
        A key of `OPTIONS`.
    more : str
        What is particular to this command; it follows the meaning in the help text.
    **settings
        More of `add_argument`'s parameters, such as `required`, `nargs` or `default`.

    Examples
    --------
    >>> parser = Parser()
    >>> add_option(parser, "--batch")
    >>> parser.parse_args([]).batch
    32
    """
    option = OPTIONS[name]
    settings.setdefault("default", False if option.type is None else option.default)
    if settings["default"] not in (None, False) and "default:" not in more:
        more += f" (default: {settings['default']})"
    if option.type is None:
        settings["action"] = "store_true"
    else:
        settings.setdefault("metavar", option.metavar)
        settings.setdefault("type", option.type)
    flags = ("-q", name) if name == "--quiet" else (name,)
    to.add_argument(*flags, help=option.meaning + more, **settings)


def add_command(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    more: str,
    example: str,
) -> Parser:
    """Add a command: its parser with help and examples, and the function that runs it.

    Parameters
    ----------
    subparsers : object
        What `add_subparsers` returned.
    name : str
    run : callable
    summary : str
        A line for the list of commands, in lower case and without a full stop.
    more : str
        Paragraphs of the description, after the summary.
    example : str
        Command lines, one per line, however long.
    """
    parser: Parser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".rstrip(),
        epilog=f"example:\n{wrap_commands(example)}",
        formatter_class=HelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    add_option(parser, "--quiet")
    return parser


def wrap_commands(lines: str, width: int = 79) -> str:
    r"""Break long command lines before an option, as a shell reads them.

    Examples
    --------
    >>> print(wrap_commands("drml score WEIGHTS DATA --out FILE", width=30))
      drml score WEIGHTS DATA \
          --out FILE
    """
    wrapped = []
    for line in lines.splitlines():
        start, *options = line.strip().split(" --")
        row = f"  {start}"
        for option in options:
            if len(f"{row} --{option} \\") > width:
                wrapped.append(f"{row} \\")
                row = f"      --{option}"
            else:
                row += f" --{option}"
        wrapped.append(row)
    return "\n".join(wrapped)


def add_check(parser: Parser, check: Callable[[argparse.Namespace], None]) -> None:
    """Add a check of the parsed arguments; it calls `parser.error` for wrong usage."""
    before = parser.get_default("check")

    def both(args: argparse.Namespace) -> None:
        if before:
            before(args)
        check(args)

    parser.set_defaults(check=both)


def only(parser: Parser, which: str, value: str, names: Sequence[str]) -> None:
    """Refuse options as wrong usage where argument `which` is not `value`; they default to None."""

    def check(args: argparse.Namespace) -> None:
        for name in names:
            if getattr(args, name) is not None and getattr(args, which) != value:
                parser.error(f"--{name.replace('_', '-')} applies only to {value}")

    add_check(parser, check)


def add_net(
    parser: Parser,
    *,
    data: str | None,
    several: bool = False,
    data_required: bool = True,
    optional: bool = False,
) -> None:
    """Add a trained net, and the data that it runs on.

    Parameters
    ----------
    parser : ArgumentParser
    data : str or None
        What the help text of DATA adds; None for a command that needs no data.
    several : bool
        ``--weights`` and ``--data`` take several values, one pair per fold; they become lists.
    data_required : bool
        Without data the usage is wrong.
    optional : bool
        The command can do without a net: where ``--predictions`` was given.
    """
    nargs: dict[str, Any] = {"nargs": "+"} if several else {}
    each = "; several for several folds, in the order of --data" if several else ""
    names = ["weights"] if data is None else ["weights", "data"]
    required = names if data_required else ["weights"]
    for name in names:
        parser.add_argument(
            f"{name}_given", nargs="?", type=Path, metavar=name.upper(), help=f"the same as --{name}"
        )
    add_option(parser, "--weights", each, **nargs)
    if data is not None:
        add_option(parser, "--data", data, **nargs)
    add_option(
        parser, "--net", " (default: the one in the folder of the weights, or else that of models/drml)"
    )
    add_option(parser, "--mean", " (default: the one that the weights were trained with)")
    add_option(parser, "--scale", " (default: the one that the weights were trained with)")

    def check(args: argparse.Namespace) -> None:
        for name in names:
            given = getattr(args, f"{name}_given")
            if given is not None:
                if getattr(args, name) is not None:
                    parser.error(f"give {name.upper()} or --{name}, not both")
                setattr(args, name, [given] if several else given)
            elif getattr(args, name) is None and not (optional and args.predictions) and name in required:
                parser.error(f"the {name} are missing: give {' '.join(names).upper()}, or --{name}")
        if several and len(args.weights) != len(args.data):
            parser.error(
                f"--weights has {len(args.weights)} values, but --data has {len(args.data)}; give one of each"
                " per fold"
            )

    add_check(parser, check)


def add_figures(parser: Parser) -> None:
    """Add what a command that scores writes and prints."""
    add_option(parser, "--out", ": a JSON file", metavar="FILE.json")
    add_option(parser, "--predictions", ", to write")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")
