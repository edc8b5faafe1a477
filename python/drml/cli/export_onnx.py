"""``drml export-onnx``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from typing import Any

from drml.cli.arguments import add_check, add_command, add_net, add_option
from drml.cli.output import check_files, note, print_json
from drml.io.errors import UserError
from drml.io.text import counted


def add(subparsers: Any) -> None:
    """Add ``drml export-onnx``."""
    parser = add_command(
        subparsers,
        "export-onnx",
        run,
        "write a trained net as an ONNX file",
        "The file takes any number of faces and returns `probabilities` and `scores`, with a column for\n"
        "each AU. A net that estimates intensities returns `intensities`, in place of them or as well. If\n"
        "ONNX Runtime is installed, its results are compared with Caffe's before the file is written.\n"
        "\n"
        "The mean image and the scale of the recipe in the weights, or of --mean and --scale, go into the\n"
        "file, which then takes pixels of 0 to 255. With --no-mean, and if no mean image is known, the file\n"
        "takes what Caffe's net takes: (pixel - mean) * scale. The recipe goes into the file as well.",
        "drml export-onnx build/fold2 --out build/drml.onnx",
    )
    add_net(parser, data=None)
    parser.add_argument(
        "--no-mean", action="store_true", help="leave the mean image and the scale out of the file"
    )
    add_option(
        parser,
        "--aus",
        "; those of the net's outputs (default: those of the recipe in the weights)",
    )
    add_option(parser, "--out", ": an ONNX file", required=True, metavar="FILE.onnx")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if args.no_mean and args.mean is not None:
            parser.error("give either --mean or --no-mean")
        if args.out.suffix.lower() != ".onnx":
            parser.error(f"--out {args.out}: give a name that ends in .onnx")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Write a net as ONNX; print how far its results are from Caffe's."""
    try:
        from drml.nets.onnx_export import export
    except ModuleNotFoundError as error:
        raise UserError(
            f"export-onnx needs the onnx package ({error}); install it with: pip install onnx onnxruntime"
        ) from None
    from drml.nets.trained_files import find_trained

    check_files(args, args.out)
    trained = find_trained(args.weights, args.net)
    exported = export(
        trained.net,
        trained.weights,
        args.out,
        mean=args.mean,
        scale=args.scale,
        aus=args.aus,
        fold=not args.no_mean,
        progress=not args.quiet,
    )
    if args.json:
        print_json(exported.to_dict())
    if exported.difference is None:
        compared = "not compared with Caffe, because ONNX Runtime is not installed"
    else:
        parts = ", ".join(f"{by:.1e} in {name}" for name, by in exported.difference.outputs.items())
        images = counted(exported.difference.images, "image")
        compared = f"largest difference from Caffe on {images}: {parts}"
    note(
        args,
        f"{exported.path}: {exported.bytes / 1e6:.1f} MB, {exported.nodes} nodes; {compared}\n"
        f"input: {exported.metadata.input}",
    )
