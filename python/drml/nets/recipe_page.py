"""A recipe as a page to read, and as plain values for JSON."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from typing import Any

import numpy as np

from drml.data.labels import AU_NAMES
from drml.data.recipe import InputRecipe, Recipe, RegistrationRecipe
from drml.io.text import counted
from drml.nets.shapes import shape_text

__all__ = ["recipe_page", "recipe_to_dict"]

_WIDTH, _INDENT = 100, 16


def recipe_page(recipe: Recipe, name: str) -> str:
    """Return a recipe as text, in words.

    Parameters
    ----------
    recipe : Recipe
    name : str
        The file or folder that has it; the first line.

    Examples
    --------
    >>> print(recipe_page(Recipe(au=(1, 12)), "net.caffemodel"))
    net.caffemodel
    <BLANKLINE>
    Action units    2 outputs, in this order
                    AU1   Inner brow raiser
                    AU12  Lip corner puller
    Threshold       0.5 for every AU
    """
    data, training = recipe.data, recipe.training
    lines = [name, ""]
    count, levels = len(recipe.au), len(recipe.intensity_au)
    if count or not levels:
        lines += _entry("Action units", f"{count} outputs, in this order" if count else "unknown")
    for index, au in enumerate(recipe.au):
        line = f"AU{au:<3} {AU_NAMES.get(au, '')}"
        if recipe.threshold:
            line = f"{line:<32}present from {recipe.threshold[index]:.3f}"
        lines.append(" " * _INDENT + line.rstrip())
    if levels:
        lines += _entry("Intensities", f"{counted(levels, 'output')} from 0 to 5, in this order")
    for au in recipe.intensity_au:
        lines.append(" " * _INDENT + f"AU{au:<3} {AU_NAMES.get(au, '')}".rstrip())
    if recipe.threshold:
        lines += _entry("Threshold", f"for best F1 on {recipe.threshold_data or 'unknown data'}")
    elif count:
        lines += _entry("Threshold", "0.5 for every AU")
    lines += _entry("Labels", recipe.labels)
    lines += _entry("Input", _input(recipe.input))
    lines += _entry("Registration", _registration(recipe.registration))
    records = None if data.records is None else f"{data.records:,} training faces"
    lines += _entry("Data", _joined(data.name, data.split, records))
    lines += _entry("Sampling", data.sampling)
    lines += _entry("Digest", data.digest)
    lines += _entry("Training", _training(recipe))
    lines += _entry("Started from", training.start)
    solver, net = _split_solver(training.solver or "")
    lines += _entry("Class weights", _class_weights(recipe.au, net))
    lines += _entry("Augmentation", _augmentation(net))
    lines += _entry("Solver", solver)
    lines += _entry("Programs", _joined(*recipe.program))
    return "\n".join(lines)


def _entry(name: str, text: str | None) -> list[str]:
    """Return the lines of one entry; none if there is nothing to say."""
    if not text:
        return []
    first = f"{name:<{_INDENT}}"
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * _INDENT)


def _joined(*texts: str | None) -> str:
    return ", ".join(text for text in texts if text)


def _input(made: InputRecipe) -> str | None:
    if made == InputRecipe():
        return None
    face = f"{made.face_size} x {made.face_size} pixels" if made.face_size else None
    if made.crop_size:
        size = f"the middle {made.crop_size} x {made.crop_size} pixels of the face" + (
            f" ({face})" if face else ""
        )
    else:
        size = f"the whole face{f' ({face})' if face else ''}"
    if made.mean is not None:
        mean = f"mean image {shape_text(made.mean.shape)}"
    elif made.mean_value:
        mean = f"mean values {', '.join(f'{value:g}' for value in made.mean_value)}"
    else:
        mean = None
    scale = 1.0 if made.scale is None else made.scale
    formula = "pixel" if mean is None else "(pixel - mean)"
    return _joined(f"{size}, {made.channels or 'BGR'}", f"{formula} * {scale:.6g}", mean or "no mean")


def _registration(made: RegistrationRecipe) -> str | None:
    if made == RegistrationRecipe():
        return None
    how = {
        "none": "faces as they came, only resized",
        "detector": "by the five points of the face detector",
    }.get(made.points or "", f"by {made.points}" if made.points else "unknown")
    detector = f"face detector {made.detector}" if made.detector else None
    learned = "the detector's points in the training faces are known" if made.detector_target else None
    return _joined(how, detector, learned)


def _training(recipe: Recipe) -> str:
    training = recipe.training
    iterations = None if training.iterations is None else f"{training.iterations:,} iterations"
    images = None if training.images is None else f"{training.images:,} images"
    epochs = None
    if training.images is not None and recipe.data.records:
        epochs = f"{training.images / recipe.data.records:.1f} epochs"
    return _joined(iterations, images, epochs)


def _split_solver(text: str) -> tuple[str, str]:
    """Return the settings of a solver without its ``net_param { ... }``, and the text in these braces."""
    begin = re.search(r"\bnet_param\s*\{", text)
    if begin is None:
        return text, ""
    depth, end = 1, begin.end()
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    return f"{text[: begin.start()]}{text[end:].lstrip()}".strip(), text[begin.end() : end]


def _class_weights(aus: tuple[int, ...], net: str) -> str | None:
    """Return the weights of the loss's positive terms, from the text of a net."""
    found = re.findall(r"\bpos_weight:\s*([0-9.eE+-]+)", net)
    if not found:
        return None
    values = [f"{float(value):.3g}" for value in found]
    if len(values) == len(aus):
        values = [f"AU{au} {value}" for au, value in zip(aus, values, strict=True)]
    return f"of the positives in the loss: {', '.join(values)}"


def _augmentation(net: str) -> str | None:
    """Return the largest random changes of training images, from the text of a net."""
    found = re.search(r"\baugmentation\s*\{([^}]*)\}", net)
    pairs = re.findall(r"(\w+):\s*([0-9.eE+-]+)", found[1]) if found else []
    return ", ".join(f"{name} {float(value):g}" for name, value in pairs) or None


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, with the names of the AUs.

    A mean image is replaced by its shape and the mean of each channel.
    """
    values = dataclasses.asdict(recipe)
    values["au_names"] = {f"AU{au}": AU_NAMES.get(au, "") for au in (*recipe.au, *recipe.intensity_au)}
    mean = recipe.input.mean
    if mean is not None:
        channels = np.asarray(mean, np.float64).mean(axis=(1, 2)).round(4).tolist()
        values["input"]["mean"] = {"shape": list(mean.shape), "channel_means": channels}
    return values
