"""Tables of scores: AUs in rows, methods in columns; pooled over the folds, and the folds' mean."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.experiments import units
from drml.experiments.methods import METHODS
from drml.experiments.settings import Settings, fold_folders
from drml.experiments.table_column import MEAN, POOLED, Column, Scores, read_column
from drml.experiments.table_kind import Kind, kind_of
from drml.experiments.table_notes import SYNTHETIC, table_notes
from drml.experiments.table_rows import CSV_COLUMNS, fold_rows, markdown_rows, spread_of, table_rows
from drml.io import machine
from drml.io.files import writing

__all__ = ["DetectionTable", "collect", "with_schedule"]


@dataclass(frozen=True)
class DetectionTable:
    """A table of scores: of detected occurrences, or of estimated intensities.

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
    missing : tuple of str
        Further seeds that are not finished.
    """

    name: str
    title: str
    columns: dict[str, Column]
    settings: Settings
    notes: list[str]
    wanted: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """What the table shows."""
        return kind_of(self.settings)

    @property
    def synthetic(self) -> bool:
        """Whether any of the data are drawn."""
        return any(column.result.synthetic for column in self.columns.values())

    def parts(self) -> list[tuple[str, str]]:
        """Return name and title of the parts: pooled and, for several folds, as their mean."""
        several = any(column.scores(MEAN) is not None for column in self.columns.values())
        found = [(POOLED, "Pooled over the folds" if several else "One fold")]
        return [*found, (MEAN, "Mean of the folds")] if several else found

    def scores(self, part: str, *, chosen: bool = False) -> dict[str, Scores]:
        """Return the scores of a part by method, without those that have none."""
        found = {name: column.scores(part, chosen=chosen) for name, column in self.columns.items()}
        return {name: scores for name, scores in found.items() if scores is not None}

    def tables(self) -> Iterator[tuple[str, str, str, dict[str, Scores]]]:
        """Yield name and title of a part, name of a figure, and the scores that have it, by method."""
        for part, title in self.parts():
            for name, figure in self.kind.figures.items():
                scores = self.scores(part, chosen=figure.chosen)
                if scores:
                    yield part, title, name, scores

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON.

        The parts with thresholds that were chosen on validation have names that end in ``_chosen``.
        """
        parts = {
            part + ("_chosen" if chosen else ""): {
                name: scores.to_dict() for name, scores in self.scores(part, chosen=chosen).items()
            }
            for part, _ in self.parts()
            for chosen in ((False, True) if self.kind.thresholds else (False,))
        }
        return {
            "table": self.name,
            "title": self.title,
            "synthetic": self.synthetic,
            **parts,
            "methods": {
                method: {
                    "title": column.title,
                    "folds": column.folds,
                    "seeds": list(column.results),
                    "seconds": column.seconds,
                    "not_scored": list(column.not_scored),
                    "predicts_base_rates": column.at_base_rates,
                    **({"thresholds": column.thresholds()} if self.kind.thresholds else {}),
                    "fold_scores": self._fold_scores(column),
                }
                for method, column in self.columns.items()
            },
            "settings": dataclasses.asdict(self.settings),
            "notes": self.all_notes(),
            **machine.describe(),
        }

    def _fold_scores(self, column: Column) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, fold in enumerate(column.folds):
            tables = {
                name: column.fold_scores(index, chosen=chosen)
                for name, chosen in (("fixed", False), ("chosen", True))
            }
            found[str(fold)] = {name: one.to_dict() for name, one in tables.items() if one is not None}
        return found

    def gaps(self) -> list[str]:
        """Name the missing methods, folds and cells. An AU for which a net has no output is not missing."""
        found = [f"{method}: no fold is finished" for method in self.wanted if method not in self.columns]
        every = {fold for column in self.columns.values() for fold in column.folds}
        for method, column in self.columns.items():
            found += [f"{method}: fold {fold} is not finished" for fold in sorted(every - {*column.folds})]
            if self.kind.thresholds and column.scores(POOLED, chosen=True) is None:
                found.append(f"{method}: no thresholds chosen on validation")
        for over, _, figure, scores in self.tables():
            for name, values in self.rows(scores, figure):
                for method, value in values.items():
                    silent = self.columns[method].not_scored if method in self.columns else ()
                    if math.isnan(value) and name not in map(str, silent):
                        found.append(f"{method}: {over} {figure} of AU {name}")
        return [*found, *self.missing]

    def all_notes(self) -> list[str]:
        """Return the lines below the table."""
        scores = [one for part, _ in self.parts() for one in self.scores(part).values()]
        return [*table_notes(list(self.columns.values()), scores, self.settings, self.kind), *self.notes]

    def rows(self, scores: Mapping[str, Scores], figure: str) -> list[tuple[str, dict[str, float]]]:
        """Return the rows of one figure, as `drml.experiments.table_rows.table_rows` describes them."""
        attribute = self.kind.figures[figure].attribute
        silent = {method: self.columns[method].not_scored for method in scores}
        return table_rows(scores, attribute, silent, self.kind)

    def to_markdown(self) -> str:
        """Return the tables and the notes below them."""
        lines = [f"# {self.title}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        for _, title, figure, scores in self.tables():
            attribute = self.kind.figures[figure].attribute
            titles = [self.columns[method].title for method in scores]
            rows = markdown_rows(titles, scores, attribute, self.rows(scores, figure), self.kind)
            lines += [f"## {self.kind.figures[figure].title}. {title}", "", *rows, ""]
        lines += fold_rows(self.columns.values(), self.kind)
        lines += self.sections()
        lines += [f"- {note}" for note in self.all_notes() if note != SYNTHETIC]
        found = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
        return "\n".join([*lines, f"- {machine.system()}; {found}", ""])

    def sections(self) -> list[str]:
        """Return lines of Markdown between the figures and the notes; subclasses add them here."""
        return []

    def to_csv(self) -> str:
        """Return CSV text with one line per value.

        Its columns are over, figure, au, method, value, low and high (the confidence interval), deviation
        (over seeds).
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for over, _, figure, scores in self.tables():
            attribute = self.kind.figures[figure].attribute
            for name, values in self.rows(scores, figure):
                for method, value in values.items():
                    around = spread_of(scores.get(method), attribute, name)
                    texts = ("" if math.isnan(one) else f"{one:.6f}" for one in (value, *around))
                    writer.writerow([over, figure, name, method, *texts])
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
        for fold, path in fold_folders(out).items():
            result = units.read_result(out, f"{path.name}/{method}")
            if result is not None:
                finished.setdefault(method, {})[fold] = result
    shared = set.intersection(*(set(results) for results in finished.values())) if finished else set()
    columns, missing = {}, []
    for method, results in finished.items():
        folds = sorted(shared if shared_folds and shared else results)
        column, lacking = read_column(out, method, folds, results, settings)
        columns[method] = column
        missing += lacking
    title = with_schedule(title, columns, settings)
    unavailable = [note for method, note in notes.items() if method not in columns]
    if not columns:
        return None
    return DetectionTable(
        name, title, columns, settings, [*missing, *unavailable], tuple(methods), tuple(missing)
    )
