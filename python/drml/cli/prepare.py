"""``drml prepare``: its arguments, and what it runs.

The data sets and their options come from the table `drml.data.readers.kinds.DATA_SETS`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import Parser, add_check, add_command, add_option
from drml.cli.output import note, print_json
from drml.cli.reader_options import add_reader_options, check_reader_options, given_reader_options
from drml.cli.values import folds_or_scheme
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.targets import OCCURRENCE, TARGETS, check_labels_asked
from drml.io.errors import UserError
from drml.io.text import counted, listed


def add(subparsers: Any) -> None:
    """Add ``drml prepare``."""
    parser = add_command(
        subparsers,
        "prepare",
        run,
        "register faces, split folds, sample, write LMDBs, mean image and manifest",
        "Reads ROOT and writes OUT/fold1 (train_lmdb, val_lmdb, test_lmdb, mean.binaryproto, and the\n"
        "manifest and landmarks of each split), the other folds, and OUT/summary.json, which tells how many\n"
        "frames were skipped and why.\n\n"
        "List your own images in a CSV file with the columns path, AU1, AU2, ... (intensities: AU1_r, ...)\n"
        "and, optionally, subject and landmark coordinates x1, y1, x2, ...; images without landmarks must\n"
        "be registered faces, unless --points detector is to find the faces in them. The subjects are\n"
        "divided into three folds at random, unless --folds or --folds-file says otherwise.",
        "drml prepare bp4d /data/BP4D data/drml\n"
        "drml prepare bp4dplus /data/BP4D+ data/bp4dplus\n"
        "drml prepare bp4d /data/BP4D data/fera --folds-file fera2015\n"
        "drml prepare disfa /data/DISFA data/disfa --intensity 2\n"
        "drml prepare disfa /data/DISFA data/levels --target intensity\n"
        "drml prepare images faces.csv data/own",
    )
    names = list(DATA_SETS)
    parser.add_argument("kind", choices=names, metavar="KIND", help=f"data set: {listed(names, 'or')}")
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder of the data set; for images the CSV file"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    add_option(
        parser,
        "--folds",
        " (default: all); loso, for one fold per subject, which tests that subject; or random:K, for K folds"
        " at random, by --seed",
        type=folds_or_scheme,
    )
    shipped = list(dict.fromkeys(name for one in DATA_SETS.values() for name in one.fold_lists))
    parser.add_argument(
        "--folds-file",
        metavar="LIST",
        help="folds to use instead of the data set's: a CSV file of subject,part, where the part is the"
        " number of the fold that tests the subject, or train, val or test; or a list that ships with drml:"
        f" {listed(shipped, 'or')}",
    )
    add_option(parser, "--aus", " (default: those of the data set)")
    parser.add_argument(
        "--target",
        choices=TARGETS,
        default=OCCURRENCE,
        help="what the labels are: whether an AU occurs (occurrence, the default), how strong it is, from 0"
        " to 5 (intensity), or both, for a net with outputs of both kinds",
    )
    parser.add_argument(
        "--max-broken",
        type=float,
        default=0.05,
        metavar="SHARE",
        help="fail if more than this share, 0 to 1, of the images that the folds need cannot be read or has"
        " landmarks outside of the image (default: 0.05)",
    )
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="CSV",
        help="frames to leave out, such as those with bad landmarks: lines of video,first,last; 'known' for"
        " the frames of DISFA whose landmarks are known to be beside the face",
    )
    parser.add_argument(
        "--audit",
        choices=["stop", "report", "off"],
        default="stop",
        help="if the landmarks do not fit the faces that the face detector finds in some images, stop (the"
        " default) or report it; off: check neither this nor what is published about the data set",
    )
    parser.add_argument(
        "--points",
        choices=["given", "detector"],
        default="given",
        help="points to register faces by: the data set's landmarks (given, the default), or those that drml"
        " detect finds (detector), for which the data set needs none",
    )
    parser.add_argument(
        "--points-cache",
        type=Path,
        metavar="DIR",
        help="folder that keeps the points that --points detector finds, for another preparation of the same"
        " images (default: OUT.points)",
    )
    _add_sampling(parser)
    _add_encoding(parser)
    add_reader_options(parser)
    for name in ("--jobs", "--overwrite", "--json"):
        add_option(parser, name)
    add_check(parser, lambda args: _check(parser, args))


def _add_sampling(parser: Parser) -> None:
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--val-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the training subjects held out for validation (default: 0.2)",
    )
    for name, what in (("positives", "with"), ("negatives", "without")):
        defaults = "; ".join(f"{kind} {_count(getattr(one, name))}" for kind, one in DATA_SETS.items())
        group.add_argument(
            f"--{name}",
            type=int,
            metavar="N",
            help=f"training frames {what} each AU, for each AU and video (default: {defaults})",
        )
    group.add_argument(
        "--unsampled",
        choices=["mask", "keep"],
        default="mask",
        help="how to treat the labels of AUs for which a frame was not sampled: mark them unknown (mask,"
        " default) or keep them",
    )
    group.add_argument(
        "--all-frames",
        action="store_true",
        help="do not sample: train with every frame that has a label, and with all its labels",
    )
    add_option(group, "--seed")


def _add_encoding(parser: Parser) -> None:
    group = parser.add_argument_group("encoding")
    group.add_argument(
        "--encoding", choices=["jpg", "png"], default="jpg", help="file format of the faces (default: jpg)"
    )
    add_option(group, "--size", default=200)


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Report values that the library refuses as wrong usage, before anything is read."""
    from drml.data.readers.exclude import find_list
    from drml.data.register_faces import check_max_broken

    data_set = DATA_SETS[args.kind]
    check_reader_options(parser, args, args.kind)
    if args.points_cache is not None and args.points != "detector":
        parser.error("--points-cache needs --points detector")
    try:
        check_max_broken(args.max_broken)
        if args.exclude is not None:
            find_list(args.exclude, data_set.known_faults)
        if args.folds_file is None or isinstance(args.folds, str):  # the content of a file is no usage
            data_set.choose_folds(args.folds, args.folds_file)
        args.sampling, args.face_encoding = _sampling_and_encoding(args)
        check_labels_asked(data_set, args.target, args.aus, given_reader_options(args))
    except UserError as error:
        parser.error(str(error))


def _sampling_and_encoding(args: argparse.Namespace) -> tuple[Any, Any]:
    from drml.data.register_faces import Encoding
    from drml.data.sampling import Sampling

    sampling = Sampling(
        val_share=args.val_share,
        positives=args.positives,
        negatives=args.negatives,
        unsampled=args.unsampled,
        all_frames=args.all_frames,
        seed=args.seed,
    )
    return sampling, Encoding(format=args.encoding, size=args.size)


def _count(number: int | None) -> str:
    return "all" if number is None else str(number)


def run(args: argparse.Namespace) -> None:
    """Prepare a data set for training."""
    from drml.data.prepare import prepare

    summary = prepare(
        args.kind,
        args.root,
        args.out,
        folds=args.folds,
        folds_file=args.folds_file,
        aus=args.aus,
        target=args.target,
        sampling=args.sampling,
        encoding=args.face_encoding,
        points=args.points,
        points_cache=args.points_cache,
        exclude=args.exclude,
        audit=args.audit,
        max_broken=args.max_broken,
        jobs=args.jobs,
        progress=not args.quiet,
        overwrite=args.overwrite,
        **given_reader_options(args),
    )
    if args.json:
        print_json(summary)
    lines = [f"{args.out}: {counted(summary['images'], 'face')} of {counted(summary['frames'], 'frame')}"]
    for what in ("skipped", "incomplete"):
        if summary[what]:
            counts = ", ".join(f"{reason} {count}" for reason, count in summary[what].items())
            lines.append(f"{what}: {counts}")
    lines.append(f"{args.out / 'summary.json'} has the details")
    note(args, "\n".join(lines))
