"""One self-contained HTML page: what was run, the scores, the training, the data and some of the faces.

Nothing is loaded from elsewhere: styles, charts (SVG) and pictures are inside. All text that comes from files
is escaped. The page follows the reader's light or dark setting, and its charts are described in words.
"""

from __future__ import annotations

import base64
import csv
import html
import json
import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from drml import lmdb_io
from drml.errors import UserError
from drml.labels import AU_NAMES
from drml.scoring import open_data, writing
from drml.training import LOG_FILE, LOSS_FILE, SOLVER_FILE, LogReader

FACES = 8
_PACKAGES = ("drml", "numpy", "opencv-python", "lmdb", "protobuf", "h5py")


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
    """
    scores = _read_json(scores_json, "what drml score --out writes")
    summary = _read_json(Path(data_dir) / "summary.json", "what drml prepare writes") if data_dir else None
    seconds = _read_json(stages, "an object of seconds by stage") if stages else None
    try:
        sections = [_head(scores, summary), _scores(scores), _charts(scores)]
        if train_dir is not None:
            sections.append(_training(Path(train_dir)))
        if predictions is not None:
            sections.append(_faces(scores, Path(predictions)))
        if summary is not None:
            sections.append(_data(summary))
        if seconds is not None:
            sections.append(_stages(seconds))
        sections.append(_environment(scores, summary, train_dir, data_dir))
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
            f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
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


# --- pieces of HTML -------------------------------------------------------------------------------------

_STYLE = """\
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --panel: #f6f8fa; --bar: #2563b0; --mark: #b3400a; --warn: #fff4d6; --warn-line: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e9ed; --soft: #a3acb7;
  --line: #3b434d; --panel: #1d2127; --bar: #6cabf5; --mark: #ffa263; --warn: #3a2f10;
  --warn-line: #e0b341; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.warn { background: var(--warn); border-left: .35rem solid var(--warn-line); padding: .6rem .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1rem 0; }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem;
  padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; }
tr.sum th, tr.sum td { font-weight: 700; border-top: 2px solid var(--text); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; max-width: 36rem; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg .axis { stroke: var(--line); }
svg .bar { fill: var(--bar); }
svg .mark { stroke: var(--mark); stroke-width: 3; }
svg .curve { fill: none; stroke: var(--bar); stroke-width: 2; }
svg .other { fill: none; stroke: var(--mark); stroke-width: 2; stroke-dasharray: 6 4; }
.faces { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; }
.faces img { width: 100%; height: auto; border-radius: .3rem; display: block; }
.faces dl { margin: .4rem 0 0; font-size: .9rem; line-height: 1.35; display: grid;
  grid-template-columns: auto 1fr; column-gap: .5rem; }
.faces dt { color: var(--soft); } .faces dd { margin: 0; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  overflow-x: auto; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 40rem) {
  .faces { grid-template-columns: repeat(2, 1fr); }
  table { font-size: .85rem; } th, td { padding: .25rem .35rem; } tbody th { white-space: normal; }
}
"""


def _text(value: Any) -> str:
    return html.escape(str(value), quote=True)


def _cell(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], sums: int = 0) -> str:
    """Return a table of plain text; the last `sums` rows stand out."""
    rows = list(rows)
    lines = [f'<div class="wide"><table><caption>{_text(caption)}</caption>', "<thead><tr>"]
    lines += [f'<th scope="col">{_text(name)}</th>' for name in head]
    lines.append("</tr></thead><tbody>")
    for index, row in enumerate(rows):
        kind = ' class="sum"' if index >= len(rows) - sums else ""
        cells = "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        lines.append(f'<tr{kind}><th scope="row">{_text(row[0])}</th>{cells}</tr>')
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# --- charts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bar:
    name: str
    value: float | None
    mark: float | None


def _bar_chart(title: str, mark_name: str, bars: Sequence[_Bar]) -> str:
    """Return horizontal bars from 0 to 1, each with a mark to compare with."""
    left, width, step, top = 48, 420, 24, 22
    right = width - 44
    height = top + step * len(bars) + 6

    def x(value: float) -> float:
        return left + (right - left) * value

    told = "; ".join(f"{bar.name} {_cell(bar.value, 2)} ({mark_name} {_cell(bar.mark, 2)})" for bar in bars)
    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_text(f"{title}: {told}")}">',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top - 4}" y2="{height}"/>'
            f'<text x="{x(tick):.1f}" y="{top - 9}" text-anchor="middle">{tick:g}</text>'
        )
    for index, bar in enumerate(bars):
        y = top + step * index
        parts.append(f'<text x="{left - 6}" y="{y + 16}" text-anchor="end">{_text(bar.name)}</text>')
        if bar.value is not None:
            parts.append(
                f'<rect class="bar" x="{left}" y="{y + 4}"'
                f' width="{x(bar.value) - left:.1f}" height="{step - 8}"/>'
            )
        if bar.mark is not None:
            parts.append(
                f'<line class="mark" x1="{x(bar.mark):.1f}" x2="{x(bar.mark):.1f}"'
                f' y1="{y + 1}" y2="{y + step - 1}"/>'
            )
        parts.append(f'<text x="{right + 6}" y="{y + 16}">{_cell(bar.value, 2)}</text>')
    parts.append("</svg>")
    caption = f"{title}. The upright marks: {mark_name}."
    return f"<figure>{''.join(parts)}<figcaption>{_text(caption)}</figcaption></figure>"


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span low to high.

    Examples
    --------
    >>> _ticks(0.3, 9.1)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if not high > low:
        high = low + 1
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


Points = list[tuple[float, float]]


def _curve_chart(title: str, x_name: str, y_name: str, curve: Points, other: Points, other_name: str) -> str:
    """Return a curve, and another one dashed, over common axes."""
    points = curve + other
    x_ticks = _ticks(0, max(x for x, _ in points))
    y_ticks = _ticks(min(0.0, *(y for _, y in points)), max(y for _, y in points))
    left, right, top, bottom, width, height = 46, 470, 24, 220, 480, 260

    def place(point: tuple[float, float]) -> str:
        x = left + (right - left) * (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        y = bottom - (bottom - top) * (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return f"{x:.1f},{y:.1f}"

    told = f"{title}: from {curve[0][1]:.3g} at {curve[0][0]:g} to {curve[-1][1]:.3g} at {curve[-1][0]:g}"
    if other:
        told += f"; {other_name} from {other[0][1]:.3g} to {other[-1][1]:.3g}"
    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_text(told)}">']
    for tick in y_ticks:
        y = place((x_ticks[0], tick)).split(",")[1]
        parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="{left - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = place((tick, y_ticks[0])).split(",")[0]
        anchor = "end" if tick == x_ticks[-1] else "middle"
        parts.append(f'<text x="{x}" y="{bottom + 18}" text-anchor="{anchor}">{tick:g}</text>')
    parts.append(f'<text x="{left}" y="14">{_text(y_name)}</text>')
    parts.append(f'<text x="{right}" y="{height - 4}" text-anchor="end">{_text(x_name)}</text>')
    for kind, line in (("curve", curve), ("other", other)):
        if line:
            parts.append(f'<polyline class="{kind}" points="{" ".join(map(place, line))}"/>')
    parts.append("</svg>")
    caption = title + (f"; dashed: {other_name}" if other else "")
    return f"<figure>{''.join(parts)}<figcaption>{_text(caption)}.</figcaption></figure>"


# --- sections -------------------------------------------------------------------------------------------


def _head(scores: dict[str, Any], summary: dict[str, Any] | None) -> str:
    folds = scores["folds"]
    subjects = sum(fold["subjects"] or 0 for fold in folds)
    what = f"{Path(scores['model']).name} with {', '.join(Path(fold['weights']).name for fold in folds)}"
    tested = f"{scores['frames']} frames" + (f" of {subjects} subjects" if subjects else "")
    parts = [
        "<header>",
        "<h1>Facial action units: DRML on Caffe</h1>",
        f"<p>{_text(what)}, tested on {_text(tested)} in {len(folds)} fold{'s' if len(folds) > 1 else ''}"
        f" ({_text(', '.join(fold['data'] for fold in folds))}).</p>",
    ]
    if scores["synthetic"] or (summary or {}).get("synthetic"):
        parts.append(
            '<p class="warn"><strong>Synthetic data.</strong> The faces are drawn by a program, no person is'
            " shown. The figures tell whether the way from data to scores works and whether the network"
            " learns; they tell nothing about its accuracy on real faces.</p>"
        )
    average = scores["pooled"]["average"]
    # Only drml prepare's own test splits are known to be of other subjects than those trained on.
    apart = summary is not None and all(Path(fold["data"]).name.startswith("test") for fold in folds)
    people = f"{subjects} subjects" + (" never trained on" if apart else "") if subjects else ""
    tiles = [
        ("ROC-AUC, Avg.", _cell(average["auc"]), "0.5 is chance"),
        ("F1-frame, Avg.", _cell(average["f1"]), f"{_cell(average['trivial_f1'])} by saying yes always"),
        ("AP, Avg.", _cell(average["ap"]), f"{_cell(average['trivial_ap'])} at chance"),
        ("frames scored", str(scores["frames"]), people),
    ]
    parts.append('<div class="tiles">')
    parts += [
        f'<div>{_text(name)}<b>{_text(value)}</b><span class="soft">{_text(note)}</span></div>'
        for name, value, note in tiles
    ]
    parts += ["</div>", "</header>"]
    return "\n".join(parts)


def _au_name(au: int) -> str:
    return f"AU {au}  {AU_NAMES.get(au, '')}".strip()


def _score_table(caption: str, scores: dict[str, Any]) -> str:
    rows = [
        [
            _au_name(row["au"]),
            str(row["known"]),
            *(_cell(row[name]) for name in ("base_rate", "f1", "auc", "ap")),
        ]
        for row in scores["aus"]
    ]
    average = scores["average"]
    rows.append(["Avg.", "", *(_cell(average[name]) for name in ("base_rate", "f1", "auc", "ap"))])
    trivial = (average[f"trivial_{name}"] for name in ("f1", "auc", "ap"))
    rows.append(["all positive (trivial)", "", _cell(average["base_rate"]), *map(_cell, trivial)])
    text = _table(caption, ["AU", "frames", "base rate", "F1-frame", "ROC-AUC", "AP"], rows, sums=2)
    titles = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
    for name, aus in scores["left_out_of_average"].items():
        listed = ", ".join(f"AU {au}" for au in aus)
        text += f'<p class="soft">{titles[name]} is undefined for {_text(listed)} and left out of Avg.</p>'
    return text


def _scores(scores: dict[str, Any]) -> str:
    parts = ["<section>", "<h2>Scores</h2>"]
    if scores["mean_of_folds"]:
        parts.append(_score_table(f"Pooled over {len(scores['folds'])} folds", scores["pooled"]))
        parts.append(_score_table(f"Mean of {len(scores['folds'])} folds", scores["mean_of_folds"]))
    else:
        parts.append(_score_table(f"Test set, F1 at threshold {scores['threshold']:g}", scores["pooled"]))
    parts.append(
        '<p class="soft">Frames whose label is unknown do not count. The trivial row says yes in every frame:'
        " a method has to beat it to have found anything.</p></section>"
    )
    return "\n".join(parts)


def _charts(scores: dict[str, Any]) -> str:
    rows = scores["pooled"]["aus"]

    def bars(figure: str) -> list[_Bar]:
        return [_Bar(f"AU {row['au']}", row[figure], row[f"trivial_{figure}"]) for row in rows]

    return "\n".join(
        [
            '<section><h2>By AU</h2><div class="charts">',
            _bar_chart("ROC-AUC", "chance", bars("auc")),
            _bar_chart("F1-frame", "all positive", bars("f1")),
            "</div></section>",
        ]
    )


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
            if figure := reader.read(line):
                figures.append((figure.iteration, figure.phase, figure.name, figure.value))
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


def _training(train_dir: Path) -> str:
    curve, test, seconds = _losses(train_dir)
    parts = ["<section>", "<h2>Training</h2>"]
    if len(curve) > 1:
        parts.append(
            _curve_chart(
                "Training loss (sum over AUs)", "iteration", "loss", curve, test, "loss on held-out data"
            )
        )
    else:
        parts.append("<p>The log has too few figures for a curve.</p>")
    if curve:
        time = f", {_duration(seconds)}" if seconds is not None else ""
        parts.append(f"<p>{curve[-1][0]:g} iterations{_text(time)}, loss at the end {curve[-1][1]:.4g}.</p>")
    solver = train_dir / SOLVER_FILE
    if solver.is_file():
        text = solver.read_text(encoding="utf-8", errors="replace")
        parts.append(f"<details><summary>The solver</summary><pre>{_text(text)}</pre></details>")
    parts.append("</section>")
    return "\n".join(parts)


# --- faces ----------------------------------------------------------------------------------------------


def _read_predictions(path: Path) -> tuple[list[int], dict[str, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = reader.fieldnames or []
            aus = [int(name[4:]) for name in names if name.startswith("p_AU")]
            if "key" not in names or not aus:
                raise UserError(f"{path}: not what drml score --predictions writes")
            return aus, {row["key"]: row for row in reader}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected what drml score --predictions writes") from None
    except ValueError:
        raise UserError(f"{path}: not what drml score --predictions writes") from None


def choose(keys: Sequence[str], subject_of: dict[str, str], count: int = FACES) -> list[str]:
    """Choose frames without a look at the result: the middle one of subjects spread over the test set.

    With fewer subjects than faces, frames spread evenly over the test set.

    Examples
    --------
    >>> choose(["a1", "a2", "a3", "b1"], {"a1": "a", "a2": "a", "a3": "a", "b1": "b"}, count=2)
    ['a2', 'b1']
    """
    by_subject: dict[str, list[str]] = {}
    for key in keys:
        by_subject.setdefault(subject_of.get(key, ""), []).append(key)
    middles = [some[len(some) // 2] for some in by_subject.values()]
    among = middles if len(middles) >= count else list(keys)
    if len(among) <= count:
        return among
    return [among[index * len(among) // count] for index in range(count)]


def _picture(data: bytes, where: str) -> str:
    """Return a picture's bytes as a data URL; JPEG and PNG go in as they are."""
    if data.startswith(b"\xff\xd8"):
        kind = "jpeg"
    elif data.startswith(b"\x89PNG"):
        kind = "png"
    else:
        raise UserError(f"{where}: neither JPEG nor PNG; run drml verify on it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _faces(scores: dict[str, Any], predictions: Path) -> str:
    aus, rows = _read_predictions(predictions)
    threshold = scores["threshold"]
    chosen: list[tuple[str, str, bytes]] = []
    # The first fold stands for all of them.
    data = open_data(scores["folds"][0]["data"])
    keys = [item.key for item in lmdb_io.read_lmdb(data.lmdb) if item.key in rows]
    records = data.manifest.rows if data.manifest else {}
    subjects = {key: records[key]["subject"] for key in keys if "subject" in records.get(key, {})}
    wanted = set(choose(keys, subjects))
    if not wanted:
        raise UserError(f"{predictions}: none of its keys is in {data.lmdb}; score that data again")
    for item in lmdb_io.read_lmdb(data.lmdb):
        if item.key in wanted:
            chosen.append((item.key, subjects.get(item.key, ""), item.image))
    synthetic = " Drawn, not photographed." if scores["synthetic"] else ""
    parts = [
        "<section>",
        "<h2>Some of the test faces</h2>",
        f"<p>{len(chosen)} registered faces spread over the test set, chosen without a look at the result."
        f"{synthetic} <b>Hit</b>: the AU is there and was found; <b>missed</b>: it is there and was not;"
        f" <b>false</b>: it was found and is not there. Threshold {threshold:g}.</p>",
        '<div class="faces">',
    ]
    for key, subject, image in chosen:
        row = rows[key]
        found = {au: float(row[f"p_AU{au}"]) >= threshold for au in aus}
        label = {au: int(row[f"y_AU{au}"]) for au in aus}
        groups = {
            "hit": [au for au in aus if label[au] > 0 and found[au]],
            "missed": [au for au in aus if label[au] > 0 and not found[au]],
            "false": [au for au in aus if label[au] < 0 and found[au]],
            "unknown": [au for au in aus if label[au] == 0],
        }
        true = ", ".join(f"AU {au}" for au in aus if label[au] > 0) or "no AU"
        alt = f"Face of {subject or key}, showing {true}"
        parts.append(f'<figure><img src="{_picture(image, key)}" alt="{_text(alt)}" loading="lazy">')
        parts.append(f'<figcaption title="{_text(key)}">{_text(key.split("_", 1)[-1])}</figcaption><dl>')
        for name, some in groups.items():
            if some or name != "unknown":
                listed = " ".join(map(str, some)) or "-"
                parts.append(f"<dt>{name}</dt><dd>{listed}</dd>")
        parts.append("</dl></figure>")
    parts.append("</div></section>")
    return "\n".join(parts)


# --- data, stages, environment --------------------------------------------------------------------------


def _are_apart(splits: Iterable[dict[str, Any]]) -> bool:
    subjects = [subject for split in splits for subject in split["subjects"]]
    return len(set(subjects)) == len(subjects)


def _data(summary: dict[str, Any]) -> str:
    parts = ["<section>", "<h2>Data</h2>"]
    kind = str(summary["kind"]).upper() + (" layout, synthetic" if summary.get("synthetic") else "")
    apart = all(_are_apart(splits.values()) for splits in summary["folds"].values())
    parts.append(
        f"<p>{_text(kind)}: {summary['images']} faces registered out of {summary['frames']} frames."
        + (" No subject is in two splits of a fold." if apart else "")
        + "</p>"
    )
    for fold, splits in summary["folds"].items():
        rows = [
            [name, str(split["images"]), str(len(split["subjects"])), str(split["videos"])]
            for name, split in splits.items()
        ]
        parts.append(_table(f"Fold {fold}", ["split", "images", "subjects", "videos"], rows))
    first, splits = next(iter(summary["folds"].items()))
    aus = [f"AU{au}" for au in summary["aus"]]
    rates = [[au, *(_cell(split["base_rate"][au]) for split in splits.values())] for au in aus]
    parts.append(_table(f"Share of frames with the AU, fold {first}", ["AU", *splits], rates))
    skipped = [[reason, str(count)] for reason, count in summary["skipped"].items()]
    if skipped:
        parts.append(_table("Frames skipped", ["reason", "frames"], skipped))
    else:
        parts.append("<p>No frame was skipped.</p>")
    lists = []
    for fold, splits in summary["folds"].items():
        for name, split in splits.items():
            lists.append(f"fold {fold} {name}: {' '.join(map(str, split['subjects']))}")
    parts.append(
        f"<details><summary>Subjects by split</summary><pre>{_text(chr(10).join(lists))}</pre></details>"
    )
    parts.append("</section>")
    return "\n".join(parts)


def _stages(stages: dict[str, Any]) -> str:
    try:
        seconds = {str(name): float(value) for name, value in stages.items()}
    except (TypeError, ValueError):
        raise UserError('stages: expected an object of seconds by stage, such as {"train": 61.5}') from None
    rows = [[name, _duration(value)] for name, value in seconds.items()]
    rows.append(["total", _duration(sum(seconds.values()))])
    table = _table("Time by stage", ["stage", "time"], rows, sums=1)
    return f"<section><h2>Time</h2>{table}</section>"


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def _versions() -> list[str]:
    lines = []
    for name in _PACKAGES:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return lines


def _commands(
    scores: dict[str, Any],
    summary: dict[str, Any] | None,
    train_dir: str | Path | None,
    data_dir: str | Path | None,
) -> list[str]:
    """Return the commands that give these results again, from what the files record."""
    commands = []
    if summary is not None:
        options = summary["options"]
        command = ["drml", "prepare", str(summary["kind"]), str(summary["root"]), str(data_dir)]
        command += ["--folds", ",".join(map(str, options["folds"]))]
        for name in ("seed", "val_share", "positives", "negatives", "unsampled", "encoding", "size"):
            command += [f"--{name.replace('_', '-')}", str(options[name])]
        commands.append(shlex.join(command))
    if train_dir is not None:
        commands.append(shlex.join(["caffe", "train", "-solver", str(Path(train_dir) / SOLVER_FILE)]))
    folds = scores["folds"]
    command = ["drml", "score", "--model", scores["model"]]
    command += ["--weights", *(fold["weights"] for fold in folds)]
    command += ["--data", *(fold["data"] for fold in folds)]
    commands.append(shlex.join(command))
    return commands


def _environment(
    scores: dict[str, Any],
    summary: dict[str, Any] | None,
    train_dir: str | Path | None,
    data_dir: str | Path | None,
) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [
        f"{platform.system()} {platform.release()}, {platform.machine()}; {_cpu()}, {cores} cores",
        f"Python {sys.version.split()[0]}; {', '.join(_versions())}",
    ]
    settings = [
        f"{fold['weights']}: scale {fold['input']['scale']:.6g} ({fold['input']['scale_from']}),"
        f" mean {fold['input']['mean_from']}"
        for fold in scores["folds"]
    ]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    commands = "\n".join(_commands(scores, summary, train_dir, data_dir))
    return "\n".join(
        [
            "<section><h2>How it was made</h2>",
            f"<pre>{_text(commands)}</pre>",
            f"<p>Input of the network: {_text('; '.join(settings))}.</p>",
            *(f'<p class="soft">{_text(line)}</p>' for line in lines),
            f'<p class="soft">Page written {now}.</p></section>',
        ]
    )
