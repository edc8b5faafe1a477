"""X for the solvers: centred and scaled for each AU without a copy, and multiplied on all cores."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from drml.baselines.input import chunks

__all__ = ["Design", "designed"]


class Design:
    """N rows of P features for K columns (AUs), each with its own scaling, and a constant feature.

    The features of column k are x' = f_k (x - m_k) and 1, where m_k is the mean of x over the rows whose
    label is known for k, and f_k the number that makes the mean square norm of a patch 1: the sum over known
    rows of ||x - m_k||^2 is n_k G / f_k^2 with G patches. So lambda and C do not depend on the units of X,
    the features keep their relative sizes, and rows without a label do not count. The scaling is applied to
    the products: with V = f W, X' W = X V - m.V.

    Products are computed in float32 if X is float32, portion by portion, and summed over portions in float64.
    Each portion is computed by one thread, and portions are added in order, so that the result does not
    depend on the number of threads.

    Parameters
    ----------
    X : ndarray, shape (N, P)
        May be memory-mapped.
    known : ndarray of bool, shape (N, K)
        At least one row of each column.
    patches : int
        G.
    scale, intercept : bool
        Without `scale`, x' = x; without `intercept`, the constant feature has no gradient.
    pool : ThreadPoolExecutor or None
    threads : int

    Attributes
    ----------
    mean : ndarray, shape (P, K)
        m_k.
    factor : ndarray, shape (K,)
        f_k.
    square : ndarray, shape (K,)
        Mean of ||x'||^2 + 1 over the known rows: no eigenvalue of X'^T X' / n is larger.
    """

    def __init__(
        self,
        X: NDArray[Any],
        known: NDArray[np.bool_],
        *,
        patches: int,
        scale: bool,
        intercept: bool,
        pool: ThreadPoolExecutor | None = None,
        threads: int = 1,
    ) -> None:
        self.X = X
        self.intercept = intercept
        self.dtype = np.dtype(np.float32 if X.dtype in (np.float32, np.float16) else np.float64)
        self._pool, self._threads = pool, threads
        self.mean = np.zeros((X.shape[1], known.shape[1]))
        self.factor = np.ones(known.shape[1])
        self.square = np.ones(known.shape[1])
        self._measure(known, patches if scale else 0)

    @property
    def features(self) -> int:
        """P."""
        return int(self.X.shape[1])

    def forward(self, W: NDArray[np.float64], columns: NDArray[np.intp]) -> NDArray[Any]:
        """Compute the decisions Z, N x M, of weights W, (P + 1) x M (the last row holds the intercepts).

        `columns` (M) names the column whose scaling each of the M weight vectors has.
        """
        weights, constants = self.unscaled(W, columns)
        V, c = weights.astype(self.dtype), constants.astype(self.dtype)
        Z = np.empty((len(self.X), W.shape[1]), self.dtype)

        def work(rows: slice) -> None:
            np.matmul(self.X[rows].astype(self.dtype, copy=False), V, out=Z[rows])
            Z[rows] += c

        for _ in self._each(work):
            pass
        return Z

    def backward(self, R: NDArray[Any], columns: NDArray[np.intp]) -> NDArray[np.float64]:
        """Compute X'^T R, (P + 1) x M: the gradient by W of a function whose gradient by Z is R, N x M."""
        residuals = R.astype(self.dtype, copy=False)
        total = np.zeros((self.features, R.shape[1]))
        for part in self._each(
            lambda rows: self.X[rows].astype(self.dtype, copy=False).T @ residuals[rows],
        ):
            total += part
        sums = R.sum(axis=0, dtype=np.float64)
        result = np.empty((self.features + 1, R.shape[1]))
        result[:-1] = self.factor[columns] * (total - self.mean[:, columns] * sums)
        result[-1] = sums if self.intercept else 0
        return result

    def unscaled(
        self, W: NDArray[np.float64], columns: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the weights (P x M) and intercepts (M) of W in units of X."""
        weights = W[:-1] * self.factor[columns]
        return weights, W[-1] - np.einsum("pm,pm->m", self.mean[:, columns], weights)

    def _measure(self, known: NDArray[np.bool_], patches: int) -> None:
        """Compute means and squares in one pass, in float64; without `patches` nothing is scaled."""
        counts = known.sum(axis=0)
        squares = np.zeros(known.shape[1])

        def work(rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            part = self.X[rows].astype(np.float64)
            among = known[rows].astype(np.float64)
            return part.T @ among, np.einsum("np,np->n", part, part) @ among

        for sums, norms in self._each(work):
            self.mean += sums
            squares += norms
        squares /= counts
        if not patches:
            self.mean[:] = 0
            self.square = squares + 1
            return
        self.mean /= counts
        spread = np.maximum(squares - (self.mean**2).sum(axis=0), 0)
        # Features that do not vary among the known rows keep the factor 1.
        varied = spread > 1e-12 * squares
        self.factor[varied] = np.sqrt(patches / spread[varied])
        self.square = spread * self.factor**2 + 1

    def _each(self, work: Callable[[slice], Any]) -> Iterator[Any]:
        """Yield each portion's result, in order; at most one portion per thread is held."""
        left = chunks(len(self.X))
        if self._pool is None:
            yield from map(work, left)
            return
        while wave := list(itertools.islice(left, self._threads)):
            yield from self._pool.map(work, wave)


@contextmanager
def designed(
    X: NDArray[Any],
    known: NDArray[np.bool_],
    *,
    patches: int,
    scale: bool,
    intercept: bool,
    n_jobs: int | None,
) -> Iterator[Design]:
    """Open a `Design` whose products run in `n_jobs` threads (scikit-learn's meaning: None is 1, -1 all).

    In the meantime, BLAS runs one thread in each of them.
    """
    threads = effective_n_jobs(n_jobs)
    with threadpool_limits(1, user_api="blas"):
        if threads == 1:
            yield Design(X, known, patches=patches, scale=scale, intercept=intercept)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield Design(
                X, known, patches=patches, scale=scale, intercept=intercept, pool=pool, threads=threads
            )
