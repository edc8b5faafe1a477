"""``drml experiment``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from drml.cli.arguments import HelpFormatter, Parser, add_command, add_option
from drml.cli.output import print_json
from drml.cli.values import integer
from drml.io.errors import UserError
from drml.io.shipped import find_shipped

_UNITS = (
    "Each method on each fold is a unit of work in a folder of its own, such as OUT/fold1/drml. Finished\n"
    "units are kept: the same command continues with what is missing, a training from its snapshot."
)


def add(subparsers: Any) -> None:
    """Add ``drml experiment``."""
    parser: Parser = subparsers.add_parser(
        "experiment",
        help="repeat the tables and figures of the paper on prepared data",
        description="Repeat the tables and figures of the paper on prepared data.",
        epilog="example:\n  drml experiment table2 --data data/drml --methods lsvm drml --out build/paper",
        formatter_class=HelpFormatter,
    )
    kinds = parser.add_subparsers(metavar="EXPERIMENT", required=True, title="experiments")
    _add_units(
        kinds,
        "table2",
        "AU detection on BP4D: LSVM, JPML, AlexNet, ConvNet, LCN, DRML",
        "drml experiment table2 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_table3(kinds)
    _add_units(
        kinds,
        "fig5",
        "training loss and AU relations of DRML and AlexNet",
        "drml experiment fig5 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_units(
        kinds,
        "curve",
        "learning curve: validation AUC of the nets by images seen, of LSVM by training frames",
        "drml experiment curve --data data/drml --out build/paper --methods lsvm_curve convnet drml",
    )
    _add_units(
        kinds,
        "fig4",
        "saliency maps of DRML, ConvNet and AlexNet, and their share within the region of the AU",
        "drml experiment fig4 --data data/drml --data-alexnet data/alexnet --out build/paper",
    )
    _add_units(
        kinds,
        "grid",
        "DRML with region layers of 5x5 to 10x10 patches",
        "drml experiment grid --data data/drml --out build/paper --methods drml_5x5 drml drml_10x10",
    )
    _add_units(
        kinds,
        "sparsity",
        "DRML with region layers that turn patches off, and which patches those are",
        "drml experiment sparsity --data data/drml --out build/paper --methods drml drml_l1e-1",
    )
    _add_intensities(kinds)
    _add_table4(kinds)
    unit = add_command(
        kinds,
        "unit",
        run_unit,
        "run one unit of an experiment, as --plan prints it",
        "The folder of the experiment records where data, models and nets are. If they are elsewhere on\n"
        "this machine, name their folders; their contents must be the same.",
        "drml experiment unit build/paper fold1/drml",
    )
    unit.add_argument("out", type=Path, metavar="OUT", help="folder of the experiment")
    unit.add_argument("name", metavar="UNIT", help="name of the unit, such as fold1/drml")
    add_option(unit, "--data", ": the whole folder, with its folds, if it was moved")
    for option, what in (
        ("--data-alexnet", "the data prepared with --size 256"),
        ("--models", "folder of the nets' prototxts"),
        ("--bp4d", "for table3: folder of table2"),
    ):
        unit.add_argument(option, type=Path, metavar="FOLDER", help=f"{what}, if it was moved")
    collect = add_command(
        kinds,
        "collect",
        run_collect,
        "make the tables from all finished units",
        "",
        "drml experiment collect build/paper",
    )
    collect.add_argument("out", type=Path, metavar="OUT", help="folder of the experiment")
    add_option(collect, "--json")


def _add_units(kinds: Any, name: str, summary: str, example: str, *, intensities: bool = False) -> Parser:
    parser = _add_folds(kinds, name, summary, _UNITS, example, refit=not intensities)
    _add_schedule(parser, "paper")
    add_option(parser, "--max-iter", " of each net (default: the solver's)")
    parser.add_argument(
        "--seeds",
        type=integer(1),
        metavar="N",
        help="train each net N times, with the seeds SEED, SEED + 1, ..., and give mean and standard"
        " deviation in the tables (default: 1)",
    )
    parser.add_argument(
        "--train-batch",
        type=integer(1),
        metavar="N",
        help="training images of a batch (default: the net's; the paper's schedule has 128)",
    )
    parser.add_argument(
        "--until-flat",
        action="store_true",
        default=None,
        help=f"end the training of a net when its {'ICC' if intensities else 'AUC'} on the validation"
        " subjects no longer rises (docs/experiments.md has the rule)",
    )
    if not intensities:
        add_option(parser, "--balance", default=None)
    add_option(parser, "--augment", nargs="?", const="standard")
    parser.set_defaults(bp4d=None)
    return parser


def _add_intensities(kinds: Any) -> None:
    _add_units(
        kinds,
        "intensities",
        "intensities of AUs: ridge regression on SIFT, ConvNet, DRML, of data with --target intensity",
        "drml experiment intensities --data data/levels --folds 1 --seeds 2 --out build/levels",
        intensities=True,
    )


def _add_table3(kinds: Any) -> None:
    parser = _add_folds(
        kinds,
        "table3",
        "AU detection on DISFA: LSVM, APL and nets, fitted there and as they come from BP4D",
        "Each method has two columns. As it comes from BP4D, the fold of table2 with the best validation F1\n"
        "is applied to the AUs of both data sets (drml_direct, lsvm_direct). Fitted on DISFA, LSVM and APL\n"
        "use SIFT (lsvm), and a linear classifier per AU uses the features of a net from BP4D (drml_fc9,\n"
        f"alexnet_fc7). --methods drml stands for both of its columns.\n\n{_UNITS}",
        "drml experiment table3 --data data/disfa --bp4d build/paper --out build/disfa",
    )
    parser.set_defaults(schedule="quick", max_iter=None, seeds=None, balance=None, augment=None)
    parser.add_argument(
        "--bp4d", type=Path, required=True, metavar="FOLDER", help="folder of table2, which has the models"
    )


def _add_folds(kinds: Any, name: str, summary: str, more: str, example: str, *, refit: bool = True) -> Parser:
    """Add the options of the experiments that run on folds."""
    parser = _add_common(kinds, name, summary, more, example)
    parser.set_defaults(trials=None, iterations=None, batch=None, train_batch=None, until_flat=None)
    parser.set_defaults(refit=None, balance=None)
    add_option(parser, "--data", ": the whole folder, with its folds", required=True)
    parser.add_argument(
        "--data-alexnet",
        type=Path,
        metavar="DATA",
        help="the same data prepared with --size 256, which alexnet needs",
    )
    add_option(parser, "--folds", " (default: all folds of the data)")
    add_option(parser, "--seed")
    if refit:  # None: an experiment that has begun goes on as it began.
        add_option(
            parser, "--refit", "; nets are trained again for the chosen number of iterations", default=None
        )
    return parser


def _add_table4(kinds: Any) -> None:
    parser = _add_common(
        kinds,
        "table4",
        "time that the nets take to train and to test, per batch and per image",
        "Reads no data. Each net is a unit of work in a folder of its own, such as OUT/time/drml. Finished\n"
        "units are kept.",
        "drml experiment table4 --out build/paper --trials 3 --iterations 10 --batch 16",
    )
    _add_schedule(parser, "quick")
    parser.set_defaults(
        data=None, data_alexnet=None, max_iter=None, folds=None, seed=0, seeds=None, refit=None, bp4d=None
    )
    parser.set_defaults(train_batch=None, until_flat=None, balance=None, augment=None)
    parser.add_argument(
        "--trials", type=integer(1), metavar="N", help="number of trials (default: 3; paper: 20)"
    )
    parser.add_argument(
        "--iterations", type=integer(1), metavar="N", help="iterations of a trial (default: 5; paper: 1000)"
    )
    add_option(parser, "--batch", " (default: as in the training of each net)", default=None)


def _add_schedule(parser: Parser, default: str) -> None:
    parser.add_argument(
        "--schedule",
        choices=["quick", "paper"],
        default=default,
        help=f"training schedule of the nets: paper, or quick where time is short (default: {default})",
    )


def _add_common(kinds: Any, name: str, summary: str, more: str, example: str) -> Parser:
    parser = add_command(kinds, name, run, summary, more, example)
    parser.set_defaults(experiment=name)
    parser.add_argument(
        "--methods",
        nargs="+",
        metavar="METHOD",
        help="methods to run, of lsvm, apl, jpml, alexnet, convnet, lcn, drml, drml_5x5, drml_l1e-1, ...; of"
        " intensities, also ridge (default: those of the table or figure)",
    )
    add_option(parser, "--out", ": the folder of the experiment", required=True, metavar="FOLDER")
    parser.add_argument(
        "--models",
        type=find_shipped,
        default="models",
        metavar="FOLDER",
        help="folder of the nets' prototxts (default: models)",
    )
    add_option(parser, "--jobs", "; they run units and share the cores", default=1)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="run nothing; print a shell command for each missing unit, one per line",
    )
    parser.add_argument(
        "--complete", action="store_true", help="exit with 1 if a method or a cell of the table is missing"
    )
    add_option(parser, "--json")
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the missing units of an experiment; print its table."""
    from drml.experiments.runner import run as run_experiment
    from drml.experiments.settings import Settings

    def absolute(path: Path | None) -> str | None:
        return None if path is None else str(path.absolute())

    settings = Settings(
        data=absolute(args.data),
        scale=args.schedule,
        seed=args.seed,
        models=str(args.models.absolute()),
        data_alexnet=absolute(args.data_alexnet),
        max_iter=args.max_iter,
        train_batch=args.train_batch,
        until_flat=args.until_flat,
        trials=args.trials,
        iterations=args.iterations,
        batch=args.batch,
        bp4d=absolute(args.bp4d),
        seeds=args.seeds,
        refit=args.refit,
        balance=args.balance,
        augment=args.augment,
    )
    found = run_experiment(
        args.experiment,
        args.out,
        settings,
        methods=args.methods,
        folds=args.folds,
        jobs=args.jobs or os.cpu_count() or 1,
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
    """Run one unit."""
    from drml.experiments.runner import run_one

    places = {name: getattr(args, name) for name in ("data", "data_alexnet", "models", "bp4d")}
    run_one(args.out, args.name, **places, progress=not args.quiet)


def run_collect(args: argparse.Namespace) -> None:
    """Make the tables from all finished units."""
    from drml.experiments.runner import collect

    found = collect(args.out)
    if args.json:
        print_json([table.to_dict() for table in found])
    else:
        print("\n".join(table.to_markdown() for table in found), end="")
