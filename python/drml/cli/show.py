"""``drml show``: its arguments, and what it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from drml.cli.arguments import add_check, add_command, add_option
from drml.cli.output import note, print_json
from drml.cli.values import au_list
from drml.io.files import check_target


def add(subparsers: Any) -> None:
    """Add ``drml show``."""
    parser = add_command(
        subparsers,
        "show",
        run,
        "print the recipe that a net or prepared data carry",
        "The recipe says what must be known to use a net: its action units and their thresholds, how its\n"
        "input is made, how faces were registered, the data and the training. It is inside the weights, so\n"
        "that copying this one file is enough.\n"
        "\n"
        "Weights of stock Caffe carry none. --set-aus writes a copy of them, or with --overwrite the file\n"
        "itself, that names its AUs; --mean and --scale then go into it as well.",
        "drml show build/train/final.caffemodel\n"
        "drml show data/drml/fold1\n"
        "drml show authors.caffemodel --set-aus 1,2,4,6,7,10,12,14,15,17,23,24 --mean mean.binaryproto"
        " --out named.caffemodel",
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="weights (.caffemodel, .h5 or .onnx), the folder of a training, or a prepared fold",
    )
    parser.add_argument(
        "--set-aus",
        type=au_list,
        metavar="AUS",
        help="write weights whose outputs are these AUs, separated by commas, such as 1,2,4",
    )
    add_option(parser, "--mean", "; with --set-aus")
    add_option(parser, "--scale", "; with --set-aus")
    add_option(parser, "--out", ": the weights with these AUs (default: FILE itself)", metavar="FILE")
    add_option(parser, "--overwrite")
    add_option(parser, "--json")

    def check(args: argparse.Namespace) -> None:
        if args.set_aus is None and (args.mean, args.scale, args.out) != (None, None, None):
            parser.error("--mean, --scale and --out need --set-aus")

    add_check(parser, check)


def run(args: argparse.Namespace) -> None:
    """Print a recipe; with ``--set-aus``, write weights with another one first."""
    from drml.nets.recipe_files import find_recipe, name_outputs
    from drml.nets.recipe_page import recipe_page, recipe_to_dict
    from drml.nets.trained_files import find_weights, is_onnx

    if args.set_aus is None:
        name, recipe = find_recipe(args.file)
    else:
        weights = args.file if is_onnx(args.file) else find_weights(args.file)
        name = weights if args.out is None else args.out
        check_target(name, overwrite=args.overwrite)  # it may be the file itself
        recipe = name_outputs(weights, args.set_aus, name, mean=args.mean, scale=args.scale)
    if args.json:
        print_json({"file": str(name), **recipe_to_dict(recipe)})
    note(args, recipe_page(recipe, str(name)))
