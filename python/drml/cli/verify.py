"""``drml verify``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_option
from drml.cli.output import note, print_json


def add(subparsers: Any) -> None:
    """Add ``drml verify``."""
    parser = add_command(
        subparsers,
        "verify",
        run,
        "check an LMDB against its manifest",
        "Reads every record and checks its image, its labels and its key.",
        "drml verify data/drml/fold1/test_lmdb",
    )
    parser.add_argument("lmdb", type=Path, metavar="LMDB", help="LMDB folder")
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="manifest that lists the records (default: the one beside the LMDB)",
    )
    add_option(parser, "--size", " that the images must have (default: the size they were prepared with)")
    add_option(parser, "--json")


def run(args: argparse.Namespace) -> None:
    """Check an LMDB against its manifest."""
    from drml.data.verify import verify

    result = verify(args.lmdb, args.manifest, size=args.size, progress=not args.quiet)
    if args.json:
        print_json(result)
    found = ", ".join(f"{name} {_as_text(value)}" for name, value in result.items())
    note(args, f"{args.lmdb}: no faults found; {found}")


def _as_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_as_text, value))
    return str(value)
