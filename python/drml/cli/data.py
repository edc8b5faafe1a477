"""Arguments of the commands that make and check data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml import commands
from drml.cli.arguments import add, add_jobs, add_json, add_seed, folds, integer, only, share


def synth(subparsers: Any) -> None:
    """Add ``drml synth``."""
    parser = add(
        subparsers,
        "synth",
        commands.synth,
        "write a synthetic data set in a real one's folder layout",
        "Faces are drawn: subjects differ, each AU changes its own region. BP4D's codes, frame names and\n"
        "landmark files are written as the real ones are, and so are DISFA's intensities and videos.",
        "  drml synth build/bp4d --layout bp4d --subjects 41 --tasks 8 --frames 24\n"
        "  drml synth build/disfa --layout disfa --subjects 27 --frames 120",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write")
    parser.add_argument(
        "--layout", choices=["bp4d", "disfa"], default="bp4d", help="whose layout (default bp4d)"
    )
    parser.add_argument("--subjects", type=integer(1), help="subjects (default 41, as BP4D; disfa 27)")
    parser.add_argument("--tasks", type=integer(1), help="videos per subject (default 8; disfa has one)")
    parser.add_argument("--frames", type=integer(1), help="frames per video (default 24; disfa 120)")
    only(parser, "layout", "bp4d", ("tasks",))
    parser.add_argument("--size", type=integer(64), help="width of the pictures in pixels")
    add_seed(parser)
    add_jobs(parser)
    add_json(parser)


def prepare(subparsers: Any) -> None:
    """Add ``drml prepare``."""
    parser = add(
        subparsers,
        "prepare",
        commands.prepare,
        "register faces, split folds, sample, write LMDBs, mean image and manifest",
        "Reads ROOT and writes OUT/fold1 (train_lmdb, val_lmdb, test_lmdb, mean.binaryproto, manifest and\n"
        "landmarks of each), the other folds, and OUT/summary.json with what was skipped and why.\n"
        "Images of one's own are listed in a CSV file with columns path, AU1 and others, and, where known,\n"
        "subject and landmarks x1, y1, x2 ...; without landmarks they are registered faces. Subjects are\n"
        "dealt into folds.",
        "  drml prepare bp4d /data/BP4D data/drml\n"
        "  drml prepare disfa /data/DISFA data/disfa --threshold 2\n"
        "  drml prepare images faces.csv data/own",
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


def verify(subparsers: Any) -> None:
    """Add ``drml verify``."""
    parser = add(
        subparsers,
        "verify",
        commands.verify,
        "check an LMDB against its manifest",
        "Reads every record: its image, its labels, its key.",
        "  drml verify data/drml/fold1/test_lmdb --manifest data/drml/fold1/test.csv",
    )
    parser.add_argument("lmdb", type=Path, metavar="LMDB", help="LMDB folder")
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="manifest that must say the same (default: the one beside it)",
    )
    parser.add_argument(
        "--size", type=integer(16), help="side that images must have (default: what they were prepared with)"
    )
    add_json(parser)
