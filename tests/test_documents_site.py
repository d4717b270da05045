"""The documents' site in a real browser: it asks no network for anything, fits a phone, and is searched from disk."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(find_spec("material") is None, reason="mkdocs-material is not installed"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def test_no_page_asks_the_network_or_overflows_a_phone(site: Path, browser: Any) -> None:
    tab = browser.new_page(viewport={"width": 380, "height": 800})
    asked: list[str] = []
    told: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
    for page in sorted(set(site.glob("*.html")) - {site / "404.html"}):
        tab.goto(page.as_uri())
        tab.wait_for_selector("article h1")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 380, page.name
    assert [url for url in asked if not url.startswith("file:")] == []
    assert told == []


def test_search_works_from_disk(site: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto((site / "index.html").as_uri())
    tab.fill("input.md-search__input", "torchvision")
    found = tab.locator(".md-search-result__link")
    found.first.wait_for(state="attached")
    assert any("faq.html" in link.get_attribute("href") for link in found.all())
