"""The section of the saliency maps in a folder of ``drml saliency``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.data.labels import INTENSITY_SUFFIX, UNKNOWN_LEVEL
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
        key, aus = str(found["key"]), {name: (_au(name), about) for name, about in found["aus"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not what drml saliency writes; give its --out") from None
    maps = [(read_picture(folder / "face.png", f"The face {key}", _LIMIT), "The face")]
    for name, (au, about) in aus.items():
        words = f"{au_name(au)}, {_label(name, about)}"
        if "area" in about:
            words += f"; focus {decimals(about.get('focus'))}, region {decimals(about['area'])}"
        maps.append((read_picture(folder / f"{name}.png", f"Saliency of {words}", _LIMIT), words))
    return Section("saliency", "Saliency", render("saliency.html", key=key, maps=maps))


def _au(name: str) -> int:
    """Return the AU of an output: 6 of ``AU6``, a score, and of ``AU6_r``, an intensity."""
    return int(name.removeprefix("AU").removesuffix(INTENSITY_SUFFIX))


def _label(name: str, about: dict[str, Any]) -> str:
    label: Any = about.get("label")
    if not name.endswith(INTENSITY_SUFFIX):
        return {1: "present", -1: "absent", 0: "unknown"}.get(label, "not labelled")
    coded = "not labelled" if label in (None, UNKNOWN_LEVEL) else f"coded {label}"
    return f"intensity {decimals(about.get('intensity'), 1)}, {coded}"
