"""Figures that may be undefined: they are NaN in Python and null in JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["json_value", "mean_of_defined"]


def mean_of_defined(values: Iterable[float]) -> float:
    """Return the mean of the values that are not NaN.

    Parameters
    ----------
    values : iterable of float

    Returns
    -------
    float
        NaN if no value is defined.

    Examples
    --------
    >>> mean_of_defined([0.5, float("nan"), 1.0]), mean_of_defined([])
    (0.75, nan)
    """
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def json_value(value: Any) -> Any:
    """Convert a value to what JSON can hold: NumPy arrays and numbers become lists and numbers, NaN None.

    Parameters
    ----------
    value : object
        Dictionaries, lists and tuples are converted with what they contain; other types are returned as
        they are.

    Returns
    -------
    object

    Examples
    --------
    >>> json_value({"f1": np.float64("nan"), "counts": np.arange(3)})
    {'f1': None, 'counts': [0, 1, 2]}
    """
    if isinstance(value, dict):
        return {key: json_value(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return json_value(value.tolist())
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
