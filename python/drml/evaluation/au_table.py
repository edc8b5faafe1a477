"""What tables of scores of occurrences and of intensities have in common: rows, averages, intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from numpy.typing import NDArray

from drml.data.labels import AU_NAMES
from drml.evaluation.bootstrap import INTERVAL_TITLE, Intervals
from drml.evaluation.text_table import figure_cell, format_table, interval_cell
from drml.io.figures import json_value, mean_of_defined

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AuTable", "Kind", "count_columns", "score_columns"]

_Row = TypeVar("_Row")


@dataclass(frozen=True)
class Kind:
    """What differs between tables: the figures of a row, and their names.

    Attributes
    ----------
    row : type
        Of a row: a dataclass with ``au`` and these figures.
    counts : tuple of str
        The counts of frames in a row; the first is that of the known labels.
    lead : str
        What a row says of the labels, before the figures.
    figures : tuple of str
    titles : mapping of str to str
        How tables name `lead` and the figures.
    trivial : mapping of str to str
        The predictions that look at no face, to which a row compares: the beginning of the names of their
        figures, such as ``zero`` of ``zero_mse``, and their titles.
    with_intervals : tuple of str
        The figures that may have confidence intervals.
    reasons : mapping of str to str
        Why a figure may be undefined.
    """

    row: Callable[..., Any]
    counts: tuple[str, ...]
    lead: str
    figures: tuple[str, ...]
    titles: Mapping[str, str]
    trivial: Mapping[str, str]
    with_intervals: tuple[str, ...]
    reasons: Mapping[str, str]

    def figures_of(self, trivial: str) -> tuple[str, ...]:
        """Return the names of a trivial prediction's figures, after that of `lead`."""
        return (self.lead, *(f"{trivial}_{figure}" for figure in self.figures))

    @property
    def averaged(self) -> tuple[str, ...]:
        """The figures of an AU that are averaged over AUs and folds."""
        others = (name for trivial in self.trivial for name in self.figures_of(trivial)[1:])
        return (self.lead, *self.figures, *others)


@dataclass(frozen=True, repr=False)
class AuTable:
    """The scores of a test. Printed or shown in a notebook, it is the table of ``drml score``.

    Attributes
    ----------
    kind : Kind
    rows : tuple
        One per AU, in the order of the columns; each has the attributes that `kind` names.
    named : bool
        Whether the AUs were given; otherwise rows are named by their columns.
    intervals : Intervals or None
        Confidence intervals, if they were asked for.
    """

    kind: ClassVar[Kind]

    rows: tuple[Any, ...]
    named: bool = True
    intervals: Intervals | None = None

    @property
    def aus(self) -> tuple[int, ...]:
        """The AUs of the rows."""
        return tuple(row.au for row in self.rows)

    def average(self, figure: str) -> float:
        """Return the mean of a figure, named as in a row, over the AUs where it is defined; else NaN."""
        return mean_of_defined([getattr(row, figure) for row in self.rows])

    @property
    def undefined(self) -> dict[str, list[int]]:
        """The AUs left out of an average, by figure; figures that are defined everywhere do not appear."""
        left_out = {
            figure: [row.au for row in self.rows if math.isnan(getattr(row, figure))]
            for figure in self.kind.figures
        }
        return {figure: aus for figure, aus in left_out.items() if aus}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold; undefined figures are None."""
        return {
            "aus": [
                {
                    "au": row.au,
                    **{name: getattr(row, name) for name in self.kind.counts},
                    **{name: json_value(getattr(row, name)) for name in self.kind.averaged},
                }
                for row in self.rows
            ],
            "average": {name: json_value(self.average(name)) for name in self.kind.averaged},
            "left_out_of_average": self.undefined,
            **({"intervals": self.intervals.to_dict(self.aus)} if self.intervals else {}),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the table as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            A row per AU (``AU1``, ...), then ``Avg.`` and the trivial predictions. The columns are ``frames``
            (with a known label), the other counts and figures by their names in `rows`, and, with confidence
            intervals, their ends, such as ``f1_low`` and ``f1_high``. What is undefined, and the counts of
            the last rows, are missing values.
        """
        import pandas as pd

        kind, none = self.kind, [None] * len(self.kind.counts)
        figures = (kind.lead, *kind.figures)
        rows: list[list[Any]] = [
            [getattr(row, name) for name in (*kind.counts, *figures)] for row in self.rows
        ]
        rows.append([*none, *map(self.average, figures)])
        rows += [[*none, *map(self.average, kind.figures_of(name))] for name, _ in self._trivial()]
        names = [*(self._name(row.au) for row in self.rows), "Avg.", *(title for _, title in self._trivial())]
        counts = ["frames", *kind.counts[1:]]
        frame = pd.DataFrame(rows, names, [*counts, *figures])
        if self.intervals:
            for figure in kind.with_intervals:
                ends = [*self.intervals.by_au[figure], self.intervals.average[figure]]
                beyond = [math.nan] * (len(rows) - len(ends))
                frame[f"{figure}_low"] = [*(one.low for one in ends), *beyond]
                frame[f"{figure}_high"] = [*(one.high for one in ends), *beyond]
        return frame.astype(dict.fromkeys(counts, "Int64"))

    def to_text(self) -> str:
        """Return the table that ``drml score`` prints, without a line break at its end."""
        kind = self.kind
        figures = (kind.lead, *kind.figures)
        head = ["AU", "frames", kind.titles[kind.lead]]
        for figure in kind.figures:
            with_interval = self.intervals and figure in kind.with_intervals
            head.append(kind.titles[figure] + (INTERVAL_TITLE if with_interval else ""))
        rows = [
            [self.title(row.au), str(row.known), *(self.cell(figure, column) for figure in figures)]
            for column, row in enumerate(self.rows)
        ]
        rows.append(["Avg.", "", *map(self.cell, figures)])
        trivial = self._trivial()
        rows += [[title, "", *map(self.cell, kind.figures_of(name))] for name, title in trivial]
        # With intervals, the narrow gap keeps the table within 100 columns.
        lines = [format_table(head, rows, totals=1 + len(trivial), gap=1 if self.intervals else 2)]
        grouped: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for figure, aus in self.undefined.items():
            grouped.setdefault((kind.reasons[figure], tuple(aus)), []).append(kind.titles[figure])
        for (reason, left_out), titles in grouped.items():
            names = ", ".join(map(self._name, left_out))
            lines.append(f"- {', '.join(titles)} undefined for {names} ({reason}); left out of Avg.")
        if self.intervals:
            lines.append(f"- {self.intervals.to_text()}")
        return "\n".join(lines)

    def cell(self, figure: str, column: int | None = None) -> str:
        """Return a figure of an AU, or of the average, as tables show it: with its interval if it has one."""
        value = self.average(figure) if column is None else getattr(self.rows[column], figure)
        if self.intervals is None or figure not in self.kind.with_intervals:
            return figure_cell(value)
        by_au, average = self.intervals.by_au[figure], self.intervals.average[figure]
        return interval_cell(value, average if column is None else by_au[column])

    def title(self, au: int) -> str:
        """Return how the first column of a table names an AU."""
        return f"{au:>2}  {AU_NAMES.get(au, '')}".rstrip() if self.named else self._name(au)

    def __repr__(self) -> str:
        return self.to_text()

    def _trivial(self) -> list[tuple[str, str]]:
        """Return the beginnings and titles of the trivial predictions; all but the first may be unknown."""
        first, *others = self.kind.trivial.items()
        averages = {name: map(self.average, self.kind.figures_of(name)[1:]) for name, _ in others}
        return [first, *(one for one in others if not all(map(math.isnan, averages[one[0]])))]

    def _name(self, au: int) -> str:
        return name_column(au, self.named)


def name_column(au: int, named: bool) -> str:
    """Return the name of an AU, or of a column whose AU is not given."""
    return f"AU{au}" if named else f"column {au}"


def count_columns(labels: NDArray[Any], values: NDArray[Any], aus: Sequence[int] | None, what: str) -> int:
    """Check the shapes of labels and predictions, N x K; return K.

    Parameters
    ----------
    labels, values : ndarray
    aus : sequence of K int, optional
    what : str
        What the predictions are, for the message.

    Raises
    ------
    ValueError
        The shapes differ, are not of two axes, or K is not the number of AUs.
    """
    columns = labels.shape[-1] if aus is None and labels.ndim == 2 else len(aus or ())
    if labels.ndim != 2 or labels.shape != values.shape or labels.shape[1] != columns:
        raise ValueError(
            f"expected labels and {what} of shape (N, {columns if labels.ndim == 2 or aus else 'K'}),"
            f" got {labels.shape} and {values.shape}"
        )
    return columns


def score_columns(
    columns: int, aus: Sequence[int] | None, score: Callable[[int, int], _Row]
) -> tuple[_Row, ...]:
    """Score each column with ``score(au, column)``; a ValueError gets the name of the column."""
    rows = []
    for column, au in enumerate(range(columns) if aus is None else aus):
        try:
            rows.append(score(int(au), column))
        except ValueError as error:
            raise ValueError(f"{name_column(int(au), aus is not None)}: {error}") from None
    return tuple(rows)
