"""Every page in a real browser: charts drawn, nothing asked of any network, no message, fit for a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.until import until

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
#: How many charts the page's data plan: a panel for each group of each figure.
PLANNED = """async () => {
  if (!gradbench.page) return 0;
  const { figures } = await gradbench.page;
  const shown = [...document.querySelectorAll("[data-figure]")];
  return shown.map((one) => figures[one.dataset.figure].groups.length).reduce((a, b) => a + b, 0);
}"""
#: The smallest contrast of text with its ground, by the formula of WCAG 2, and the text.
CONTRAST = """() => {
  const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((c) => linear(Number(c) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    const colour = getComputedStyle(one).backgroundColor;
    return /, 0\\)$/.test(colour) ? ground(one.parentElement) : colour;
  };
  const texts = [...document.querySelectorAll("h1, h2, p, td, th, .pill, a, .small")];
  return texts.filter((one) => one.textContent.trim() && one.offsetParent).map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(ground(one))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.trim().slice(0, 40)];
  }).sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


class Tab:
    """A page that was opened from disk, and whatever went wrong there."""

    def __init__(self, browser: Any, path: Path, width: int = 380, scheme: str = "light") -> None:
        self.troubles: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("requestfailed", lambda request: self.troubles.append(f"failed: {request.url}"))
        self.page.on("request", lambda request: self._ask(request.url))
        self.page.goto(path.as_uri())

    def _ask(self, url: str) -> None:
        if not url.startswith(("file://", "data:")):
            self.troubles.append(url)

    def drawn(self) -> int:
        """How many charts there are, once all that the page plans are drawn."""
        self.page.wait_for_load_state("load")
        planned = int(self.page.evaluate(PLANNED))
        until(self.page, f"document.querySelectorAll('.chart svg').length === {planned}")
        return planned


def test_every_kind_of_page_opens_from_disk_on_a_phone(browser: Any, pages: dict[str, Any]) -> None:
    charts = {}
    alike = {f"runs/steady/run-{number}.html" for number in (1, 2, 3)} | {"runs/lone/reference.html"}
    for path, page in pages.items():
        if path in alike:
            continue
        tab = Tab(browser, page.path)
        charts[path] = tab.drawn()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 380, path
        assert tab.page.evaluate("window.injected === undefined")
        assert tab.troubles == [], path
        tab.page.close()
    assert charts["cases/worse.html"] == 8  # four measures, two models
    assert charts["compare/worse/run-1..run-2.html"] == 3
    assert charts["torch/steady.html"] == 2
    assert charts["runs/worse/run-1.html"] > 8
    assert charts["index.html"] == 0


def test_links_are_followed_from_page_to_page(browser: Any, site: Path) -> None:
    tab = Tab(browser, site / "index.html", 1280)
    tab.page.click("#case-worse h2 a")
    assert tab.page.inner_text("h1") == "A case that got worse"
    tab.drawn()
    tab.page.click("text=Against the baseline")
    assert "1 regression" in tab.page.inner_text(".verdict")
    tab.drawn()  # a page that is left while it loads would fail to load its scripts
    tab.page.click("dd a >> nth=1")
    assert tab.page.url.endswith("/runs/worse/run-2.html")
    tab.drawn()
    tab.page.click(".brand a >> nth=0")
    assert tab.page.url == (site / "index.html").as_uri()
    assert tab.troubles == []
    tab.page.close()


def test_no_inline_script_runs(browser: Any, site: Path) -> None:
    tab = Tab(browser, site / "index.html")
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.injected = 1' }))"
    )
    assert tab.page.evaluate("window.injected === undefined")
    assert any("Content Security Policy" in one for one in tab.troubles)
    tab.page.close()


@pytest.mark.parametrize("page", ["index.html", "cases/worse.html", "compare/worse/run-1..run-2.html"])
def test_dark_pages_are_dark_and_legible(browser: Any, site: Path, page: str) -> None:
    tab = Tab(browser, site / page, 1280, "dark")
    tab.drawn()
    least, words = tab.page.evaluate(CONTRAST)
    assert least >= 4.5, words
    red, green, blue = tab.page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert red + green + blue < 150
    tab.page.close()


def test_a_choice_and_sorting_work(browser: Any, site: Path) -> None:
    tab = Tab(browser, site / "torch/steady.html", 1280)
    tab.drawn()
    first = "document.querySelector('table.sortable tbody tr').cells[1].textContent"
    heading = tab.page.locator("table.sortable thead button", has_text="depth")
    heading.click()
    assert tab.page.evaluate(first) == "3"
    heading.click()
    assert tab.page.evaluate(first) == "5"
    points = "document.querySelectorAll('.chart')[0].querySelectorAll('path[aria-roledescription=point]').length"
    tab.page.select_option("[data-control=x]", label="3")
    until(tab.page, f"{points} === 8")  # four strategies, two versions
    assert tab.troubles == []
    tab.page.close()
