"""The scores of several AUs: a row per AU, their averages, and the same over several folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drml.data.labels import AU_NAMES, PRESENT, UNKNOWN
from drml.evaluation.metrics import FIGURES, THRESHOLD, average_precision, f1_frame, roc_auc
from drml.io.figures import json_value, mean_of_defined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AuScore", "ScoreTable", "evaluate", "mean_of_folds", "pool"]

_AVERAGED = ("base_rate", "f1", "auc", "ap", "trivial_f1", "trivial_auc", "trivial_ap")
_TITLES = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
_TRIVIAL = "all positive (trivial)"


@dataclass(frozen=True)
class AuScore:
    """The figures of one AU.

    Attributes
    ----------
    au : int
        Number of the AU, or of the column (from 0) if the AUs were not given.
    known : int
        Frames with a known label.
    positives : int
        Frames in which the AU is present.
    base_rate : float
        `positives` / `known`; NaN without a known label.
    f1, auc, ap : float
        F1-frame, area under the ROC curve, average precision: 0 to 1; NaN where undefined.
    trivial_f1, trivial_auc, trivial_ap : float
        The same for predicting "present" with equal confidence everywhere; undefined where the figure is.
    """

    au: int
    known: int
    positives: int
    base_rate: float
    f1: float
    auc: float
    ap: float
    trivial_f1: float
    trivial_auc: float
    trivial_ap: float


@dataclass(frozen=True, repr=False)
class ScoreTable:
    """The scores of a test. Printed or shown in a notebook, it is the table of ``drml score``.

    Attributes
    ----------
    rows : tuple of AuScore
        One per AU, in the order of the columns.
    named : bool
        Whether the AUs were given; otherwise rows are named by their columns.
    """

    rows: tuple[AuScore, ...]
    named: bool = True

    def average(self, figure: str) -> float:
        """Return the mean of a figure, named as in `AuScore`, over the AUs where it is defined; else NaN."""
        return mean_of_defined([getattr(row, figure) for row in self.rows])

    @property
    def undefined(self) -> dict[str, list[int]]:
        """The AUs left out of an average, by figure; figures that are defined everywhere do not appear."""
        left_out = {
            figure: [row.au for row in self.rows if math.isnan(getattr(row, figure))] for figure in FIGURES
        }
        return {figure: aus for figure, aus in left_out.items() if aus}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold; undefined figures are None."""
        return {
            "aus": [
                {
                    "au": row.au,
                    "known": row.known,
                    "positives": row.positives,
                    **{name: json_value(getattr(row, name)) for name in _AVERAGED},
                }
                for row in self.rows
            ],
            "average": {name: json_value(self.average(name)) for name in _AVERAGED},
            "left_out_of_average": self.undefined,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            A row per AU (``AU1``, ...), then ``Avg.`` and ``all positive (trivial)``; columns ``frames``
            (with a known label), ``positives``, ``base_rate``, ``f1``, ``auc`` and ``ap``. What is undefined,
            and the counts of the last two rows, are missing values.

        Examples
        --------
        >>> table = evaluate([[1], [-1]], [[0.8], [0.3]], aus=(12,))
        >>> table.to_frame().loc["AU12", "auc"]
        np.float64(1.0)
        """
        import pandas as pd

        figures = ("base_rate", *FIGURES)
        rows: list[list[Any]] = [
            [row.known, row.positives, *(getattr(row, figure) for figure in figures)] for row in self.rows
        ]
        rows.append([None, None, *map(self.average, figures)])
        rows.append([None, None, *map(self.average, ("base_rate", *(f"trivial_{one}" for one in FIGURES)))])
        names = [*(self._name(row.au) for row in self.rows), "Avg.", _TRIVIAL]
        frame = pd.DataFrame(rows, names, ["frames", "positives", *figures])
        return frame.astype({"frames": "Int64", "positives": "Int64"})

    def to_text(self) -> str:
        """Return the table that ``drml score`` prints, without a line break at its end."""
        head = f"{'AU':<26}{'frames':>8}{'base rate':>11}{'F1-frame':>10}{'ROC-AUC':>9}{'AP':>8}"

        def line(name: str, frames: str, *values: float) -> str:
            rate, f1, auc, ap = ("-" if math.isnan(value) else f"{value:.3f}" for value in values)
            return f"{name:<26}{frames:>8}{rate:>11}{f1:>10}{auc:>9}{ap:>8}"

        lines = [head, "-" * len(head)]
        for row in self.rows:
            name = f"{row.au:>2}  {AU_NAMES.get(row.au, '')}" if self.named else self._name(row.au)
            lines.append(line(name, str(row.known), row.base_rate, row.f1, row.auc, row.ap))
        average = self.average
        lines.append("-" * len(head))
        lines.append(line("Avg.", "", average("base_rate"), *map(average, FIGURES)))
        trivial = [average(f"trivial_{figure}") for figure in FIGURES]
        lines.append(line(_TRIVIAL, "", average("base_rate"), *trivial))
        for figure, aus in self.undefined.items():
            reason = (
                "no frame with a known label"
                if figure == "f1"
                else "present and absent frames not both there"
            )
            names = ", ".join(map(self._name, aus))
            lines.append(f"- {_TITLES[figure]} undefined for {names} ({reason}); left out of Avg.")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.to_text()

    def _name(self, au: int) -> str:
        return f"AU{au}" if self.named else f"column {au}"


def evaluate(
    y: ArrayLike, scores: ArrayLike, *, aus: Sequence[int] | None = None, threshold: float = THRESHOLD
) -> ScoreTable:
    """Score the predictions of several AUs.

    Parameters
    ----------
    y : array_like of shape (N, K)
        Labels of N frames: 1 present, -1 absent, 0 unknown. Frames with an unknown label of an AU are left
        out of that AU's figures.
    scores : array_like of shape (N, K)
        Probabilities from 0 to 1, or any finite scores that are larger for present AUs.
    aus : sequence of K int, optional
        The AU of each column; without it, the rows of the table are named by their columns.
    threshold : float
        A frame is predicted present if its score is at least this. Only F1-frame depends on it.

    Returns
    -------
    ScoreTable
        F1-frame, ROC-AUC and average precision by AU and averaged. Figures that cannot be computed are NaN
        and left out of the averages.

    Raises
    ------
    ValueError
        The shapes do not agree, a label is none of -1, 0, 1, or a score is not finite.

    Examples
    --------
    >>> table = evaluate([[1, 1], [-1, 1]], [[0.8, 0.8], [0.3, 0.1]], aus=(1, 2))
    >>> table.rows[0].auc, table.undefined
    (1.0, {'auc': [2], 'ap': [2]})
    >>> print(table)
    AU                          frames  base rate  F1-frame  ROC-AUC      AP
    ------------------------------------------------------------------------
     1  Inner brow raiser            2      0.500     1.000    1.000   1.000
     2  Outer brow raiser            2      1.000     0.667        -       -
    ------------------------------------------------------------------------
    Avg.                                    0.750     0.833    1.000   1.000
    all positive (trivial)                  0.750     0.833    0.500   0.500
    - ROC-AUC undefined for AU2 (present and absent frames not both there); left out of Avg.
    - AP undefined for AU2 (present and absent frames not both there); left out of Avg.
    """
    labels, values = np.asarray(y), np.asarray(scores)
    columns = labels.shape[-1] if aus is None and labels.ndim == 2 else len(aus or ())
    if labels.ndim != 2 or labels.shape != values.shape or labels.shape[1] != columns:
        raise ValueError(
            f"expected labels and scores of shape (N, {columns if labels.ndim == 2 or aus else 'K'}),"
            f" got {labels.shape} and {values.shape}"
        )
    table = ScoreTable((), named=aus is not None)
    rows = []
    for column, au in enumerate(range(columns) if aus is None else aus):
        try:
            rows.append(_score_au(int(au), labels[:, column], values[:, column], threshold))
        except ValueError as error:
            raise ValueError(f"{table._name(au)}: {error}") from None
    return ScoreTable(tuple(rows), named=table.named)


def _score_au(au: int, labels: NDArray[Any], scores: NDArray[Any], threshold: float) -> AuScore:
    known = int(np.count_nonzero(labels != UNKNOWN))
    positives = int(np.count_nonzero(labels == PRESENT))
    base_rate = positives / known if known else math.nan
    auc = roc_auc(labels, scores)
    ap = average_precision(labels, scores)
    return AuScore(
        au=au,
        known=known,
        positives=positives,
        base_rate=base_rate,
        f1=f1_frame(labels, scores, threshold),
        auc=auc,
        ap=ap,
        trivial_f1=2 * base_rate / (1 + base_rate),
        trivial_auc=math.nan if math.isnan(auc) else 0.5,
        trivial_ap=math.nan if math.isnan(ap) else base_rate,
    )


def pool(
    folds: Sequence[tuple[ArrayLike, ArrayLike]], *, aus: Sequence[int], threshold: float = THRESHOLD
) -> ScoreTable:
    """Score the test frames of all folds as one test.

    Parameters
    ----------
    folds : sequence of (labels, scores)
        One pair per fold, as `evaluate` takes them.
    aus : sequence of K int
    threshold : float

    Returns
    -------
    ScoreTable
    """
    labels = np.concatenate([np.asarray(fold[0]) for fold in folds])
    scores = np.concatenate([np.asarray(fold[1]) for fold in folds])
    return evaluate(labels, scores, aus=aus, threshold=threshold)


def mean_of_folds(folds: Sequence[ScoreTable]) -> ScoreTable:
    """Average each AU's figures over the folds in which they are defined; counts are added up.

    Parameters
    ----------
    folds : sequence of ScoreTable
        At least one, of the same AUs.

    Returns
    -------
    ScoreTable

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
    aus = [row.au for row in folds[0].rows]
    if any([row.au for row in fold.rows] != aus for fold in folds):
        raise ValueError("the folds do not score the same AUs")
    return ScoreTable(
        tuple(
            AuScore(
                au=rows[0].au,
                known=sum(row.known for row in rows),
                positives=sum(row.positives for row in rows),
                **{name: mean_of_defined([getattr(row, name) for row in rows]) for name in _AVERAGED},
            )
            for rows in zip(*(fold.rows for fold in folds), strict=True)
        ),
        named=folds[0].named,
    )
