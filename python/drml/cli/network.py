"""Arguments of the commands that train a network and run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml import commands
from drml.cli.arguments import (
    add,
    add_figures,
    add_json,
    add_net,
    add_seed,
    finite,
    folds,
    integer,
    probability,
)
from drml.io.shipped import find_shipped


def train(subparsers: Any) -> None:
    """Add ``drml train``."""
    parser = add(
        subparsers,
        "train",
        commands.train,
        "train with caffe, in a folder of its own",
        "Copies solver and net to OUT with the data paths filled in and runs `caffe train` there. Leaves\n"
        "the snapshots, final.caffemodel, train.log, loss.csv, f1.csv with the F1 of each AU in each test\n"
        "pass, and transform.json for `drml score`.\n"
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


def score(subparsers: Any) -> None:
    """Add ``drml score``."""
    parser = add(
        subparsers,
        "score",
        commands.score,
        "F1-frame, ROC-AUC and AP per AU and on average, as a table or JSON",
        "With several --weights and --data, each pair is a fold: prints pooled figures and mean of folds.\n"
        "The trivial row is what predicting every AU in every frame gives.",
        "  drml score --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/scores.json --predictions build/predictions.csv",
    )
    add_net(parser, several=True)
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: the data's); only shared ones are scored",
    )
    parser.add_argument("--threshold", type=finite, default=0.5, help="for F1-frame (default 0.5)")
    add_figures(parser)


def features(subparsers: Any) -> None:
    """Add ``drml features``."""
    parser = add(
        subparsers,
        "features",
        commands.features,
        "write fc9, or any blob, of every record to .npz or .h5",
        "The file holds keys, features and labels, in the order of the LMDB.",
        "  drml features --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/drml/fold1/test_lmdb --out build/fc9.npz",
    )
    add_net(parser)
    parser.add_argument("--blob", default="fc9", help="blob to write (default fc9)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .npz or .h5")


def convert(subparsers: Any) -> None:
    """Add ``drml convert``."""
    parser = add(
        subparsers,
        "convert",
        commands.convert,
        "turn Region layers into branches as the authors' prototxts have them, or such branches into Regions",
        "The converted net computes the same. Branches are Box, Batch, ReLU, Convolution, Splice and\n"
        "Eltwise, patch by patch; weights move with them where they are given.",
        "  drml convert release.prototxt --to region --out drml.prototxt \\\n"
        "      --weights release.caffemodel --out-weights drml.caffemodel\n"
        "  drml convert models/drml/deploy.prototxt --to branches --out branches.prototxt",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="prototxt to read")
    parser.add_argument("--to", choices=["region", "branches"], required=True, help="what to turn it into")
    parser.add_argument("--out", type=Path, required=True, metavar="PROTOTXT", help="prototxt to write")
    parser.add_argument("--weights", type=Path, metavar="CAFFEMODEL", help="its weights")
    parser.add_argument("--out-weights", type=Path, metavar="CAFFEMODEL", help="weights to write")
    parser.add_argument(
        "--size", type=integer(1), help="side of the pictures, where MODEL reads data and crops none"
    )


def transfer(subparsers: Any) -> None:
    """Add ``drml transfer``."""
    parser = add(
        subparsers,
        "transfer",
        commands.transfer,
        "fit a linear classifier per AU on a net's features, on another data set's folds, and score it",
        "For each fold in DATA: features of its training, validation and test faces, a linear SVM per AU\n"
        "whose C is chosen by F1 on the validation faces, and the table of drml score.",
        "  drml transfer --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --data data/disfa --out build/transfer.json",
    )
    add_net(parser, data="folder that drml prepare wrote")
    parser.add_argument("--blob", default="fc9", help="blob to take as features (default fc9)")
    parser.add_argument("--folds", type=folds, help="folds of DATA (default: all that it has)")
    add_figures(parser)


def export_onnx(subparsers: Any) -> None:
    """Add ``drml export-onnx``."""
    parser = add(
        subparsers,
        "export-onnx",
        commands.export_onnx,
        "write a trained net as ONNX",
        "The file takes any number of faces and gives `probabilities` and `scores`, one column per AU. With\n"
        "--mean it takes pixels of 0 to 255; without, what Caffe's net takes: (pixel - mean) * scale. Where\n"
        "ONNX Runtime is installed, the result is compared with Caffe's before it is written.",
        "  drml export-onnx --model models/drml/deploy.prototxt --weights build/train/final.caffemodel \\\n"
        "      --mean data/drml/fold1/mean.binaryproto --out build/drml.onnx",
    )
    parser.add_argument("--model", type=find_shipped, required=True, metavar="DEPLOY", help="deploy.prototxt")
    parser.add_argument("--weights", type=Path, required=True, metavar="WEIGHTS", help=".caffemodel or .h5")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="file to write")
    parser.add_argument(
        "--mean", type=Path, metavar="FILE", help="mean.binaryproto to put into the file, with the scale"
    )
    parser.add_argument(
        "--scale",
        type=finite,
        help="factor of the input after the mean is taken off (default: what the weights were trained with);"
        " without --mean the file only tells it",
    )
    parser.add_argument(
        "--aus", help="AUs of the net's outputs, such as 1,2,4 (default: BP4D's for 12, DISFA's for 8)"
    )
    add_json(parser)


def detect(subparsers: Any) -> None:
    """Add ``drml detect``."""
    parser = add(
        subparsers,
        "detect",
        commands.detect,
        "find faces and their AUs in photos, videos, or what a webcam sees",
        "Writes OUT/images.csv with the faces of all images, and OUT/NAME.csv of each video, in OpenFace's\n"
        "manner: frame, face_id, timestamp, confidence, success, five points, AU01_c (1 or 0), AU01_p.\n"
        "Folders are searched with their subfolders. What cannot be read is reported, the others are done,\n"
        "and the exit status is 1. After Ctrl-C, which also stops a webcam, the CSV holds the rows so far.",
        "  drml detect photos interview.mp4 --model build/train/final.caffemodel \\\n"
        "      --out build/aus --draw build/aus\n"
        "  drml detect 0 --model build/train/final.caffemodel --max-frames 500",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, video, folder, or a webcam's number"
    )
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--model", type=Path, metavar="WEIGHTS", help="trained .caffemodel or .h5")
    weights.add_argument(
        "--onnx", type=Path, metavar="FILE", help="what drml export-onnx wrote; runs in ONNX Runtime"
    )
    parser.add_argument(
        "--net",
        type=Path,
        metavar="DEPLOY",
        help="deploy.prototxt (default: the one beside the weights, else models/drml/deploy.prototxt)",
    )
    parser.add_argument(
        "--mean",
        type=Path,
        metavar="FILE",
        help="mean.binaryproto (default: the one of the weights' training, else the one beside them)",
    )
    parser.add_argument("--scale", type=finite, help="factor of the input (default: what training had)")
    parser.add_argument(
        "--size", type=integer(16), help="side of the registered faces (default: the mean image's, else 200)"
    )
    parser.add_argument(
        "--aus",
        help="AUs of the net's outputs, such as 1,2,4 (default: those of the training data where the weights'"
        " folder names them; else BP4D's of 12 outputs, DISFA's of 8)",
    )
    parser.add_argument("--batch", type=integer(1), default=32, help="faces per pass of the net (default 32)")
    parser.add_argument(
        "--threshold", type=probability, default=0.5, help="an AU is present from here on (default 0.5)"
    )
    faces = parser.add_argument_group("faces")
    faces.add_argument(
        "--min-confidence", type=probability, default=0.7, help="of the face detector (default 0.7)"
    )
    faces.add_argument("--largest", action="store_true", help="only the largest face of each frame")
    faces.add_argument(
        "--detect-size",
        type=integer(32),
        default=640,
        metavar="PIXELS",
        help="frames are scaled down to this longest side to find faces, which may then be 12 to 600 pixels"
        " wide; points and faces are of the full frame (default 640)",
    )
    faces.add_argument("--detector", type=Path, metavar="ONNX", help="another model file of YuNet")
    parser.add_argument(
        "--max-frames", type=integer(1), metavar="N", help="stop each video or webcam after N frames"
    )
    out = parser.add_argument_group("output")
    out.add_argument(
        "--out",
        type=Path,
        default=Path("detected"),
        metavar="DIR",
        help="folder of the CSVs (default detected)",
    )
    out.add_argument("--draw", type=Path, metavar="DIR", help="write annotated images and videos here")
    out.add_argument("--aligned", type=Path, metavar="DIR", help="write the registered faces here")
    out.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    add_json(parser)
