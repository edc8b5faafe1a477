"""Writes the demo's scores into README.md and docs/demo.md, from the files that `make demo` left.

Usage: tools/readme_table.py BUILD/demo [DOCUMENT...]

The table stands between two HTML comments in each document and is replaced as a whole, so that nobody copies
figures by hand. `--check` writes nothing and fails if a document has other figures.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from drml.data.labels import AU_NAMES
from drml.evaluation.text_table import figure_cell

BEGIN = "<!-- The table of the demo: made by `make readme-table`. -->"
END = "<!-- End of the demo's table. -->"
HEAD = "| AU | base rate | ROC-AUC, DRML | ROC-AUC, LSVM | F1-frame, DRML | F1-frame, LSVM |"


def scores_of(path: Path) -> dict[str, Any]:
    """Read a scores.json of `drml score` or `drml baseline`."""
    if not path.is_file():
        sys.exit(f"{path}: missing; run make demo first")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def row(name: str, base_rate: float, figures: list[float | None]) -> str:
    """Return a row of the table."""
    cells = [figure_cell(float("nan") if value is None else value) for value in (base_rate, *figures)]
    return f"| {name} | {' | '.join(cells)} |"


def table(demo: Path) -> str:
    """Return the table of the demo's folder, with the lines above and below it."""
    net, lsvm = scores_of(demo / "scores.json"), scores_of(demo / "lsvm" / "scores.json")
    nets, linear = net["pooled"], lsvm["pooled"]
    if [one["au"] for one in nets["aus"]] != [one["au"] for one in linear["aus"]]:
        sys.exit(f"{demo}: DRML and LSVM were not scored on the same AUs; run make demo again")
    lines = [HEAD, "|---" * 6 + "|"]
    for ours, theirs in zip(nets["aus"], linear["aus"], strict=True):
        figures = [one[name] for name in ("auc", "f1") for one in (ours, theirs)]
        lines.append(row(f"{ours['au']} {AU_NAMES[ours['au']]}", ours["base_rate"], figures))
    averages = [one["average"] for one in (nets, linear)]
    rate = nets["average"]["base_rate"]
    lines.append(row("**Avg.**", rate, [one[name] for name in ("auc", "f1") for one in averages]))
    trivial = averages[0]
    lines.append(
        row(
            "**all positive (trivial)**",
            rate,
            [trivial[f"trivial_{name}"] for name in ("auc", "auc", "f1", "f1")],
        )
    )
    frames, subjects = net["frames"], sum(one["subjects"] or 0 for one in net["folds"])
    after = (
        f"Test set: {frames:,} frames of {subjects} subjects on whom neither method was trained or tuned."
        " F1-frame is that at a threshold of 0.5."
    )
    return "\n".join([*lines, "", after])


def inserted(text: str, new: str, document: Path) -> str:
    """Return a document's text with the new table between its two comments."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if len(pattern.findall(text)) != 1:
        sys.exit(f"{document}: the comments around the demo's table are not there once: {BEGIN}")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{new}\n\n{END}", text)


def main(arguments: list[str] | None = None) -> None:
    """Write or check the tables."""
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path, help="folder of make demo")
    parser.add_argument("documents", nargs="*", type=Path, help="default: README.md and docs/demo.md")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table differs")
    args = parser.parse_args(arguments)
    new = table(args.demo)
    for document in args.documents or [root / "README.md", root / "docs" / "demo.md"]:
        text = document.read_text(encoding="utf-8")
        made = inserted(text, new, document)
        if made == text:
            continue
        if args.check:
            sys.exit(f"{document}: its table is not that of {args.demo}; run make readme-table")
        document.write_text(made, encoding="utf-8")
        print(f"{document}: table written")


if __name__ == "__main__":
    main()
