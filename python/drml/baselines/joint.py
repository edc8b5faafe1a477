"""JPML's optimiser: patch learning, and ADMM over two copies of the weights, W1 = W2.

With the scaled multiplier U and the penalty rho, one outer iteration is

    patch step  W1 = argmin  logistic loss + alpha sum ||w^p|| + rho/2 ||W1 - W2 + U||^2    proximal gradient
    label step  W2 = argmin  beta1 PC + beta2 NC + rho/2 ||W1 - W2 + U||^2                  L-BFGS
    multiplier  U  = U + W1 - W2

U starts at the gradient of beta1 PC + beta2 NC over rho, its value at any optimum. The patch step then
majorises the whole objective if rho is at least the curvature of PC and NC, and lowers it. If rho is too
small and a patch step would raise the objective, the step is undone and rho is doubled.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from drml.baselines.design import Design
from drml.baselines.input import Progress
from drml.baselines.pairs import Pairs, RelationTerms, relation_terms
from drml.baselines.patches import log_odds
from drml.baselines.proximal import LOGISTIC, patch_norms, solve

__all__ = ["JointFit", "JointProblem"]

_RISE = 1e-5
"""Share by which the objective may rise: rounding, and steps that end within their tolerance."""


@dataclass(eq=False)
class JointFit:
    """Scaled weights, (P + 1) x K, their decisions, the parameters they minimise, and the way there.

    `history` has a row per outer iteration: objective, ||W1 - W2||, rho ||change of W2|| and rho.
    """

    W: NDArray[np.float64]
    Z: NDArray[Any]
    converged: NDArray[np.bool_]
    alpha: float
    beta1: float = 0.0
    beta2: float = 0.0
    history: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True, eq=False, kw_only=True)
class JointProblem:
    """The data and the settings of one training set, for all alpha, beta1 and beta2.

    Attributes
    ----------
    design : Design
    Y : ndarray of int8, shape (N, K)
        1, -1 or 0; both classes in each column.
    pairs : Pairs
    patches : int
    fit_intercept : bool
    rho, tol : float
    max_iter, max_outer : int
        As in `drml.baselines.JPML`.
    report : Progress
    """

    design: Design
    Y: NDArray[np.int8]
    pairs: Pairs
    patches: int
    fit_intercept: bool
    rho: float
    tol: float
    max_iter: int
    max_outer: int
    report: Progress

    def patch_learning(self, alphas: tuple[float, ...]) -> list[JointFit]:
        """Fit with beta1 = beta2 = 0, which is APL with one lambda for all AUs: a fit for each alpha."""
        K = self.Y.shape[1]
        columns = np.tile(np.arange(K), len(alphas))
        start = np.zeros((self.design.features + 1, len(columns)))
        if self.fit_intercept:
            start[-1] = log_odds(self.Y)[columns]
        found = solve(
            self.design,
            self.Y,
            columns,
            LOGISTIC,
            patches=self.patches,
            lambdas=np.repeat(alphas, K),
            ridges=np.zeros(len(columns)),
            start=start,
            tol=self.tol,
            max_iter=self.max_iter,
            progress=lambda ended, n: self.report(0, self.max_outer, f"patches alone, iteration {n}"),
        )
        fits = []
        for at, alpha in enumerate(alphas):
            part = slice(at * K, (at + 1) * K)
            fit = JointFit(found.W[:, part], found.Z[:, part], found.converged[part], alpha)
            fit.history.append((self._objective(fit, 0.0, 0.0), 0.0, 0.0, self.rho))
            fits.append(fit)
        return fits

    def minimise(self, start: JointFit, beta1: float, beta2: float, title: str) -> JointFit:
        """Minimise the whole objective by ADMM, starting from the weights of patch learning.

        `title` names the fit in warnings and in the text of `report`.
        """
        fit = JointFit(start.W, start.Z, start.converged, start.alpha, beta1, beta2)
        if not (self.pairs.related and beta1) and not (self.pairs.competing and beta2):
            fit.history = start.history  # without relations, patch learning's optimum is the optimum
            return fit
        terms = RelationTerms(self.design, self.Y != 0, self.pairs, beta1, beta2)
        rho = self.rho
        W2 = start.W
        U = terms.gradient(start.Z) / rho
        curvatures = None
        limit = self._dual_limit()
        self._record(fit, self._value(fit), 0.0, 0.0, rho, title)
        for _ in range(int(self.max_outer)):
            new, new_curvatures = self._patch_step(fit, W2 - U, rho, curvatures)
            value = self._value(new)
            if value[0] > fit.history[-1][0] * (1 + _RISE):
                # Rho is too small for the curvature of PC and NC: repeat the step from the last good weights.
                rho *= 2
                W2, U = fit.W, terms.gradient(fit.Z) / rho
                continue
            fit, curvatures = new, new_curvatures
            before, W2 = W2, terms.label_step(fit.W + U, W2, rho, self.tol)
            U = U + fit.W - W2
            primal = float(np.linalg.norm(fit.W - W2))
            dual = float(rho * np.linalg.norm(W2 - before))
            self._record(fit, value, primal, dual, rho, title)
            size = max(np.linalg.norm(fit.W), np.linalg.norm(W2))
            if primal <= self.tol * size and dual <= limit:
                return fit
        warnings.warn(
            f"{title}: ADMM did not converge in {self.max_outer} outer iterations; raise max_outer",
            ConvergenceWarning,
            stacklevel=3,
        )
        return fit

    def _patch_step(
        self,
        fit: JointFit,
        centre: NDArray[np.float64],
        rho: float,
        curvatures: NDArray[np.float64] | None,
    ) -> tuple[JointFit, NDArray[np.float64]]:
        """Minimise loss, patch penalty and rho/2 ||W - centre||^2; return the fit and the curvatures used."""
        columns = np.arange(self.Y.shape[1])
        found = solve(
            self.design,
            self.Y,
            columns,
            LOGISTIC,
            patches=self.patches,
            lambdas=np.full(len(columns), fit.alpha),
            ridges=np.full(len(columns), rho),
            centre=centre,
            start=fit.W,
            steps=curvatures,
            tol=self.tol,
            max_iter=self.max_iter,
        )
        return replace(fit, W=found.W, Z=found.Z, converged=found.converged), found.steps

    def _objective(self, fit: JointFit, pc: float, nc: float) -> float:
        """Compute the whole objective; `pc` and `nc` are those of the fit's decisions."""
        loss = (LOGISTIC.value(self.Y, fit.Z).sum(axis=0) / (self.Y != 0).sum(axis=0)).sum()
        penalty = fit.alpha * patch_norms(fit.W[:-1], self.patches).sum()
        return float(loss + penalty + fit.beta1 * pc + fit.beta2 * nc)

    def _value(self, fit: JointFit) -> tuple[float, float, float]:
        """Compute the objective, PC and NC."""
        pc, nc = relation_terms(fit.Z, self.Y != 0, self.pairs)[:2]
        return self._objective(fit, pc, nc), pc, nc

    def _dual_limit(self) -> float:
        """Return the share `tol` of the length of the loss's gradient at 0."""
        at_zero = LOGISTIC.slope(self.Y, np.zeros(self.Y.shape)) / (self.Y != 0).sum(axis=0)
        columns = np.arange(self.Y.shape[1])
        return self.tol * float(np.linalg.norm(self.design.backward(at_zero, columns)))

    def _record(
        self,
        fit: JointFit,
        value: tuple[float, float, float],
        primal: float,
        dual: float,
        rho: float,
        title: str,
    ) -> None:
        """Append an outer iteration to the fit's history and report it."""
        fit.history.append((value[0], primal, dual, rho))
        outer = len(fit.history) - 1
        self.report(
            outer,
            self.max_outer,
            f"{title} (beta1 {fit.beta1:g}, beta2 {fit.beta2:g}), outer {outer}: objective {value[0]:.6f},"
            f" PC {value[1]:.4f}, NC {value[2]:.4f}, |W1-W2| {primal:.2e}, rho |dW2| {dual:.2e}, rho {rho:g}",
        )
