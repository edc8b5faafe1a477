"""Renders the templates in ``templates/``, which escape every text that is put into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from drml.report.formatting import au_name, decimals, duration

__all__ = ["Section", "render", "render_page", "render_table"]


def _pixels(value: float) -> str:
    return f"{value:.1f}"


_TEMPLATES = Environment(
    loader=PackageLoader("drml.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(au_name=au_name, decimals=decimals, duration=duration, px=_pixels)


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes
    ----------
    anchor : str
        The section's id: letters, digits and hyphens.
    title : str
        Plain text.
    body : Markup
        HTML, as `render` returns it.
    """

    anchor: str
    title: str
    body: Markup


def render(template: str, **values: Any) -> Markup:
    """Render a template of this package.

    Parameters
    ----------
    template : str
        Its file name, such as ``scores.html``.
    **values
        The template's variables. Text is escaped; `Markup` goes in as it is.

    Returns
    -------
    Markup

    Examples
    --------
    >>> "<td>a&lt;b</td>" in render_table("Scores", ["AU", "name"], [["AU 1", "a<b"]])
    True
    """
    return Markup(_TEMPLATES.get_template(template).render(**values).strip())


def render_page(title: str, head: Markup, sections: Sequence[Section]) -> str:
    """Return the whole page: its head, links to the sections, and the sections."""
    return render("page.html", title=title, head=head, sections=sections) + "\n"


def render_table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    totals: int = 0,
    classes: Sequence[Sequence[str]] = (),
    kind: str = "",
) -> Markup:
    """Render a table of plain text.

    Parameters
    ----------
    caption : str
    head : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        The first text of each row is the row's name.
    totals : int
        How many rows at the end are averages or sums, which are set in bold.
    classes : sequence of sequence of str, optional
        CSS classes of the cells, by row and by column from the second on; "" for none.
    kind : str, optional
        CSS class of the table.
    """
    shown = []
    for index, (name, *texts) in enumerate(rows):
        names = classes[index] if index < len(classes) else [""] * len(texts)
        shown.append({"name": name, "cells": list(zip(texts, names, strict=True))})
    return render("table.html", caption=caption, head=head, rows=shown, totals=totals, kind=kind)
