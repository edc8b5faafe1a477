"""``drml join``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_option
from drml.cli.output import note, print_json
from drml.data.labels import list_aus
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml join``."""
    parser = add_command(
        subparsers,
        "join",
        run,
        "join prepared data sets, with the union of their AUs",
        "Writes OUT as drml prepare does. Fold k has the records of fold k of each SET. The labels of AUs\n"
        "that a set does not have are unknown in its records. The sets must have the same folds, labels of\n"
        "the same --target, and faces of the same size that were registered in the same way.",
        "drml join data/both data/drml data/disfa",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "sets", type=Path, nargs="+", metavar="SET", help="two or more folders of drml prepare"
    )
    add_option(parser, "--seed")
    for name in ("--overwrite", "--json"):
        add_option(parser, name)


def run(args: argparse.Namespace) -> None:
    """Join prepared data sets."""
    from drml.data.join import join

    summary = join(args.sets, args.out, seed=args.seed, progress=not args.quiet, overwrite=args.overwrite)
    if args.json:
        print_json(summary)
    kinds = [list_aus(summary["aus"])] if summary["aus"] else []
    if summary["intensity_aus"]:
        kinds.append(f"intensities of {list_aus(summary['intensity_aus'])}")
    lines = [f"{args.out}: {'; '.join(kinds)}"]
    for fold, splits in summary["folds"].items():
        counts = ", ".join(f"{name} {counted(one['images'], 'face')}" for name, one in splits.items())
        lines.append(f"fold {fold}: {counts}")
    note(args, "\n".join(lines))
