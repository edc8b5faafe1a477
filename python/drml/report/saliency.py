"""The section of the saliency maps in a folder of ``drml saliency``."""

from __future__ import annotations

from pathlib import Path

from drml.io.errors import UserError
from drml.io.limits import read_json
from drml.report.formatting import au_name, decimals
from drml.report.pictures import read_picture
from drml.report.rendering import Section, render

__all__ = ["saliency_section"]

_LIMIT = 20_000  # bytes of a map, as there are many


def saliency_section(folder: Path) -> Section:
    """Return a face and its maps, each with the share of saliency inside the AU's region.

    Raises
    ------
    UserError
        The folder was not written by ``drml saliency``, or is damaged.
    """
    path = folder / "saliency.json"
    try:
        found = read_json(path)
        key, aus = str(found["key"]), {int(name[2:]): about for name, about in found["aus"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what drml saliency writes; give its --out") from None
    maps = [(read_picture(folder / "face.png", f"The face {key}", _LIMIT), "The face")]
    for au, about in aus.items():
        there = {1: "present", -1: "absent", 0: "unknown"}.get(about.get("label"), "not labelled")
        words = f"{au_name(au)}, {there}"
        if "area" in about:
            words += f"; focus {decimals(about.get('focus'))}, region {decimals(about['area'])}"
        maps.append((read_picture(folder / f"AU{au}.png", f"Saliency of {words}", _LIMIT), words))
    return Section("saliency", "Saliency", render("saliency.html", key=key, maps=maps))
