"""What the linear baselines share: one weight vector per AU, checks of their input, files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from drml.evaluation import metrics
from drml.evaluation.metrics import ABSENT, PRESENT, UNKNOWN
from drml.io.errors import UserError
from drml.io.figures import mean_of_defined
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = [
    "CHUNK",
    "InputError",
    "LinearDetector",
    "Progress",
    "Validation",
    "chunks",
    "one_class",
    "positive",
]

CHUNK = 1024
"""Rows of X that are worked on at a time: 25 MB of float32 at 6272 features."""

Progress = Callable[[int, int, str], None]
"""Hears of the work: steps done, steps in all (as far as known), and one line of text."""

Validation = tuple[ArrayLike, ArrayLike]
"""X and Y to choose with."""

Self = TypeVar("Self", bound="LinearDetector")


class InputError(UserError, ValueError):
    """Data or parameters that an estimator cannot take: a `ValueError`, as scikit-learn has it."""


def chunks(count: int, size: int = CHUNK) -> Iterator[slice]:
    """Cut `count` rows into portions of `size`.

    Examples
    --------
    >>> list(chunks(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(at, min(at + size, count)) for at in range(0, count, size))


def one_class(Y: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Say which columns lack one of the classes among their known labels: bool, shape (K,)."""
    return ~((Y == PRESENT).any(axis=0) & (Y == ABSENT).any(axis=0))


class LinearDetector(BaseEstimator):
    """Base of the baselines: decision x.w + b for each of K AUs, present where it is >= 0.

    Labels are N x K in {-1, 0, 1}; 0 is unknown and takes no part. X is N x P and may be memory-mapped: it
    is read in portions of `CHUNK` rows and never copied as a whole. An AU of whose classes only one is in the
    training labels gets a constant decision of 1 or -1 (-1 also where no label is known) and a warning.

    Attributes
    ----------
    coef_ : ndarray of float64, shape (K, P)
        In units of X: whatever scaling the fit used is in it.
    intercept_ : ndarray of float64, shape (K,)
    constant_ : ndarray of bool, shape (K,)
        AUs with a constant decision.
    validation_f1_ : ndarray of float64, shape (K, candidates)
        F1-frame on the validation set of each candidate; NaN where undefined, and without validation.
    n_features_in_ : int
    """

    _extra: ClassVar[tuple[str, ...]] = ()
    """Fitted attributes of a subclass that are saved with the model: arrays, numbers, or lists of these."""

    aus: Sequence[int] | None

    # --- use --------------------------------------------------------------------------------------------

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give x.w + b of each row and AU.

        Parameters
        ----------
        X : array_like, shape (N, P)

        Returns
        -------
        ndarray of float64, shape (N, K)

        Raises
        ------
        InputError
            X is not numeric, not finite, or not of P columns.
        """
        check_is_fitted(self)
        return self._decide(self._check_x(X, reset=False), self.coef_.T, self.intercept_)

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Say 1 (present, decision >= 0) or -1 (absent) for each row and AU: int8, shape (N, K)."""
        return np.where(self.decision_function(X) >= 0, PRESENT, ABSENT).astype(np.int8)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Compute the mean F1-frame over the AUs, which scikit-learn's searches maximise.

        Parameters
        ----------
        X : array_like, shape (N, P)
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
        check_is_fitted(self)
        X, labels = self._check(X, y, reset=False)
        if labels.shape[1] != len(self.coef_):
            raise InputError(f"{labels.shape[1]} columns of labels, but the model has {len(self.coef_)} AUs")
        decisions = self._decide(X, self.coef_.T, self.intercept_)
        return mean_of_defined(
            [metrics.f1_frame(*columns, threshold=0.0) for columns in zip(labels.T, decisions.T, strict=True)]
        )

    # --- files ------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write the fitted model as an ``.npz`` (arrays and a JSON text, nothing pickled).

        Raises
        ------
        OSError
            It cannot be written; nothing of it is left.
        """
        check_is_fitted(self)
        names = ["coef_", "intercept_", "constant_", "validation_f1_", *self._extra]
        arrays: dict[str, Any] = {name: np.asarray(getattr(self, name)) for name in names}
        meta = {
            "estimator": type(self).__name__,
            "params": self.get_params(),
            "feature_names": [str(name) for name in getattr(self, "feature_names_in_", ())],
        }
        text = np.array(json.dumps(meta, default=_plain))
        with writing(path, "wb") as file:
            np.savez(file, meta=text, **arrays)

    @classmethod
    def load(cls: type[Self], path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            The file is missing, damaged, or holds another kind of model.
        """
        try:
            names = ("coef_", "intercept_", "constant_", "validation_f1_", *cls._extra)
            meta = json.loads(str(read_npz(path, ("meta",))["meta"]))
            if meta["estimator"] != cls.__name__:
                raise UserError(f"{path}: a model of {meta['estimator']}, not of {cls.__name__}")
            model = cls(**{name: _tuples(value) for name, value in meta["params"].items()})
            for name, array in read_npz(path, names).items():
                setattr(model, name, array if array.ndim else array.item())
            model.n_features_in_ = model.coef_.shape[1]
            if meta["feature_names"]:
                model.feature_names_in_ = np.array(meta["feature_names"], object)
        except FileNotFoundError:
            raise UserError(f"{path}: no such model") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path}: cannot be read as a model of {cls.__name__} ({error})") from None
        return model

    # --- for subclasses ---------------------------------------------------------------------------------

    def _check_x(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        """Check X as scikit-learn does, without a copy of what is numeric already."""
        try:
            checked: NDArray[Any] = validate_data(self, X, reset=reset)
        except ValueError as error:
            raise InputError(" ".join(str(error).split())) from None
        return checked

    def _check(self, X: ArrayLike, Y: ArrayLike, *, reset: bool) -> tuple[NDArray[Any], NDArray[np.int8]]:
        """Check X and Y and that they belong together."""
        if Y is None:
            raise InputError("fit requires y to be passed, but the target y is None: give N x K labels")
        checked = self._check_x(X, reset=reset)
        labels = np.asarray(Y)
        if labels.ndim != 2 or len(labels) != len(checked) or not labels.shape[1]:
            raise InputError(f"labels of the shape {labels.shape}: N x K with N = {len(checked)} expected")
        if not np.isin(labels, (PRESENT, ABSENT, UNKNOWN)).all():
            raise InputError("labels other than -1 (absent), 0 (unknown) and 1 (present)")
        if self.aus is not None and len(self.aus) != labels.shape[1]:
            raise InputError(f"{labels.shape[1]} columns of labels, but {len(self.aus)} AUs")
        return checked, labels.astype(np.int8)

    def _start(
        self, X: ArrayLike, Y: ArrayLike, validation: Validation | None, candidates: int
    ) -> tuple[NDArray[Any], NDArray[np.int8], tuple[NDArray[Any], NDArray[np.int8]] | None]:
        """Check the input of `fit`; set what holds for the AUs with one class."""
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

    def _name(self, column: int) -> str:
        return f"column {column}" if self.aus is None else f"AU{self.aus[column]}"

    def _decide(
        self, X: NDArray[Any], weights: NDArray[np.float64], intercepts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Give X @ weights (P x M) + intercepts (M): float64, portion by portion."""
        result = np.empty((len(X), weights.shape[1]))
        for rows in chunks(len(X)):
            # 64 bits: a large mean of X cancels against the intercept.
            result[rows] = X[rows].astype(np.float64) @ weights + intercepts
        return result

    def _choose(
        self,
        held_out: tuple[NDArray[Any], NDArray[np.int8]] | None,
        columns: NDArray[np.intp],
        weights: NDArray[np.float64],
        intercepts: NDArray[np.float64],
    ) -> NDArray[np.intp]:
        """Choose a candidate for each of the `columns` by F1-frame on validation.

        Of equals the one with the best ROC-AUC, and of these the first. Where the validation set does not
        hold both classes there is nothing to choose by: the middle one is taken.

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


def positive(name: str, values: Any, *, zero: bool = False) -> tuple[float, ...]:
    """Check a parameter that is one number or a sequence of numbers above 0 (or from 0 up)."""
    numbers = tuple(np.atleast_1d(np.asarray(values, np.float64)).tolist())
    good = [np.isfinite(value) and (value > 0 or (zero and value == 0)) for value in numbers]
    if not numbers or not all(good):
        raise InputError(f"{name}={values!r}: finite numbers {'from 0 up' if zero else 'above 0'} expected")
    return numbers


def _plain(value: Any) -> Any:
    """Give NumPy's numbers and arrays as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a parameter of the type {type(value).__name__} cannot be saved")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
