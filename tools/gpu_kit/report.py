"""Writes results.json as a page in Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PARTS = ("forward_ms", "backward_ms", "update_ms", "iteration_ms")


def step_rows(steps: list[dict[str, Any]]) -> list[str]:
    """Return a table of what became of each step."""
    lines = ["| step | result | seconds | |", "|---|---|---|---|"]
    for step in steps:
        figures = step["figures"]
        note = step["reason"] or ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in figures.items()
            if not isinstance(value, (list, dict))
        )
        lines.append(f"| {step['what']} | {step['outcome']} | {step['seconds']} | {note.replace('|', '/')} |")
    return lines


def time_rows(caffe: list[dict[str, Any]], torch: list[dict[str, Any]]) -> list[str]:
    """Return a table of the times of both, nets and batch sizes one after another."""
    lines = [
        "| net | batch | program | forward | backward | update | iteration | images/s |",
        "|" + "---|" * 8,
    ]
    rows = [("Caffe", row) for row in caffe] + [("PyTorch", row) for row in torch]
    cases = dict.fromkeys((row["model"], row["batch"]) for _, row in rows)
    for model, batch in cases:
        for program, row in rows:
            if (row["model"], row["batch"]) != (model, batch):
                continue
            if "fault" in row:
                fault = row["fault"].replace("|", "/")
                lines.append(f"| {model} | {batch} | {program}, {row['form']} | {fault} | | | | |")
                continue
            times = " | ".join(f"{row[part]:.2f}" for part in PARTS)
            rate = 1e3 * batch / row["iteration_ms"]
            lines.append(f"| {model} | {batch} | {program}, {row['form']} | {times} | {rate:.0f} |")
    return lines


def layer_rows(layers: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Return a table of DRML's layers at each batch size, forward / backward."""
    batches = list(layers)
    names = dict.fromkeys(name for found in layers.values() for name in found)
    lines = [
        "| layer | " + " | ".join(f"batch {batch}" for batch in batches) + " |",
        "|" + "---|" * (1 + len(batches)),
    ]
    for name in names:
        cells = [layers[batch].get(name, {}) for batch in batches]
        shown = [f"{cell.get('forward', 0):.3f} / {cell.get('backward', 0):.3f}" for cell in cells]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def write_table(source: Path, path: Path) -> str:
    """Write the page, and return it."""
    results = json.loads(source.read_text())
    steps = {step["name"]: step for step in results["steps"]}
    figures = {name: step["figures"] for name, step in steps.items()}
    lines = [
        f"# {results['gpu'] or 'No GPU'}",
        "",
        f"{results['date']}; {results['machine']}; {results['kit']}",
        "",
    ]
    lines += step_rows(results["steps"])
    caffe = figures.get("times", {}).get("rows", [])
    torch = figures.get("torch", {}).get("rows", [])
    if caffe or torch:
        lines += ["", "## Milliseconds of a training iteration (medians)", "", *time_rows(caffe, torch)]
    if layers := figures.get("layers", {}).get("layers"):
        note = "Milliseconds of DRML's layers, forward / backward; `caffe time` waits after each layer"
        lines += ["", f"## {note}", "", *layer_rows(layers)]
    text = "\n".join(lines) + "\n"
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)
    return text
