"""The scores of several folds: pooled as one test, and as the mean of the folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from drml.evaluation.au_table import AuTable
from drml.evaluation.bootstrap import DRAWS
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.score_table import ScoreTable, evaluate
from drml.io.figures import mean_of_defined

__all__ = ["mean_of_folds", "pool"]

_Table = TypeVar("_Table", bound=AuTable)


def pool(
    folds: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    aus: Sequence[int],
    threshold: float | Sequence[ArrayLike] = THRESHOLD,
    subjects: ArrayLike | None = None,
    bootstrap: int = DRAWS,
    seed: int = 0,
    known: ScoreTable | None = None,
) -> ScoreTable:
    """Score the test frames of all folds as one test.

    Parameters
    ----------
    folds : sequence of (labels, scores)
        One pair per fold, as `evaluate` takes them.
    aus : sequence of K int
    threshold : float or sequence
        One threshold, or for each fold one or an array_like of K.
    subjects, bootstrap, seed
        As in `evaluate`, for the frames of all folds in order. A subject in several folds is one subject.
    known : ScoreTable, optional
        As in `evaluate`.

    Returns
    -------
    ScoreTable
    """
    labels = np.concatenate([np.asarray(fold[0]) for fold in folds])
    scores = np.concatenate([np.asarray(fold[1]) for fold in folds])
    by_fold = [threshold] * len(folds) if isinstance(threshold, float | int) else threshold
    limits = [np.broadcast_to(one, np.shape(fold[0])) for one, fold in zip(by_fold, folds, strict=True)]
    return evaluate(
        labels,
        scores,
        aus=aus,
        threshold=np.concatenate(limits),
        subjects=subjects,
        bootstrap=bootstrap,
        seed=seed,
        known=known,
    )


def mean_of_folds(folds: Sequence[_Table]) -> _Table:
    """Average each AU's figures over the folds in which they are defined; counts are added up.

    Parameters
    ----------
    folds : sequence of AuTable
        At least one, all of occurrences or all of intensities, of the same AUs.

    Returns
    -------
    AuTable
        Of the same kind.

    Raises
    ------
    ValueError
        There is no fold, or the folds do not score the same AUs.

    Examples
    --------
    >>> one = evaluate([[1], [-1]], [[0.8], [0.3]], aus=(1,))
    >>> two = evaluate([[1], [-1]], [[0.3], [0.8]], aus=(1,))
    >>> mean_of_folds([one, two]).rows[0].auc
    0.5
    """
    if not folds:
        raise ValueError("no fold to average")
    first = folds[0]
    if any(one.aus != first.aus for one in folds):
        raise ValueError("the folds do not score the same AUs")
    kind = first.kind

    def mean(rows: Sequence[Any]) -> Any:
        return kind.row(
            au=rows[0].au,
            **{name: sum(getattr(row, name) for row in rows) for name in kind.counts},
            **{name: mean_of_defined([getattr(row, name) for row in rows]) for name in kind.averaged},
        )

    rows = tuple(map(mean, zip(*(one.rows for one in folds), strict=True)))
    return type(first)(rows, named=first.named)
