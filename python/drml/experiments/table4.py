"""Table 4: how long the nets take to train and to test, in milliseconds."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drml.experiments import timing, units
from drml.experiments.methods import METHODS
from drml.experiments.settings import Settings
from drml.io.files import writing
from drml.io.text import counted

__all__ = ["Table4", "make"]

NAME = "table4"
TITLE = "Table 4: running time (ms)"
PHASES = {"train": "train (forward, backward, update)", "test": "test (forward)"}


@dataclass(frozen=True)
class Table4:
    """The running times of finished units.

    Attributes
    ----------
    results : dict of str to dict
        The results of `drml.experiments.timing`, by net.
    notes : list of str
    wanted : tuple of str
        The nets that the table should have.
    """

    results: dict[str, dict[str, Any]]
    notes: list[str]
    wanted: tuple[str, ...]

    def gaps(self) -> list[str]:
        """Name the nets that are not timed."""
        return [f"{method}: not timed" for method in self.wanted if method not in self.results]

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each net and phase: milliseconds per batch and per image."""
        found = []
        for method, result in self.results.items():
            for phase in PHASES:
                times = result[phase]
                row: dict[str, Any] = {"method": method, "phase": phase, "batch": result["batch"]}
                for per, factor in (("batch", 1), ("image", result["batch"])):
                    row[f"ms_per_{per}"] = times["mean_ms"] / factor
                    row[f"std_per_{per}"] = times["std_of_trials_ms"] / factor
                found.append({**row, "machine": result["machine"]})
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "table": NAME,
            "title": TITLE,
            "rows": self.rows(),
            "units": self.results,
            "notes": self.notes,
        }

    def to_markdown(self) -> str:
        """Return the table and the notes below it."""
        lines = [
            f"# {TITLE}",
            "",
            "| net | phase | batch | a batch | an image |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows():
            batch, image = (
                f"{row[f'ms_per_{per}']:.2f} ± {row[f'std_per_{per}']:.2f}" for per in ("batch", "image")
            )
            title = METHODS[row["method"]].title
            lines.append(f"| {title} | {PHASES[row['phase']]} | {row['batch']} | {batch} | {image} |")
        counts = {(one["trials"], one["iterations"]) for one in self.results.values()}
        lines.append("")
        for trials, iterations in sorted(counts):
            lines.append(
                f"- Mean ± standard deviation over {counted(trials, 'trial')} of"
                f" {counted(iterations, 'iteration')} each."
            )
        lines.append("- The times do not include reading and decoding images.")
        lines += [f"- {name}" for name in sorted({one["machine"] for one in self.results.values()})]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes), ""])

    def write(self, out: Path) -> list[Path]:
        """Write Markdown, CSV and JSON; return the files."""
        paths = [out / f"{NAME}.{ending}" for ending in ("md", "csv", "json")]
        with writing(paths[0], encoding="utf-8") as file:
            file.write(self.to_markdown())
        with writing(paths[1], newline="", encoding="utf-8") as file:
            rows = self.rows()
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        units.write_json(paths[2], self.to_dict())
        return paths


def make(
    out: Path, methods: Sequence[str], settings: Settings, unavailable: Mapping[str, str]
) -> Table4 | None:
    """Make the table from the finished timings; None if there are none."""
    found = {method: units.read_result(out, f"{timing.FOLDER}/{method}") for method in methods}
    results = {method: result for method, result in found.items() if result is not None}
    notes = [note for method, note in unavailable.items() if method not in results]
    return Table4(results, notes, tuple(methods)) if results else None
