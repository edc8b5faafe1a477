"""One self-contained HTML page: what was run, the scores, the training, the data and some of the faces.

Nothing is loaded from elsewhere: styles, charts (SVG) and pictures are inside. All text that comes from files
is escaped. The page follows the reader's light or dark setting, and its charts are described in words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drml.errors import UserError
from drml.files import writing
from drml.report.data import data_section, stages_section
from drml.report.faces import faces_section
from drml.report.markup import STYLE, escaped
from drml.report.origin import origin_section
from drml.report.sections import charts_section, head_section, scores_section
from drml.report.training import training_section

__all__ = ["write_report"]


def write_report(
    out: str | Path,
    *,
    scores_json: str | Path,
    train_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    predictions: str | Path | None = None,
    stages: str | Path | None = None,
) -> None:
    """Write the page.

    Parameters
    ----------
    out : path
        HTML file; it gets its name only when it is whole.
    scores_json : path
        What ``drml score --out`` wrote.
    train_dir : path, optional
        Folder of ``drml train``: the loss curve and the solver.
    data_dir : path, optional
        Folder of ``drml prepare``: what the data hold, and what was skipped.
    predictions : path, optional
        What ``drml score --predictions`` wrote: faces are shown with what the net said of them.
    stages : path, optional
        JSON of seconds by stage, in order: ``{"train": 61.5}``.

    Raises
    ------
    UserError
        A file is missing, or is not as ``drml`` writes it. There is then no page.
    """
    scores = _read_json(scores_json, "what drml score --out writes")
    summary = _read_json(Path(data_dir) / "summary.json", "what drml prepare writes") if data_dir else None
    seconds = _read_json(stages, "an object of seconds by stage") if stages else None
    try:
        sections = [head_section(scores, summary), scores_section(scores), charts_section(scores)]
        if train_dir is not None:
            sections.append(training_section(Path(train_dir)))
        if predictions is not None:
            sections.append(faces_section(scores, Path(predictions)))
        if summary is not None:
            sections.append(data_section(summary))
        if seconds is not None:
            sections.append(stages_section(seconds))
        sections.append(origin_section(scores, summary, train_dir, data_dir))
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        # The files are JSON, but not of the form that this package writes.
        raise UserError(
            f"{scores_json}, or another file of the report, is not as drml writes it"
            f" ({type(error).__name__}: {error}); make it again with this version"
        ) from None
    title = "DRML report" + (" (synthetic data)" if scores["synthetic"] else "")
    with writing(out, encoding="utf-8") as file:
        file.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escaped(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
        )
        file.write("\n".join(sections))
        file.write("\n</main>\n</body>\n</html>\n")


def _read_json(path: str | Path, expected: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); expected {expected}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {expected}")
    return content
