"""Accelerated proximal gradient (FISTA) for many linear problems over the same X at once.

Problem j, with weights w (in patches w_p) and intercept b, is

    min  1/n sum_i loss(y_i, x_i.w + b)  +  lambda sum_p ||w_p||_2  +  ridge/2 (||w - v||^2 + (b - v_b)^2)

over the rows i whose label is known. Every problem has its own step, momentum and end; the problems share the
passes over X, which take most of the time. See Beck and Teboulle, *A Fast Iterative Shrinkage-Thresholding
Algorithm for Linear Inverse Problems* (2009), for the method, and O'Donoghue and Candès, *Adaptive Restart
for Accelerated Gradient Schemes* (2015), for the restart (their gradient scheme).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from drml.baselines.design import Design

__all__ = ["LOGISTIC", "SQUARED_HINGE", "Loss", "Solution", "patch_norms", "shrink", "solve"]


class Loss(Protocol):
    """A convex loss of labels y (-1, 0, 1) and decisions z, elementwise; 0 where y is 0.

    `curvature` bounds its second derivative by z.
    """

    curvature: float

    def value(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        """Compute the loss."""
        ...

    def slope(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        """Compute its derivative by z."""
        ...


class _Logistic:
    """log(1 + exp(-y z))."""

    curvature = 0.25

    def value(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.logaddexp(0, -y * z.astype(np.float64))
        return np.where(y == 0, 0.0, result)

    def slope(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = -y * expit(-y * z.astype(np.float64))
        return result


class _SquaredHinge:
    """max(0, 1 - y z)^2, the loss of LIBLINEAR's L2-loss SVM."""

    curvature = 2.0

    def value(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = np.maximum(0, 1 - y * z.astype(np.float64)) ** 2
        return np.where(y == 0, 0.0, result)

    def slope(self, y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = -2 * y * np.maximum(0, 1 - y * z.astype(np.float64))
        return result


LOGISTIC: Loss = _Logistic()
SQUARED_HINGE: Loss = _SquaredHinge()


def patch_norms(W: NDArray[np.float64], patches: int) -> NDArray[np.float64]:
    """Compute ||w_p||_2 of weights P x M: shape (patches, M)."""
    return np.sqrt((W.reshape(patches, -1, W.shape[1]) ** 2).sum(axis=1))


def shrink(W: NDArray[np.float64], patches: int, by: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shorten each patch of W (P x M) by `by` (M), to 0 at most: the proximal map of by * sum_p ||w_p||.

    Examples
    --------
    >>> shrink(np.array([[3.0], [4.0], [0.3], [0.4]]), 2, np.array([1.0])).ravel()
    array([2.4, 3.2, 0. , 0. ])
    """
    norms = patch_norms(W, patches)
    kept = np.maximum(0, 1 - by / np.maximum(norms, np.finfo(np.float64).tiny))
    return (W.reshape(patches, -1, W.shape[1]) * kept[:, None]).reshape(W.shape)


@dataclasses.dataclass(eq=False)
class Solution:
    """The result of `solve`.

    Attributes
    ----------
    W : ndarray, shape (P + 1, M)
        Scaled weights; the last row holds the intercepts.
    Z : ndarray, shape (N, M)
        Their decisions.
    iterations : ndarray of int, shape (M,)
    converged : ndarray of bool, shape (M,)
    steps : ndarray, shape (M,)
        Curvatures (inverse step lengths) at the end: good initial ones for a similar problem.
    """

    W: NDArray[np.float64]
    Z: NDArray[Any]
    iterations: NDArray[np.intp]
    converged: NDArray[np.bool_]
    steps: NDArray[np.float64]


@dataclasses.dataclass(eq=False)
class _State:
    """The problems that have not ended."""

    index: NDArray[np.intp]  # which of the M problems
    x: NDArray[np.float64]
    y: NDArray[np.float64]  # where the gradient is taken: x and momentum
    zx: NDArray[Any]
    zy: NDArray[Any]
    t: NDArray[np.float64]
    curvature: NDArray[np.float64]

    def keep(self, which: NDArray[np.bool_]) -> _State:
        values = {name: getattr(self, name)[..., which] for name in ("x", "y", "zx", "zy", "t", "curvature")}
        return _State(self.index[which], **values)


def solve(
    design: Design,
    Y: NDArray[np.int8],
    columns: NDArray[np.intp],
    loss: Loss,
    *,
    patches: int,
    lambdas: NDArray[np.float64],
    ridges: NDArray[np.float64],
    centre: NDArray[np.float64] | None = None,
    start: NDArray[np.float64],
    steps: NDArray[np.float64] | None = None,
    tol: float,
    max_iter: int,
    progress: Callable[[int, int], None] | None = None,
) -> Solution:
    """Solve M problems.

    Parameters
    ----------
    design : Design
    Y : ndarray of int8, shape (N, K)
    columns : ndarray of int, shape (M,)
        The column of Y that each problem learns.
    loss : Loss
    patches : int
    lambdas, ridges : ndarray, shape (M,)
    centre : ndarray, shape (P + 1, M), optional
        v of the ridge; 0 by default.
    start : ndarray, shape (P + 1, M)
    steps : ndarray, shape (M,), optional
        Curvatures to start with.
    tol : float
        A problem ends when the gradient map (curvature times the step; the gradient itself, where nothing is
        shrunk) is no longer than `tol` times the gradient of the loss at 0.
    max_iter : int
    progress : callable, optional
        Called after each iteration with the number of problems that have ended, and the iteration.

    Returns
    -------
    Solution
    """
    counts = np.maximum((Y != 0).sum(axis=0), 1)
    centre = np.zeros_like(start) if centre is None else centre

    def slopes(z: NDArray[Any], index: NDArray[np.intp]) -> NDArray[np.float64]:
        of = columns[index]
        return loss.slope(Y[:, of], z) / counts[of]

    # The gradient at 0 differs between columns only.
    used = np.unique(columns)
    at_zero = design.backward(loss.slope(Y[:, used], np.zeros((len(Y), len(used)))) / counts[used], used)
    reference = np.zeros(Y.shape[1])
    reference[used] = np.sqrt((at_zero**2).sum(axis=0))
    limits = tol * np.maximum(reference[columns], np.finfo(np.float64).tiny)

    z = design.forward(start, columns)
    count = len(columns)
    solution = Solution(
        start.copy(), z.copy(), np.zeros(count, np.intp), np.zeros(count, bool), np.ones(count)
    )
    first = np.ones(count) if steps is None else steps.copy()
    state = _State(np.arange(count), start.copy(), start.copy(), z, z, np.ones(count), first)
    for iteration in range(1, max_iter + 1):
        index = state.index
        gradient = design.backward(slopes(state.zy, index), columns[index])
        x, zx = _step(design, Y, loss, state, gradient, columns, counts, patches, lambdas, ridges, centre)
        move = x - state.y
        length = state.curvature * np.sqrt((move**2).sum(axis=0))
        ended = length <= limits[index]
        # Restart: momentum that would raise the objective is dropped.
        restart = -(move * (x - state.x)).sum(axis=0) > 0
        t = np.where(restart, 1.0, (1 + np.sqrt(1 + 4 * state.t**2)) / 2)
        momentum = np.where(restart, 0.0, (state.t - 1) / t)
        state.y = x + momentum * (x - state.x)
        state.zy = (zx + momentum * (zx.astype(np.float64) - state.zx)).astype(design.dtype)
        state.x, state.zx, state.t = x, zx, t
        solution.iterations[index] = iteration
        solution.steps[index] = state.curvature
        # The loss flattens as it is fitted, so that a smaller curvature may do in the next step.
        state.curvature = state.curvature * 0.9
        if ended.any() or iteration == max_iter:
            over = ended if iteration < max_iter else np.ones_like(ended)
            solution.W[:, index[over]] = x[:, over]
            solution.Z[:, index[over]] = zx[:, over]
            solution.converged[index[ended]] = True
            state = state.keep(~over)
        if progress is not None:
            progress(count - len(state.index), iteration)
        if not len(state.index):
            break
    return solution


def _step(
    design: Design,
    Y: NDArray[np.int8],
    loss: Loss,
    state: _State,
    gradient: NDArray[np.float64],
    columns: NDArray[np.intp],
    counts: NDArray[np.intp],
    patches: int,
    lambdas: NDArray[np.float64],
    ridges: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Take one proximal step from `state.y` in every problem, with backtracking; return x and its decisions.

    A step of length 1/L is good where the loss lies below its quadratic model:
    loss(x) - loss(y) - <gradient, x - y> <= L/2 ||x - y||^2. The left side is summed over rows of Z, where
    it is a sum of positive terms and not the inaccurate difference of two nearly equal means.
    """
    x = np.empty_like(state.y)
    zx = np.empty_like(state.zy)
    todo = np.arange(len(state.index))
    while len(todo):
        index = state.index[todo]
        of = columns[index]
        L, ridge = state.curvature[todo], ridges[index]
        at = state.y[:, todo] - gradient[:, todo] / L
        at = (at + ridge / L * centre[:, index]) / (1 + ridge / L)
        if not design.intercept:
            at[-1] = 0
        at[:-1] = shrink(at[:-1], patches, lambdas[index] / (L + ridge))
        z = design.forward(at, of)
        y, zy = Y[:, of], state.zy[:, todo]
        gap = loss.value(y, z) - loss.value(y, zy) - loss.slope(y, zy) * (z.astype(np.float64) - zy)
        square = ((at - state.y[:, todo]) ** 2).sum(axis=0)
        # The curvature of the loss is at most this; rounding may make the comparison say otherwise.
        most = loss.curvature * design.square[of]
        bad = (gap.sum(axis=0) / counts[of] > L / 2 * square) & (most > L)
        x[:, todo], zx[:, todo] = at, z
        state.curvature[todo[bad]] = np.minimum(2 * L, most)[bad]
        todo = todo[bad]
    return x, zx
