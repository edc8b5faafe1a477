"""Fits a baseline again on more rows, with the parameters that validation chose for each AU."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from drml.baselines.apl import APL
from drml.baselines.base import LinearDetector
from drml.baselines.input import InputError, Progress
from drml.baselines.jpml import JPML
from drml.baselines.lsvm import LSVM

__all__ = ["refit"]

Model = TypeVar("Model", bound=LinearDetector)


def refit(model: Model, X: ArrayLike, y: ArrayLike, *, progress: Progress | None = None) -> Model:
    """Fit a model again with the parameters that it chose, usually on training and validation rows together.

    Nothing is chosen again: `C_`, `lambda_`, or `alpha_`, `beta1_` and `beta2_`, and `validation_f1_` are
    those of `model`.

    Parameters
    ----------
    model : LSVM, APL or JPML
        A fitted model; it stays as it is.
    X : array_like, shape (N, P)
        May be memory-mapped.
    y : array_like, shape (N, K)
        1 present, -1 absent, 0 unknown.
    progress : callable, optional
        Called as `drml.baselines.input.Progress` says.

    Returns
    -------
    LSVM, APL or JPML
        A new model. An AU for which `model` could choose nothing, because its training labels had one class
        only, keeps its constant decision in LSVM and APL.

    Raises
    ------
    InputError
        The data cannot be used, or are of other AUs or features than the model's.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> y = np.array([[-1], [-1], [1], [1]])
    >>> model = LSVM(Cs=[0.1, 10.0]).fit(X[1:], y[1:], validation=(X, y))
    >>> again = refit(model, X, y)
    >>> again.C_ == model.C_, again.n_features_in_
    (array([ True]), 1)
    """
    labels = np.asarray(y)
    if labels.ndim != 2 or labels.shape[1] != len(model.coef_):
        raise InputError(f"labels of the shape {labels.shape}: N x {len(model.coef_)} expected")
    if isinstance(model, JPML):
        chosen = {"alphas": model.alpha_, "betas1": model.beta1_, "betas2": model.beta2_}
        fitted = clone(model).set_params(**chosen).fit(X, labels, progress=progress)
        fitted.set_params(**model.get_params())
        fitted.validation_f1_ = model.validation_f1_
        return fitted
    if isinstance(model, LSVM):
        return _by_candidate(model, "Cs", "C_", X, labels, progress)
    if isinstance(model, APL):
        return _by_candidate(model, "lambdas", "lambda_", X, labels, progress)
    raise InputError(f"{type(model).__name__}: only LSVM, APL and JPML can be fitted again")


def _by_candidate(
    model: Any, name: str, attribute: str, X: ArrayLike, labels: NDArray[Any], progress: Progress | None
) -> Any:
    """Fit the AUs with the same candidate together: in LSVM and APL, AUs have no part in each other."""
    found = copy.deepcopy(model)
    chosen = getattr(model, attribute)
    for value in np.unique(chosen[~np.isnan(chosen)]):
        columns = np.flatnonzero(chosen == value)
        aus = None if model.aus is None else [model.aus[column] for column in columns]
        part = clone(model).set_params(**{name: float(value), "aus": aus})
        part.fit(X, labels[:, columns], progress=progress)
        for each in ("coef_", "intercept_", "constant_", "n_iter_", "objective_"):
            if hasattr(found, each):
                getattr(found, each)[columns] = getattr(part, each)
    return found
