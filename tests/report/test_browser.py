"""The page in a real browser: no error, no request, charts drawn, choices and sorting at work, fit for a phone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def tab(browser: Any, folder: Path) -> Iterator[Any]:
    """The report in a window as wide as a phone; fails at the end on any message, error or request."""
    page = browser.new_page(viewport={"width": 380, "height": 800})
    troubles: list[str] = []
    page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: troubles.append(request.url) if "report.html" not in request.url else None)
    page.goto((folder / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('.chart svg').length === 16")
    yield page
    page.close()
    assert troubles == []


def test_nothing_in_a_name_runs(tab: Any) -> None:
    assert tab.evaluate("window.injected === undefined")


def test_the_page_is_no_wider_than_a_phone(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380


def test_charts_have_points_and_names(tab: Any) -> None:
    for chart in tab.query_selector_all(".chart"):
        assert chart.query_selector_all("path[aria-roledescription]")
        assert len(chart.query_selector("[aria-label]").get_attribute("aria-label")) > 20


def test_a_choice_redraws_the_chart(tab: Any) -> None:
    chart = "document.querySelector('[data-figure=profile] .chart')"
    points = f"{chart}.querySelectorAll('path[aria-roledescription=point]').length"
    tab.select_option("[data-figure=profile] [data-control=x]", label="3")
    tab.wait_for_function(f"{points} === 8")
    tab.select_option("[data-figure=profile] [data-control=x]", label="28")
    tab.wait_for_function(f"{points} === 83")


def test_another_measure_replaces_the_charts(tab: Any) -> None:
    tab.select_option("[data-figure=errors] [data-control=variant]", label="relative error, median weight tensor")
    tab.wait_for_function(
        "document.querySelector('[data-figure=errors] .panels').textContent.includes('relative error')"
    )
    assert tab.evaluate("document.querySelectorAll('[data-figure=errors] svg').length") >= 2


def test_the_table_is_sorted_from_the_keyboard(tab: Any) -> None:
    heading = tab.locator("#table thead button", has_text="worst tensor")
    rows = "[...document.querySelectorAll('#table tbody tr')]"
    values = f"{rows}.map((row) => Number(row.cells[6].dataset.key)).filter(Boolean)"
    heading.focus()
    tab.keyboard.press("Enter")
    up = tab.evaluate(values)
    assert up == sorted(up)
    tab.keyboard.press("Enter")
    down = tab.evaluate(values)
    assert down == up[::-1]
    assert tab.evaluate("document.querySelector('#table [aria-sort]').ariaSort") == "descending"


def test_the_table_is_filtered(tab: Any) -> None:
    tab.fill("#search", "hybrid 28")
    tab.select_option("#filter-strategy", "checkpoint")
    rows = "[...document.querySelectorAll('#table tbody tr:not([hidden])')]"
    assert tab.evaluate(f"{rows}.map((row) => row.dataset.strategy)") == ["checkpoint"]
    assert tab.inner_text("#shown").startswith("1 of ")


def test_a_link_to_a_cell_opens_it(tab: Any) -> None:
    anchor = tab.evaluate("document.querySelector('[id^=cell-]').id")
    tab.evaluate(f"location.hash = '{anchor}'")
    tab.wait_for_function(f"document.getElementById('{anchor}').closest('details').open")
