"""The section of the training: the loss curves and the solver."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drml.io.limits import PROTOTXT_BYTES, read_text
from drml.report.lines import STYLES, Series, legend, line_chart
from drml.report.losses import Losses, read_losses
from drml.report.markup import details, duration, escaped, html_table, notes
from drml.report.page import Section, base_rates_warning
from drml.training.base_rates import REMARK, Separation, has_not_learned
from drml.training.train import SOLVER_FILE

__all__ = ["training_section", "trainings_section"]

_TITLE = "Training loss (sum over AUs)"


def _solver(folder: Path, summary: str = "The solver") -> str:
    solver = folder / SOLVER_FILE
    if not solver.is_file():
        return ""
    text = read_text(solver, PROTOTXT_BYTES, errors="replace")
    return details(summary, f"<pre>{escaped(text)}</pre>")


def _still_at_base_rates(losses: Losses) -> tuple[int, Separation] | None:
    """Return the last test pass, iteration and figures, where it found a net that predicts the base rates."""
    if not losses.separations:
        return None
    at = max(losses.separations)
    found = losses.separations[at]
    return (at, found) if has_not_learned(at, found) else None


def _warning(losses: Losses) -> str:
    """Say that the net predicts the base rates, or until when it did; "" where it never did."""
    still = _still_at_base_rates(losses)
    if still is not None:
        at, found = still
        return base_rates_warning(f"The net {REMARK}", f"at iteration {at}: {found.to_text('estimated ')}")
    before = [at for at, found in losses.separations.items() if has_not_learned(at, found)]
    if not before:
        return ""
    return f"<p>The net predicted the base rates until the test pass at iteration {max(before)}.</p>"


def training_section(train_dir: Path) -> Section:
    """Return the loss curve, the time it took, and the solver, of one training."""
    losses = read_losses(train_dir)
    parts = [_warning(losses)]
    if len(losses.train) > 1:
        series = [Series("training", losses.train, 0, losses.train[-1])]
        if losses.test:
            series.append(Series("held-out data", losses.test, 1, losses.test[-1]))
        parts.append(legend([(one.name, one.style) for one in series]))
        parts.append(line_chart(_TITLE, "iteration", "loss", series))
    else:
        parts.append("<p>The log has too few figures for a curve.</p>")
    if losses.train:
        time = f", {duration(losses.seconds)}" if losses.seconds is not None else ""
        at, last = losses.train[-1]
        parts.append(f"<p>{at:g} iterations{escaped(time)}, loss at the end {last:.4g}.</p>")
    if losses.f1:
        at, last = losses.f1[-1]
        best = max(value for _, value in losses.f1)
        parts.append(
            f"<p>Mean F1 of the test net {last:.3f} at iteration {at:g}, {best:.3f} at its best.</p>"
        )
    parts.append(_solver(train_dir))
    return Section("training", "Training", "\n".join(parts))


def trainings_section(folders: Mapping[str, Mapping[int, Path]], anchor: str, title: str) -> Section:
    """Return the loss curves of several nets, one line a fold.

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
    parts = []
    if series:
        parts.append(legend([(name, style) for style, name in enumerate(losses) if style < STYLES]))
        parts.append(line_chart(_TITLE, "iteration", "loss", series))
    else:
        parts.append("<p>The logs have too few figures for curves.</p>")
    head = ["training", "last figure at iteration", "first loss", "last loss", "held-out loss", "time"]
    parts.append(html_table("Losses in Caffe's logs", head, rows))
    remarks = []
    for name, by_fold in losses.items():
        for fold, one in by_fold.items():
            if (still := _still_at_base_rates(one)) is not None:
                at, found = still
                said = found.to_text("estimated ")
                remarks.append(f"{name}, fold {fold}: {REMARK} (test pass at iteration {at}: {said})")
    parts.append(notes(remarks))
    for name, some in folders.items():
        parts.append(_solver(next(iter(some.values())), f"The solver of {name}"))
    return Section(anchor, title, "\n".join(parts))
