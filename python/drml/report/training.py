"""The section of the training: the loss curves and the solver."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drml.io.limits import PROTOTXT_BYTES, read_text
from drml.report.formatting import duration
from drml.report.lines import STYLES, Series, line_chart
from drml.report.losses import Losses, read_losses
from drml.report.rendering import Section, render, render_table
from drml.training.base_rates import REMARK, Separation, has_not_learned
from drml.training.folder import SOLVER_FILE
from drml.training.level_table import mean_iccs

__all__ = ["training_section", "trainings_section"]

_TITLE = "Training loss (sum over AUs)"


def _solver(folder: Path) -> str:
    """Return the text of a training's solver; "" if the folder has none."""
    solver = folder / SOLVER_FILE
    return read_text(solver, PROTOTXT_BYTES, errors="replace") if solver.is_file() else ""


def _still_at_base_rates(losses: Losses) -> tuple[int, Separation] | None:
    """Return iteration and figures of the last test pass if its net predicts the base rates; else None."""
    if not losses.separations:
        return None
    at = max(losses.separations)
    found = losses.separations[at]
    return (at, found) if has_not_learned(at, found) else None


def training_section(train_dir: Path) -> Section:
    """Return the loss curve, the time and the solver of one training."""
    losses = read_losses(train_dir)
    warning = None
    if (still := _still_at_base_rates(losses)) is not None:
        at, found = still
        warning = (f"The net {REMARK}", f"at iteration {at}: {found.to_text('estimated ')}")
    series = []
    if len(losses.train) > 1:
        series.append(Series("training", losses.train, 0, losses.train[-1]))
        if losses.test:
            series.append(Series("held-out data", losses.test, 1, losses.test[-1]))
    f1 = None
    if losses.f1:
        iteration, last_f1 = losses.f1[-1]
        f1 = {"iteration": f"{iteration:g}", "last": last_f1, "best": max(value for _, value in losses.f1)}
    icc = None
    if iccs := mean_iccs(train_dir):
        icc = {"iteration": max(iccs), "last": iccs[max(iccs)], "best": max(iccs.values())}
    last = losses.train[-1] if losses.train else None
    body = render(
        "training.html",
        warning=warning,
        learned_after=max((at for at, s in losses.separations.items() if has_not_learned(at, s)), default=0),
        chart=line_chart(_TITLE, "iteration", "loss", series) if series else "",
        drawn=[(one.name, one.style) for one in series],
        iterations=f"{last[0]:g}" if last else None,
        seconds=losses.seconds,
        last_loss=f"{last[1]:.4g}" if last else "",
        f1=f1,
        icc=icc,
        solver=_solver(train_dir),
    )
    return Section("training", "Training", body)


def trainings_section(folders: Mapping[str, Mapping[int, Path]], anchor: str, title: str) -> Section:
    """Return the loss curves of several nets, one line per fold.

    Parameters
    ----------
    folders : mapping of str to mapping of int to path
        By net and fold, the training's folder.
    anchor, title : str
        Of the section.
    """
    losses: dict[str, dict[int, Losses]] = {
        name: {fold: read_losses(path) for fold, path in by_fold.items()} for name, by_fold in folders.items()
    }
    series, rows = [], []
    for style, (name, by_fold) in enumerate(losses.items()):
        for fold, one in by_fold.items():
            if len(one.train) > 1 and style < STYLES:
                series.append(Series(f"{name} fold {fold}", one.train, style, one.train[-1]))
            if one.train:
                at, last = one.train[-1]
                rows.append(
                    [
                        f"{name}, fold {fold}",
                        f"{at:g}",
                        f"{one.train[0][1]:.4g}",
                        f"{last:.4g}",
                        f"{one.test[-1][1]:.4g}" if one.test else "-",
                        "-" if one.seconds is None else duration(one.seconds),
                    ]
                )
    head = ["training", "last logged iteration", "first loss", "last loss", "held-out loss", "time"]
    remarks = []
    for name, by_fold in losses.items():
        for fold, one in by_fold.items():
            if (still := _still_at_base_rates(one)) is not None:
                at, found = still
                said = found.to_text("estimated ")
                remarks.append(f"{name}, fold {fold}: {REMARK} (test pass at iteration {at}: {said})")
    body = render(
        "trainings.html",
        chart=line_chart(_TITLE, "iteration", "loss", series) if series else "",
        drawn=[(name, style) for style, name in enumerate(losses) if style < STYLES],
        table=render_table("Losses in Caffe's logs", head, rows),
        remarks=remarks,
        solvers=[
            (name, solver) for name, some in folders.items() if (solver := _solver(next(iter(some.values()))))
        ],
    )
    return Section(anchor, title, body)
