"""Base of APL and JPML: weights in patches, and the importance of each patch."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning

from drml.baselines.base import LinearDetector
from drml.baselines.input import InputError
from drml.baselines.proximal import patch_norms
from drml.io.text import counted

__all__ = ["PatchDetector", "log_odds"]


class PatchDetector(LinearDetector):
    """A detector whose features are `patches` portions of equal size, one after the other."""

    patches: int

    @property
    def patch_importance_(self) -> NDArray[np.float64]:
        """||w_p|| divided by the AU's largest: shape (K, patches), 0 to 1; all 0 if the weights are 0."""
        norms = patch_norms(self.coef_.T, self.patches).T
        largest = norms.max(axis=1, keepdims=True)
        return np.divide(norms, largest, out=np.zeros_like(norms), where=largest > 0)

    def _check_x(self, X: ArrayLike, *, reset: bool) -> NDArray[Any]:
        checked = super()._check_x(X, reset=reset)
        if reset:
            if not isinstance(self.patches, int | np.integer) or self.patches < 1:
                raise InputError(f"patches={self.patches!r}: a number from 1 up expected")
            if checked.shape[1] % self.patches:
                raise InputError(f"{checked.shape[1]} features are not {self.patches} patches of one size")
        return checked

    def _warn(self, unfinished: NDArray[np.bool_], columns: NDArray[np.intp], max_iter: int) -> None:
        """Warn of AUs whose chosen solution has not converged."""
        names = [self._name(int(column)) for column in columns[unfinished]]
        if names:
            warnings.warn(
                f"{', '.join(names)}: not converged in {counted(max_iter, 'iteration')}; raise max_iter",
                ConvergenceWarning,
                stacklevel=3,
            )


def log_odds(Y: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return the best intercept of each column without features: log(n+ / n-); both classes must exist."""
    result: NDArray[np.float64] = np.log((Y == 1).sum(axis=0) / (Y == -1).sum(axis=0))
    return result
