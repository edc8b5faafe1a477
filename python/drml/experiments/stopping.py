"""When a training may end before its last iteration: its AUC on the validation set no longer rises.

The rule looks at the mean ROC-AUC of the AUs in each test pass over the validation set, as the pass's sums
estimate it (`drml.training.base_rates`). The AUC is flat if the mean of the last `PATIENCE` passes exceeds
that of as many before them by less than `GAIN`. Means are compared, since a single pass is up to .02 above
its neighbours: a net would be stopped in its rise by one good pass. A net that has not learned yet (a mean
AUC below `drml.training.base_rates.LEARNED` in all passes) is never flat: nets can stay at the base rates
for thousands of iterations and learn after all.

For a net that estimates intensities, the mean ICC takes the place of the AUC, and
`drml.training.level_table.LEARNED_ICC` that of `LEARNED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from drml.io.figures import mean_of_defined
from drml.training.base_rates import LEARNED
from drml.training.f1_table import read_separations
from drml.training.level_table import LEARNED_ICC, mean_iccs

__all__ = [
    "EVERY",
    "GAIN",
    "ICC_RULE",
    "PATIENCE",
    "RULE",
    "is_flat",
    "validation_aucs",
    "validation_is_flat",
]

EVERY = 100
"""Iterations from one test pass to the next."""

PATIENCE = 5
GAIN = 0.005

RULE = (
    f"A training ends when the mean validation AUC of the last {PATIENCE} test passes, one every {EVERY}"
    f" iterations, exceeds that of the {PATIENCE} before them by less than {GAIN}, once it has reached"
    f" {LEARNED}."
)

ICC_RULE = RULE.replace("validation AUC", "validation ICC").replace(str(LEARNED), str(LEARNED_ICC))


def is_flat(figures: Sequence[float], learned: float = LEARNED) -> bool:
    """Decide whether a figure no longer rises.

    Parameters
    ----------
    figures : sequence of float
        Mean ROC-AUC, or mean ICC, of each test pass, in their order.
    learned : float
        The figure from which on a net has learned something.

    Examples
    --------
    >>> is_flat([0.7, 0.75, 0.8, 0.81, 0.8, 0.79, 0.8, 0.81, 0.8, 0.8])
    False
    >>> is_flat([0.8, 0.81, 0.79, 0.8, 0.8, 0.81, 0.8, 0.82, 0.79, 0.8]), is_flat([0.5] * 20)
    (True, False)
    """
    before, last = figures[-2 * PATIENCE : -PATIENCE], figures[-PATIENCE:]
    if len(before) < PATIENCE or max(figures) < learned:
        return False
    return fmean(last) < fmean(before) + GAIN


def validation_aucs(training: Path) -> dict[int, float]:
    """Return the mean ROC-AUC of each test pass of a training's folder, by iteration.

    Passes whose AUC cannot be estimated are left out, and the one before the first iteration.

    Raises
    ------
    UserError
        The table of the test passes is damaged.
    """
    means = {at: mean_of_defined(one.aucs) for at, one in read_separations(training).items() if at > 0}
    return {at: mean for at, mean in sorted(means.items()) if mean == mean}  # not NaN


def validation_is_flat(training: Path) -> bool:
    """Decide by `is_flat` whether a training may end, from the test passes in its folder."""
    iccs = [value for at, value in sorted(mean_iccs(training).items()) if at > 0]
    if iccs:
        return is_flat(iccs, LEARNED_ICC)
    return is_flat(list(validation_aucs(training).values()), LEARNED)
