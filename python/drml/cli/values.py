"""The types of the commands' arguments: they read a text, or refuse it as wrong usage."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from drml.data.labels import parse_aus
from drml.io.errors import UserError

__all__ = ["au_list", "factor", "folds", "integer", "positive", "probability", "share"]


def integer(low: int) -> Callable[[str], int]:
    """Return the type of a whole number from `low` up."""

    def parse(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        return value

    parse.__name__ = "whole number"
    return parse


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share; give a number from 0 to below 1")
    return value


def probability(text: str) -> float:
    """Read a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value} is not a probability; give a number from 0 to 1")
    return value


def factor(text: str) -> float:
    """Read a finite number other than 0."""
    value = float(text)
    if not math.isfinite(value) or value == 0:
        raise argparse.ArgumentTypeError(f"{value} is not a factor; give a finite number other than 0")
    return value


def positive(text: str) -> float:
    """Read a finite number above 0."""
    value = float(text)
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"{value} is not a finite number above 0")
    return value


def folds(text: str) -> tuple[int, ...]:
    """Read numbers of folds, such as 1,3."""
    chosen = tuple(int(word) for word in text.replace(",", " ").split())
    if not chosen or min(chosen) < 1 or len(set(chosen)) != len(chosen):
        raise argparse.ArgumentTypeError(f"'{text}' names no folds; give numbers from 1 up, each once")
    return chosen


def au_list(text: str) -> tuple[int, ...]:
    """Read AU numbers, such as 1,2,4."""
    try:
        return parse_aus(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


# What argparse calls them where they refuse a text.
share.__name__ = probability.__name__ = factor.__name__ = positive.__name__ = "number"
folds.__name__ = "list of folds"
