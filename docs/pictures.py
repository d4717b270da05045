"""Take the pictures of the documents from reports of real runs: `python docs/pictures.py REFERENCE_RUN QUICK_RUN`.

Needs pillow, playwright and a Chromium (`CHROMIUM` names it). Both reports are rebuilt first, so that the pictures show
the page as it is now.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from gradbench.report.build import build

IMAGES = Path(__file__).parent / "images"
PICTURES = IMAGES / "reading"
#: Sections of the page, by the id of their heading.
SECTIONS = ("verdict", "sources", "errors", "layers", "snr", "profile", "training", "accuracy", "cost", "memory")
MARGIN, TALLEST = 20, 620
#: What stands between the verdict and the first chart, and is left out of the picture that the documents open with.
BETWEEN = "nav, section:has(> #sources), section:has(> #claims)"


def save(picture: bytes, name: str, folder: Path = PICTURES) -> None:
    """Keep it with as many colours as a chart needs."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    palette = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3)
    palette.save(folder / f"{name}.png", optimize=True)


def take(page: Page, heading: str) -> None:
    """Save the section under a heading with a margin, the top of a long one."""
    section = page.locator(f"section:has(> #{heading})")
    section.scroll_into_view_if_needed()
    page.wait_for_timeout(700)
    box = section.bounding_box()
    assert box is not None, heading
    area = {
        "x": box["x"] - MARGIN,
        "y": box["y"] + page.evaluate("scrollY") - MARGIN,
        "width": box["width"] + 2 * MARGIN,
        "height": min(box["height"] + 2 * MARGIN, TALLEST),
    }
    save(page.screenshot(full_page=True, clip=area, animations="disabled"), heading)


def take_front(page: Page) -> None:
    """Save the head of the page with its first chart."""
    page.set_viewport_size({"width": 1265, "height": 900})
    page.locator(BETWEEN).evaluate_all("found => found.forEach(each => each.style.display = 'none')")
    page.wait_for_timeout(700)
    chart = page.locator("section:has(> #errors)").bounding_box()
    assert chart is not None
    area = {"x": 0, "y": MARGIN, "width": 1265, "height": chart["y"] + chart["height"]}
    save(page.screenshot(full_page=True, clip=area, animations="disabled"), "report", IMAGES)


def main(reference: Path, quick: Path) -> None:
    """Take them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        page = browser.new_page(viewport={"width": 1000, "height": 900}, color_scheme="light")
        page.goto(build(reference).resolve().as_uri())
        page.wait_for_timeout(3000)
        for heading in SECTIONS:
            if page.locator(f"#{heading}").count():
                take(page, heading)
        page.locator('#table tr[data-strategy="reconstruct"][data-verdict="harmful"] td.seeds a').first.click()
        page.wait_for_timeout(700)
        save(page.locator("dialog").screenshot(animations="disabled"), "cell")
        page.goto(Path(reference, "report.html").resolve().as_uri())
        page.wait_for_timeout(3000)
        take_front(page)
        page.goto(build(quick).resolve().as_uri())
        page.wait_for_timeout(3000)
        save(page.screenshot(clip={"x": 0, "y": 0, "width": 1000, "height": 900}), "quick")
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
