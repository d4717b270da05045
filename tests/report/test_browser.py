"""The page in a real browser: no error, no request, all that it offers at work, fit for a phone and for paper."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gradbench.report.build import build
from tests.until import until

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

#: Opens the report in a window of a width; fails at the end on any message, error or request.
Open = Callable[..., AbstractContextManager[Any]]


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
def open_report(browser: Any, folder: Path) -> Open:
    @contextmanager
    def open_page(width: int, anchor: str = "", **settings: Any) -> Iterator[Any]:
        context = browser.new_context(viewport={"width": width, "height": 800}, **settings)
        page = context.new_page()
        page.set_default_timeout(60_000)
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if is_foreign(request.url) else None)
        page.goto((folder / "report.html").as_uri() + anchor)
        until(page, "document.querySelectorAll('.chart svg').length === 16")
        yield page
        context.close()
        assert troubles == []

    return open_page


def is_foreign(url: str) -> bool:
    """Whether a request leaves the page; a saved figure is in memory."""
    return "report.html" not in url and not url.startswith(("blob:", "data:"))


@pytest.fixture(scope="module")
def phone(open_report: Open) -> Iterator[Any]:
    with open_report(380) as page:
        yield page


@pytest.fixture(scope="module")
def desk(open_report: Open) -> Iterator[Any]:
    with open_report(1280, permissions=["clipboard-read", "clipboard-write"]) as page:
        yield page


def test_nothing_in_a_name_runs(phone: Any) -> None:
    assert phone.evaluate("window.injected === undefined")


def test_the_page_is_no_wider_than_a_phone(phone: Any) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= 380


def test_charts_have_points_and_names(phone: Any) -> None:
    for chart in phone.query_selector_all(".chart"):
        assert chart.query_selector_all("path[aria-roledescription]")
        assert len(chart.query_selector("[aria-label]").get_attribute("aria-label")) > 20


def test_a_choice_redraws_the_chart(phone: Any) -> None:
    chart = "document.querySelector('[data-figure=profile] .chart')"
    points = f"{chart}.querySelectorAll('path[aria-roledescription=point]').length"
    phone.select_option("[data-figure=profile] [data-control=x]", label="3")
    until(phone, f"{points} === 8")
    phone.select_option("[data-figure=profile] [data-control=x]", label="28")
    until(phone, f"{points} === 83")


def test_another_measure_replaces_the_charts(phone: Any) -> None:
    phone.select_option("[data-figure=errors] [data-control=variant]", label="relative error, median weight tensor")
    until(phone, "document.querySelector('[data-figure=errors] .panels').textContent.includes('relative error')")
    assert phone.evaluate("document.querySelectorAll('[data-figure=errors] svg').length") >= 2


def test_a_panel_without_anything_at_a_choice_is_left_out(browser: Any, make_run: Callable[..., Path]) -> None:
    folder = make_run()
    gradients = pd.read_csv(folder / "gradients.csv")
    gone = (gradients["model"] == "hybrid") & (gradients["strategy"] == "reconstruct")
    gradients[~gone].to_csv(folder / "gradients.csv", index=False)
    build(folder)
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto((folder / "report.html").as_uri())
    panels = "[...document.querySelectorAll('[data-figure=layers] figure:has(svg) figcaption span:first-child')]"
    names = f"{panels}.map((one) => one.textContent).join()"
    until(page, f"{names} === 'layerwise'")
    page.select_option("[data-figure=layers] [data-control=s]", label="checkpoint")
    until(page, f"{names} === 'layerwise,hybrid'")
    page.select_option("[data-figure=layers] [data-control=s]", label="reconstruct")
    until(page, f"{names} === 'layerwise'")
    page.close()


def test_the_table_is_sorted_from_the_keyboard(phone: Any) -> None:
    heading = phone.locator("#table thead button", has_text="worst tensor")
    rows = "[...document.querySelectorAll('#table tbody tr')]"
    values = f"{rows}.map((row) => Number(row.cells[5].dataset.key)).filter(Boolean)"
    heading.focus()
    phone.keyboard.press("Enter")
    up = phone.evaluate(values)
    assert len(up) > 5
    assert up == sorted(up)
    phone.keyboard.press("Enter")
    down = phone.evaluate(values)
    assert down == up[::-1]
    assert phone.evaluate("document.querySelector('#table [aria-sort]').ariaSort") == "descending"


def test_the_table_is_filtered(phone: Any) -> None:
    phone.fill("[type=search]", "hybrid 28")
    phone.select_option("[data-field=strategy]", "checkpoint")
    rows = "[...document.querySelectorAll('#table tbody tr:not([hidden])')]"
    assert phone.evaluate(f"{rows}.map((row) => row.dataset.strategy)") == ["checkpoint"]
    assert phone.inner_text("[data-filters] output").startswith("1 of ")
    phone.fill("[type=search]", "")
    phone.select_option("[data-field=strategy]", "")
    phone.select_option("[data-field=finished]", "no")
    assert phone.evaluate(f"{rows}.every((row) => row.querySelector('.seeds .bad'))")
    phone.select_option("[data-field=finished]", "")


def test_every_table_of_its_class_can_be_sorted(desk: Any) -> None:
    tables = "[...document.querySelectorAll('table.sortable')]"
    assert desk.evaluate(f"{tables}.length") >= 4
    assert desk.evaluate(f"{tables}.every((table) => table.querySelectorAll('thead button').length > 2)")
    desk.locator("details:has(table.sources)").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    desk.locator("table.sources thead button", has_text=re.compile("^Theirs")).click()
    theirs = desk.evaluate(
        "[...document.querySelectorAll('table.sources tbody tr')].map((row) => row.cells[3].innerText)"
    )
    assert theirs == ["20", "35.125", "60", "80", "352"]


def opacities(page: Any, figure: str, label: str) -> set[float]:
    marks = page.query_selector_all(f"[data-figure={figure}] path[aria-roledescription=point]")
    return {float(mark.get_attribute("opacity")) for mark in marks if label in mark.get_attribute("aria-label")}


def test_an_entry_of_the_key_comes_to_the_fore_in_every_chart(desk: Any) -> None:
    key = desk.locator("[data-figure=errors] .keys button", has_text="checkpoint")
    key.focus()
    desk.keyboard.press("Enter")
    until(desk, "document.querySelectorAll('.keys [aria-pressed=true]').length === 5")
    for figure in ("errors", "accuracy", "memory"):
        assert opacities(desk, figure, "strategy: checkpoint") == {1}
        assert opacities(desk, figure, "strategy: approximate:4") == {0.12}
    assert opacities(desk, "profile", "layer: norm") == {1}  # kinds of layers are not strategies
    desk.keyboard.press("Enter")
    until(desk, "!document.querySelector('.keys [aria-pressed=true]')")
    assert opacities(desk, "errors", "strategy: approximate:4") == {1}


def texts(figure: Any) -> list[str]:
    """The words in a chart, whatever their order."""
    return sorted(figure.locator(".chart svg text").all_text_contents())


def test_dragging_zooms_and_the_keyboard_resets(desk: Any) -> None:
    figure = desk.locator("[data-figure=errors] figure").first
    chart, reset = figure.locator(".chart"), figure.get_by_text("Reset")
    chart.scroll_into_view_if_needed()
    before = texts(figure)
    assert not reset.is_visible()
    box = chart.bounding_box()
    desk.mouse.move(box["x"] + 120, box["y"] + 60)
    desk.mouse.down()
    desk.mouse.move(box["x"] + 300, box["y"] + 160, steps=3)
    assert desk.locator(".brush").count() == 1
    desk.mouse.up()
    reset.wait_for(state="visible")
    assert texts(figure) != before
    chart.focus()
    desk.keyboard.press("0")
    reset.wait_for(state="hidden")
    assert texts(figure) == before


def test_the_keyboard_zooms_moves_and_comes_back(desk: Any) -> None:
    figure = desk.locator("[data-figure=cost] figure").first
    before = texts(figure)
    figure.locator(".chart").focus()
    desk.keyboard.press("+")
    figure.get_by_text("Reset").wait_for(state="visible")
    near = texts(figure)
    assert near != before
    desk.keyboard.press("ArrowUp")
    desk.wait_for_timeout(200)
    assert texts(figure) != near
    for _ in range(3):
        desk.keyboard.press("-")
    figure.get_by_text("Reset").wait_for(state="hidden")
    assert texts(figure) == before


def test_another_choice_is_drawn_whole(desk: Any) -> None:
    figure = desk.locator("[data-figure=profile] figure").first
    figure.get_by_label("Zoom in").click()
    figure.get_by_text("Reset").wait_for(state="visible")
    desk.select_option("[data-figure=profile] [data-control=x]", label="3")
    figure.get_by_text("Reset").wait_for(state="hidden")
    until(
        desk,
        "document.querySelector('[data-figure=profile] .chart').querySelectorAll('path[aria-roledescription=point]')"
        ".length === 8",
    )


def test_a_mark_tells_its_numbers(desk: Any) -> None:
    mark = desk.locator("[data-figure=memory] path[aria-roledescription=point]").first
    mark.scroll_into_view_if_needed()
    mark.hover(force=True)
    until(desk, "!document.getElementById('tip').hidden")
    assert "strategy" in desk.inner_text("#tip")


def test_a_figure_is_saved_for_paper(desk: Any, tmp_path: Path) -> None:
    for form, begins in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with desk.expect_download() as download:
            desk.locator("[data-figure=snr] figure").first.get_by_label(f"Save as {form}").click()
        assert download.value.suggested_filename == f"snr-layerwise.{form.lower()}"
        download.value.save_as(tmp_path / form)
        content = (tmp_path / form).read_bytes()
        assert content.startswith(begins)
        assert b"var(" not in content
        if form == "SVG":
            assert b">negative slope 0.2<" in content
            assert b">layerwise<" in content
            assert b"<script" not in content


def test_a_command_is_copied(desk: Any) -> None:
    desk.locator("#repeat ~ .command button").click()
    until(desk, "document.querySelector('#repeat ~ .command button').textContent === 'Copied'")
    copied = desk.evaluate("navigator.clipboard.readText()")
    assert copied == "gradbench run --case hybrid-depth-sweep --profile full"


def test_the_address_of_a_cell_opens_it_with_its_command_and_layers(open_report: Open, folder: Path) -> None:
    cells = pd.read_csv(folder / "cells.csv", keep_default_na=False)
    (cell,) = (
        cells[(cells["model"] == "layerwise") & (cells["depth"] == 5) & (cells["negative_slope"] == 0.2)]
        .query("seed == 0")["cell"]
        .unique()
    )
    with open_report(1280, f"#cell-{cell}") as page:
        dialog = page.locator("dialog[open]")
        dialog.wait_for()
        assert dialog.locator("h2").inner_text() == "layerwise, depth 5, negative slope 0.2, seed 0"
        command = dialog.locator(".command code").inner_text()
        assert command == f"gradbench run --case hybrid-depth-sweep --profile full --cell {cell}"
        assert "cannot be quantised" in dialog.inner_text()  # the strategy that was excluded, and why
        layers = dialog.locator("details", has_text="after 200 steps").first
        layers.locator("summary").click()
        expected = pd.read_csv(folder / "gradients.csv.gz").query("cell == @cell and step == 200 and kind == 'weight'")
        assert layers.locator("tbody tr").count() == expected["parameter"].nunique()
        dialog.get_by_text("1", exact=True).first.click()
        until(page, "document.getElementById('cell-title').textContent.endsWith('seed 1')")
        page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
        assert "#" not in page.url


def test_a_seed_in_the_table_opens_its_cell(desk: Any) -> None:
    link = desk.locator("#table .seeds a").first
    for _ in range(2):  # a second time too, though the address is the same
        link.click()
        desk.locator("dialog[open]").wait_for()
        desk.locator("dialog [data-close]").click()
        desk.locator("dialog[open]").wait_for(state="detached")


def test_print_shows_everything_and_cuts_nothing(open_report: Open) -> None:
    with open_report(720) as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("[...document.querySelectorAll('main details')].every((one) => one.open)")
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every((one) => one.scrollHeight <= one.clientHeight + 2)"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        assert page.evaluate("document.querySelectorAll('.chart svg').length") == 16
        for hidden in ("nav", ".controls", ".tools", ".command button"):
            assert not page.locator(hidden).first.is_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("![...document.querySelectorAll('main details')].some((one) => one.open)")


def test_dark_is_dark_and_prints_light(open_report: Open) -> None:
    with open_report(1280, color_scheme="dark") as page:
        colour = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(colour) == "rgb(21, 23, 26)"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate(colour) == "rgb(255, 255, 255)"


def test_everything_that_can_be_done_has_a_name_and_shows_where_the_focus_is(desk: Any) -> None:
    nameless = """[...document.querySelectorAll("button, a[href], select, input, [role=region], dialog")]
        .filter((one) => !one.textContent.trim() && !one.ariaLabel)
        .filter((one) => !one.getAttribute("aria-labelledby") && !one.closest("label"))"""
    assert desk.evaluate(f"{nameless}.length") == 0
    assert desk.evaluate("[...document.querySelectorAll('th')].every((one) => one.scope)")
    desk.keyboard.press("Tab")
    desk.evaluate("document.activeElement.blur()")
    desk.keyboard.press("Tab")
    assert desk.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
