"""Checks the labels and the predictions of one AU, and selects the frames with a known label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["known_frames"]


def known_frames(
    labels: ArrayLike,
    values: ArrayLike,
    *,
    is_label: Callable[[NDArray[Any]], NDArray[np.bool_]],
    no_label: str,
    unknown: int,
    value_name: str,
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Check labels and predictions; return those of the frames with a known label.

    Parameters
    ----------
    labels, values : array_like of shape (N,)
        The values may be any finite numbers.
    is_label : callable, keyword-only
        Returns which labels are possible.
    no_label : str
        What messages say of a label that is not.
    unknown : int
        The label that means unknown.
    value_name : str
        What messages call a value.

    Returns
    -------
    labels : ndarray, shape (number of known labels,)
    values : ndarray of float64, of the same shape

    Raises
    ------
    ValueError
        The shapes differ, a label is not possible, or a value is not finite. All frames are checked: a net
        that returns NaN is broken, whichever labels are known.
    """
    given = np.asarray(labels)
    found = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or given.shape != found.shape:
        raise ValueError(f"expected two vectors of one length, got shapes {given.shape} and {found.shape}")
    wrong = ~is_label(given)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"label {given[at]} at index {at} {no_label}")
    broken = ~np.isfinite(found)
    if broken.any():
        at = int(np.argmax(broken))
        raise ValueError(f"{value_name} {found[at]} at index {at} is not finite")
    known = given != unknown
    return given[known], found[known]
