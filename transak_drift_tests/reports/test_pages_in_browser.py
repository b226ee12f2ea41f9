"""The pages in headless Chromium: phone and desktop, light and dark, without the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from transak_drift.reports.charts import WIDTH
from transak_drift.reports.pages import (
    drift_history_page,
    drift_report_page,
    model_history_page,
)
from transak_drift_tests.reports.report_results import (
    FEATURES,
    FORGETFUL,
    HISTORY,
    HOSTILE,
    MANY_CLASSES,
    UNSOUND,
    UNSOUND_VERDICTS,
    VERSIONS,
    page_of,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright from PyPI")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")

PAGES = {
    "Drift report of 2026-03-04": drift_report_page(UNSOUND, UNSOUND_VERDICTS),
    "Drift history of transak-i1": drift_history_page("transak-i1", HISTORY, FEATURES),
    "Version 3 of transak-i1": page_of(FORGETFUL),
    "Versions of transak-i1": model_history_page("transak-i1", VERSIONS, len(VERSIONS)),
    "Version 4 of transak-i1": page_of(MANY_CLASSES, version="4"),
}
# Two models on two sets, and the calibration on each.
PICTURES = {title: 6 if title.startswith("Version ") else 2 for title in PAGES}
PICTURES["Versions of transak-i1"] = 0
SIZES = {"phone": (360, 740), "desktop": (1440, 900)}
# WCAG 2.2, success criterion 1.4.3: contrast of text at least 4.5 to 1.
LEAST_CONTRAST = 4.5

# Relative luminance and contrast ratio as WCAG 2.2 defines them, over every text of the page.
CONTRASTS = """() => {
  const parts = color => color.match(/[0-9.]+/g).map(Number);
  const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) =>
    0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own) continue;
    const a = luminance(parts(getComputedStyle(element).color)), b = luminance(ground(element));
    found.push((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.mark.parametrize(
    ("title", "size", "scheme"),
    [
        ("Drift report of 2026-03-04", "phone", "light"),
        ("Drift report of 2026-03-04", "desktop", "dark"),
        ("Drift history of transak-i1", "phone", "dark"),
        ("Drift history of transak-i1", "desktop", "light"),
        ("Version 3 of transak-i1", "phone", "dark"),
        ("Version 3 of transak-i1", "desktop", "light"),
        ("Version 4 of transak-i1", "phone", "light"),
        ("Versions of transak-i1", "phone", "dark"),
        ("Versions of transak-i1", "desktop", "light"),
        ("Version 4 of transak-i1", "desktop", "dark"),
    ],
)
def test_the_page_fits_and_is_legible(
    browser: Browser, tmp_path: Path, size: str, scheme: Any, title: str
) -> None:
    file = tmp_path / "page.html"
    file.write_text(PAGES[title], encoding="utf-8")
    width, height = SIZES[size]
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        is_mobile=size == "phone",
    )
    requests: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text))
    page.goto(file.as_uri())

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert faults == []
    assert page.title() == title
    assert page.get_by_text(HOSTILE, exact=True).count() >= 1
    # Nothing reaches out of its card.
    assert (
        page.evaluate("""[...document.querySelectorAll("section")].filter(
      card => card.scrollWidth > card.clientWidth + 1).length""")
        == 0
    )

    # Text in a picture keeps at least 7 of its 11 CSS pixels, and nothing reaches out of it.
    pictures = page.evaluate("""[...document.querySelectorAll("svg")].map(svg => {
      const box = svg.getBBox();
      return [svg.clientWidth, box.x >= 0 && box.x + box.width <= svg.viewBox.baseVal.width,
        getComputedStyle(svg.querySelector("text")).fill];
    })""")
    text = {"light": "rgb(28, 39, 51)", "dark": "rgb(228, 233, 239)"}[scheme]
    assert len(pictures) == PICTURES[title]
    for shown_width, fits, color in pictures:
        assert shown_width >= 7 / 11 * WIDTH
        assert fits
        assert color == text

    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert min(contrasts) >= LEAST_CONTRAST
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(244, 246, 248)", "dark": "rgb(18, 23, 29)"}[scheme]
    page.close()
