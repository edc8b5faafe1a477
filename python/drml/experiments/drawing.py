"""Writes figures as PNG and SVG; each file appears completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drml.experiments.settings import Settings
from drml.io.files import writing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "heading", "save"]

COLOURS = ("#1f5fa8", "#c8551b", "#2c7f4f", "#7a4b9d")
"""Colours of methods. They differ in greyscale and for readers who confuse red and green."""


def heading(settings: Settings, synthetic: bool) -> str:
    """Return the line above a picture: the schedule of its nets, and whether its faces are drawn."""
    return ("SYNTHETIC DATA (drawn faces), " if synthetic else "") + settings.schedule


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write ``NAME.png`` and ``NAME.svg`` to `out`; return the files."""
    paths = []
    for ending in ("png", "svg"):
        path = out / f"{name}.{ending}"
        with writing(path, "wb") as file:
            figure.savefig(file, format=ending, dpi=150)
        paths.append(path)
    return paths
