"""Pieces of HTML: the style, escaped text, tables; numbers as words."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """\
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --panel: #f6f8fa; --bar: #2563b0; --mark: #b3400a; --warn: #fff4d6; --warn-line: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e9ed; --soft: #a3acb7;
  --line: #3b434d; --panel: #1d2127; --bar: #6cabf5; --mark: #ffa263; --warn: #3a2f10;
  --warn-line: #e0b341; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .5rem 0; max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.warn { background: var(--warn); border-left: .35rem solid var(--warn-line); padding: .6rem .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1rem 0; }
.tiles div { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem;
  padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.2; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; }
tr.sum th, tr.sum td { font-weight: 700; border-top: 2px solid var(--text); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.2rem; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; max-width: 36rem; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg .axis { stroke: var(--line); }
svg .bar { fill: var(--bar); }
svg .mark { stroke: var(--mark); stroke-width: 3; }
svg .curve { fill: none; stroke: var(--bar); stroke-width: 2; }
svg .other { fill: none; stroke: var(--mark); stroke-width: 2; stroke-dasharray: 6 4; }
.faces { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; }
.faces img { width: 100%; height: auto; border-radius: .3rem; display: block; }
.faces dl { margin: .4rem 0 0; font-size: .9rem; line-height: 1.35; display: grid;
  grid-template-columns: auto 1fr; column-gap: .5rem; }
.faces dt { color: var(--soft); } .faces dd { margin: 0; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  overflow-x: auto; font-size: .85rem; }
summary { cursor: pointer; }
@media (max-width: 40rem) {
  .faces { grid-template-columns: repeat(2, 1fr); }
  table { font-size: .85rem; } th, td { padding: .25rem .35rem; } tbody th { white-space: normal; }
}
"""


def escaped(value: Any) -> str:
    """Return a value as text that may stand in HTML, attributes included."""
    return html.escape(str(value), quote=True)


def cell(value: float | None, digits: int = 3) -> str:
    """Return a figure with so many decimals; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], sums: int = 0) -> str:
    """Return a table of plain text; the last `sums` rows stand out."""
    rows = list(rows)
    lines = [f'<div class="wide"><table><caption>{escaped(caption)}</caption>', "<thead><tr>"]
    lines += [f'<th scope="col">{escaped(name)}</th>' for name in head]
    lines.append("</tr></thead><tbody>")
    for index, row in enumerate(rows):
        kind = ' class="sum"' if index >= len(rows) - sums else ""
        cells = "".join(f"<td>{escaped(cell)}</td>" for cell in row[1:])
        lines.append(f'<tr{kind}><th scope="row">{escaped(row[0])}</th>{cells}</tr>')
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return seconds in the units that people use."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
