"""Joint Patch and Multi-label Learning (JPML): patches and relations between AUs, learned together.

A reconstruction after Zhao, Chu, De la Torre, Cohn and Zhang, *Joint Patch and Multi-label Learning for
Facial Action Unit Detection* (CVPR 2015), whose code is not public: the objective has the paper's parts,
their weighting per row and per AU and the schedule of the optimiser are ours. Over the weights w_l of all
AUs l,

    min_W  sum_l 1/n_l sum log(1 + exp(-y_l x.w_l)) + alpha sum_l sum_p ||w_l^p||_2 + beta1 PC + beta2 NC

    PC = sum over positively related pairs (i, j) of 1/(2 n_ij) sum (x.w_i - x.w_j)^2
    NC = sum over competing pairs (i, j) of 1/(2 n_ij) sum max(0, x.(w_i + w_j))^2

where n_l rows have a known label of l, and n_ij known labels of both i and j: PC and NC run over these. An
intercept of each AU is part of x.w here, and not penalised by alpha. Pairs are those whose phi coefficient in
the training labels, over rows where both are known, is at least 0.3 (related) or at most -0.1 (competing).

The optimiser is ADMM over two copies of the weights, W1 = W2, with the scaled multiplier U and the penalty
rho:

    patch step  W1 = argmin  logistic loss + alpha sum ||w^p|| + rho/2 ||W1 - W2 + U||^2    proximal gradient
    label step  W2 = argmin  beta1 PC + beta2 NC + rho/2 ||W1 - W2 + U||^2                  L-BFGS
    multiplier  U  = U + W1 - W2

U starts at the gradient of beta1 PC + beta2 NC over rho, what it is at any optimum. The patch step is then
a majorisation of the whole objective wherever rho is no less than the curvature of PC and NC, and lowers it.
One that would raise the objective all the same, for too small a rho, is taken back, and rho doubled.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from drml.baselines.base import InputError, Progress, Validation, positive
from drml.baselines.design import Design, designed
from drml.baselines.patches import PatchDetector, log_odds
from drml.baselines.proximal import LOGISTIC, Solution, patch_norms, solve
from drml.evaluation import metrics

__all__ = ["JPML", "Pairs", "phi_coefficients", "relate", "relation_terms"]

_RISE = 1e-5  # share by which the objective may rise: rounding, and steps that end within their tolerance
_LABEL_STEPS = 50  # L-BFGS iterations of a label step at most; it starts near its end


def phi_coefficients(Y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Correlate the AUs' labels pair by pair over the rows where both are known.

    Parameters
    ----------
    Y : ndarray, shape (N, K)
        1, -1 or 0.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Phi (Pearson's coefficient of two binary variables); NaN where one of the two does not vary.

    Examples
    --------
    >>> phi_coefficients(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1], [-1, -1, 0]]))[0]
    array([ 1.,  1., -1.])
    """
    known = (Y != 0).astype(np.float64)
    values = Y.astype(np.float64)
    counts = known.T @ known
    products = values.T @ values
    of_first = values.T @ known  # sum of y_i over the rows where j is known too
    of_second = of_first.T
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = counts * products - of_first * of_second
        # y^2 = 1 wherever y is known.
        variances = (counts**2 - of_first**2) * (counts**2 - of_second**2)
        result: NDArray[np.float64] = np.where(variances > 0, covariance / np.sqrt(variances), np.nan)
    return result


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs of AUs (columns i < j): positively related ones and competing ones."""

    related: list[tuple[int, int]]
    competing: list[tuple[int, int]]


def relate(Y: NDArray[np.int8], related: float = 0.3, competing: float = -0.1) -> Pairs:
    """Find the pairs whose phi coefficient is at least `related`, or at most `competing`."""
    phi = phi_coefficients(Y)
    upper = np.triu(np.ones(phi.shape, bool), 1)

    def pairs(which: NDArray[np.bool_]) -> list[tuple[int, int]]:
        return [(int(i), int(j)) for i, j in np.argwhere(which & upper)]

    return Pairs(pairs(phi >= related), pairs(phi <= competing))


def relation_terms(
    Z: NDArray[Any], known: NDArray[np.bool_], pairs: Pairs
) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
    """Give PC and NC of decisions Z, and their gradients by Z.

    Parameters
    ----------
    Z : ndarray, shape (N, K)
    known : ndarray of bool, shape (N, K)
    pairs : Pairs

    Returns
    -------
    pc, nc : float
    d_pc, d_nc : ndarray of float64, shape (N, K)
    """
    values, gradients = [0.0, 0.0], [np.zeros(Z.shape), np.zeros(Z.shape)]
    for kind, sign, some in ((0, -1.0, pairs.related), (1, 1.0, pairs.competing)):
        for i, j in some:
            both = known[:, i] & known[:, j]
            count = int(both.sum())
            # 64 bits: the two decisions may be nearly equal.
            part = np.where(both, Z[:, i].astype(np.float64) + sign * Z[:, j], 0.0)
            if kind == 1:
                part = np.maximum(0, part)
            values[kind] += float(part @ part) / (2 * count)
            gradients[kind][:, i] += part / count
            gradients[kind][:, j] += sign * part / count
    return values[0], values[1], gradients[0], gradients[1]


@dataclasses.dataclass(eq=False)
class _Fit:
    """Weights, (P + 1) x K and scaled, with their decisions; how they came about, and what they cost."""

    W: NDArray[np.float64]
    Z: NDArray[Any]
    converged: NDArray[np.bool_]
    alpha: float
    beta1: float = 0.0
    beta2: float = 0.0
    history: list[tuple[float, float, float, float]] = dataclasses.field(default_factory=list)


class JPML(PatchDetector):
    """Joint Patch and Multi-label Learning for K AUs.

    Of several candidates, validation chooses by the mean F1-frame over AUs, the first of equals, in two
    stages: alpha with beta1 = beta2 = 0, which is patch learning alone, and then beta1 and beta2.

    Parameters
    ----------
    alphas : float or sequence of float
        Weight of the patches' penalty, > 0.
    betas1, betas2 : float or sequence of float
        Weights of PC and of NC, >= 0.
    related, competing : float
        Bounds of the phi coefficient.
    patches : int
        Number of patches; P must be a multiple.
    scale : bool
        As in `drml.baselines.apl.APL`; alpha refers to what is scaled, PC and NC to decisions.
    fit_intercept : bool
    rho : float
        Penalty of ADMM at the start, > 0. It is doubled when a step would raise the objective.
    tol : float
        Ends a patch step as in APL. ADMM ends when W1 - W2 is no longer than this share of the weights, and
        rho times the change of W2 no longer than this share of the loss's gradient at 0.
    max_iter : int
        Iterations of a patch step at most.
    max_outer : int
        Iterations of ADMM at most.
    n_jobs : int or None
        Threads, as in scikit-learn: None is 1, -1 one per core. The result does not depend on it.
    aus : sequence of int, optional
        The K AUs, for messages.

    Attributes
    ----------
    coef_, intercept_, constant_, n_features_in_
        As in `drml.baselines.base.LinearDetector`; patches that are out are exactly 0 in `coef_`.
    validation_f1_ : ndarray of float64, shape (K, 1)
        Of the candidate that was chosen.
    patch_importance_ : ndarray of float64, shape (K, patches)
    alpha_, beta1_, beta2_ : float
        Chosen.
    related_, competing_ : ndarray of int, shape (pairs, 2)
        The pairs, as columns.
    history_ : ndarray of float64, shape (iterations, 4)
        Objective, ||W1 - W2||, rho ||change of W2|| and rho of each outer iteration, the start first; one row
        where nothing relates. The objective does not rise, but for rounding.
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
        """Fit all AUs together; the parameters are those of `drml.baselines.apl.APL.fit`.

        `progress` hears of every outer iteration, with the objective in the text.
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
        report: Progress = progress or (lambda done, total, text: None)
        with designed(
            X,
            Y != 0,
            patches=self.patches,
            scale=self.scale,
            intercept=self.fit_intercept,
            n_jobs=self.n_jobs,
        ) as design:

            def units(fit: _Fit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
                return design.unscaled(fit.W, np.arange(len(active)))

            def best_of(fits: list[_Fit]) -> _Fit:
                figures = [self._mean_f1(held_out, active, *units(fit)) for fit in fits]
                return fits[int(np.argmax(figures))]

            best = best_of(self._patch_learning(design, Y, alphas, report))
            best = best_of(
                [
                    self._admm(design, Y, pairs, best, betas, f"fit {at} of {len(grid)}", report)
                    for at, betas in enumerate(grid, 1)
                ]
            )
            weights, intercepts = units(best)
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
        """Give the mean F1-frame on validation over the AUs where it is defined; 0 where it is for none."""
        if held_out is None:
            return 0.0
        X, labels = held_out
        Z = self._decide(X, weights, intercepts)
        figures = [
            metrics.f1_frame(labels[:, column], Z[:, at], threshold=0.0) for at, column in enumerate(active)
        ]
        defined = [figure for figure in figures if not np.isnan(figure)]
        return float(np.mean(defined)) if defined else 0.0

    def _patch_learning(
        self, design: Design, Y: NDArray[np.int8], alphas: tuple[float, ...], report: Progress
    ) -> list[_Fit]:
        """Fit with beta1 = beta2 = 0, which is APL with one lambda for all AUs: a fit for each alpha."""
        K = Y.shape[1]
        columns = np.tile(np.arange(K), len(alphas))
        start = np.zeros((design.features + 1, len(columns)))
        if self.fit_intercept:
            start[-1] = log_odds(Y)[columns]
        found = solve(
            design,
            Y,
            columns,
            LOGISTIC,
            patches=self.patches,
            lambdas=np.repeat(alphas, K),
            ridges=np.zeros(len(columns)),
            start=start,
            tol=self.tol,
            max_iter=self.max_iter,
            progress=lambda done, n: report(0, self.max_outer, f"patches alone, iteration {n}"),
        )
        fits = []
        for at, alpha in enumerate(alphas):
            part = slice(at * K, (at + 1) * K)
            fits.append(_Fit(found.W[:, part], found.Z[:, part], found.converged[part], alpha))
            value = self._objective(fits[-1], Y, 0.0, 0.0)
            fits[-1].history.append((value, 0.0, 0.0, self.rho))
        return fits

    def _objective(self, fit: _Fit, Y: NDArray[np.int8], pc: float, nc: float) -> float:
        """Give the whole objective; `pc` and `nc` are those of the fit's decisions."""
        loss = (LOGISTIC.value(Y, fit.Z).sum(axis=0) / (Y != 0).sum(axis=0)).sum()
        penalty = fit.alpha * patch_norms(fit.W[:-1], self.patches).sum()
        return float(loss + penalty + fit.beta1 * pc + fit.beta2 * nc)

    def _admm(
        self,
        design: Design,
        Y: NDArray[np.int8],
        pairs: Pairs,
        start: _Fit,
        betas: tuple[float, float],
        title: str,
        report: Progress,
    ) -> _Fit:
        """Minimise the whole objective, from patch learning's weights on."""
        known = Y != 0
        columns = np.arange(Y.shape[1])
        fit = _Fit(start.W, start.Z, start.converged, start.alpha, *betas)
        if not (pairs.related and betas[0]) and not (pairs.competing and betas[1]):
            fit.history = start.history  # nothing relates: patch learning's optimum is the optimum
            return fit
        terms = _Relations(design, known, pairs, *betas)
        rho = self.rho
        W2 = start.W
        U = terms.gradient(start.Z) / rho
        steps = None
        at_zero = LOGISTIC.slope(Y, np.zeros(Y.shape)) / known.sum(axis=0)
        limit = self.tol * float(np.linalg.norm(design.backward(at_zero, columns)))

        def value(fit: _Fit) -> tuple[float, float, float]:
            pc, nc = relation_terms(fit.Z, known, pairs)[:2]
            return self._objective(fit, Y, pc, nc), pc, nc

        def tell(now: tuple[float, float, float], primal: float, dual: float) -> None:
            fit.history.append((now[0], primal, dual, rho))
            done = len(fit.history) - 1
            report(
                done,
                self.max_outer,
                f"{title} (beta1 {fit.beta1:g}, beta2 {fit.beta2:g}), outer {done}: objective {now[0]:.6f},"
                f" PC {now[1]:.4f}, NC {now[2]:.4f}, |W1-W2| {primal:.2e}, rho |dW2| {dual:.2e}, rho {rho:g}",
            )

        tell(value(fit), 0.0, 0.0)
        for _ in range(int(self.max_outer)):
            found: Solution = solve(
                design,
                Y,
                columns,
                LOGISTIC,
                patches=self.patches,
                lambdas=np.full(len(columns), fit.alpha),
                ridges=np.full(len(columns), rho),
                centre=W2 - U,
                start=fit.W,
                steps=steps,
                tol=self.tol,
                max_iter=self.max_iter,
            )
            new = dataclasses.replace(fit, W=found.W, Z=found.Z, converged=found.converged)
            now = value(new)
            if now[0] > fit.history[-1][0] * (1 + _RISE):
                # Too small a rho for the curvature of PC and NC: once more from where it was good.
                rho *= 2
                W2, U = fit.W, terms.gradient(fit.Z) / rho
                continue
            fit, steps = new, found.steps
            before, W2 = W2, terms.label_step(fit.W + U, W2, rho, self.tol)
            U = U + fit.W - W2
            primal = float(np.linalg.norm(fit.W - W2))
            dual = float(rho * np.linalg.norm(W2 - before))
            tell(now, primal, dual)
            size = max(np.linalg.norm(fit.W), np.linalg.norm(W2))
            if primal <= self.tol * size and dual <= limit:
                return fit
        warnings.warn(
            f"{title}: ADMM did not converge in {self.max_outer} outer iterations; raise max_outer",
            ConvergenceWarning,
            stacklevel=3,
        )
        return fit


class _Relations:
    """beta1 PC + beta2 NC as a function of the weights, over the AUs that are in a pair."""

    def __init__(
        self, design: Design, known: NDArray[np.bool_], pairs: Pairs, beta1: float, beta2: float
    ) -> None:
        self._design = design
        self._betas = beta1, beta2
        self._all = known.shape[1]
        self.columns = np.unique(np.array([*pairs.related, *pairs.competing]))
        place = {int(column): at for at, column in enumerate(self.columns)}
        self._pairs = Pairs(
            *([(place[i], place[j]) for i, j in some] for some in (pairs.related, pairs.competing))
        )
        self._known = known[:, self.columns]

    def _value(self, Z: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        """Give the value and its gradient by the weights, of the decisions of `columns`."""
        pc, nc, d_pc, d_nc = relation_terms(Z, self._known, self._pairs)
        beta1, beta2 = self._betas
        slopes = beta1 * d_pc + beta2 * d_nc
        return beta1 * pc + beta2 * nc, self._design.backward(slopes, self.columns)

    def gradient(self, Z: NDArray[Any]) -> NDArray[np.float64]:
        """Give the gradient by all weights, (P + 1) x K, at decisions Z (N x K)."""
        result = np.zeros((self._design.features + 1, self._all))
        result[:, self.columns] = self._value(Z[:, self.columns])[1]
        return result

    def label_step(
        self, target: NDArray[np.float64], start: NDArray[np.float64], rho: float, tol: float
    ) -> NDArray[np.float64]:
        """Minimise beta1 PC + beta2 NC + rho/2 ||W - target||^2 by L-BFGS from `start`; all (P + 1) x K."""
        result = target.copy()  # what it is for AUs without a pair
        goal = target[:, self.columns]

        def function(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            W = flat.reshape(goal.shape)
            value, gradient = self._value(self._design.forward(W, self.columns))
            away = W - goal
            return value + rho / 2 * float((away**2).sum()), (gradient + rho * away).ravel()

        first = start[:, self.columns].ravel()
        limit = 0.1 * tol * float(np.abs(function(goal.ravel())[1]).max())
        found = minimize(
            function,
            first,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _LABEL_STEPS, "gtol": limit, "ftol": 0.0},
        )
        result[:, self.columns] = found.x.reshape(goal.shape)
        return result
