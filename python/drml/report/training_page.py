"""The page of one training: its scores, curves, training, data and some of the test faces."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from drml.evaluation.predictions import PredictionTable, read_predictions
from drml.io.errors import UserError
from drml.io.files import writing
from drml.report.curves import curves_section
from drml.report.data import data_section, stages_section
from drml.report.faces import faces_section
from drml.report.inputs import as_written, read_json
from drml.report.intensities import intensities_section, intensity_tiles
from drml.report.origin import origin_section
from drml.report.relations import relations_section
from drml.report.rendering import render_page
from drml.report.saliency import saliency_section
from drml.report.scores import average_tiles, charts_section, head_section, scores_section
from drml.report.training import training_section

__all__ = ["write_report"]


def write_report(
    out: str | Path,
    *,
    scores_json: str | Path,
    train_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    predictions: str | Path | None = None,
    saliency: str | Path | None = None,
    stages: str | Path | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    out : path
        HTML file to write. It appears completely or not at all.
    scores_json : path
        The file of ``drml score --out``: scores of occurrences, of intensities, or of both.
    train_dir : path, optional
        Folder of ``drml train``. Adds the loss curve and the solver.
    data_dir : path, optional
        Folder of ``drml prepare``. Adds the contents of the splits and the skipped frames.
    predictions : path, optional
        The file of ``drml score --predictions`` with the probabilities of occurrences. Adds ROC and PR
        curves, AU relations, and test faces with their predictions.
    saliency : path, optional
        Folder of ``drml saliency``.
    stages : path, optional
        JSON of seconds by stage, in order: ``{"train": 61.5}``.

    Raises
    ------
    UserError
        A file is missing, or does not have the form that ``drml`` writes, or there are predictions but no
        scores of occurrences. No page is written then.
    """
    found_scores = read_json(scores_json, "what drml score --out writes")
    levels = found_scores.get("intensity")
    detects = levels is None or "pooled" in found_scores
    scores: dict[str, Any] = found_scores if levels is None or detects else levels
    if predictions is not None and not detects:
        raise UserError(
            f"{scores_json}: has scores of intensities alone, to which predictions add nothing; leave"
            " --predictions out"
        )
    summary = read_json(Path(data_dir) / "summary.json", "what drml prepare writes") if data_dir else None
    seconds = read_json(stages, "an object of seconds by stage") if stages else None
    with as_written(scores_json):
        tiles = average_tiles(scores["pooled"]["average"]) if detects else []
        tiles += intensity_tiles(levels["pooled"]["average"]) if levels else []
        head = head_section(scores, summary, tiles)
        sections = [scores_section(scores), charts_section(scores)] if detects else []
        sections += [intensities_section(levels)] if levels else []
        found = read_predictions(predictions) if predictions is not None else None
        if found is not None:
            sections.append(curves_section({"model": found}, scores["threshold"]))
        if train_dir is not None:
            sections.append(training_section(Path(train_dir)))
        if found is not None:
            sections.append(relations_section({"the model": found}, "the model"))
        if saliency is not None:
            sections.append(saliency_section(Path(saliency)))
        if found is not None:
            # The first fold stands for all of them; its frames are the first ones.
            first = scores["folds"][0]
            faces = faces_section(
                _head(found, first["frames"]),
                first["data"],
                name=str(predictions),
                threshold=scores["threshold"],
                synthetic=scores["synthetic"],
            )
            sections.append(faces)
        if summary is not None:
            sections.append(data_section(summary))
        if seconds is not None:
            sections.append(stages_section(seconds))
        sections.append(origin_section(scores, summary, train_dir, data_dir))
        title = "DRML report" + (" (synthetic data)" if scores["synthetic"] else "")
    with writing(out, encoding="utf-8") as file:
        file.write(render_page(title, head, sections))


def _head(table: PredictionTable, count: int) -> PredictionTable:
    """Return the first rows."""
    rows = {name: getattr(table, name)[:count] for name in ("keys", "labels", "probabilities")}
    return dataclasses.replace(table, **rows)
