"""The ``drml`` command. A module for each command holds its arguments and what it runs.

`arguments`, `values` and `output` hold what commands share. A command imports the modules that do
the work inside its function `run`, so that ``drml --help`` needs neither OpenCV nor Caffe.

Exit status: 0 for success; 1 for a failure, with one line on standard error; 2 for wrong usage; 130 for an
interruption.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from drml.cli import (
    baseline,
    check,
    convert,
    demo,
    detect,
    experiment,
    export_onnx,
    features,
    join,
    prepare,
    relations,
    report,
    saliency,
    score,
    show,
    synth,
    train,
    transfer,
    verify,
)
from drml.cli.arguments import HelpFormatter, Parser
from drml.io.errors import UsageError, UserError

DESCRIPTION = """\
Facial action unit (AU) detection with DRML on Caffe.

  data      synth, check, prepare, join, verify
  network   train, score, show, features, transfer, detect, convert, export-onnx
  others    baseline
  results   saliency, relations, report, experiment
  all       demo
"""
EPILOG = """\
example, from nothing to a table of scores (drml demo does all of it):
  drml synth build/bp4d
  drml prepare bp4d build/bp4d data/drml
  drml train --solver models/drml/quick_solver.prototxt --data data/drml/fold1 --out build/train
  drml score build/train data/drml/fold1

Each command has its own --help with an example. The exit status is 0 for success, 1 for a failure (with
one line that says what to do) and 2 for wrong usage.
"""


class _Versions(argparse.Action):
    """Print the versions of everything that can change a result."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from drml.io import machine, shipped

        found = machine.versions()
        print(f"drml {found.pop('drml', 'unknown (not installed)')}")
        built = shipped.build_info() or {"caffe": "not built; run make"}
        for name, number in {**built, **found, "machine": machine.system()}.items():
            print(f"  {name:<20} {number}")
        parser.exit()


def build_parser() -> Parser:
    """Return the parser of ``drml``."""
    parser = Parser(
        prog="drml",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--version",
        action=_Versions,
        nargs=0,
        help="show the versions of drml, Caffe and the libraries they use",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    for command in (
        *(synth, check, prepare, join, verify),
        *(train, score, show, features, transfer, detect, convert, export_onnx),
        *(baseline, saliency, relations, report, experiment, demo),
    ):
        command.add(subparsers)
    return parser


# --- entry ----------------------------------------------------------------------------------------------


def _os_error(error: OSError) -> str:
    """Return what failed on which file and, for a full disk, what to do."""
    name = error.filename if error.filename is not None else ""
    text = error.strerror or str(error)
    if error.errno == errno.ENOSPC:
        text += "; free some space or write elsewhere"
    return f"{name}: {text}" if name else text


def _fail(message: str) -> int:
    print(f"drml: error: {' '.join(message.split())}", file=sys.stderr)
    return 1


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that partial output is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _refuse_empty(parser: Parser, given: Sequence[str]) -> None:
    """Refuse an empty argument as wrong usage: as a path, it would mean the current folder.

    A shell gives one where a variable in quotes is not set.
    """
    for index, argument in enumerate(given):
        if not argument or (argument.startswith("--") and argument.endswith("=")):
            before = given[index - 1] if not argument and index else argument
            where = f" ({before.rstrip('=')})" if before.startswith("-") else ""
            parser.error(f"an argument is empty{where}; give a path or a value")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``drml`` and return its exit status."""
    args = build_parser().parse_args(arguments)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    _refuse_empty(args.parser, args.given)
    if "check" in args:
        args.check(args)
    try:
        with _termination_as_interrupt():
            args.run(args)
            sys.stdout.flush()
    except UsageError as error:
        args.parser.error(" ".join(str(error).split()))
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader, such as head, has closed the pipe. Python flushes stdout again at exit: redirect it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(_os_error(error))
    except MemoryError as error:
        return _fail(f"out of memory ({str(error) or 'no details'}); try fewer jobs or a smaller batch")
    except KeyboardInterrupt:
        print("drml: interrupted", file=sys.stderr)
        return 130
    return 0
