"""Tables of detection scores: AUs in rows, methods in columns; pooled over the folds, and the folds' mean."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.evaluation.results import evaluate_folds
from drml.evaluation.score_table import ScoreTable
from drml.experiments import units
from drml.experiments.methods import METHODS
from drml.experiments.predictions import load_predictions
from drml.experiments.settings import Settings
from drml.experiments.table_notes import SYNTHETIC, Column, table_notes
from drml.experiments.table_rows import FIGURES, markdown_rows, table_rows
from drml.io import machine
from drml.io.files import writing

__all__ = ["DetectionTable", "collect", "with_schedule"]


@dataclass(frozen=True)
class DetectionTable:
    """A table of detection scores.

    Attributes
    ----------
    name : str
        The name of its files, such as ``table2``.
    title : str
    columns : dict of str to Column
        By method, from left to right.
    settings : Settings
    notes : list of str
        More lines below the table, such as methods that are not available.
    wanted : tuple of str
        The methods that the table should have.
    """

    name: str
    title: str
    columns: dict[str, Column]
    settings: Settings
    notes: list[str]
    wanted: tuple[str, ...]

    @property
    def synthetic(self) -> bool:
        """Whether any of the data are drawn."""
        return any(column.result.synthetic for column in self.columns.values())

    def parts(self) -> list[tuple[str, str, dict[str, ScoreTable]]]:
        """Return name, title and scores by method: pooled and, for several folds, as their mean."""
        pooled = {method: column.result.pooled for method, column in self.columns.items()}
        means = {method: column.result.mean for method, column in self.columns.items()}
        several = {method: mean for method, mean in means.items() if mean is not None}
        found = [("pooled", "Pooled over the folds" if several else "One fold", pooled)]
        if several:
            found.append(("mean_of_folds", "Mean of the folds", several))
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "table": self.name,
            "title": self.title,
            "synthetic": self.synthetic,
            **{name: {m: s.to_dict() for m, s in scores.items()} for name, _, scores in self.parts()},
            "methods": {
                method: {
                    "title": column.title,
                    "folds": column.folds,
                    "seconds": column.seconds,
                    "not_scored": list(column.not_scored),
                    "predicts_base_rates": column.at_base_rates,
                }
                for method, column in self.columns.items()
            },
            "settings": dataclasses.asdict(self.settings),
            "notes": self.all_notes(),
            **machine.describe(),
        }

    def gaps(self) -> list[str]:
        """Name the missing methods, folds and cells. An AU for which a net has no output is not missing."""
        found = [f"{method}: no fold is finished" for method in self.wanted if method not in self.columns]
        every = {fold for column in self.columns.values() for fold in column.folds}
        for method, column in self.columns.items():
            found += [f"{method}: fold {fold} is not finished" for fold in sorted(every - {*column.folds})]
        for over, _, scores in self.parts():
            for figure in FIGURES:
                for name, values in self.rows(scores, figure):
                    for method, value in values.items():
                        silent = self.columns[method].not_scored if method in self.columns else ()
                        if math.isnan(value) and name not in map(str, silent):
                            found.append(f"{method}: {over} {figure} of AU {name}")
        return found

    def all_notes(self) -> list[str]:
        """Return the lines below the table."""
        scores = [one for _, _, by_method in self.parts() for one in by_method.values()]
        return [*table_notes(list(self.columns.values()), scores, self.settings), *self.notes]

    def rows(self, scores: Mapping[str, ScoreTable], figure: str) -> list[tuple[str, dict[str, float]]]:
        """Return the rows of one figure, as `drml.experiments.table_rows.table_rows` describes them."""
        return table_rows(scores, figure, {method: self.columns[method].not_scored for method in scores})

    def to_markdown(self) -> str:
        """Return the tables and the notes below them."""
        lines = [f"# {self.title}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        for _, title, scores in self.parts():
            for figure, name in FIGURES.items():
                lines += [f"## {name}. {title}", "", *self._markdown(scores, figure), ""]
        lines += self.sections()
        lines += [f"- {note}" for note in self.all_notes() if note != SYNTHETIC]
        found = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
        return "\n".join([*lines, f"- {machine.system()}; {found}", ""])

    def _markdown(self, scores: Mapping[str, ScoreTable], figure: str) -> list[str]:
        titles = [self.columns[method].title for method in scores]
        return markdown_rows(titles, self.rows(scores, figure))

    def sections(self) -> list[str]:
        """Return lines of Markdown between the figures and the notes; subclasses add them here."""
        return []

    def to_csv(self) -> str:
        """Return CSV text with one line per value: over, figure, au, method, value."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["over", "figure", "au", "method", "value"])
        for over, _, scores in self.parts():
            for figure in FIGURES:
                for name, values in self.rows(scores, figure):
                    for method, value in values.items():
                        text = "" if math.isnan(value) else f"{value:.6f}"
                        writer.writerow([over, figure, name, method, text])
        return file.getvalue()

    def write(self, out: Path) -> list[Path]:
        """Write the table as Markdown, CSV and JSON; return the files."""
        paths = [out / f"{self.name}.{ending}" for ending in ("md", "csv", "json")]
        for path, text in zip(paths, (self.to_markdown(), self.to_csv()), strict=False):
            with writing(path, encoding="utf-8") as file:
                file.write(text)
        units.write_json(paths[2], self.to_dict())
        return paths


def with_schedule(title: str, methods: Iterable[str], settings: Settings) -> str:
    """Add the schedule to a table's title if a net is among its methods.

    A quick run must not be mistaken for the paper's. The linear methods are fitted in the same way with every
    schedule.
    """
    if settings.schedule in title or not any(METHODS[method].net for method in methods):
        return title
    return f"{title}, {settings.schedule}"


def collect(
    name: str,
    title: str,
    out: Path,
    methods: Sequence[str],
    settings: Settings,
    notes: Mapping[str, str],
    *,
    shared_folds: bool = False,
) -> DetectionTable | None:
    """Make a table from the finished units of an experiment's folder.

    Parameters
    ----------
    name, title : str
        Of the table. The schedule is added to the title if the table has a net.
    out : Path
        The experiment's folder.
    methods : sequence of str
        From left to right.
    settings : Settings
    notes : mapping of str to str
        Why some methods are not available. The table shows the reason of a method without finished units.
    shared_folds : bool
        Leave out folds that some method has not finished. A net that is compared with its variants is in
        other tables as well, and may have more folds there.

    Returns
    -------
    DetectionTable or None
        None if no unit is finished.
    """
    finished: dict[str, dict[int, dict[str, Any]]] = {}
    for method in methods:
        for path in sorted(out.glob(f"fold*/{method}")):
            result = units.read_result(out, f"{path.parent.name}/{method}")
            if result is not None:
                finished.setdefault(method, {})[int(path.parent.name[4:])] = result
    shared = set.intersection(*(set(results) for results in finished.values())) if finished else set()
    columns = {}
    for method, results in finished.items():
        folds = sorted(shared if shared_folds and shared else results)
        predictions = [load_predictions(out / f"fold{fold}" / method) for fold in folds]
        columns[method] = Column(
            METHODS[method].title,
            evaluate_folds(method, predictions),
            folds,
            [float(results[fold]["seconds"]) for fold in folds],
            [line for fold in folds for line in results[fold]["protocol"]],
        )
    title = with_schedule(title, columns, settings)
    unavailable = [note for method, note in notes.items() if method not in columns]
    return DetectionTable(name, title, columns, settings, unavailable, tuple(methods)) if columns else None
