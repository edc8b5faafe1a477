"""``drml train``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json, add_seed, integer
from drml.cli.output import note, print_json
from drml.io.shipped import find_shipped


def add(subparsers: Any) -> None:
    """Add ``drml train``."""
    parser = add_command(
        subparsers,
        "train",
        run,
        "train with caffe, in a folder of its own",
        "Copies solver and net to OUT with the data paths filled in and runs `caffe train` there. Leaves\n"
        "the snapshots, final.caffemodel, train.log, loss.csv, f1.csv with the F1 of each AU in each test\n"
        "pass, and transform.json for `drml score`. Says so after each test pass in which the net still\n"
        "predicts the base rates.\n"
        "The net's last layer gets as many outputs as the data have AUs; deploy.prototxt goes with it.\n"
        "Ctrl-C makes caffe write a snapshot and stop; a second one kills it. With --resume auto the same\n"
        "command goes on after whatever stopped it, and gives what it would have given without the stop.",
        "  drml train --solver models/drml/quick_solver.prototxt --data data/drml/fold2 --out build/fold2\n"
        "  drml train --solver models/drml/quick_solver.prototxt --data data/disfa/fold1 \\\n"
        "      --weights build/fold2/final.caffemodel --out build/tuned",
    )
    parser.add_argument(
        "--solver", type=find_shipped, required=True, metavar="SOLVER", help="solver.prototxt"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--data", type=Path, metavar="FOLD", help="fold folder to read instead of the one the net names"
    )
    parser.add_argument("--weights", type=Path, metavar="WEIGHTS", help="weights to start from")
    parser.add_argument(
        "--resume",
        "--snapshot",
        dest="snapshot",
        metavar="STATE",
        help=".solverstate to go on from, exactly; auto: the newest whole one in OUT, or from the start where"
        " is none",
    )
    parser.add_argument("--max-iter", type=integer(1), help="iterations (default the solver's)")
    parser.add_argument(
        "--num-aus",
        type=integer(1),
        metavar="K",
        help="AUs that the net is to detect (default: as many as the data have, by their manifest)",
    )
    parser.add_argument(
        "--new-output",
        action="store_true",
        help="start the last layer anew, whatever --weights hold for it: they were trained for other AUs",
    )
    parser.add_argument(
        "--caffe", type=Path, metavar="PROGRAM", help="caffe tool (default: beside drml, or on PATH)"
    )
    parser.add_argument("--gpu", metavar="IDS", help="train on a GPU: 0, or 0,1, or all (default: the CPU)")
    parser.add_argument("--overwrite", action="store_true", help="remove an earlier training from OUT first")
    add_seed(parser, None)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Run caffe in a folder of its own."""
    from drml.training.base_rates import REMARK
    from drml.training.train import train

    done = train(
        args.solver,
        args.out,
        data=args.data,
        weights=args.weights,
        snapshot=args.snapshot,
        caffe=args.caffe,
        gpu=args.gpu,
        seed=args.seed,
        max_iter=args.max_iter,
        num_aus=args.num_aus,
        new_output=args.new_output,
        overwrite=args.overwrite,
        progress=not args.quiet,
    )
    if args.json:
        print_json(
            {
                "weights": str(done.weights),
                "iterations": done.iterations,
                "loss": done.loss,
                "test": done.test,
                "f1": {name: None if value != value else value for name, value in done.f1.items()},
                "predicts_base_rates": done.predicts_base_rates,
                "seconds": round(done.seconds, 3),
            }
        )
    loss = "" if done.loss is None else f", loss {done.loss:.4f}"
    f1 = "".join(f"  {name} {value:.3f}" for name, value in done.f1.items())
    note(args, f"{done.weights}: {done.iterations} iterations{loss}, {done.seconds:.0f} s")
    if f1:
        note(args, f"F1 of the last test pass:{f1}")
    if done.separation is not None and done.predicts_base_rates:
        note(args, f"In the last test pass the net {REMARK} ({done.separation.to_text('estimated ')}).")
