"""Checks of numbers that users give, once for Python and for the command line.

Each check returns the value, or raises a `UsageError` whose message begins with the parameter's name, if one
is given, and the value. The types of the command line's options call the same checks without a name, which
argparse adds.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from drml.io.errors import UsageError

__all__ = ["check_factor", "check_path", "check_positive", "check_probability", "check_share", "check_whole"]


def _refuse(name: str, value: float, way_out: str) -> UsageError:
    return UsageError(f"{name} {value}: {way_out}".lstrip())


def check_whole(value: int, low: int, name: str = "", *, high: int | None = None) -> int:
    """Check a whole number.

    Parameters
    ----------
    value : int
    low : int
        The least number that is allowed.
    name : str
        The parameter's name in the error message.
    high : int, optional
        The greatest number that is allowed.

    Returns
    -------
    int
        `value`.

    Raises
    ------
    UsageError
        It is out of range.

    Examples
    --------
    >>> check_whole(32, 1, "batch")
    32
    >>> check_whole(8, 16, "size", high=1024)
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: size 8: give 16 to 1024
    """
    if value < low or (high is not None and value > high):
        raise _refuse(name, value, f"give {low} or more" if high is None else f"give {low} to {high}")
    return value


def check_probability(value: float, name: str = "") -> float:
    """Check a number from 0 to 1; parameters, result and errors as in `check_whole`.

    Examples
    --------
    >>> check_probability(1.5, "threshold")
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: threshold 1.5: give a probability from 0 to 1
    """
    if not 0 <= value <= 1:
        raise _refuse(name, value, "give a probability from 0 to 1")
    return value


def check_share(value: float, name: str = "", *, all_of_it: bool = False) -> float:
    """Check a share, a number from 0 to below 1; parameters, result and errors as in `check_whole`.

    Parameters
    ----------
    value : float
    name : str
    all_of_it : bool
        Whether 1 is allowed as well.

    Examples
    --------
    >>> check_share(1.0, "val_share")
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: val_share 1.0: give a number from 0 to below 1
    """
    if not 0 <= value <= 1 or (value == 1 and not all_of_it):
        raise _refuse(name, value, f"give a number from 0 to {'' if all_of_it else 'below '}1")
    return value


def check_factor(value: float, name: str = "") -> float:
    """Check a finite number other than 0; parameters, result and errors as in `check_whole`.

    Examples
    --------
    >>> check_factor(0.0, "scale")
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: scale 0.0: give a finite number other than 0
    """
    if not math.isfinite(value) or value == 0:
        raise _refuse(name, value, "give a finite number other than 0")
    return value


def check_path(path: str | os.PathLike[str], name: str = "") -> Path:
    """Check a path, which must not be empty: it would mean the current folder.

    Parameters
    ----------
    path : str or path-like
    name : str
        The parameter's name in the error message.

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        It is empty.

    Examples
    --------
    >>> check_path("", "out")
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: out: an empty path; give the name of a file or a folder
    """
    if not os.fspath(path):
        raise UsageError(f"{name}: an empty path; give the name of a file or a folder".removeprefix(": "))
    return Path(path)


def check_positive(value: float, name: str = "") -> float:
    """Check a finite number above 0; parameters, result and errors as in `check_whole`.

    Examples
    --------
    >>> check_positive(-1.0, "window")
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: window -1.0: give a finite number above 0
    """
    if not math.isfinite(value) or value <= 0:
        raise _refuse(name, value, "give a finite number above 0")
    return value
