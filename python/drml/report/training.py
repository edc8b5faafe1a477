"""The section of the training: the loss curve and the solver."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from drml.caffe_log import Figure, LogReader
from drml.errors import UserError
from drml.report.charts import Points, curve_chart
from drml.report.markup import duration, escaped
from drml.training import LOG_FILE, LOSS_FILE, SOLVER_FILE


def _losses(train_dir: Path) -> tuple[Points, Points, float | None]:
    """Return training loss, test loss (both by iteration) and the seconds, from loss.csv or else the log."""
    table, log = train_dir / LOSS_FILE, train_dir / LOG_FILE
    figures: list[tuple[float, str, str, float]] = []
    seconds = None
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as file:
            try:
                for row in csv.DictReader(file):
                    seconds = float(row["seconds"])
                    figures.append((float(row["iteration"]), row["phase"], row["name"], float(row["value"])))
            except (KeyError, TypeError, ValueError):
                raise UserError(f"{table}: not what drml train writes; train again, or remove it") from None
    elif log.is_file():
        reader = LogReader()
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            for found in reader.read(line):
                if isinstance(found, Figure):
                    figures.append((found.iteration, found.phase, found.name, found.value))
    else:
        raise UserError(f"{train_dir}: neither {LOSS_FILE} nor {LOG_FILE} in it; give a folder of drml train")
    curves = [
        [
            (at, value)
            for at, p, name, value in figures
            if (p, name) == (phase, "loss") and math.isfinite(value)
        ]
        for phase in ("train", "test")
    ]
    return curves[0], curves[1], seconds


def training_section(train_dir: Path) -> str:
    """Return the loss curve, the time it took, and the solver."""
    curve, test, seconds = _losses(train_dir)
    parts = ["<section>", "<h2>Training</h2>"]
    if len(curve) > 1:
        parts.append(
            curve_chart(
                "Training loss (sum over AUs)", "iteration", "loss", curve, test, "loss on held-out data"
            )
        )
    else:
        parts.append("<p>The log has too few figures for a curve.</p>")
    if curve:
        time = f", {duration(seconds)}" if seconds is not None else ""
        parts.append(
            f"<p>{curve[-1][0]:g} iterations{escaped(time)}, loss at the end {curve[-1][1]:.4g}.</p>"
        )
    solver = train_dir / SOLVER_FILE
    if solver.is_file():
        text = solver.read_text(encoding="utf-8", errors="replace")
        parts.append(f"<details><summary>The solver</summary><pre>{escaped(text)}</pre></details>")
    parts.append("</section>")
    return "\n".join(parts)
