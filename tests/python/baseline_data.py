"""Labelled rows for the tests of the linear baselines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw(rows: int = 240, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """20 features of which patches 0 and 1 of 5 matter; AUs 0 and 1 agree, 2 contradicts, some unknown."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, 20)) * 3 + 7
    weights = np.random.default_rng(99).standard_normal((20, 4))
    weights[:, 1] = weights[:, 0] + 0.3 * weights[:, 1]
    weights[:, 2] = -weights[:, 0] + 0.5 * weights[:, 2]
    weights[8:] = 0
    Z = (X - 7) @ weights / 3 + rng.standard_normal((rows, 4))
    Y = np.where(Z > 0.3, 1, -1).astype(np.int8)
    Y[rng.random(Y.shape) < 0.15] = 0
    return X, Y
