"""The section of the saliency maps that ``drml saliency`` left in a folder."""

from __future__ import annotations

from pathlib import Path

from drml.io.errors import UserError
from drml.io.limits import read_json
from drml.report.markup import au_name, cell, escaped
from drml.report.page import Section
from drml.report.pictures import picture

__all__ = ["saliency_section"]

_LIMIT = 20_000  # bytes of a map, as there are many


def saliency_section(folder: Path) -> Section:
    """Return a face and its maps, each with the share of saliency inside the AU's region.

    Raises
    ------
    UserError
        It is no such folder.
    """
    path = folder / "saliency.json"
    try:
        found = read_json(path)
        key, aus = str(found["key"]), {int(name[2:]): about for name, about in found["aus"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what drml saliency writes; give its --out") from None
    figures = []

    def add(name: str, alt: str, caption: str) -> None:
        image = picture(folder / name, alt, "map", _LIMIT)
        figures.append(f"<figure>{image}<figcaption>{escaped(caption)}</figcaption></figure>")

    add("face.png", f"The face {key}", "The face")
    for au, about in aus.items():
        there = {1: "present", -1: "absent", 0: "unknown"}.get(about.get("label"), "not labelled")
        words = f"{au_name(au)}, {there}"
        if "area" in about:
            words += f"; focus {cell(about.get('focus'))}, region {cell(about['area'])}"
        add(f"AU{au}.png", f"Saliency of {words}", words)
    body = (
        "<p>How much each pixel moves an AU's score: |d score / d pixel|, from blue to red. Focus is the"
        " share inside the AU's region of the face; a map without preference has the region's own share."
        f' Frame {escaped(key)}.</p><div class="faces">{"".join(figures)}</div>'
    )
    return Section("saliency", "Saliency", body)
