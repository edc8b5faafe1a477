"""What the linear baselines take: labels, parameters and rows in portions, with their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.evaluation.metrics import ABSENT, PRESENT
from drml.io.errors import UserError

__all__ = ["CHUNK", "InputError", "Progress", "Validation", "chunks", "one_class", "positive"]

CHUNK = 1024
"""Rows of X that are processed at a time: 25 MB of float32 at 6272 features."""

Progress = Callable[[int, int, str], None]
"""Called with the number of steps that have ended, the number of all steps as far as it is known, and one
line of text."""

Validation = tuple[ArrayLike, ArrayLike]
"""X and Y of the rows that decide between candidates."""


class InputError(UserError, ValueError):
    """Data or parameters that an estimator cannot use; a `ValueError`, as scikit-learn raises."""


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut `count` rows into portions of `size`.

    Examples
    --------
    >>> list(chunks(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(at, min(at + size, count)) for at in range(0, count, size))


def one_class(Y: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return which columns lack one of the classes among their known labels: bool, shape (K,)."""
    return ~((Y == PRESENT).any(axis=0) & (Y == ABSENT).any(axis=0))


def positive(name: str, values: Any, *, zero: bool = False) -> tuple[float, ...]:
    """Check a parameter that is one number or a sequence of numbers, each above 0 (or 0 with `zero`).

    Raises
    ------
    InputError
        There is no number, or one is too small or not finite.
    """
    numbers = tuple(np.atleast_1d(np.asarray(values, np.float64)).tolist())
    good = [np.isfinite(value) and (value > 0 or (zero and value == 0)) for value in numbers]
    if not numbers or not all(good):
        raise InputError(f"{name}={values!r}: finite numbers {'from 0 up' if zero else 'above 0'} expected")
    return numbers
