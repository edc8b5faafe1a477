"""Reads a page of ``drml report``: shared by its tests."""

import re
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "line", "rect", "polyline", "path"}
# What may not stand in a paragraph, since it ends it.
BLOCKS = {"p", "div", "ul", "table", "figure", "details", "section", "pre", "h1", "h2", "h3", "dl", "nav"}


class Page(HTMLParser):
    """Checks that tags close in order; collects text, attributes, table rows, and all that by section.

    Attributes
    ----------
    tags : list of (str, dict)
    text : str
        With single spaces.
    rows : list of list of str
        The cells of every table row.
    sections : dict of str to str
        Text by id.
    """

    def __init__(self, text):
        super().__init__()
        self.source, self.open, self.tags, self.words, self.rows = text, [], [], [], []
        self._section, self._words, self._inside = None, {}, []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())
        self.sections = {name: " ".join(" ".join(some).split()) for name, some in self._words.items()}

    def handle_starttag(self, tag, attributes):
        assert not (tag in BLOCKS and "p" in self.open), f"<{tag}> in a paragraph"
        self.tags.append((tag, dict(attributes)))
        self._inside.append(self._section)
        if tag == "section":
            self._section = dict(attributes)["id"]
            self._words[self._section] = []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag == "section":
            self._section = None
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if self._section:
            self._words[self._section].append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def of(self, section):
        """Return tags and attributes inside a section."""
        return [one for one, inside in zip(self.tags, self._inside, strict=True) if inside == section]

    def polylines(self, section):
        """Return the points of a section's lines, without those of legends."""
        found = [attributes["points"] for tag, attributes in self.of(section) if tag == "polyline"]
        return [points for points in found if points != "2,8 42,8"]

    def rows_of(self, section):
        """Return the table rows of a section."""
        inside = Page.__new__(Page)
        begin = self.source.index(f'<section id="{section}">')
        inside.__init__(self.source[begin : self.source.index("</section>", begin) + len("</section>")])
        return inside.rows

    def check_that_it_stands_alone(self):
        """Check what every page of the report has to keep."""
        assert self.source.startswith("<!DOCTYPE html>")
        assert "<script" not in self.source
        assert "url(" not in self.source and "@import" not in self.source
        assert ("html", {"lang": "en"}) in self.tags
        assert any(tag == "meta" and a.get("name") == "viewport" for tag, a in self.tags)
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(set(ids)) == len(ids)
        for tag, attributes in self.tags:
            for name, value in attributes.items():
                assert not re.match(r"\s*(https?:)?//", value or ""), f"<{tag} {name}> loads {value}"
                assert not name.startswith("on")
            assert tag not in ("link", "iframe", "object", "embed", "base", "form")
            if tag == "a":
                assert attributes["href"].startswith("#") and attributes["href"][1:] in ids
            if tag == "img":
                assert attributes["alt"] and attributes["src"].startswith("data:image/")
            if tag == "svg":
                assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
            if "src" in attributes or "href" in attributes:
                assert tag in ("img", "a")
        assert len(self.source) < 5_000_000
