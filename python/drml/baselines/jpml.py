"""Joint Patch and Multi-label Learning (JPML): patches and relations between AUs, learned together.

This is a reconstruction of Zhao, Chu, De la Torre, Cohn and Zhang, *Joint Patch and Multi-label Learning
for Facial Action Unit Detection* (CVPR 2015), whose code is not public. The objective has the paper's terms;
their weighting per row and per AU, and the schedule of the optimiser, are ours. Over the weights w_l of all
AUs l,

    min_W  sum_l 1/n_l sum log(1 + exp(-y_l x.w_l)) + alpha sum_l sum_p ||w_l^p||_2 + beta1 PC + beta2 NC

    PC = sum over positively related pairs (i, j) of 1/(2 n_ij) sum (x.w_i - x.w_j)^2
    NC = sum over competing pairs (i, j) of 1/(2 n_ij) sum max(0, x.(w_i + w_j))^2

where n_l rows have a known label of l, and n_ij rows have known labels of both i and j; PC and NC are sums
over these. Each AU has an intercept, which is part of x.w here and not penalised by alpha. A pair is related
if its phi coefficient in the training labels, over rows in which both are known, is at least 0.3, and
competing if it is at most -0.1.

`drml.baselines.joint` minimises it by ADMM.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.baselines.design import designed
from drml.baselines.input import InputError, Progress, Validation, positive
from drml.baselines.joint import JointFit, JointProblem
from drml.baselines.pairs import relate
from drml.baselines.patches import PatchDetector
from drml.evaluation import metrics
from drml.io.figures import mean_of_defined

__all__ = ["JPML"]


class JPML(PatchDetector):
    """Joint Patch and Multi-label Learning for K AUs.

    If there are several candidates, validation chooses the one with the highest mean F1-frame over the AUs
    (the first of equals) in two stages: first alpha with beta1 = beta2 = 0, which is patch learning alone,
    then beta1 and beta2.

    Parameters
    ----------
    alphas : float or sequence of float
        Weight of the patch penalty, > 0.
    betas1, betas2 : float or sequence of float
        Weights of PC and NC, >= 0.
    related, competing : float
        Bounds of the phi coefficient, -1 <= competing < related <= 1.
    patches : int
        Number of patches; P must be a multiple.
    scale : bool
        As in `drml.baselines.apl.APL`; alpha refers to what is scaled, PC and NC to decisions.
    fit_intercept : bool
        Whether the decisions have an intercept; otherwise it is 0.
    rho : float
        Initial penalty of ADMM, > 0. It is doubled when a step would raise the objective.
    tol : float
        A patch step ends as in APL. ADMM ends when ||W1 - W2|| is at most this share of the weights' norm,
        and rho times the change of W2 at most this share of the loss's gradient at 0.
    max_iter : int
        Most iterations of a patch step.
    max_outer : int
        Most iterations of ADMM.
    n_jobs : int or None
        Threads, as in scikit-learn: None is 1, -1 one per core. The result does not depend on it.
    aus : sequence of int, optional
        The K AUs, for messages.

    Attributes
    ----------
    coef_, intercept_, constant_, n_features_in_
        As in `drml.baselines.base.LinearDetector`; unused patches are exactly 0 in `coef_`.
    validation_f1_ : ndarray of float64, shape (K, 1)
        F1-frame of the candidate that was chosen.
    patch_importance_ : ndarray of float64, shape (K, patches)
    alpha_, beta1_, beta2_ : float
        The candidate that was chosen.
    related_, competing_ : ndarray of int, shape (pairs, 2)
        The pairs, as columns.
    history_ : ndarray of float64, shape (iterations, 4)
        Objective, ||W1 - W2||, rho ||change of W2|| and rho of each outer iteration, from the start on; one
        row if no AUs are related. Apart from rounding, the objective does not rise.

    Examples
    --------
    Two patches of one feature each, and two AUs that occur together.

    >>> X = np.array([[0.0, 5.0], [1.0, 4.0], [2.0, 5.0], [3.0, 4.0]])
    >>> Y = np.array([[-1, -1], [-1, -1], [1, 1], [1, 1]])
    >>> model = JPML(alphas=0.1, betas1=0.1, betas2=0.1, patches=2).fit(X, Y)
    >>> model.predict([[0.4, 4.5], [2.6, 4.5]])
    array([[-1, -1],
           [ 1,  1]], dtype=int8)
    """

    _extra = ("alpha_", "beta1_", "beta2_", "related_", "competing_", "history_")

    def __init__(
        self,
        *,
        alphas: float | Sequence[float] = (1e-3, 1e-4, 1e-5, 1e-6),
        betas1: float | Sequence[float] = (1e-3, 1e-2),
        betas2: float | Sequence[float] = (1e-3, 1e-2),
        related: float = 0.3,
        competing: float = -0.1,
        patches: int = 49,
        scale: bool = True,
        fit_intercept: bool = True,
        rho: float = 0.01,
        tol: float = 1e-3,
        max_iter: int = 2000,
        max_outer: int = 100,
        n_jobs: int | None = None,
        aus: Sequence[int] | None = None,
    ) -> None:
        self.alphas = alphas
        self.betas1 = betas1
        self.betas2 = betas2
        self.related = related
        self.competing = competing
        self.patches = patches
        self.scale = scale
        self.fit_intercept = fit_intercept
        self.rho = rho
        self.tol = tol
        self.max_iter = max_iter
        self.max_outer = max_outer
        self.n_jobs = n_jobs
        self.aus = aus

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        validation: Validation | None = None,
        progress: Progress | None = None,
    ) -> JPML:
        """Fit all AUs together.

        Parameters
        ----------
        X : array_like, shape (N, P)
            May be memory-mapped.
        y : array_like, shape (N, K)
            1 present, -1 absent, 0 unknown.
        validation : (X, Y), optional
            Rows that decide between several candidates; required if there are several.
        progress : callable, optional
            Called as `drml.baselines.input.Progress` says
            for every outer iteration; its text has the objective.

        Returns
        -------
        JPML
            Itself.

        Raises
        ------
        InputError
            The data or the parameters cannot be used; the message says why.
        """
        alphas = positive("alphas", self.alphas)
        betas1, betas2 = (positive(name, getattr(self, name), zero=True) for name in ("betas1", "betas2"))
        for name in ("rho", "tol", "max_iter", "max_outer"):
            positive(name, getattr(self, name))
        if not -1 <= self.competing < self.related <= 1:
            raise InputError(
                f"competing={self.competing!r}, related={self.related!r}:"
                " -1 <= competing < related <= 1 expected"
            )
        grid = list(itertools.product(betas1, betas2))
        X, labels, held_out = self._start(X, y, validation, len(alphas) * len(grid))
        self.validation_f1_ = np.full((labels.shape[1], 1), np.nan)
        active = np.flatnonzero(~self.constant_)
        Y = labels[:, active]
        pairs = relate(Y, self.related, self.competing)
        self.related_, self.competing_ = (
            active[np.array(some, np.intp).reshape(-1, 2)] for some in (pairs.related, pairs.competing)
        )
        self.alpha_, self.beta1_, self.beta2_ = alphas[0], *grid[0]
        self.history_ = np.zeros((0, 4))
        if not len(active):
            return self
        with designed(
            X,
            Y != 0,
            patches=self.patches,
            scale=self.scale,
            intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        ) as design:

            def in_units_of_x(fit: JointFit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
                return design.unscaled(fit.W, np.arange(len(active)))

            def best_of(fits: list[JointFit]) -> JointFit:
                figures = [self._mean_f1(held_out, active, *in_units_of_x(fit)) for fit in fits]
                return fits[int(np.argmax(figures))]

            problem = JointProblem(
                design=design,
                Y=Y,
                pairs=pairs,
                patches=self.patches,
                fit_intercept=self.fit_intercept,
                rho=self.rho,
                tol=self.tol,
                max_iter=self.max_iter,
                max_outer=self.max_outer,
                report=progress or (lambda ended, total, text: None),
            )
            start = best_of(problem.patch_learning(alphas))
            fits = []
            for at, (beta1, beta2) in enumerate(grid, 1):
                fits.append(problem.minimise(start, beta1, beta2, f"fit {at} of {len(grid)}"))
            best = best_of(fits)
            weights, intercepts = in_units_of_x(best)
        self.coef_[active], self.intercept_[active] = weights.T, intercepts
        self.alpha_, self.beta1_, self.beta2_ = best.alpha, best.beta1, best.beta2
        self.history_ = np.array(best.history)
        self._choose(held_out, active, weights[:, None], intercepts[None])
        self._warn(~best.converged, active, self.max_iter)
        return self

    def _mean_f1(
        self,
        held_out: tuple[NDArray[Any], NDArray[np.int8]] | None,
        active: NDArray[np.intp],
        weights: NDArray[np.float64],
        intercepts: NDArray[np.float64],
    ) -> float:
        """Return the mean F1-frame on validation over the AUs where it is defined; 0 if it is nowhere."""
        if held_out is None:
            return 0.0
        X, labels = held_out
        Z = self._decide(X, weights, intercepts)
        figures = [
            metrics.f1_frame(labels[:, column], Z[:, at], threshold=0.0) for at, column in enumerate(active)
        ]
        mean = mean_of_defined(figures)
        return 0.0 if np.isnan(mean) else mean
