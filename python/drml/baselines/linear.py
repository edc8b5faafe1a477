"""Base of the linear models: one weight vector per AU, checks of the input, files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from drml.baselines.input import InputError, Validation, chunks
from drml.baselines.model_files import read_model, write_model
from drml.io.text import counted

__all__ = ["LinearModel"]

Self = TypeVar("Self", bound="LinearModel")


class LinearModel(BaseEstimator):
    """Base of the linear models: x.w + b for each of K AUs.

    X is N x P and may be memory-mapped: it is read in portions of `CHUNK` rows. Labels are N x K.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (K, P)
        In units of X: it includes the scaling that the fit used.
    intercept_ : ndarray of float64, shape (K,)
    n_features_in_ : int
    """

    _extra: ClassVar[tuple[str, ...]] = ()
    """Fitted attributes of a subclass that are saved with the model: arrays, numbers, or lists of these."""

    _labels: ClassVar[tuple[int, ...]]
    """The values that a label may have."""
    _coding: ClassVar[str]
    """What these values mean, for messages."""

    aus: Sequence[int] | None

    # --- files ------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted model as an ``.npz`` (arrays and a JSON text, nothing pickled).

        Raises
        ------
        OSError
            The file cannot be written; no part of it is left.
        """
        check_is_fitted(self)
        write_model(path, self, self._saved())

    @classmethod
    def load(cls: type[Self], path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            The file is missing, damaged, or holds a model of another class.
        """
        model: Self = read_model(path, cls, cls._saved())
        return model

    @classmethod
    def _saved(cls) -> tuple[str, ...]:
        return ("coef_", "intercept_", *cls._extra)

    # --- for subclasses ---------------------------------------------------------------------------------

    def _check_x(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        """Check X as scikit-learn does, without copying an array that is numeric already."""
        try:
            checked: NDArray[Any] = validate_data(self, X, reset=reset)
        except ValueError as error:
            raise InputError(" ".join(str(error).split())) from None
        return checked

    def _check(self, X: ArrayLike, Y: ArrayLike, *, reset: bool) -> tuple[NDArray[Any], NDArray[np.int8]]:
        """Check X and Y, and that they belong together."""
        if Y is None:
            raise InputError("fit requires y to be passed, but the target y is None: give N x K labels")
        checked = self._check_x(X, reset=reset)
        labels = np.asarray(Y)
        if labels.ndim != 2 or len(labels) != len(checked) or not labels.shape[1]:
            raise InputError(f"labels of the shape {labels.shape}: N x K with N = {len(checked)} expected")
        if not np.isin(labels, self._labels).all():
            raise InputError(f"labels other than {self._coding}")
        if self.aus is not None and len(self.aus) != labels.shape[1]:
            raise InputError(
                f"{counted(labels.shape[1], 'column')} of labels, but {counted(len(self.aus), 'AU')}"
            )
        return checked, labels.astype(np.int8)

    def _check_both(
        self, X: ArrayLike, Y: ArrayLike, validation: Validation | None, candidates: int
    ) -> tuple[NDArray[Any], NDArray[np.int8], tuple[NDArray[Any], NDArray[np.int8]] | None]:
        """Check the rows of `fit`, and those that choose between candidates."""
        checked, labels = self._check(X, Y, reset=True)
        held_out = None
        if validation is not None:
            held_out = self._check(*validation, reset=False)
            if held_out[1].shape[1] != labels.shape[1]:
                raise InputError(
                    f"{held_out[1].shape[1]} columns of validation labels, {labels.shape[1]} of training's"
                )
        elif candidates > 1:
            raise InputError(f"{candidates} candidates to choose from, and no validation set to choose with")
        return checked, labels, held_out

    def _check_fitted(self, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int8]]:
        """Check the rows on which a fitted model is scored."""
        check_is_fitted(self)
        X, labels = self._check(X, y, reset=False)
        if labels.shape[1] != len(self.coef_):
            raise InputError(
                f"{counted(labels.shape[1], 'column')} of labels, but the model has"
                f" {counted(len(self.coef_), 'AU')}"
            )
        return X, labels

    def _name(self, column: int) -> str:
        return f"column {column}" if self.aus is None else f"AU{self.aus[column]}"

    def _decide(
        self, X: NDArray[Any], weights: NDArray[np.float64], intercepts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Compute X @ weights (P x M) + intercepts (M) in float64, portion by portion."""
        result = np.empty((len(X), weights.shape[1]))
        for rows in chunks(len(X)):
            # In float64, since a large mean of X cancels against the intercept.
            result[rows] = X[rows].astype(np.float64) @ weights + intercepts
        return result
