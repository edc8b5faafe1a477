"""Pieces of HTML: escaped text, tables, lists; numbers as words."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from drml.data.labels import AU_NAMES

__all__ = ["au_name", "cell", "details", "duration", "escaped", "html_table", "notes", "scrolling", "tiles"]


def escaped(value: Any) -> str:
    """Return a value as text that may stand in HTML, attributes included."""
    return html.escape(str(value), quote=True)


def cell(value: float | None, digits: int = 3) -> str:
    """Return a figure with so many decimals; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def au_name(au: int) -> str:
    """Return number and name of an AU.

    Examples
    --------
    >>> au_name(12)
    'AU 12 Lip corner puller'
    """
    return f"AU {au} {AU_NAMES.get(au, '')}".strip()


def scrolling(name: str, content: str) -> str:
    """Return a box in which wide content scrolls, by keyboard as well, instead of the page."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{escaped(name)}">{content}</div>'


def html_table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    sums: int = 0,
    classes: Sequence[Sequence[str]] = (),
    kind: str = "",
) -> str:
    """Return a table of plain text.

    Parameters
    ----------
    caption : str
    head : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        The first text of each names the row.
    sums : int
        The last so many rows stand out.
    classes : sequence of sequence of str, optional
        Classes of the cells, by row and by column from the second on; "" for none.
    kind : str, optional
        Class of the table.
    """
    rows = list(rows)
    opening = f'<table class="{kind}">' if kind else "<table>"
    lines = [f"{opening}<caption>{escaped(caption)}</caption>", "<thead><tr>"]
    lines += [f'<th scope="col">{escaped(name)}</th>' for name in head]
    lines.append("</tr></thead><tbody>")
    for index, row in enumerate(rows):
        sum_row = index - (len(rows) - sums)
        begin = "<tr>" if sum_row < 0 else f'<tr class="sum{" first" if not sum_row else ""}">'
        names = classes[index] if index < len(classes) else [""] * (len(row) - 1)
        cells = "".join(
            f'<td class="{name}">{escaped(text)}</td>' if name else f"<td>{escaped(text)}</td>"
            for text, name in zip(row[1:], names, strict=True)
        )
        lines.append(f'{begin}<th scope="row">{escaped(row[0])}</th>{cells}</tr>')
    lines.append("</tbody></table>")
    return scrolling(caption, "\n".join(lines))


def details(summary: str, content: str) -> str:
    """Return what is shown on demand, and on paper."""
    return f"<details><summary>{escaped(summary)}</summary>{content}</details>"


def notes(lines: Collection[str]) -> str:
    """Return lines below a table."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f'<ul class="notes">{items}</ul>' if lines else ""


def tiles(shown: Iterable[tuple[str, str, str]]) -> str:
    """Return the figures at the top: name, value, note."""
    parts = [
        f'<div>{escaped(name)}<b>{escaped(value)}</b><span class="soft">{escaped(note)}</span></div>'
        for name, value, note in shown
    ]
    return f'<div class="tiles">{"".join(parts)}</div>'


def duration(seconds: float) -> str:
    """Return seconds in the units that people use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
