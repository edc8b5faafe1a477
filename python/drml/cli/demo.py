"""``drml demo``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_option
from drml.cli.output import note
from drml.io.errors import UserError
from drml.io.files import writing

RECORD_FILE = "demo.json"
STAGES_FILE = "stages.json"
_SMALL = {"subjects": 9, "tasks": 2, "frames": 12}
_SMALL_ITERATIONS = 3


def add(subparsers: Any) -> None:
    """Add ``drml demo``."""
    parser = add_command(
        subparsers,
        "demo",
        run,
        "run the whole pipeline on drawn faces, from a data set to a report",
        "Draws a data set in BP4D's layout, prepares LMDBs from it, trains DRML with `caffe train`, scores\n"
        "subjects that the net was not trained on, fits the LSVM for comparison, draws saliency maps and\n"
        "writes a page with all of it. Each step is a drml command, which is printed before it runs, and\n"
        "its output is in OUT. If the demo is interrupted, the same command continues it.\n"
        "\n"
        "The faces are drawn: the figures show that everything works and that the net learns, not how well\n"
        "DRML detects AUs in people. On two processor cores the demo takes about ten minutes.",
        "drml demo build/demo",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    add_option(parser, "--solver", default="models/drml/quick_solver.prototxt")
    add_option(parser, "--max-iter", " (default: the solver's)")
    parser.add_argument(
        "--small",
        action="store_true",
        help="draw few faces and train for three iterations, to see in a minute whether everything works",
    )
    add_option(parser, "--overwrite")


def run(args: argparse.Namespace) -> None:
    """Run the steps that have not been run yet."""
    file = args.out / RECORD_FILE
    options = {"solver": str(args.solver), "max_iter": args.max_iter, "small": args.small}
    if args.out.exists() and not file.exists() and any(args.out.iterdir()):
        raise UserError(f"{args.out}: holds something other than a demo; give another folder")
    if args.overwrite and args.out.exists():
        shutil.rmtree(args.out)
    seconds = _seconds(file, options) if file.exists() else {}
    args.out.mkdir(parents=True, exist_ok=True)
    _write(file, {"options": options, "seconds": seconds})
    for name, arguments in _steps(args).items():
        if name in seconds:
            continue
        start = time.monotonic()
        if name == "report":
            _write(args.out / STAGES_FILE, seconds)
        _run_command(args, arguments)
        seconds[name] = round(time.monotonic() - start)
        _write(file, {"options": options, "seconds": seconds})
    note(args, f"{args.out / 'report.html'}: scores, curves, saliency maps and AU relations")


def _seconds(file: Path, options: dict[str, Any]) -> dict[str, int]:
    """Return the seconds of the steps that were finished, from the record of a demo with the same options."""
    from drml.io.limits import read_json

    try:
        record = read_json(file)
        same = record["options"] == options
        seconds = {str(name): int(number) for name, number in record["seconds"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file}: not what drml demo wrote; --overwrite starts the demo again") from None
    if not same:
        raise UserError(
            f"{file.parent}: holds a demo with other options; give another folder, or --overwrite"
        )
    return seconds


def _steps(args: argparse.Namespace) -> dict[str, list[str]]:
    """Return each step's name and the arguments of its ``drml`` command.

    Steps that were interrupted may have left something behind, so each replaces what is there. Training
    continues it.
    """
    out: Path = args.out
    bp4d, data, train = str(out / "bp4d"), out / "data", str(out / "train")
    fold, scores, predictions = str(data / "fold1"), str(out / "scores.json"), str(out / "predictions.csv")
    saliency = str(out / "saliency")
    size = [f"--{name}={number}" for name, number in _SMALL.items()] if args.small else []
    iterations = args.max_iter or (_SMALL_ITERATIONS if args.small else None)
    length = [f"--max-iter={iterations}"] if iterations else []
    training = ["--solver", str(args.solver), "--data", fold, "--out", train, *length, "--resume", "auto"]
    scored = [train, fold, "--out", scores, "--predictions", predictions]
    page = ["--scores", scores, "--train", train, "--data", str(data), "--predictions", predictions]
    page += ["--saliency", saliency, "--stages", str(out / STAGES_FILE)]
    again = "--overwrite"
    return {
        "synth": ["synth", bp4d, *size, again],
        "prepare": ["prepare", "bp4d", bp4d, str(data), "--folds", "1", again],
        "train": ["train", *training],
        "score": ["score", *scored, again],
        "lsvm": ["baseline", "lsvm", "--data", fold, "--out", str(out / "lsvm"), again],
        "saliency": ["saliency", train, fold, "--out", saliency, again],
        "report": ["report", str(out / "report.html"), *page, again],
    }


def _run_command(args: argparse.Namespace, arguments: list[str]) -> None:
    """Print a ``drml`` command and run it in this process."""
    from drml.cli import build_parser

    if args.quiet:
        arguments = [*arguments, "--quiet"]
    else:
        print(f"\n$ drml {shlex.join(arguments)}", flush=True)
    command = build_parser().parse_args(arguments)
    command.given = arguments
    if "check" in command:
        command.check(command)
    command.run(command)


def _write(path: Path, content: dict[str, Any]) -> None:
    with writing(path) as file:
        json.dump(content, file, indent=2)
