"""drml.report in a browser: at the widths of a phone and of a desk, light and dark, and on paper."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import report_data as made
from browser import BINARY, Browser
from drml import report
from drml.report import write_experiment_report, write_report
from drml.report.lines import STYLES

needs_chromium = pytest.mark.skipif(BINARY is None, reason="no Chromium here: apt-get install chromium")

LOOK = """(async () => {
  await Promise.all([...document.images].map((image) => image.decode()));
  const box = (element) => element.getBoundingClientRect();
  const shown = (element) => element.checkVisibility() && box(element).width > 0;
  const texts = [...document.querySelectorAll('svg text')].filter(shown);
  const outside = texts.filter((text) => {
    const one = box(text), all = box(text.ownerSVGElement);
    return one.left < all.left - 1 || one.right > all.right + 1 || one.top < all.top - 1
      || one.bottom > all.bottom + 1;
  });
  const beside = (text) => [...text.ownerSVGElement.querySelectorAll('text')];
  const overlapping = texts.filter((text) => beside(text).some((other) => {
    const one = box(text), two = box(other);
    return other !== text && one.left < two.right && two.left < one.right
      && one.top + 3 < two.bottom && two.top + 3 < one.bottom;
  }));
  const frame = (element) => element.closest('.wide, pre');
  const sticking = [...document.querySelectorAll('main *')].filter(
    (element) => shown(element) && !frame(element) && box(element).right > screen.width + 0.5);
  return {
    scroll: document.documentElement.scrollWidth, inner: innerWidth,
    images: document.images.length, broken: [...document.images].filter((i) => !i.naturalWidth).length,
    size: Math.min(...texts.map((text) => 13 * text.getScreenCTM().a)),
    texts: texts.length, outside: outside.map((t) => t.textContent),
    overlapping: overlapping.map((t) => t.textContent),
    sticking: sticking.map((e) => e.outerHTML.slice(0, 80)),
    back: getComputedStyle(document.body).backgroundColor,
    folded: [...document.querySelectorAll('details > :not(summary)')]
      .filter((element) => element.checkVisibility()).length,
    details: document.querySelectorAll('details').length,
    dead: [...document.querySelectorAll('a')].filter(
      (a) => !document.getElementById(a.hash.slice(1))).map((a) => a.hash),
  };
})()"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    write_report(folder / "run.html", **made.write_run(folder / "run"))
    data = made.write_prepared(folder / "data")
    made.write_experiment(folder / "paper", data)
    write_experiment_report(folder / "experiment.html", [folder / "paper"])
    write_report(folder / "levels.html", **made.write_level_run(folder / "levels"))
    return {name: folder / f"{name}.html" for name in ("run", "experiment", "levels")}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@needs_chromium
@pytest.mark.parametrize("page", ["run", "experiment", "levels"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [375, 1280])
def test_page_fits_the_window(pages, browser, tmp_path, page, width, dark) -> None:
    browser.open(pages[page], width, dark=dark)
    found = browser.evaluate(LOOK)
    assert browser.complaints() == []
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert asked == [pages[page].as_uri()]
    assert found["inner"] == width and found["scroll"] <= width and found["sticking"] == []
    assert (found["images"] > 10 or page == "levels") and not found["broken"]
    assert found["texts"] > 50 and found["outside"] == [] and found["overlapping"] == []
    assert found["size"] >= 9.5, "pixels of the smallest text in a chart"
    assert found["dead"] == []
    assert found["back"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert found["folded"] == 0 < found["details"]
    browser.screenshot(tmp_path / f"{page}_{width}.png")
    assert (tmp_path / f"{page}_{width}.png").read_bytes().startswith(b"\x89PNG")


@needs_chromium
@pytest.mark.parametrize("page", ["run", "experiment", "levels"])
def test_page_prints(pages, browser, page) -> None:
    browser.open(pages[page], 720, dark=True, media="print")
    found = browser.evaluate(LOOK)
    assert found["back"] == "rgb(255, 255, 255)", "paper is white"
    assert found["folded"] >= found["details"] > 0, "what is shown on demand is printed"
    assert found["scroll"] <= 720
    assert not browser.evaluate("document.querySelector('nav').checkVisibility()")
    assert len(browser.call("Page.printToPDF", printBackground=True)["data"]) > 10_000


@needs_chromium
def test_the_checks_can_fail(browser, tmp_path) -> None:
    (tmp_path / "bad.html").write_text(
        '<!DOCTYPE html><meta name="viewport" content="width=device-width"><main><a href="#no">x</a>'
        '<div style="width:900px">wide</div><svg viewBox="0 0 100 20" style="width:50px"><text x="90" y="10">'
        'long text</text><text x="92" y="10">over</text></svg></main><script>console.error("e"); f()</script>'
        '<img src="gone.png">'
    )
    browser.open(tmp_path / "bad.html", 375)
    found = browser.evaluate(LOOK.replace("await Promise.all", "await Promise.allSettled"))
    assert found["scroll"] > 375 and found["sticking"] and found["dead"] == ["#no"] and found["broken"] == 1
    assert found["outside"] and found["overlapping"] and found["size"] < 9.5
    assert len(browser.complaints()) >= 3
    assert any(address.endswith("gone.png") for address in browser.requests())


# --- colours, which need no browser ---------------------------------------------------------------------

STYLE = (Path(report.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")


def colours_of(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


_LIGHT, _DARK = STYLE.split("prefers-color-scheme: dark")
THEMES = {"light": colours_of(_LIGHT), "dark": colours_of(_DARK)}
DASHES = re.findall(
    r"^svg \.line\.s\d \{ stroke: var\(--s\d\); stroke-dasharray: ([\d. ]+|none); \}", STYLE, re.M
)


def test_the_style_sheet_has_every_style_of_series() -> None:
    for theme in THEMES.values():
        assert {f"s{style}" for style in range(STYLES)} == {
            name for name in theme if re.fullmatch(r"s\d", name)
        }
    assert len(DASHES) == STYLES
    for style in range(STYLES):
        assert f"svg .line.s{style} {{ stroke: var(--s{style});" in STYLE
        assert f"svg .point.s{style} {{ fill: var(--s{style}); }}" in STYLE


def linear(colour: str) -> list[float]:
    values = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]


def luminance(colour: str) -> float:
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_colours_stand_out(theme) -> None:
    colours = THEMES[theme]
    for name in ("text", "soft", "link"):
        for back in ("back", "panel"):
            assert contrast(colours[name], colours[back]) >= 4.5, (name, back)
    assert contrast(colours["text"], colours["warn"]) >= 4.5
    for style in range(len(DASHES)):
        assert contrast(colours[f"s{style}"], colours["back"]) >= 3, style
    assert THEMES["light"].keys() == THEMES["dark"].keys()


# Viénot, Brettel and Mollon (1999): what a dichromat sees, as linear RGB.
BLINDNESS = {
    "protan": ((0.11238, 0.88762, 0), (0.11238, 0.88762, 0), (0.00401, -0.00401, 1)),
    "deutan": ((0.29275, 0.70725, 0), (0.29275, 0.70725, 0), (-0.02234, 0.02234, 1)),
}


def lab(linear_rgb: list[float]) -> tuple[float, float, float]:
    red, green, blue = (min(max(value, 0), 1) for value in linear_rgb)
    xyz = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    x, y, z = (v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_of_series_are_apart_for_the_colour_blind(theme, kind) -> None:
    seen = []
    for style in range(len(DASHES)):
        colour = linear(THEMES[theme][f"s{style}"])
        rows = BLINDNESS[kind]
        seen.append(lab([sum(a * b for a, b in zip(row, colour, strict=True)) for row in rows]))
    for one in range(len(seen)):
        for two in range(one):
            apart = sum((a - b) ** 2 for a, b in zip(seen[one], seen[two], strict=True)) ** 0.5
            # Dashes and marks differ as well; the first three are what most charts have.
            assert apart > (20 if one < 3 else 12), (one, two)
    assert len(set(DASHES)) == len(DASHES)
