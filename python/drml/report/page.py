"""The frame of the page: head, contents, sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drml.report.markup import escaped
from drml.report.style import STYLE

__all__ = ["Section", "base_rates_warning", "synthetic_warning", "whole_page"]

# Browsers then refuse what the page must not do: load anything, or run a script.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    anchor : str
        Its id, of letters, digits and hyphens.
    title : str
        Plain text.
    body : str
        HTML.
    """

    anchor: str
    title: str
    body: str


def synthetic_warning() -> str:
    """Return what stands at the top where any of the data are drawn."""
    return (
        '<p class="warn"><strong>Synthetic data.</strong> The faces are drawn by a program, no person is'
        " shown. The figures tell whether the way from data to scores works and whether the network"
        " learns; they tell nothing about its accuracy on real faces.</p>"
    )


def base_rates_warning(remark: str, figures: str) -> str:
    """Return what stands where a net predicts the base rates; both are plain text."""
    sentence = figures[:1].upper() + figures[1:]
    return f'<p class="warn"><strong>{escaped(remark)}.</strong> {escaped(sentence)}.</p>'


def whole_page(title: str, head: str, sections: Sequence[Section]) -> str:
    """Return the page: `head` (HTML), links to the sections, the sections."""
    links = "".join(f'<li><a href="#{one.anchor}">{escaped(one.title)}</a></li>' for one in sections)
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        f"<title>{escaped(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
        f"<header>\n{head}\n</header>",
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
    ]
    parts += [
        f'<section id="{one.anchor}">\n<h2>{escaped(one.title)}</h2>\n{one.body}\n</section>'
        for one in sections
    ]
    return "\n".join([*parts, "</main>\n</body>\n</html>\n"])
