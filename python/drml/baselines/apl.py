"""Active Patch Learning (APL): a logistic regression per AU that leaves out whole patches.

For each AU, over the n rows whose label y is known,

    min_w  1/n sum log(1 + exp(-y x.w)) + lambda sum_p ||w_p||_2

with the features in 49 patches p of 128 SIFT values: the group lasso of Zhong, Liu, Yang, Liu, Huang and
Metaxas, *Learning Active Facial Patches for Expression Analysis* (CVPR 2012), to which the DRML paper
compares. An intercept is learned as well; it is not penalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from drml.baselines.design import designed
from drml.baselines.input import Progress, Validation, positive
from drml.baselines.patches import PatchDetector, log_odds
from drml.baselines.proximal import LOGISTIC, patch_norms, solve

__all__ = ["APL"]


class APL(PatchDetector):
    """Active Patch Learning for K AUs.

    All AUs and candidates of lambda are fitted together by accelerated proximal gradient with backtracking
    (`drml.baselines.proximal`): each pass over X serves all of them.

    Parameters
    ----------
    lambdas : float or sequence of float
        Weight of the penalty, > 0. From several, validation chooses for each AU, the first of equals.
    patches : int
        Number of patches; P must be a multiple.
    scale : bool
        Centre X and scale it to patches of norm 1 on average, for each AU (`drml.baselines.design`); lambda
        refers to the scaled X. Without, the formula applies to X as it is.
    fit_intercept : bool
        Whether the decisions have an intercept; otherwise it is 0.
    tol : float
        The fit of an AU ends when its gradient map is at most this share of the loss's gradient at 0.
    max_iter : int
        Iterations at most, for each AU and candidate.
    n_jobs : int or None
        Threads, as in scikit-learn: None is 1, -1 one per core. The result does not depend on it.
    aus : sequence of int, optional
        The K AUs, for messages.

    Attributes
    ----------
    coef_, intercept_, constant_, validation_f1_, n_features_in_
        As in `drml.baselines.base.LinearDetector`; unused patches are exactly 0 in `coef_`.
    patch_importance_ : ndarray of float64, shape (K, patches)
    lambda_ : ndarray of float64, shape (K,)
        The candidate that was chosen; NaN if the decision is constant.
    objective_ : ndarray of float64, shape (K,)
        The minimum of the scaled problem that was reached; NaN if the decision is constant.
    n_iter_ : ndarray of int, shape (K,)

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 6))
    >>> Y = np.where(X[:, :1] + 0.1 * rng.standard_normal((200, 1)) > 0, 1, -1)
    >>> model = APL(lambdas=0.05, patches=3).fit(X, Y)
    >>> model.patch_importance_.round(1)
    array([[1., 0., 0.]])
    """

    _extra = ("lambda_", "objective_", "n_iter_")

    def __init__(
        self,
        *,
        lambdas: float | Sequence[float] = (1e-3, 1e-4, 1e-5, 1e-6),
        patches: int = 49,
        scale: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-3,
        max_iter: int = 2000,
        n_jobs: int | None = None,
        aus: Sequence[int] | None = None,
    ) -> None:
        self.lambdas = lambdas
        self.patches = patches
        self.scale = scale
        self.fit_intercept = fit_intercept
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
    ) -> APL:
        """Fit all AUs.

        Parameters
        ----------
        X : array_like, shape (N, P)
            May be memory-mapped.
        y : array_like, shape (N, K)
            1 present, -1 absent, 0 unknown.
        validation : (X, Y), optional
            Rows that decide between several lambdas; required if there are several.
        progress : callable, optional
            Called as `drml.baselines.input.Progress` says.

        Returns
        -------
        APL
            Itself.

        Raises
        ------
        InputError
            The data or the parameters cannot be used; the message says why.
        """
        candidates = positive("lambdas", self.lambdas)
        positive("tol", self.tol)
        positive("max_iter", self.max_iter)
        X, labels, held_out = self._start(X, y, validation, len(candidates))
        active = np.flatnonzero(~self.constant_)
        K = labels.shape[1]
        self.lambda_, self.objective_ = np.full(K, np.nan), np.full(K, np.nan)
        self.n_iter_ = np.zeros(K, np.intp)
        if not len(active):
            return self
        Y = labels[:, active]
        # Problem c * A + a is candidate c for active AU a.
        columns = np.tile(np.arange(len(active)), len(candidates))
        lambdas = np.repeat(candidates, len(active))
        start = np.zeros((X.shape[1] + 1, len(columns)))
        if self.fit_intercept:
            start[-1] = log_odds(Y)[columns]
        with designed(
            X,
            Y != 0,
            patches=self.patches,
            scale=self.scale,
            intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        ) as design:
            total = len(columns)
            found = solve(
                design,
                Y,
                columns,
                LOGISTIC,
                patches=self.patches,
                lambdas=lambdas,
                ridges=np.zeros(total),
                start=start,
                tol=self.tol,
                max_iter=self.max_iter,
                progress=progress and (lambda done, n: progress(done, total, f"iteration {n}")),
            )
            weights, intercepts = design.unscaled(found.W, columns)
        chosen = self._choose(
            held_out,
            active,
            weights.reshape(-1, len(candidates), len(active)),
            intercepts.reshape(len(candidates), -1),
        )
        best = chosen * len(active) + np.arange(len(active))
        self.coef_[active], self.intercept_[active] = weights[:, best].T, intercepts[best]
        self.lambda_[active], self.n_iter_[active] = lambdas[best], found.iterations[best]
        mean_loss = LOGISTIC.value(Y, found.Z[:, best]).sum(axis=0) / (Y != 0).sum(axis=0)
        penalty = patch_norms(found.W[:-1, best], self.patches).sum(axis=0)
        self.objective_[active] = mean_loss + lambdas[best] * penalty
        self._warn(~found.converged[best], active, self.max_iter)
        return self
