"""The page of one or several experiments: tables, curves, relations, figures, faces, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from tqdm import tqdm

from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import PredictionTable
from drml.experiments.detection_table import with_schedule
from drml.experiments.settings import Settings
from drml.io.errors import UserError
from drml.io.files import writing
from drml.report.curves import curves_section
from drml.report.faces import faces_section
from drml.report.figures import learning_curve_section, losses_figure, patches_figure, saliency_section
from drml.report.finished import FinishedExperiment, MethodRuns, experiments_in
from drml.report.formatting import decimals
from drml.report.inputs import as_written
from drml.report.relations import relations_section
from drml.report.rendering import Section, render, render_page
from drml.report.scores import average_tiles
from drml.report.setup import setup_section
from drml.report.tables import averages, bars_section, table_section, timing_section
from drml.report.training import trainings_section

__all__ = ["write_experiment_report"]

_LEADS = ("drml", "drml_fc9", "drml_direct")


def write_experiment_report(
    out: str | Path, folders: Sequence[str | Path], *, method: str | None = None, progress: bool = False
) -> None:
    """Write the page.

    Parameters
    ----------
    out : path
        HTML file to write. It appears completely or not at all.
    folders : sequence of path
        Folders of ``drml experiment``, or folders that contain such folders.
    method : str, optional
        The method whose relation table and faces are shown; by default DRML, if it is finished.
    progress : bool
        Show a progress bar.

    Raises
    ------
    UserError
        A folder holds no experiment, no unit in it is finished, or a file does not have the form that
        ``drml`` writes.
    """
    found = [one for folder in folders for one in experiments_in(Path(folder))]
    if method is not None and not any(method in {**one.methods, **one.variants} for one in found):
        raise UserError(f"method '{method}': no finished unit in {', '.join(map(str, folders))}")
    sections: list[Section] = []
    with tqdm(desc="report", unit="section", disable=not progress) as bar:
        for index, one in enumerate(found):
            with as_written(one.folder):
                for section in _Chapter(one, index if len(found) > 1 else None, method).sections():
                    sections.append(section)
                    bar.update()
    synthetic = any(one.synthetic for one in found)
    title = "DRML experiment" + (" (synthetic data)" if synthetic else "")
    with writing(out, encoding="utf-8") as file:
        file.write(render_page(title, _head(found, synthetic, method), sections))


def _lead(methods: dict[str, MethodRuns], wanted: str | None) -> MethodRuns:
    names = [name for name in (wanted, *_LEADS) if name in methods]
    return methods[str(names[0])] if names else list(methods.values())[-1]


def _head(experiments: Sequence[FinishedExperiment], synthetic: bool, method: str | None) -> Markup:
    shown = []
    for one in experiments:
        methods = one.methods or one.variants
        if not methods:
            continue
        lead = _lead(methods, method)
        names = ("auc", "f1", "ap", "trivial_f1", "trivial_ap")
        average = {name: lead.scores.average(name) for name in names}
        best = max(methods.values(), key=lambda runs: np.nan_to_num(runs.scores.average("auc"), nan=-1))
        figures = [
            *average_tiles(average),
            ("test frames", str(len(lead.table.keys)), f"fold {', '.join(map(str, lead.folders))}"),
            ("highest ROC-AUC", decimals(best.scores.average("auc")), f"{best.title}, of {len(methods)}"),
        ]
        shown.append((f"{one.name}: {lead.title}" if len(experiments) > 1 else lead.title, figures))
    folders = [str(one.folder) for one in experiments]
    return render("experiment_head.html", folders=folders, synthetic=synthetic, experiments=shown)


def _title_of(table: dict[str, Any]) -> str:
    """Return a detection table's title with its schedule, which tables of older versions do not name."""
    return with_schedule(table["title"], table["methods"], Settings(**table["settings"]))


class _Chapter:
    """The sections of one folder. If the page has several folders, titles begin with the folder's name."""

    def __init__(self, experiment: FinishedExperiment, index: int | None, method: str | None) -> None:
        self.experiment, self.wanted = experiment, method
        name = re.sub(r"[^A-Za-z0-9]+", "-", experiment.name).strip("-")
        self.prefix = "" if index is None else f"e{index + 1}-{name}-" if name else f"e{index + 1}-"
        self.before = "" if index is None else f"{experiment.name}: "

    def named(self, anchor: str, title: str) -> tuple[str, str]:
        """Return an anchor and a title with this chapter's prefixes."""
        return self.prefix + anchor, self.before + title

    def sections(self) -> Iterator[Section]:
        """Make the sections, one after the other."""
        one = self.experiment
        methods = one.methods or one.variants
        if not methods and one.written("table4") is None:
            raise UserError(f"{one.folder}: no unit in it is finished; run drml experiment again")
        if methods:
            yield Section(*self.named("averages", "Methods"), averages(methods))
        for name in ("table2", "table3", "grid"):
            if (table := one.written(name)) is not None:
                yield table_section(table, *self.named(name, _title_of(table)))
        if (table := one.written("sparsity")) is not None:
            anchor, title = self.named("sparsity", _title_of(table))
            section = table_section(table, anchor, title)
            yield Section(anchor, title, section.body + patches_figure(one, table))
        if (table := one.written("table4")) is not None:
            yield timing_section(table, *self.named("table4", table["title"]))
        if (figure := one.written("curve")) is not None:
            yield learning_curve_section(one, figure, *self.named("learning", "Learning curve"))
        if methods:
            yield from self.of_methods(methods)
        yield setup_section(one, *self.named("setup", "How it was made"))

    def of_methods(self, methods: dict[str, MethodRuns]) -> Iterator[Section]:
        """Make the sections of predictions, trainings and figures."""
        one, lead = self.experiment, _lead(methods, self.wanted)
        tables = {runs.title: runs.table for runs in methods.values()}
        yield bars_section(methods, *self.named("bars", "By AU"))
        anchor, title = self.named("curves", "ROC and PR curves")
        yield curves_section(tables, THRESHOLD, lead=lead.title, anchor=anchor, title=title)
        trainings = {runs.title: runs.trainings for runs in methods.values() if runs.trainings}
        if trainings:
            yield trainings_section(trainings, *self.named("training", "Training"))
        anchor, title = self.named("relations", "AU relations")
        section = relations_section(tables, lead.title, anchor=anchor, title=title)
        if (figure := one.written("fig5")) is not None:
            section = Section(anchor, title, section.body + losses_figure(one, figure))
        yield section
        if (figure := one.written("fig4")) is not None:
            yield saliency_section(one, figure, *self.named("saliency", "Saliency"))
        yield self.faces(lead)

    def faces(self, lead: MethodRuns) -> Section:
        """Return the faces of the first fold, or why there are none, such as data that were moved."""
        first = next(iter(lead.predictions.values()))
        table = PredictionTable(first.aus, first.keys, first.labels, first.probabilities.astype(np.float64))
        anchor, title = self.named("faces", f"Test faces, {lead.title}")
        try:
            name, synthetic = str(lead.folders[next(iter(lead.folders))]), first.synthetic
            return faces_section(
                table,
                first.data,
                name=name,
                threshold=THRESHOLD,
                synthetic=synthetic,
                anchor=anchor,
                title=title,
            )
        except UserError as error:
            return Section(anchor, title, render("no_faces.html", reason=error))
