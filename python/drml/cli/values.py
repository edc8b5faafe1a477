"""The types of the commands' arguments: they read a text, or refuse it as wrong usage."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from drml.data.labels import parse_aus
from drml.io.checks import check_factor, check_positive, check_probability, check_share, check_whole
from drml.io.errors import UserError

__all__ = [
    "au_list",
    "augmentation",
    "detection_threshold",
    "factor",
    "folds",
    "folds_or_scheme",
    "gpus",
    "integer",
    "positive",
    "probability",
    "share",
    "threshold",
]


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Let argparse show the message of a check: it adds the name of the option."""
    try:
        yield
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def integer(low: int) -> Callable[[str], int]:
    """Return the type of a whole number from `low` up."""

    def parse(text: str) -> int:
        with _wrong_usage():
            return check_whole(int(text), low)

    parse.__name__ = "whole number"
    return parse


def share(text: str) -> float:
    """Read a number from 0 to below 1."""
    with _wrong_usage():
        return check_share(float(text))


def probability(text: str) -> float:
    """Read a number from 0 to 1."""
    with _wrong_usage():
        return check_probability(float(text))


def threshold(text: str) -> float | str:
    """Read a number from 0 to 1, or the word validation or recipe."""
    return text if text in ("validation", "recipe") else probability(text)


def detection_threshold(text: str) -> float | str:
    """Read a number from 0 to 1, or the word recipe."""
    return text if text == "recipe" else probability(text)


def factor(text: str) -> float:
    """Read a finite number other than 0."""
    with _wrong_usage():
        return check_factor(float(text))


def positive(text: str) -> float:
    """Read a finite number above 0."""
    with _wrong_usage():
        return check_positive(float(text))


def folds(text: str) -> tuple[int, ...]:
    """Read numbers of folds, such as 1,3."""
    chosen = tuple(int(word) for word in text.replace(",", " ").split())
    if not chosen or min(chosen) < 1 or len(set(chosen)) != len(chosen):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of folds; give each number once, such as 1,3")
    return chosen


def folds_or_scheme(text: str) -> tuple[int, ...] | str:
    """Read numbers of folds, or how folds are made: loso, random:5."""
    return text if text == "loso" or text.startswith("random:") else folds(text)


def gpus(text: str) -> str:
    """Read numbers of GPUs, such as 0,1, or ``all``."""
    if text != "all" and not re.fullmatch(r"[0-9]+(,[0-9]+)*", text):
        raise argparse.ArgumentTypeError(f"'{text}': give the numbers of GPUs, such as 0 or 0,1, or all")
    return text


def au_list(text: str) -> tuple[int, ...]:
    """Read AU numbers, such as 1,2,4."""
    with _wrong_usage():
        return parse_aus(text)


def augmentation(text: str) -> dict[str, float]:
    """Read the word standard, or largest changes, such as rotation=10,scale=.1."""
    from drml.training.augmentation import check_augmentation

    with _wrong_usage():
        return check_augmentation(text)


# What argparse calls them where they refuse a text.
detection_threshold.__name__ = "number"
share.__name__ = probability.__name__ = threshold.__name__ = factor.__name__ = positive.__name__ = "number"
folds.__name__ = folds_or_scheme.__name__ = "list of folds"
