"""``drml check``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import Parser, add_check, add_command, add_option
from drml.cli.output import print_json
from drml.cli.reader_options import add_reader_options, check_reader_options, given_reader_options
from drml.data.readers.kinds import DATA_SETS, recognise
from drml.io.errors import UserError
from drml.io.text import listed


def add(subparsers: Any) -> None:
    """Add ``drml check``."""
    parser = add_command(
        subparsers,
        "check",
        run,
        "hold a copy of a data set against what is published about it",
        "Compares the numbers of subjects, videos and coded frames and the base rates with what is\n"
        "published, and the landmarks with the faces that the face detector finds in 50 random frames. An\n"
        "offset of the landmarks in frame numbers or in pixels that is the same everywhere is found and\n"
        "named: it passes every other test. Drawn data are held to what their synthetic.json records. drml\n"
        "prepare does the same before it begins.\n\n"
        "The exit status is 1 if the landmarks are at fault.",
        "drml check /data/BP4D\ndrml check disfa /data/DISFA --camera right",
    )
    names = list(DATA_SETS)
    parser.add_argument(
        "kind",
        nargs="?",
        choices=names,
        metavar="KIND",
        help=f"data set, {listed(names, 'or')} (default: as its folders tell)",
    )
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder of the data set; for images the CSV file"
    )
    add_option(parser, "--aus", " (default: those of the data set)")
    add_reader_options(parser)
    for name in ("--jobs", "--json"):
        add_option(parser, name)
    add_check(parser, lambda args: _check(parser, args))


def _check(parser: Parser, args: argparse.Namespace) -> None:
    if args.kind is not None:
        check_reader_options(parser, args, args.kind)


def run(args: argparse.Namespace) -> None:
    """Audit a copy of a data set."""
    from drml.data.audit import audit_copy

    kind = args.kind or recognise(args.root)
    if kind is None:
        names = listed(list(DATA_SETS), "or")
        raise UserError(f"{args.root}: no folders of a known data set; give its KIND before it, {names}")
    check_reader_options(args.parser, args, kind)
    options = given_reader_options(args)
    audit = audit_copy(kind, args.root, aus=args.aus, jobs=args.jobs, progress=not args.quiet, **options)
    if args.json:
        print_json(audit.to_dict())
    else:
        print(audit.to_text(), end="")
    if audit.faults:
        raise UserError(f"{args.root}: {'; '.join(audit.faults)}")
