"""LSVM: a linear support vector machine per AU, as in LIBLINEAR.

For each AU, over the n rows whose label y is known,

    min_w  1/2 (||w||^2 + b^2) + C sum max(0, 1 - y (x.w + b))^2

which is scikit-learn's ``LinearSVC`` and LIBLINEAR's L2-regularised L2-loss SVM: Fan, Chang, Hsieh, Wang and
Lin, *LIBLINEAR: A Library for Large Linear Classification* (JMLR 2008).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from drml.baselines.base import LinearDetector
from drml.baselines.design import Design, designed
from drml.baselines.input import InputError, Progress, Validation, chunks, positive
from drml.baselines.proximal import SQUARED_HINGE, solve
from drml.io.text import counted

__all__ = ["LSVM"]


class LSVM(LinearDetector):
    """Linear SVMs for K AUs.

    Parameters
    ----------
    Cs : float or sequence of float
        Weight of the loss, > 0. From several, validation chooses for each AU.
    solver : {"gradient", "liblinear"}
        "liblinear" runs scikit-learn's ``LinearSVC`` for each AU and C (its primal solver, which draws
        nothing at random). It copies the AU's rows to 24 bytes a value: 15 GB for the 97,000 x 6272 of a BP4D
        fold, in each thread. "gradient" finds the same minimum by accelerated gradient descent, for all
        AUs and candidates in the same passes over X, and copies nothing.
    scale : bool
        Centre X and scale it to a mean square norm of 49, for each AU (`drml.baselines.design`): 49 patches
        of norm 1.
    tol : float
        The fit ends when the gradient is at most this share of the gradient at 0; LIBLINEAR's `tol`.
    max_iter : int
        Iterations at most, for each AU and candidate.
    n_jobs : int or None
        Threads, as in scikit-learn: None is 1, -1 one per core. The result does not depend on it.
    aus : sequence of int, optional
        The K AUs, for messages.

    Attributes
    ----------
    coef_, intercept_, constant_, validation_f1_, n_features_in_
        As in `drml.baselines.base.LinearDetector`.
    C_ : ndarray of float64, shape (K,)
        The candidate that was chosen; NaN if the decision is constant.
    n_iter_ : ndarray of int, shape (K,)

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [9.0]])
    >>> Y = np.array([[-1], [-1], [1], [1], [0]])
    >>> LSVM(Cs=10.0).fit(X, Y).predict([[0.4], [2.6]]).ravel()
    array([-1,  1], dtype=int8)
    """

    _extra = ("C_", "n_iter_")

    def __init__(
        self,
        *,
        Cs: float | Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0, 10.0),
        solver: str = "gradient",
        scale: bool = True,
        tol: float = 1e-3,
        max_iter: int = 2000,
        n_jobs: int | None = None,
        aus: Sequence[int] | None = None,
    ) -> None:
        self.Cs = Cs
        self.solver = solver
        self.scale = scale
        self.tol = tol
        self.max_iter = max_iter
        self.n_jobs = n_jobs
        self.aus = aus

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        validation: Validation | None = None,
        progress: Progress | None = None,
    ) -> LSVM:
        """Fit all AUs.

        Parameters
        ----------
        X : array_like, shape (N, P)
            May be memory-mapped.
        y : array_like, shape (N, K)
            1 present, -1 absent, 0 unknown.
        validation : (X, Y), optional
            Rows that decide between several C; required if there are several.
        progress : callable, optional
            Called as `drml.baselines.input.Progress` says.

        Returns
        -------
        LSVM
            Itself.

        Raises
        ------
        InputError
            The data or the parameters cannot be used; the message says why.
        """
        candidates = positive("Cs", self.Cs)
        positive("tol", self.tol)
        positive("max_iter", self.max_iter)
        if self.solver not in ("gradient", "liblinear"):
            raise InputError(f"solver={self.solver!r}: 'gradient' or 'liblinear' expected")
        X, labels, held_out = self._start(X, y, validation, len(candidates))
        active = np.flatnonzero(~self.constant_)
        self.C_ = np.full(labels.shape[1], np.nan)
        self.n_iter_ = np.zeros(labels.shape[1], np.intp)
        if not len(active):
            return self
        Y = labels[:, active]
        with designed(X, Y != 0, patches=49, scale=self.scale, intercept=True, n_jobs=self.n_jobs) as design:
            by = self._liblinear if self.solver == "liblinear" else self._gradient
            W, iterations = by(design, Y, candidates, progress)
            columns = np.tile(np.arange(len(active)), len(candidates))
            weights, intercepts = design.unscaled(W.reshape(len(W), -1), columns)
        shape = (len(candidates), len(active))
        weights, intercepts = weights.reshape(-1, *shape), intercepts.reshape(shape)
        chosen = self._choose(held_out, active, weights, intercepts)
        best = (chosen, np.arange(len(active)))
        self.coef_[active], self.intercept_[active] = weights[(slice(None), *best)].T, intercepts[best]
        self.C_[active], self.n_iter_[active] = np.array(candidates)[chosen], iterations[best]
        short = [self._name(int(column)) for column in active[iterations[best] >= self.max_iter]]
        if short:
            warnings.warn(
                f"{', '.join(short)}: not converged in {counted(self.max_iter, 'iteration')}; raise max_iter",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _liblinear(
        self, design: Design, Y: NDArray[np.int8], candidates: tuple[float, ...], progress: Progress | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Run LIBLINEAR on each AU's rows; return W, (P + 1) x candidates x AUs, and iterations."""
        count = Y.shape[1]

        def one(column: int) -> tuple[NDArray[np.float64], list[int]]:
            known = np.flatnonzero(Y[:, column])
            scaled = np.empty((len(known), design.features))
            for rows in chunks(len(known)):
                scaled[rows] = design.X[known[rows]]
                scaled[rows] -= design.mean[:, column]
                scaled[rows] *= design.factor[column]
            W, iterations = np.empty((design.features + 1, len(candidates))), []
            for at, C in enumerate(candidates):
                machine = LinearSVC(C=C, dual=False, tol=self.tol, max_iter=self.max_iter)
                machine.fit(scaled, Y[known, column])
                W[:-1, at], W[-1, at] = machine.coef_[0], machine.intercept_[0]
                iterations.append(int(machine.n_iter_))
            return W, iterations

        W = np.empty((design.features + 1, len(candidates), count))
        iterations = np.empty((len(candidates), count), np.intp)
        # In threads: LIBLINEAR releases Python's lock, and X is shared.
        results: Any = Parallel(
            n_jobs=min(effective_n_jobs(self.n_jobs), count), backend="threading", return_as="generator"
        )(delayed(one)(column) for column in range(count))
        names = [self._name(int(column)) for column in np.flatnonzero(~self.constant_)]
        # Outside the threads, since they share the filters; `fit` warns about the C that is chosen.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            for column, (weights, steps) in enumerate(results):
                W[:, :, column], iterations[:, column] = weights, steps
                if progress is not None:
                    progress(column + 1, count, names[column])
        return W, iterations

    def _gradient(
        self, design: Design, Y: NDArray[np.int8], candidates: tuple[float, ...], progress: Progress | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Solve the same problems, divided by C n, in passes over X that all AUs and candidates share."""
        columns = np.tile(np.arange(Y.shape[1]), len(candidates))
        total = len(columns)
        found = solve(
            design,
            Y,
            columns,
            SQUARED_HINGE,
            patches=1,
            lambdas=np.zeros(total),
            ridges=1 / (np.repeat(candidates, Y.shape[1]) * (Y != 0).sum(axis=0)[columns]),
            start=np.zeros((design.features + 1, total)),
            tol=self.tol,
            max_iter=self.max_iter,
            progress=progress and (lambda done, n: progress(done, total, f"iteration {n}")),
        )
        shape = (len(candidates), Y.shape[1])
        return found.W.reshape(-1, *shape), found.iterations.reshape(shape)
