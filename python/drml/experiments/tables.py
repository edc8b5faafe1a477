"""Tables of finished units: AUs in rows, methods in columns; pooled over the folds, and the folds' mean."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.data.labels import AU_NAMES
from drml.evaluation.results import Evaluation, evaluate_folds
from drml.evaluation.score_table import ScoreTable
from drml.experiments import units
from drml.experiments.detect import read_predictions
from drml.experiments.methods import METHODS
from drml.experiments.settings import Settings
from drml.io import machine
from drml.io.figures import mean_of_defined
from drml.io.files import writing
from drml.training.base_rates import REMARK

__all__ = ["FIGURES", "SYNTHETIC", "Column", "Table", "base_rates_note", "collect"]

FIGURES = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
TRIVIAL = "all positive (trivial)"

SYNTHETIC = (
    "SYNTHETIC DATA: drawn faces. The figures say that the methods run and learn, and nothing of how well"
    " they find AUs in people."
)


@dataclass(frozen=True)
class Column:
    """A method of the table: its scores, of which folds, the seconds that its units took, their protocol."""

    title: str
    result: Evaluation
    folds: list[int]
    seconds: list[float]
    protocol: list[str]

    @property
    def not_scored(self) -> tuple[int, ...]:
        """AUs of the data that the method has no output for."""
        return self.result.folds[0].not_scored.get("data", ())

    @property
    def at_base_rates(self) -> list[int]:
        """The folds on which the method predicts the base rates."""
        return [self.folds[index] for index in self.result.at_base_rates]


@dataclass(frozen=True)
class Table:
    """A table of detection scores.

    Attributes
    ----------
    name : str
        Of its files, such as ``table2``.
    title : str
    columns : dict of str to Column
        By method, left to right.
    settings : Settings
    notes : list of str
        What the reader has to know, such as methods that are not available.
    wanted : tuple of str
        The methods that it should have.
    """

    name: str
    title: str
    columns: dict[str, Column]
    settings: Settings
    notes: list[str]
    wanted: tuple[str, ...]

    @property
    def synthetic(self) -> bool:
        """Any of the data are drawn."""
        return any(column.result.synthetic for column in self.columns.values())

    def parts(self) -> list[tuple[str, str, dict[str, ScoreTable]]]:
        """Give name, title and scores by method of the pooled figures and, of several folds, their mean."""
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
            "machine": machine.system(),
            "versions": machine.versions(),
        }

    def gaps(self) -> list[str]:
        """Name what is missing: methods, folds, cells. What a net has no output for is none."""
        found = [f"{method}: no fold is finished" for method in self.wanted if method not in self.columns]
        every = {fold for column in self.columns.values() for fold in column.folds}
        for method, column in self.columns.items():
            found += [f"{method}: fold {fold} is not finished" for fold in sorted(every - {*column.folds})]
        for over, _, scores in self.parts():
            for figure in FIGURES:
                for name, values in _values(scores, figure, self.columns):
                    for method, value in values.items():
                        silent = self.columns[method].not_scored if method in self.columns else ()
                        if math.isnan(value) and name not in map(str, silent):
                            found.append(f"{method}: {over} {figure} of AU {name}")
        return found

    def all_notes(self) -> list[str]:
        """Gather the lines below the table."""
        lines = [SYNTHETIC] if self.synthetic else []
        for line in (line for column in self.columns.values() for line in column.protocol):
            if line not in lines:
                lines.append(line)
        for column in self.columns.values():
            frames = sum(len(fold.keys) for fold in column.result.folds)
            folds = ", ".join(map(str, column.folds))
            lines.append(
                f"{column.title}: {frames} test frames of fold {folds}; {sum(column.seconds):.0f} s;"
                f" {_normalisation(column.result.folds[0].input)}"
            )
        for column in self.columns.values():
            lines += base_rates_note(column.title, column.at_base_rates, column.folds)
        for column in self.columns.values():
            if column.not_scored:
                others = ", ".join(f"AU{au}" for au in column.not_scored)
                shared = ", ".join(f"AU{au}" for au in column.result.folds[0].aus)
                lines.append(
                    f"{column.title}: the net has no output for {others}: -, left out of Avg., which is"
                    f" that of {shared}; compare it with the row of that average alone."
                )
        lines += _one_sided(self.columns.values())
        if len({tuple(column.folds) for column in self.columns.values()}) > 1:
            lines.append("The methods are not finished on the same folds: do not compare their figures yet.")
        for figure, title in FIGURES.items():
            all_scores = [one for _, _, scores in self.parts() for one in scores.values()]
            aus = sorted({au for one in all_scores for au in one.undefined.get(figure, [])})
            if aus:
                named = ", ".join(f"AU{au}" for au in aus)
                lines.append(f"-: {title} is undefined there ({named}); left out of Avg.")
        settings = self.settings
        lines.append(
            f"F1-frame at a threshold of 0.5; {settings.scale} schedule"
            + (f" cut to {settings.max_iter} iterations" if settings.max_iter else "")
            + f", seed {settings.seed}."
        )
        return [*lines, *self.notes]

    def to_markdown(self) -> str:
        """Return the tables and the notes below them."""
        lines = [f"# {self.title}", ""]
        if self.synthetic:
            lines += [f"**{SYNTHETIC}**", ""]
        for _, title, scores in self.parts():
            for figure, name in FIGURES.items():
                lines += [f"## {name}. {title}", "", *_rows(scores, figure, self.columns), ""]
        lines += self.sections()
        lines += [f"- {note}" for note in self.all_notes() if note != SYNTHETIC]
        found = ", ".join(f"{name} {number}" for name, number in machine.versions().items())
        return "\n".join([*lines, f"- {machine.system()}; {found}", ""])

    def sections(self) -> list[str]:
        """Return lines of Markdown that stand between the figures and the notes: here none."""
        return []

    def to_csv(self) -> str:
        """Return one line for every figure: over, figure, au, method, value."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["over", "figure", "au", "method", "value"])
        for over, _, scores in self.parts():
            for figure in FIGURES:
                for name, values in _values(scores, figure, self.columns):
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


def base_rates_note(title: str, found: Sequence[int], folds: Iterable[int]) -> list[str]:
    """Return a note on a method that predicts the base rates on the folds `found` of `folds`; else none."""
    if not found:
        return []
    named = "" if len(found) == len(list(folds)) else f", fold {', '.join(map(str, found))}"
    return [f"{title}{named}: {REMARK}"]


def _one_sided(columns: Iterable[Column]) -> list[str]:
    """Tell of each fold the AUs that it has not both with and without among its test frames."""
    found: dict[int, set[int]] = {}
    for column in columns:
        for fold, scores in zip(column.folds, column.result.fold_scores, strict=True):
            found.setdefault(fold, set()).update(scores.undefined.get("auc", []))
    return [
        f"Fold {fold}: not both classes of {', '.join(f'AU{au}' for au in sorted(aus))} in its test frames;"
        " ROC-AUC and AP are means of the other folds there."
        for fold, aus in sorted(found.items())
        if aus and len(found) > 1
    ]


def _normalisation(settings: Mapping[str, Any]) -> str:
    """Say what becomes of pixels before a net or, without one, what its features are."""
    if "features" in settings:
        return f"features: {settings['features']}"
    return f"pixels: mean {settings['mean']} taken off, times {settings['scale']:.6g}"


def _values(
    scores: dict[str, ScoreTable], figure: str, columns: dict[str, Column]
) -> list[tuple[str, dict[str, float]]]:
    """Give the rows: AU (or ``Avg.``), values by method, and by ``trivial``; NaN where there is none.

    The trivial row is of the method with the most labels, should they not be of the same folds or AUs.
    """
    most = max(scores.values(), key=lambda one: sum(row.known for row in one.rows))
    aus = {row.au for one in scores.values() for row in one.rows}
    aus.update(au for method in scores for au in columns[method].not_scored)
    by_au = {method: {row.au: row for row in one.rows} for method, one in scores.items()}
    trivial = {row.au: row for row in most.rows}
    rows = []
    for au in sorted(aus):
        values = {method: float(getattr(known.get(au), figure, math.nan)) for method, known in by_au.items()}
        values["trivial"] = float(getattr(trivial.get(au), f"trivial_{figure}", math.nan))
        rows.append((str(au), values))
    average = {method: one.average(figure) for method, one in scores.items()}
    rows.append(("Avg.", {**average, "trivial": most.average(f"trivial_{figure}")}))
    shared = set.intersection(*(set(known) for known in by_au.values()))
    if shared and shared != aus:
        names = [str(au) for au in sorted(shared)]
        of_shared = [values for name, values in rows if name in names]
        means = {
            method: mean_of_defined([values[method] for values in of_shared])
            for method in (*by_au, "trivial")
        }
        rows.append((f"Avg. of {' '.join(names)}", means))
    return rows


def _rows(scores: dict[str, ScoreTable], figure: str, columns: dict[str, Column]) -> list[str]:
    titles = [*(columns[method].title for method in scores), TRIVIAL]
    lines = [f"| AU | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name, values in _values(scores, figure, columns):
        cells = ["-" if math.isnan(value) else f"{value:.3f}" for value in values.values()]
        label = f"**{name}**" if name.startswith("Avg.") else f"{name} {AU_NAMES.get(int(name), '')}".rstrip()
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines


def collect(
    name: str,
    title: str,
    out: Path,
    methods: Sequence[str],
    settings: Settings,
    notes: Mapping[str, str],
    *,
    shared_folds: bool = False,
) -> Table | None:
    """Make the table of what is finished of `methods` in an experiment's folder; None without any.

    `notes` has a line for each method that is not available; it is told where no unit of it is finished.
    With `shared_folds`, folds that not all methods have finished are left out: of variants of a net, the net
    itself is in other tables as well, with more folds.
    """
    finished: dict[str, dict[int, dict[str, Any]]] = {}
    for method in methods:
        for path in sorted(out.glob(f"fold*/{method}")):
            result = units.finished(out, f"{path.parent.name}/{method}")
            if result is not None:
                finished.setdefault(method, {})[int(path.parent.name[4:])] = result
    shared = set.intersection(*(set(done) for done in finished.values())) if finished else set()
    columns = {}
    for method, done in finished.items():
        folds = sorted(shared if shared_folds and shared else done)
        predictions = [read_predictions(out / f"fold{fold}" / method) for fold in folds]
        columns[method] = Column(
            METHODS[method].title,
            evaluate_folds(method, predictions),
            folds,
            [float(done[fold]["seconds"]) for fold in folds],
            [line for fold in folds for line in done[fold]["protocol"]],
        )
    lacks = [note for method, note in notes.items() if method not in columns]
    return Table(name, title, columns, settings, lacks, tuple(methods)) if columns else None
