"""The ``drml`` command: argument parsing only; what a command does is in `drml.commands`.

Exit status: 0 done; 1 it failed, with one line on standard error; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from drml import commands
from drml.errors import UserError

DESCRIPTION = """\
Facial action unit (AU) detection with DRML on Caffe.

  data      synth, prepare, verify
  network   train, score, features, transfer
  others    baseline
  results   report
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

Parser = argparse.ArgumentParser


def _version() -> str:
    try:
        return version("drml")
    except PackageNotFoundError:
        return "unknown (not installed)"


# --- types of arguments ---------------------------------------------------------------------------------


def _integer(low: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        return value

    parse.__name__ = "integer"
    return parse


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share from 0 to below 1")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{value} is not a finite number")
    return value


def _folds(text: str) -> tuple[int, ...]:
    folds = tuple(int(word) for word in text.replace(",", " ").split())
    if not folds or not set(folds) <= {1, 2, 3} or len(set(folds)) != len(folds):
        raise argparse.ArgumentTypeError(f"'{text}' is no choice of folds 1,2,3")
    return folds


def _only(parser: Parser, which: str, value: str, names: Sequence[str]) -> None:
    """Refuse options as wrong usage where argument `which` is not `value`; they default to None."""

    def check(args: argparse.Namespace) -> None:
        for name in names:
            if getattr(args, name) is not None and getattr(args, which) != value:
                parser.error(f"--{name.replace('_', '-')} is for {value} alone")

    parser.set_defaults(check=check)


_folds.__name__ = "folds"
_share.__name__ = _finite.__name__ = "number"


# --- parsers --------------------------------------------------------------------------------------------


def _add(
    subparsers: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    more: str,
    example: str,
) -> Parser:
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


def _add_jobs(parser: Parser, what: str = "processes") -> None:
    parser.add_argument("--jobs", type=_integer(0), default=0, help=f"{what}; 0: one per core (default)")


def _add_seed(parser: Parser, default: int | None = 0) -> None:
    shown = "the solver's" if default is None else str(default)
    parser.add_argument("--seed", type=_integer(0), default=default, help=f"random seed (default {shown})")


def _add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def _add_net(
    parser: Parser, several: bool = False, data: str = "LMDB folder, or the manifest beside it"
) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DEPLOY", help="deploy.prototxt")
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
        type=_finite,
        help="factor of the input after the mean is taken off (default: what the weights were trained with:"
        " the net kept in a .caffemodel, else transform.json beside the weights, else 1)",
    )
    parser.add_argument("--batch", type=_integer(1), default=32, help="pictures per pass (default 32)")


def _add_figures(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write the figures here as well")
    parser.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE.csv",
        help="write every probability and label (p_AU1, y_AU1)",
    )
    _add_json(parser)


def build_parser() -> Parser:
    """Return the parser of ``drml``."""
    parser = Parser(
        prog="drml",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"drml {_version()}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")

    synth = _add(
        subparsers,
        "synth",
        commands.synth,
        "write a synthetic data set in a real one's folder layout",
        "Faces are drawn: subjects differ, each AU changes its own region. BP4D's codes, frame names and\n"
        "landmark files are written as the real ones are, and so are DISFA's intensities and videos.",
        "  drml synth build/bp4d --layout bp4d --subjects 41 --tasks 8 --frames 24\n"
        "  drml synth build/disfa --layout disfa --subjects 27 --frames 120",
    )
    synth.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    synth.add_argument(
        "--layout", choices=["bp4d", "disfa"], default="bp4d", help="whose layout (default bp4d)"
    )
    synth.add_argument("--subjects", type=_integer(1), help="subjects (default 41, as BP4D; disfa 27)")
    synth.add_argument("--tasks", type=_integer(1), help="videos per subject (default 8; disfa has one)")
    synth.add_argument("--frames", type=_integer(1), help="frames per video (default 24; disfa 120)")
    _only(synth, "layout", "bp4d", ("tasks",))
    synth.add_argument("--size", type=_integer(64), help="width of the pictures in pixels")
    _add_seed(synth)
    _add_jobs(synth)
    _add_json(synth)

    prepare = _add(
        subparsers,
        "prepare",
        commands.prepare,
        "register faces, split folds, sample, write LMDBs, mean image and manifest",
        "Reads ROOT and writes OUT/fold1 (train_lmdb, val_lmdb, test_lmdb, mean.binaryproto, manifest and\n"
        "landmarks of each), the other folds, and OUT/summary.json with what was skipped and why.",
        "  drml prepare bp4d /data/BP4D data/drml\n  drml prepare disfa /data/DISFA data/disfa --threshold 2",
    )
    prepare.add_argument("kind", choices=["bp4d", "disfa"], metavar="KIND", help="data set: bp4d or disfa")
    prepare.add_argument("root", type=Path, metavar="ROOT", help="folder of the data set")
    prepare.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    prepare.add_argument("--folds", type=_folds, default=(1, 2, 3), help="folds to write (default 1,2,3)")
    prepare.add_argument(
        "--val-share",
        type=_share,
        default=0.2,
        help="training subjects held out for validation (default 0.2)",
    )
    prepare.add_argument(
        "--positives",
        type=_integer(0),
        help="training frames per AU and video with it (default 100; disfa 800)",
    )
    prepare.add_argument(
        "--negatives",
        type=_integer(0),
        help="training frames per AU and video without it (default 200; disfa 1600)",
    )
    prepare.add_argument(
        "--unsampled",
        choices=["keep", "mask"],
        default="keep",
        help="labels of a chosen frame for the AUs it was not drawn for: keep them, or make them unknown",
    )
    prepare.add_argument(
        "--encoding", choices=["jpg", "png"], default="jpg", help="in the LMDB (default jpg)"
    )
    prepare.add_argument("--size", type=_integer(16), default=200, help="side of the faces (default 200)")
    prepare.add_argument("--aus", help="AUs of the labels, such as 1,2,4 (default: the data set's)")
    prepare.add_argument(
        "--max-broken",
        type=_share,
        default=0.05,
        help="share of broken images that is put up with (default 0.05)",
    )
    prepare.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    disfa = prepare.add_argument_group("disfa alone")
    disfa.add_argument(
        "--threshold",
        type=int,
        choices=range(1, 6),
        help="intensity from which an AU is present (default 3, as in the paper)",
    )
    disfa.add_argument("--camera", choices=["left", "right"], help="whose videos (default left)")
    disfa.add_argument(
        "--landmark-folder",
        type=Path,
        metavar="DIR",
        help="landmarks in the layout of Landmark_Points, where those do not suit the camera",
    )
    disfa.add_argument(
        "--first-frame",
        type=int,
        choices=[0, 1],
        help="number of the first one in folders of extracted frames (default: 0 where there is such an"
        " image, else 1)",
    )
    _only(prepare, "kind", "disfa", ("threshold", "camera", "landmark_folder", "first_frame"))
    _add_seed(prepare)
    _add_jobs(prepare)
    _add_json(prepare)

    verify = _add(
        subparsers,
        "verify",
        commands.verify,
        "check an LMDB against its manifest",
        "Reads every record: its image, its labels, its key.",
        "  drml verify data/drml/fold1/test_lmdb --manifest data/drml/fold1/test.csv",
    )
    verify.add_argument("lmdb", type=Path, metavar="LMDB", help="LMDB folder")
    verify.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="manifest that must say the same (default: the one beside it)",
    )
    verify.add_argument(
        "--size", type=_integer(16), help="side that images must have (default: what they were prepared with)"
    )
    _add_json(verify)

    train = _add(
        subparsers,
        "train",
        commands.train,
        "train with caffe, in a folder of its own",
        "Copies solver and net to OUT with the data paths filled in and runs `caffe train` there. Leaves\n"
        "the snapshots, final.caffemodel, train.log, loss.csv, and transform.json for `drml score`.\n"
        "Ctrl-C makes caffe write a snapshot and stop; a second one kills it.",
        "  drml train --solver models/drml/quick_solver.prototxt --data data/drml/fold2 --out build/fold2",
    )
    train.add_argument("--solver", type=Path, required=True, metavar="SOLVER", help="solver.prototxt")
    train.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    train.add_argument(
        "--data", type=Path, metavar="FOLD", help="fold folder to read instead of the one the net names"
    )
    train.add_argument("--weights", type=Path, metavar="WEIGHTS", help="weights to start from")
    train.add_argument("--snapshot", type=Path, metavar="STATE", help=".solverstate to go on from")
    train.add_argument("--max-iter", type=_integer(1), help="iterations (default the solver's)")
    train.add_argument(
        "--caffe", type=Path, metavar="PROGRAM", help="caffe tool (default: beside drml, or on PATH)"
    )
    train.add_argument("--overwrite", action="store_true", help="remove an earlier training from OUT first")
    _add_seed(train, None)
    _add_json(train)

    score = _add(
        subparsers,
        "score",
        commands.score,
        "F1-frame, ROC-AUC and AP per AU and on average, as a table or JSON",
        "With several --weights and --data, each pair is a fold: prints pooled figures and mean of folds.\n"
        "The trivial row is what predicting every AU in every frame gives.",
        "  drml score --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/scores.json --predictions build/predictions.csv",
    )
    _add_net(score, several=True)
    score.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: the data's); only shared ones are scored",
    )
    score.add_argument("--threshold", type=_finite, default=0.5, help="for F1-frame (default 0.5)")
    _add_figures(score)

    baseline = _add(
        subparsers,
        "baseline",
        commands.baseline,
        "fit and score a linear method: SIFT at 49 landmarks, and LSVM, APL or JPML",
        "Fits on FOLD/train_lmdb, chooses on val_lmdb, scores on test_lmdb. Leaves OUT/scores.json,\n"
        "predictions.csv, model.npz, fit.json, and for apl and jpml a picture of each AU's patches.\n"
        "SIFT is computed once and kept beside the LMDBs.",
        "  drml baseline apl --data data/drml/fold1 --out build/apl",
    )
    baseline.add_argument(
        "method", choices=["lsvm", "apl", "jpml"], metavar="METHOD", help="lsvm, apl or jpml"
    )
    baseline.add_argument(
        "--data", type=Path, required=True, metavar="FOLD", help="fold folder of drml prepare"
    )
    baseline.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    baseline.add_argument(
        "--features", type=Path, metavar="DIR", help="folder that keeps the SIFT features (default FOLD)"
    )
    baseline.add_argument(
        "--sift-window",
        type=_finite,
        default=32.0,
        metavar="PIXELS",
        help="side of the square around a landmark that SIFT sees (default 32)",
    )
    baseline.add_argument(
        "--solver",
        choices=["gradient", "liblinear"],
        help="of lsvm: the two find the same minimum; liblinear copies the features (default gradient)",
    )
    baseline.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    _add_seed(baseline)
    _add_jobs(baseline, "threads")
    _add_json(baseline)

    features = _add(
        subparsers,
        "features",
        commands.features,
        "write fc9, or any blob, of every record to .npz or .h5",
        "The file holds keys, features and labels, in the order of the LMDB.",
        "  drml features --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/fc9.npz",
    )
    _add_net(features)
    features.add_argument("--blob", default="fc9", help="blob to write (default fc9)")
    features.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .npz or .h5")

    transfer = _add(
        subparsers,
        "transfer",
        commands.transfer,
        "fit a linear classifier per AU on a net's features, on another data set's folds, and score it",
        "For each fold in DATA: features of its training, validation and test faces, a linear SVM per AU\n"
        "whose C is chosen by F1 on the validation faces, and the table of drml score.",
        "  drml transfer --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/disfa --out build/transfer.json",
    )
    _add_net(transfer, data="folder that drml prepare wrote")
    transfer.add_argument("--blob", default="fc9", help="blob to take as features (default fc9)")
    transfer.add_argument("--folds", type=_folds, help="folds of DATA (default: all that it has)")
    _add_figures(transfer)

    report = _add(
        subparsers,
        "report",
        commands.report,
        "write one self-contained HTML page with scores, curves and faces",
        "",
        "  drml report build/demo/report.html --scores build/demo/scores.json --train build/demo/train \\\n"
        "      --data data/drml --predictions build/demo/predictions.csv",
    )
    report.add_argument("out", type=Path, metavar="OUT.html", help="page to write")
    report.add_argument(
        "--scores", type=Path, required=True, metavar="JSON", help="what drml score --out wrote"
    )
    report.add_argument("--train", type=Path, metavar="DIR", help="folder of drml train")
    report.add_argument("--data", type=Path, metavar="DIR", help="folder of drml prepare")
    report.add_argument("--predictions", type=Path, metavar="CSV", help="what drml score --predictions wrote")
    report.add_argument("--stages", type=Path, metavar="JSON", help='seconds by stage: {"train": 61.5, ...}')
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
