#!/usr/bin/env python
"""Print a table of the runs of tools/starts.py, and draw their losses.

.venv/bin/python tools/draw_starts.py models/drml/starts.jsonl models/drml/starts.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

WINDOW = 25


def read_runs(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file, in the order of net, start, threads and seed."""
    runs = [json.loads(line) for line in path.read_text().splitlines()]
    return sorted(runs, key=lambda run: (run["net"], run["start"], run["threads"], run["seed"]))


def print_table(runs: list[dict[str, Any]]) -> None:
    """Print a row a run, in Markdown."""
    print("| net | start | threads | seed | learned after | last loss | last AUC |")
    print("|---|---|---|---|---|---|---|")
    for run in runs:
        learned = run["learned"] or f"not in {len(run['loss'])}"
        area = list(run["auc"].values())[-1] if run["auc"] else float("nan")
        print(
            f"| {run['net']} | {run['start']} | {run['threads']} | {run['seed']} | {learned} |"
            f" {np.mean(run['loss'][-50:]):.2f} | {area:.3f} |"
        )


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Draw the training losses, smoothed: a line a run, a colour a start, a panel a net."""
    nets = sorted({run["net"] for run in runs}, key=lambda net: (net != "drml", net))
    starts = sorted({run["start"] for run in runs}, key=lambda start: (start != "chosen", start))
    figure, panels = plt.subplots(1, len(nets), figsize=(4.2 * len(nets), 3.4), sharey=True, squeeze=False)
    for panel, net in zip(panels[0], nets, strict=True):
        for number, start in enumerate(starts):
            chosen = [run for run in runs if (run["net"], run["start"]) == (net, start)]
            for k, run in enumerate(chosen):
                smooth = np.convolve(run["loss"], np.full(WINDOW, 1 / WINDOW), "valid")
                panel.plot(
                    np.arange(len(smooth)) + WINDOW,
                    smooth,
                    color=f"C{number}",
                    linestyle="--" if run["threads"] == "1" else "-",
                    linewidth=1,
                    label=start.replace("_", " ") if k == 0 else None,
                )
        panel.axhline(6.88, color="grey", linewidth=0.8, linestyle=":")
        panel.set(title=net, xlabel="iteration (batch 16)", ylim=(4.5, 9))
        panel.legend(fontsize=8)
    panels[0][0].set_ylabel(f"training loss, mean of {WINDOW}")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, help="the file that tools/starts.py wrote")
    parser.add_argument("picture", type=Path, nargs="?", help="a PNG to write")
    options = parser.parse_args()
    runs = read_runs(options.runs)
    print_table(runs)
    if options.picture:
        draw(runs, options.picture)


if __name__ == "__main__":
    main()
