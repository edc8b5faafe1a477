"""The page's style: light and dark, from the width of a phone up, and on paper.

Series are told apart by colour, dashes and the shape of a mark, so that no one of the three is needed. The
colours are apart for the colour-blind as well, and stand out from the page by 3:1.
"""

from __future__ import annotations

__all__ = ["DASHES", "STYLE", "THEMES"]

THEMES: dict[str, dict[str, str]] = {
    "light": {
        "back": "#ffffff",
        "text": "#1b1f24",
        "soft": "#57606a",
        "line": "#d0d7de",
        "panel": "#f6f8fa",
        "warn": "#fff4d6",
        "warn-line": "#8a6100",
        "link": "#0b57b0",
        "s0": "#0063a6",
        "s1": "#c44e00",
        "s2": "#00795a",
        "s3": "#a8437f",
        "s4": "#4a4f57",
        "s5": "#6a3fd6",
    },
    "dark": {
        "back": "#14171b",
        "text": "#e6e9ed",
        "soft": "#a3acb7",
        "line": "#3b434d",
        "panel": "#1d2127",
        "warn": "#3a2f10",
        "warn-line": "#e0b341",
        "link": "#8cc0ff",
        "s0": "#6cabf5",
        "s1": "#ff9d5c",
        "s2": "#3fcfa0",
        "s3": "#ff6fb5",
        "s4": "#cfd6de",
        "s5": "#e8c547",
    },
}
"""By theme, the colours; s0 to s5 are those of series."""

DASHES = ("", "7 3", "2 2.5", "9 3 2 3", "5 2", "12 3 2 3 2 3")
"""Of the lines of series, as SVG has them."""


def _colours(theme: str) -> str:
    return " ".join(f"--{name}: {value};" for name, value in THEMES[theme].items())


def _series() -> str:
    rules = []
    for index, dash in enumerate(DASHES):
        rules.append(f"svg .line.s{index} {{ stroke: var(--s{index}); stroke-dasharray: {dash or 'none'}; }}")
        rules.append(f"svg .point.s{index} {{ fill: var(--s{index}); }}")
    return "\n".join(rules)


def _tones() -> str:
    """Return backgrounds of the cells of relation tables: blue above zero, orange below."""
    return "\n".join(
        f".{sign}{level} {{ background: rgb({hue} / {0.11 * level:.2f}); }}"
        for sign, hue in (("more", "0 99 166"), ("less", "196 78 0"))
        for level in range(1, 6)
    )


STYLE = f"""\
:root {{ color-scheme: light dark; {_colours("light")} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_colours("dark")} }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{ margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 64rem; margin: 0 auto; padding: 1rem; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }}
h2 {{ font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 .4rem; }}
p {{ margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }}
a {{ color: var(--link); }}
nav ul {{ display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; list-style: none; margin: 1rem 0; padding: 0; }}
nav a {{ display: inline-block; padding: .15rem 0; }}
ul.notes {{ padding-left: 1.1rem; color: var(--soft); font-size: .9rem; max-width: 46rem;
  overflow-wrap: anywhere; }}
.soft, figcaption {{ color: var(--soft); font-size: .9rem; }}
.warn {{ background: var(--warn); border-left: .35rem solid var(--warn-line); padding: .6rem .9rem; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1rem 0; }}
.tiles div {{ background: var(--panel); border: 1px solid var(--line); border-radius: .4rem;
  padding: .6rem .8rem; }}
.tiles b {{ display: block; font-size: 1.5rem; line-height: 1.2; }}
.wide {{ overflow-x: auto; margin-bottom: 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; color: var(--soft); font-size: .9rem; padding-bottom: .3rem; }}
th, td {{ padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }}
th {{ font-weight: 600; }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0; }}
tbody th {{ font-weight: 400; position: sticky; left: 0; background: var(--back); }}
tr.sum th, tr.sum td {{ font-weight: 700; }}
tr.sum.first th, tr.sum.first td {{ border-top: 2px solid var(--text); }}
td.best {{ font-weight: 700; text-decoration: underline; text-underline-offset: .2em; }}
table.words th, table.words td {{ text-align: left; }}
table.tones td {{ padding: .25rem .4rem; text-align: center; min-width: 3.2rem; }}
table.tones thead th {{ text-align: center; }}
{_tones()}
.charts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr));
  gap: 1.2rem; }}
.small {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .9rem; }}
.small.many {{ grid-template-columns: repeat(auto-fill, minmax(min(100%, 15rem), 1fr)); }}
figure {{ margin: 0; }}
svg {{ display: block; width: 100%; height: auto; max-width: 30rem; }}
.small svg {{ max-width: 17rem; }}
.small figure, .charts figure {{ display: flex; flex-direction: column; justify-content: flex-end; }}
svg text {{ fill: var(--text); font: 13px system-ui, sans-serif; }}
svg .axis {{ stroke: var(--line); }}
svg .chance {{ stroke: var(--soft); stroke-dasharray: 2 4; }}
svg .bar {{ fill: var(--s0); }}
svg .mark {{ stroke: var(--s1); stroke-width: 3; }}
svg .line {{ fill: none; stroke-width: 2; stroke-linejoin: round; }}
svg .point {{ stroke: var(--back); stroke-width: 1; }}
{_series()}
ul.legend {{ display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: .6rem 0; padding: 0;
  font-size: .9rem; }}
ul.legend li {{ display: flex; align-items: center; gap: .4rem; }}
ul.legend svg {{ width: 44px; flex: none; }}
.picture {{ width: 100%; min-width: min(100%, 46rem); height: auto; display: block; border-radius: .3rem;
  background: #fff; }}
.wide .picture {{ min-width: 46rem; }}
.faces {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem; }}
.faces img {{ width: 100%; max-width: 15rem; height: auto; border-radius: .3rem; display: block; }}
.faces dl {{ margin: .4rem 0 0; font-size: .9rem; line-height: 1.35; display: grid;
  grid-template-columns: auto 1fr; column-gap: .5rem; }}
.faces dt {{ color: var(--soft); }} .faces dd {{ margin: 0; }}
.faces figcaption {{ overflow-wrap: anywhere; }}
pre {{ background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
  overflow-x: auto; font-size: .85rem; }}
summary {{ cursor: pointer; padding: .2rem 0; }}
details {{ margin-bottom: .4rem; }}
:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
@media (max-width: 40rem) {{
  table {{ font-size: .9rem; }} th, td {{ padding: .25rem .4rem; }}
  tbody th {{ white-space: normal; min-width: 6.5rem; }}
  table.tones tbody th {{ min-width: 0; white-space: nowrap; }}
}}
@media print {{
  body {{ font-size: 10pt; }} main {{ max-width: none; padding: 0; }}
  nav {{ display: none; }}
  .wide, pre {{ overflow: visible; }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere; }}
  .wide .picture {{ min-width: 0; }}
  table {{ font-size: 8pt; }} th, td {{ padding: .15rem .3rem; }} table.tones td {{ min-width: 0; }}
  details::details-content {{ content-visibility: visible; display: block; }}
  .tiles div, td, svg {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  h2, h3, h2 + p, h3 + p, caption, .legend {{ break-after: avoid; }}
  figure, tr, .tiles {{ break-inside: avoid; }}
}}
"""
