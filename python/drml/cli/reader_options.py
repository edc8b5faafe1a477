"""The options of the data sets' readers, from the table `drml.data.readers.kinds.DATA_SETS`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import Parser
from drml.data.readers.kinds import DATA_SETS, Option
from drml.io.errors import UserError
from drml.io.text import listed

__all__ = ["add_reader_options", "check_reader_options", "given_reader_options"]


def _reader_options() -> dict[str, tuple[Option, list[str]]]:
    """Return name -> option, and the data sets that have it."""
    found: dict[str, tuple[Option, list[str]]] = {}
    for kind, data_set in DATA_SETS.items():
        for option in data_set.options:
            found.setdefault(option.name, (option, []))[1].append(kind)
    return found


def add_reader_options(parser: Parser) -> None:
    """Add the options of the data sets' readers; an option that is not given is absent from the arguments."""
    groups: dict[str, Any] = {}
    for option, kinds in _reader_options().values():
        title = f"only for {listed(kinds, 'or')}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        settings: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": option.help}
        if option.type is bool:
            groups[title].add_argument(option.flag, action="store_true", **settings)
        else:
            kind = "DIR" if option.type is Path else "N" if option.type is int else None
            metavar = f"{{{','.join(map(str, option.choices))}}}" if option.choices else kind
            groups[title].add_argument(option.flag, type=option.type, metavar=metavar, **settings)


def given_reader_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the reader's options that were given."""
    return {name: getattr(args, name) for name in _reader_options() if name in args}


def check_reader_options(parser: Parser, args: argparse.Namespace, kind: str) -> None:
    """Report options that the data set does not have, or whose value it refuses, as wrong usage."""
    for name in given_reader_options(args):
        option, kinds = _reader_options()[name]
        if kind not in kinds:
            parser.error(f"{option.flag} applies only to {listed(kinds, 'or')}")
    try:
        DATA_SETS[kind].check_options(given_reader_options(args))
    except UserError as error:
        parser.error(str(error))
