"""Ridge regression of intensities.

For each AU, over the rows whose level y is known, with features x' of mean 0 and standard deviation 1 there,

    min_w,b  sum (y - x'.w - b)^2 + alpha ||w||^2

which is scikit-learn's ``Ridge`` after a ``StandardScaler``: Hoerl and Kennard, *Ridge Regression: Biased
Estimation for Nonorthogonal Problems* (Technometrics 1970).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from drml.baselines.input import Progress, Validation, positive
from drml.baselines.linear import LinearModel
from drml.evaluation import intensity_metrics
from drml.evaluation.intensity_metrics import LEVELS, UNKNOWN_LEVEL
from drml.io.figures import mean_of_defined

__all__ = ["RidgeRegression"]

_Floats = NDArray[np.float64]


class RidgeRegression(LinearModel):
    """Ridge regressions of the intensities of K AUs.

    Labels are N x K: 0 (absent) to 5, or 9 (unknown), which takes no part. If the training labels of an AU
    are all the same, its estimate is constantly that level (0 if none is known), and a warning says so.

    Parameters
    ----------
    alphas : float or sequence of float
        Weight of the penalty, > 0. From several, validation chooses for each AU.
    n_jobs : int or None
        Threads, as in scikit-learn: None is 1, -1 one per core.
    aus : sequence of int, optional
        The K AUs, for messages.

    Attributes
    ----------
    coef_, intercept_, n_features_in_
        As in `drml.baselines.linear.LinearModel`.
    alpha_ : ndarray of float64, shape (K,)
        The candidate that was chosen; NaN if the estimate is constant.
    validation_icc_ : ndarray of float64, shape (K, candidates)
        ICC(3,1) of each candidate on the validation set; NaN where undefined, and without validation.

    Notes
    -----
    The standardised rows of an AU are copied in float64: 50 kB for each face with SIFT at 49 landmarks.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])
    >>> Y = np.array([[0], [1], [2], [3], [9]])
    >>> RidgeRegression(alphas=1e-6).fit(X, Y).predict([[1.5], [7.0], [-1.0]]).ravel().round(3)
    array([1.5, 5. , 0. ])
    """

    _extra = ("alpha_", "validation_icc_")
    _labels = (*LEVELS, UNKNOWN_LEVEL)
    _coding = "0 (absent) to 5 and 9 (unknown)"

    def __init__(
        self,
        *,
        alphas: float | Sequence[float] = (1e2, 1e3, 1e4, 1e5, 1e6),
        n_jobs: int | None = None,
        aus: Sequence[int] | None = None,
    ) -> None:
        self.alphas = alphas
        self.n_jobs = n_jobs
        self.aus = aus

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        validation: Validation | None = None,
        progress: Progress | None = None,
    ) -> RidgeRegression:
        """Fit all AUs.

        Parameters
        ----------
        X : array_like, shape (N, P)
            May be memory-mapped.
        y : array_like, shape (N, K)
            0 to 5, or 9 (unknown).
        validation : (X, Y), optional
            Rows that decide between several alphas; required if there are several.
        progress : callable, optional
            Called as `drml.baselines.input.Progress` says.

        Returns
        -------
        RidgeRegression
            Itself.

        Raises
        ------
        InputError
            The data or the parameters cannot be used; the message says why.
        """
        candidates = np.array(positive("alphas", self.alphas))
        rows, labels, held_out = self._check_both(X, y, validation, len(candidates))
        count = labels.shape[1]
        self.coef_ = np.zeros((count, rows.shape[1]))
        self.intercept_ = np.zeros(count)
        self.alpha_ = np.full(count, np.nan)
        self.validation_icc_ = np.full((count, len(candidates)), np.nan)
        with threadpool_limits(effective_n_jobs(self.n_jobs), user_api="blas"):
            for column in range(count):
                known = labels[:, column] != UNKNOWN_LEVEL
                levels = labels[known, column].astype(np.float64)
                if len(np.unique(levels)) < 2:
                    self.intercept_[column] = levels[0] if len(levels) else LEVELS[0]
                    what = f"always {levels[0]:g}" if len(levels) else "never known"
                    self._warn(column, f"{what} among the training labels; its estimate is constant")
                else:
                    weights, intercepts = _solve(rows[known], levels, candidates)
                    at = self._choose(held_out, column, weights, intercepts)
                    self.coef_[column], self.intercept_[column] = weights[:, at], intercepts[at]
                    self.alpha_[column] = candidates[at]
                if progress is not None:
                    progress(column + 1, count, self._name(column))
        return self

    def predict(self, X: ArrayLike) -> _Floats:
        """Estimate the intensities of each row.

        Parameters
        ----------
        X : array_like, shape (N, P)
            The features; may be memory-mapped.

        Returns
        -------
        ndarray of float64, shape (N, K)
            x.w + b, clipped to 0 to 5.

        Raises
        ------
        InputError
            X is not numeric, not finite, or does not have P columns.
        """
        check_is_fitted(self)
        return self._estimate(self._check_x(X, reset=False), self.coef_.T, self.intercept_)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Compute the mean ICC(3,1) over the AUs, which scikit-learn's searches maximise.

        Parameters
        ----------
        X : array_like, shape (N, P)
            The features; may be memory-mapped.
        y : array_like, shape (N, K)
            0 to 5, or 9 (unknown), which takes no part.

        Returns
        -------
        float
            -1 to 1, the mean over the AUs for which it is defined; NaN if there is none.

        Raises
        ------
        InputError
            X or y cannot be used, or they do not belong together.
        """
        rows, labels = self._check_fitted(X, y)
        estimates = self._estimate(rows, self.coef_.T, self.intercept_)
        return mean_of_defined(
            [intensity_metrics.icc(*columns) for columns in zip(labels.T, estimates.T, strict=True)]
        )

    def _estimate(self, X: NDArray[Any], weights: _Floats, intercepts: _Floats) -> _Floats:
        return np.clip(self._decide(X, weights, intercepts), LEVELS[0], LEVELS[-1])

    def _choose(
        self,
        held_out: tuple[NDArray[Any], NDArray[np.int8]] | None,
        column: int,
        weights: _Floats,
        intercepts: _Floats,
    ) -> int:
        """Choose the candidate with the highest ICC on validation, of equals the first.

        If it is undefined, because the validation labels do not tell, the middle candidate is taken.
        """
        if held_out is None:
            return 0
        X, Y = held_out
        estimates = self._estimate(X, weights, intercepts)
        figures = np.array([intensity_metrics.icc(Y[:, column], one) for one in estimates.T])
        self.validation_icc_[column] = figures
        known = Y[:, column][Y[:, column] != UNKNOWN_LEVEL]
        if len(np.unique(known)) > 1:
            return int(np.nanargmax(figures))
        if len(figures) > 1:
            self._warn(column, "the validation labels are all the same, the middle candidate is taken")
        return len(figures) // 2

    def _warn(self, column: int, text: str) -> None:
        warnings.warn(f"{self._name(column)}: {text}", stacklevel=3)


def _solve(X: NDArray[Any], levels: _Floats, alphas: _Floats) -> tuple[_Floats, _Floats]:
    """Fit one AU with each alpha; return weights, P x alphas, and intercepts, in units of X."""
    scaler = StandardScaler()
    scaled = scaler.fit_transform(X.astype(np.float64))
    # A target for each alpha: they share the matrix of scalar products.
    model = Ridge(alpha=alphas, copy_X=False, solver="cholesky")
    model.fit(scaled, np.tile(levels[:, None], len(alphas)))
    weights = (model.coef_.reshape(len(alphas), -1) / scaler.scale_).T
    return weights, np.atleast_1d(model.intercept_) - scaler.mean_ @ weights
