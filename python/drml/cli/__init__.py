"""The ``drml`` command: a module for each of its commands holds that one's arguments and what it runs.

`arguments` and `output` have what they share. A command imports what does the work inside its function `run`,
so that ``drml --help`` needs neither OpenCV nor Caffe.

Exit status: 0 done; 1 it failed, with one line on standard error; 2 wrong usage; 130 interrupted.
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
    convert,
    detect,
    experiment,
    export_onnx,
    features,
    prepare,
    relations,
    report,
    saliency,
    score,
    synth,
    train,
    transfer,
    verify,
)
from drml.cli.arguments import Parser
from drml.io.errors import UserError

DESCRIPTION = """\
Facial action unit (AU) detection with DRML on Caffe.

  data      synth, prepare, verify
  network   train, score, features, transfer, detect, convert, export-onnx
  others    baseline
  results   saliency, relations, report, experiment
"""
EPILOG = """\
example, from nothing to a table of scores:
  drml synth build/bp4d
  drml prepare bp4d build/bp4d data/drml
  drml train --solver models/drml/quick_solver.prototxt --out build/train
  drml score --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\
      --data data/drml/fold1/test_lmdb

Each command has its own --help with an example. Errors: exit status 1 and one line; wrong usage: 2.
"""


class _Versions(argparse.Action):
    """Print the versions of everything that has a part in a result."""

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
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Versions, nargs=0, help="show all versions that matter")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    for command in (
        *(synth, prepare, verify),
        *(train, score, features, transfer, detect, convert, export_onnx),
        *(baseline, saliency, relations, report, experiment),
    ):
        command.add(subparsers)
    return parser


# --- entry ----------------------------------------------------------------------------------------------


def _os_error(error: OSError) -> str:
    """Say what failed on which file, and for a full disk what to do."""
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
    """Let SIGTERM end the work as Ctrl-C does: whatever is half-written goes."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``drml`` and return its exit status."""
    args = build_parser().parse_args(arguments)
    if "check" in args:
        args.check(args)
    args.given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _termination_as_interrupt():
            args.run(args)
            sys.stdout.flush()
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader (head, say) has gone. Python flushes once more at exit: give it somewhere to.
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
