"""``drml export-onnx``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_command, add_json, finite
from drml.cli.output import check_output, note, print_json
from drml.data.labels import parse_aus
from drml.io.errors import UserError
from drml.io.shipped import find_shipped


def add(subparsers: Any) -> None:
    """Add ``drml export-onnx``."""
    parser = add_command(
        subparsers,
        "export-onnx",
        run,
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


def run(args: argparse.Namespace) -> None:
    """Write a net as ONNX; tell how far it is from Caffe."""
    try:
        from drml.nets.onnx_export import export
    except ModuleNotFoundError as error:
        raise UserError(
            f"export-onnx needs the onnx package ({error}): pip install onnx onnxruntime"
        ) from None

    check_output(args.out)
    done = export(
        args.model,
        args.weights,
        args.out,
        mean=args.mean,
        scale=args.scale,
        aus=parse_aus(args.aus) if args.aus else None,
        progress=not args.quiet,
    )
    if args.json:
        print_json(done.to_dict())
    if done.difference is None:
        compared = "not compared with Caffe, as ONNX Runtime is not installed"
    else:
        compared = (
            f"largest difference from Caffe on {done.difference.images} pictures"
            f" {done.difference.probabilities:.1e} in probabilities, {done.difference.scores:.1e} in scores"
        )
    note(
        args,
        f"{done.path}: {done.bytes / 1e6:.1f} MB, {done.nodes} nodes; {compared}\n"
        f"input: {done.metadata.input}",
    )
