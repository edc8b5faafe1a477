"""Base of the linear detectors: decisions, AUs of which only one class is known, the choice by validation."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from drml.baselines.input import Validation, one_class
from drml.baselines.linear import LinearModel
from drml.evaluation import metrics
from drml.evaluation.metrics import ABSENT, PRESENT, UNKNOWN
from drml.io.figures import mean_of_defined

__all__ = ["LinearDetector"]


class LinearDetector(LinearModel):
    """Base of the baselines: a decision x.w + b for each of K AUs, which is present if the decision is >= 0.

    Labels are N x K in {-1, 0, 1}; 0 is unknown and takes no part. X is never copied as a whole. If the
    training labels of an AU hold only one class, its decision is constantly 1 or -1 (-1 also if no label is
    known), and a warning says so.

    Attributes
    ----------
    coef_, intercept_, n_features_in_
        As in `drml.baselines.linear.LinearModel`.
    constant_ : ndarray of bool, shape (K,)
        Whether the AU's decision is constant.
    validation_f1_ : ndarray of float64, shape (K, candidates)
        F1-frame of each candidate on the validation set; NaN where undefined, and without validation.
    """

    _labels = (PRESENT, ABSENT, UNKNOWN)
    _coding = "-1 (absent), 0 (unknown) and 1 (present)"

    # --- use --------------------------------------------------------------------------------------------

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Compute x.w + b of each row and AU.

        Parameters
        ----------
        X : array_like, shape (N, P)
            The features; may be memory-mapped.

        Returns
        -------
        ndarray of float64, shape (N, K)
            Unbounded; an AU is predicted where its decision is at least 0.

        Raises
        ------
        InputError
            X is not numeric, not finite, or does not have P columns.
        """
        check_is_fitted(self)
        return self._decide(self._check_x(X, reset=False), self.coef_.T, self.intercept_)

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Predict the AUs of each row.

        Parameters
        ----------
        X : array_like, shape (N, P)
            The features; may be memory-mapped.

        Returns
        -------
        ndarray of int8, shape (N, K)
            1 (present) where the decision is at least 0, -1 (absent) elsewhere.

        Raises
        ------
        InputError
            X is not numeric, not finite, or not of P columns.
        """
        return np.where(self.decision_function(X) >= 0, PRESENT, ABSENT).astype(np.int8)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Compute the mean F1-frame over the AUs, which scikit-learn's searches maximise.

        Parameters
        ----------
        X : array_like, shape (N, P)
            The features; may be memory-mapped.
        y : array_like, shape (N, K)
            1 present, -1 absent, 0 unknown; unknown labels take no part.

        Returns
        -------
        float
            0 to 1, the mean over the AUs with a known label; NaN if no label is known.

        Raises
        ------
        InputError
            X or y cannot be used, or they do not belong together.
        """
        X, labels = self._check_fitted(X, y)
        decisions = self._decide(X, self.coef_.T, self.intercept_)
        return mean_of_defined(
            [metrics.f1_frame(*columns, threshold=0.0) for columns in zip(labels.T, decisions.T, strict=True)]
        )

    @classmethod
    def _saved(cls) -> tuple[str, ...]:
        return (*super()._saved(), "constant_", "validation_f1_")

    # --- for subclasses ---------------------------------------------------------------------------------

    def _start(
        self, X: ArrayLike, Y: ArrayLike, validation: Validation | None, candidates: int
    ) -> tuple[NDArray[Any], NDArray[np.int8], tuple[NDArray[Any], NDArray[np.int8]] | None]:
        """Check the input of `fit`, and set the attributes of the AUs with one class."""
        checked, labels, held_out = self._check_both(X, Y, validation, candidates)
        self.constant_ = one_class(labels)
        self.coef_ = np.zeros((labels.shape[1], checked.shape[1]))
        only_present = (labels == PRESENT).any(axis=0)
        self.intercept_ = np.where(self.constant_, np.where(only_present, 1.0, -1.0), 0.0)
        self.validation_f1_ = np.full((labels.shape[1], candidates), np.nan)
        for column in np.flatnonzero(self.constant_):
            what = "only present" if only_present[column] else "never present"
            warnings.warn(
                f"{self._name(int(column))}: {what} among the known training labels;"
                " its decision is constant",
                stacklevel=3,
            )
        return checked, labels, held_out

    def _choose(
        self,
        held_out: tuple[NDArray[Any], NDArray[np.int8]] | None,
        columns: NDArray[np.intp],
        weights: NDArray[np.float64],
        intercepts: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Choose the candidate with the highest F1-frame on validation for each of the `columns`.

        Of equals, the one with the highest ROC-AUC is chosen, and of these the first. If the validation set
        does not hold both classes, the middle candidate is taken.

        `weights` is P x candidates x columns, `intercepts` candidates x columns, both in units of X.
        """
        chosen = np.zeros(len(columns), np.intp)
        if held_out is None:
            return chosen
        X, Y = held_out
        count = weights.shape[1]
        decisions = self._decide(X, weights.reshape(len(weights), -1), intercepts.ravel())
        decisions = decisions.reshape(len(X), count, len(columns))
        for at, column in enumerate(columns):
            truth = Y[:, column]
            figures = [
                metrics.f1_frame(truth, decisions[:, candidate, at], threshold=0.0)
                for candidate in range(count)
            ]
            self.validation_f1_[column] = figures
            if one_class(Y[:, [column]])[0]:
                chosen[at] = count // 2
                if count > 1:
                    warnings.warn(
                        f"{self._name(int(column))}: the validation set does not hold both classes,"
                        " the middle candidate is taken",
                        stacklevel=3,
                    )
                continue
            best = [candidate for candidate in range(count) if figures[candidate] == max(figures)]
            if len(best) > 1:
                areas = [metrics.roc_auc(truth, decisions[:, candidate, at]) for candidate in best]
                best = [best[int(np.argmax(areas))]]
            chosen[at] = best[0]
        return chosen
