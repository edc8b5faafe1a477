"""ICC(3,1), PCC, MSE and MAE of the intensities of one AU, where some labels are unknown.

A label is a number from 0 (absent) to 5, or 9 (unknown). Frames with an unknown label are left out. A figure
that cannot be computed is NaN:

* ICC needs two frames, and labels or estimates that vary. It is 0 if only one of the two varies.
* PCC needs two frames, and labels and estimates that both vary.
* MSE and MAE need one frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import LEVELS, UNKNOWN_LEVEL
from drml.evaluation.known_frames import known_frames

__all__ = [
    "FIGURES",
    "LEVELS",
    "SUMS",
    "UNKNOWN_LEVEL",
    "figures_of_sums",
    "icc",
    "known_levels",
    "mae",
    "mse",
    "pcc",
    "sums_of",
]

FIGURES = ("icc", "pcc", "mse", "mae")
SUMS = 7
"""Figures follow from so many sums over the frames; see `sums_of`."""

_Floats = NDArray[np.float64]


def known_levels(labels: ArrayLike, estimates: ArrayLike) -> tuple[_Floats, _Floats]:
    """Check labels and estimates; return those of the frames with a known label.

    Parameters
    ----------
    labels : array_like of shape (N,)
        0 to 5, or 9.
    estimates : array_like of shape (N,)
        Any finite numbers.

    Returns
    -------
    tuple of two ndarray of float64, each of shape (number of known labels,)

    Raises
    ------
    ValueError
        The shapes differ, a label is no intensity, or an estimate is not finite. All functions of this module
        check their input in this way.
    """
    known, values = known_frames(
        labels,
        estimates,
        is_label=lambda given: ((given >= LEVELS[0]) & (given <= LEVELS[-1])) | (given == UNKNOWN_LEVEL),
        no_label="is no intensity from 0 to 5, nor 9 (unknown)",
        unknown=UNKNOWN_LEVEL,
        value_name="estimate",
    )
    return known.astype(np.float64), values


def sums_of(levels: NDArray[Any], values: NDArray[Any], *, about: tuple[float, float]) -> _Floats:
    """Return what each frame adds to the sums that `figures_of_sums` needs.

    Parameters
    ----------
    levels, values : ndarray of shape (N,)
        Known labels y and estimates x.
    about : tuple of float, keyword-only
        Numbers near the means of y and x, which are subtracted first, so that no digits are lost.

    Returns
    -------
    ndarray of float64, shape (N, 7)
        1, y, x, y^2, x^2, xy (of the shifted numbers) and ``|x - y|`` of each frame.
    """
    y, x = levels - about[0], values - about[1]
    return np.stack([np.ones(len(y)), y, x, y * y, x * x, x * y, np.abs(values - levels)], axis=-1)


def figures_of_sums(sums: _Floats, *, about: tuple[float, float]) -> Mapping[str, _Floats]:
    """Compute the figures from the sums of `sums_of` over frames.

    With two raters, labels y and estimates x, the mean squares of a two-way analysis of variance are
    BMS = (var x + var y + 2 cov) / 2 between frames and EMS = (var x + var y - 2 cov) / 2 for the error. Thus
    ICC(3,1) = (BMS - EMS) / (BMS + EMS) = 2 cov / (var x + var y) (Shrout & Fleiss, "Intraclass Correlations:
    Uses in Assessing Rater Reliability", Psychological Bulletin 86, 1979; it is the measure of FERA 2015).

    Parameters
    ----------
    sums : ndarray of float64, shape (..., 7)
    about : tuple of float, keyword-only
        As it was given to `sums_of`.

    Returns
    -------
    dict of str to ndarray of float64, shape (...)
        ``"icc"``, ``"pcc"``, ``"mse"`` and ``"mae"``.
    """
    n, y, x, yy, xx, xy, distance = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance, of_y, of_x = (xy - x * y / n), (yy - y * y / n), (xx - x * x / n)
        # What rounding leaves of numbers that do not vary is no variance.
        of_y = np.where(of_y > 1e-12 * yy, of_y, 0)
        of_x = np.where(of_x > 1e-12 * xx, of_x, 0)
        covariance = np.where((of_y > 0) & (of_x > 0), covariance, 0)
        shift = about[1] - about[0]
        squares = xx + yy - 2 * xy + 2 * shift * (x - y) + n * shift * shift
        return {  # 0 / 0 where undefined
            "icc": 2 * covariance / (of_x + of_y),
            "pcc": covariance / np.sqrt(of_x * of_y),
            "mse": squares / n,
            "mae": distance / n,
        }


def _figure(name: str, labels: ArrayLike, estimates: ArrayLike) -> float:
    levels, values = known_levels(labels, estimates)
    if not levels.size:
        return float("nan")
    about = (float(levels.mean()), float(values.mean()))
    return float(figures_of_sums(sums_of(levels, values, about=about).sum(0), about=about)[name])


def icc(labels: ArrayLike, estimates: ArrayLike) -> float:
    """Compute the intraclass correlation ICC(3,1) of labels and estimates: consistency of two fixed raters.

    Unlike PCC, it falls if the estimates vary less or more than the labels. A constant that is added to the
    estimates does not change it.

    Parameters
    ----------
    labels, estimates : array_like of shape (N,)

    Returns
    -------
    float
        -1 to 1; NaN where undefined.

    Examples
    --------
    >>> icc([0, 1, 2, 9], [0, 2, 4, 5])
    0.8
    """
    return _figure("icc", labels, estimates)


def pcc(labels: ArrayLike, estimates: ArrayLike) -> float:
    """Compute Pearson's correlation coefficient of labels and estimates.

    Parameters
    ----------
    labels, estimates : array_like of shape (N,)

    Returns
    -------
    float
        -1 to 1; NaN where undefined.

    Examples
    --------
    >>> round(pcc([0, 1, 2, 9], [0, 2, 4, 5]), 3)
    1.0
    """
    return _figure("pcc", labels, estimates)


def mse(labels: ArrayLike, estimates: ArrayLike) -> float:
    """Compute the mean squared difference of labels and estimates, in squared levels.

    Parameters
    ----------
    labels, estimates : array_like of shape (N,)

    Returns
    -------
    float
        NaN without a known label.

    Examples
    --------
    >>> round(mse([0, 1, 2, 9], [0, 2, 4, 5]), 3)
    1.667
    """
    return _figure("mse", labels, estimates)


def mae(labels: ArrayLike, estimates: ArrayLike) -> float:
    """Compute the mean absolute difference of labels and estimates, in levels.

    Parameters
    ----------
    labels, estimates : array_like of shape (N,)

    Returns
    -------
    float
        NaN without a known label.

    Examples
    --------
    >>> mae([0, 1, 2, 9], [0, 2, 4, 5])
    1.0
    """
    return _figure("mae", labels, estimates)
