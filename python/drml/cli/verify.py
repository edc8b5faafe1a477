"""``drml verify``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json, integer
from drml.cli.output import note, print_json


def add(subparsers: Any) -> None:
    """Add ``drml verify``."""
    parser = add_command(
        subparsers,
        "verify",
        run,
        "check an LMDB against its manifest",
        "Reads every record: its image, its labels, its key.",
        "  drml verify data/drml/fold1/test_lmdb --manifest data/drml/fold1/test.csv",
    )
    parser.add_argument("lmdb", type=Path, metavar="LMDB", help="LMDB folder")
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="manifest that must say the same (default: the one beside it)",
    )
    parser.add_argument(
        "--size", type=integer(16), help="side that images must have (default: what they were prepared with)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Check an LMDB against its manifest."""
    from drml.data.verify import verify

    result = verify(args.lmdb, args.manifest, size=args.size, progress=not args.quiet)
    if args.json:
        print_json(result)
    note(
        args, f"{args.lmdb}: good; " + ", ".join(f"{name} {_brief(value)}" for name, value in result.items())
    )


def _brief(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_brief, value))
    return str(value)
