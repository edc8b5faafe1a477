"""Pairs of AUs that occur together or exclude each other, and the terms of JPML's objective over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from drml.baselines.design import Design

__all__ = ["Pairs", "RelationTerms", "phi_coefficients", "relate", "relation_terms"]

_LABEL_STEPS = 50  # at most, of L-BFGS in a label step, which starts near its minimum


def phi_coefficients(Y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Correlate the AUs' labels pair by pair, over the rows in which both are known.

    Parameters
    ----------
    Y : ndarray, shape (N, K)
        1, -1 or 0.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Phi (Pearson's coefficient of two binary variables), -1 to 1; NaN if one of the two does not vary.

    Examples
    --------
    >>> phi_coefficients(np.array([[1, 1, -1], [1, 1, -1], [-1, -1, 1], [-1, -1, 0]]))[0]
    array([ 1.,  1., -1.])
    """
    known = (Y != 0).astype(np.float64)
    values = Y.astype(np.float64)
    counts = known.T @ known
    products = values.T @ values
    of_first = values.T @ known  # sum of y_i over the rows in which j is known too
    of_second = of_first.T
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = counts * products - of_first * of_second
        # y^2 = 1 wherever y is known.
        variances = (counts**2 - of_first**2) * (counts**2 - of_second**2)
        result: NDArray[np.float64] = np.where(variances > 0, covariance / np.sqrt(variances), np.nan)
    return result


@dataclass(frozen=True)
class Pairs:
    """Pairs of AUs, as columns (i, j) with i < j: positively related ones and competing ones."""

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
    """Compute PC and NC of decisions Z, and their gradients with respect to Z.

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
            # In float64, since the two decisions may be nearly equal.
            part = np.where(both, Z[:, i].astype(np.float64) + sign * Z[:, j], 0.0)
            if kind == 1:
                part = np.maximum(0, part)
            values[kind] += float(part @ part) / (2 * count)
            gradients[kind][:, i] += part / count
            gradients[kind][:, j] += sign * part / count
    return values[0], values[1], gradients[0], gradients[1]


class RelationTerms:
    """beta1 PC + beta2 NC as a function of the weights of the AUs that are in a pair.

    Parameters
    ----------
    design : Design
    known : ndarray of bool, shape (N, K)
    pairs : Pairs
    beta1, beta2 : float

    Attributes
    ----------
    columns : ndarray of int
        The AUs that are in a pair.
    """

    def __init__(
        self, design: Design, known: NDArray[np.bool_], pairs: Pairs, beta1: float, beta2: float
    ) -> None:
        self._design = design
        self._betas = beta1, beta2
        self._all = known.shape[1]
        self.columns = np.unique(np.array([*pairs.related, *pairs.competing]))
        position = {int(column): at for at, column in enumerate(self.columns)}
        self._pairs = Pairs(
            *([(position[i], position[j]) for i, j in some] for some in (pairs.related, pairs.competing))
        )
        self._known = known[:, self.columns]

    def _value(self, Z: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        """Compute the value and its gradient with respect to the weights, at the decisions of `columns`."""
        pc, nc, d_pc, d_nc = relation_terms(Z, self._known, self._pairs)
        beta1, beta2 = self._betas
        slopes = beta1 * d_pc + beta2 * d_nc
        return beta1 * pc + beta2 * nc, self._design.backward(slopes, self.columns)

    def gradient(self, Z: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the gradient with respect to all weights, (P + 1) x K, at decisions Z (N x K)."""
        result = np.zeros((self._design.features + 1, self._all))
        result[:, self.columns] = self._value(Z[:, self.columns])[1]
        return result

    def label_step(
        self, target: NDArray[np.float64], start: NDArray[np.float64], rho: float, tol: float
    ) -> NDArray[np.float64]:
        """Minimise beta1 PC + beta2 NC + rho/2 ||W - target||^2 by L-BFGS from `start`; all (P + 1) x K."""
        result = target.copy()  # the minimum for AUs that are in no pair
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
