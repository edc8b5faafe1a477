"""``drml prepare``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_jobs, add_json, add_seed, folds, integer, only, share
from drml.cli.output import note, print_json
from drml.data.labels import parse_aus


def add(subparsers: Any) -> None:
    """Add ``drml prepare``."""
    parser = add_command(
        subparsers,
        "prepare",
        run,
        "register faces, split folds, sample, write LMDBs, mean image and manifest",
        "Reads ROOT and writes OUT/fold1 (train_lmdb, val_lmdb, test_lmdb, mean.binaryproto, manifest and\n"
        "landmarks of each), the other folds, and OUT/summary.json with what was skipped and why.\n"
        "Images of one's own are listed in a CSV file with columns path, AU1 and others, and, where known,\n"
        "subject and landmarks x1, y1, x2 ...; without landmarks they are registered faces. Subjects are\n"
        "dealt into folds.",
        "drml prepare bp4d /data/BP4D data/drml\n"
        "drml prepare disfa /data/DISFA data/disfa --threshold 2\n"
        "drml prepare images faces.csv data/own",
    )
    parser.add_argument(
        "kind", choices=["bp4d", "disfa", "images"], metavar="KIND", help="data set: bp4d, disfa or images"
    )
    parser.add_argument(
        "root", type=Path, metavar="ROOT", help="folder of the data set; of images the CSV file"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument("--folds", type=folds, default=(1, 2, 3), help="folds to write (default 1,2,3)")
    parser.add_argument(
        "--val-share",
        type=share,
        default=0.2,
        help="training subjects held out for validation (default 0.2)",
    )
    parser.add_argument(
        "--positives",
        type=integer(0),
        help="training frames per AU and video with it (default 100; disfa 800; images: all)",
    )
    parser.add_argument(
        "--negatives",
        type=integer(0),
        help="training frames per AU and video without it (default 200; disfa 1600; images: all)",
    )
    parser.add_argument(
        "--unsampled",
        choices=["keep", "mask"],
        default="keep",
        help="labels of a chosen frame for the AUs it was not drawn for: keep them, or make them unknown",
    )
    parser.add_argument("--encoding", choices=["jpg", "png"], default="jpg", help="in the LMDB (default jpg)")
    parser.add_argument("--size", type=integer(16), default=200, help="side of the faces (default 200)")
    parser.add_argument("--aus", help="AUs of the labels, such as 1,2,4 (default: the data set's)")
    parser.add_argument(
        "--max-broken",
        type=share,
        default=0.05,
        help="share of broken images that is put up with (default 0.05)",
    )
    parser.add_argument(
        "--exclude",
        type=Path,
        metavar="CSV",
        help="frames to leave out, such as those with bad landmarks: lines of video,first,last",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it is not empty")
    disfa = parser.add_argument_group("disfa alone")
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
    own = parser.add_argument_group("images alone")
    own.add_argument(
        "--labels",
        choices=["signed", "01"],
        help="signed: 1 present, -1 absent, 0 unknown (default); 01: 1 present, 0 absent, 9 unknown",
    )
    only(parser, "kind", "disfa", ("threshold", "camera", "landmark_folder", "first_frame"))
    own.add_argument(
        "--images-anywhere",
        action="store_const",
        const=True,
        help="let the list name images outside of its own folder; look first at lists that others wrote",
    )
    only(parser, "kind", "images", ("labels", "images_anywhere"))
    add_seed(parser)
    add_jobs(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare a data set for training."""
    from drml.data.prepare import prepare_bp4d, prepare_disfa, prepare_images

    options: dict[str, Any] = {}
    if args.aus:
        options["aus"] = parse_aus(args.aus)
    of_one_kind = ("threshold", "camera", "landmark_folder", "first_frame", "labels", "images_anywhere")
    for name in ("positives", "negatives", *of_one_kind):
        # Left out, they are what suits the kind; those of another kind are left out.
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    of_kind = {"bp4d": prepare_bp4d, "disfa": prepare_disfa, "images": prepare_images}[args.kind]
    summary = of_kind(
        args.root,
        args.out,
        folds=args.folds,
        seed=args.seed,
        val_share=args.val_share,
        unsampled=args.unsampled,
        encoding=args.encoding,
        size=args.size,
        jobs=args.jobs,
        progress=not args.quiet,
        max_broken=args.max_broken,
        overwrite=args.overwrite,
        exclude=args.exclude,
        **options,
    )
    if args.json:
        print_json(summary)
    lines = [f"{args.out}: {summary['images']} faces of {summary['frames']} frames"]
    for what in ("skipped", "incomplete"):
        if summary[what]:
            counts = ", ".join(f"{reason} {count}" for reason, count in summary[what].items())
            lines.append(f"{what}: {counts}")
    lines.append(f"more in {args.out / 'summary.json'}")
    note(args, "\n".join(lines))
