"""``drml experiment``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import Parser, add_command, add_json, add_seed, folds, integer
from drml.cli.output import print_json
from drml.io.errors import UserError
from drml.io.shipped import find_shipped


def add(subparsers: Any) -> None:
    """Add ``drml experiment``."""
    parser: Parser = subparsers.add_parser(
        "experiment",
        help="repeat the paper's tables and figures from prepared data",
        description="Repeat the paper's tables and figures from prepared data.",
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True, title="kinds")
    _add_units(
        kinds,
        "table2",
        "AU detection on BP4D: LSVM, JPML, AlexNet, ConvNet, LCN, DRML",
        "  drml experiment table2 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_table3(kinds)
    _add_units(
        kinds,
        "fig5",
        "training loss and AU relations of DRML and AlexNet",
        "  drml experiment fig5 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_units(
        kinds,
        "fig4",
        "saliency maps of DRML, ConvNet and AlexNet, and how much of them lies where the AU is",
        "  drml experiment fig4 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_units(
        kinds,
        "grid",
        "DRML with region layers of 5x5 to 10x10 patches",
        "  drml experiment grid --data data/drml --out build/paper --methods drml_5x5 drml drml_10x10",
    )
    _add_units(
        kinds,
        "sparsity",
        "DRML with region layers that turn patches off, and which ones",
        "  drml experiment sparsity --data data/drml --out build/paper --methods drml drml_l1e-1",
    )
    _add_table4(kinds)
    unit = add_command(
        kinds,
        "unit",
        run_unit,
        "do one unit of an experiment's folder, as --plan prints it",
        "",
        "  drml experiment unit build/paper fold1/drml",
    )
    unit.add_argument("out", type=Path, metavar="OUT", help="the experiment's folder")
    unit.add_argument("name", metavar="UNIT", help="such as fold1/drml")
    collect = add_command(
        kinds,
        "collect",
        run_collect,
        "make the tables of what is finished",
        "",
        "  drml experiment collect build/paper",
    )
    collect.add_argument("out", type=Path, metavar="OUT", help="the experiment's folder")
    add_json(collect)


def _add_units(kinds: Any, name: str, summary: str, example: str) -> Parser:
    parser = _add_folds(
        kinds,
        name,
        summary,
        "Each method on each fold is a unit in a folder of its own (OUT/fold1/drml), which is done once:\n"
        "the same command goes on with what is missing, a training from its snapshot.",
        example,
    )
    _add_scale(parser)
    parser.add_argument("--max-iter", type=integer(1), help="iterations of the nets (default the solver's)")
    parser.set_defaults(bp4d=None)
    return parser


def _add_table3(kinds: Any) -> None:
    parser = _add_folds(
        kinds,
        "table3",
        "AU detection on DISFA: LSVM, APL, and the best nets from BP4D",
        "Of each net the fold of table2 with the best validation F1 is used on DISFA, in two ways: its own\n"
        "outputs of the AUs that both have (drml_direct), and a linear classifier per AU on its features\n"
        "(drml_fc9; alexnet_fc7). --methods drml names both.\n"
        "Each method on each fold is a unit in a folder of its own, which is done once.",
        "  drml experiment table3 --data data/disfa --bp4d build/paper --out build/disfa",
    )
    parser.set_defaults(scale="quick", max_iter=None)
    parser.add_argument(
        "--bp4d", type=Path, required=True, metavar="RUN", help="the folder of table2, whose nets are used"
    )


def _add_folds(kinds: Any, name: str, summary: str, more: str, example: str) -> Parser:
    """Add what kinds have whose units are of folds."""
    parser = _add_common(kinds, name, summary, more, example)
    parser.set_defaults(trials=None, iterations=None, batch=None)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of drml prepare")
    parser.add_argument(
        "--data-alexnet", type=Path, metavar="DIR", help="the same data prepared with --size 256, for alexnet"
    )
    parser.add_argument("--folds", type=folds, help="folds (default: all that the data have)")
    add_seed(parser)
    return parser


def _add_table4(kinds: Any) -> None:
    parser = _add_common(
        kinds,
        "table4",
        "time that the nets take to train and to test, per batch and per image",
        "Without reading data. Each net is a unit in a folder of its own (OUT/time/drml), done once.",
        "  drml experiment table4 --out build/paper --trials 3 --iterations 10 --batch 16",
    )
    _add_scale(parser)
    parser.set_defaults(data=None, data_alexnet=None, max_iter=None, folds=None, seed=0, bp4d=None)
    parser.add_argument("--trials", type=integer(1), help="trials (default: paper 20, quick 3)")
    parser.add_argument("--iterations", type=integer(1), help="of a trial (default: paper 1000, quick 5)")
    parser.add_argument("--batch", type=integer(1), help="images (default: as the nets are trained)")


def _add_scale(parser: Parser) -> None:
    parser.add_argument(
        "--scale", choices=["quick", "paper"], default="quick", help="schedule of the nets (default quick)"
    )


def _add_common(kinds: Any, name: str, summary: str, more: str, example: str) -> Parser:
    parser = add_command(kinds, name, run, summary, more, example)
    parser.set_defaults(experiment=name)
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="of lsvm, apl, jpml, alexnet, convnet, lcn, drml, drml_5x5, drml_l1e-1, ..."
        " (default: the paper's)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder of the experiment")
    parser.add_argument(
        "--models", type=find_shipped, default="models", metavar="DIR", help="the nets (default models)"
    )
    parser.add_argument(
        "--jobs", type=integer(1), default=1, help="units at a time, sharing the cores (default 1)"
    )
    parser.add_argument(
        "--plan", action="store_true", help="do nothing; print what is missing as shell commands, one a line"
    )
    parser.add_argument(
        "--complete", action="store_true", help="exit with 1 where a method or a cell is missing"
    )
    add_json(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Do what is missing of an experiment; print its table."""
    from drml.experiments.run import run as run_experiment
    from drml.experiments.settings import Settings

    def absolute(path: Path | None) -> str | None:
        return None if path is None else str(path.absolute())

    settings = Settings(
        data=absolute(args.data),
        scale=args.scale,
        seed=args.seed,
        models=str(args.models.absolute()),
        data_alexnet=absolute(args.data_alexnet),
        max_iter=args.max_iter,
        trials=args.trials,
        iterations=args.iterations,
        batch=args.batch,
        bp4d=absolute(args.bp4d),
    )
    found = run_experiment(
        args.experiment,
        args.out,
        settings,
        methods=args.methods,
        folds=args.folds,
        jobs=args.jobs,
        progress=not args.quiet,
        only_plan=args.plan,
    )
    if isinstance(found, list):
        print("".join(f"{line}\n" for line in found), end="")
    elif args.json:
        print_json(found.to_dict())
    else:
        print(found.to_markdown(), end="")
    if args.complete and not isinstance(found, list) and (gaps := found.gaps()):
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        raise UserError(f"{args.experiment}: not complete: {'; '.join(gaps[:3])}{more}")


def run_unit(args: argparse.Namespace) -> None:
    """Do one unit."""
    from drml.experiments.run import run_one

    run_one(args.out, args.name, progress=not args.quiet)


def run_collect(args: argparse.Namespace) -> None:
    """Make the tables of what is finished."""
    from drml.experiments.run import collect

    found = collect(args.out)
    if args.json:
        print_json([table.to_dict() for table in found])
    else:
        print("\n".join(table.to_markdown() for table in found), end="")
