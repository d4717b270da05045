"""The page's colours can be told apart: contrast as WCAG 2.2 computes it, in light and in dark."""

from __future__ import annotations

import re

import pytest

from gradbench.report.style import CONFIG, asset, light, resolved

TEXT = ("ink", "ink-2", "link", "good", "bad", "warn", "calm")
GRAPHICS = ("ink-3", *(f"c{place}" for place in range(8)), *(f"q{place}" for place in range(5)))


def palettes() -> dict[str, dict[str, str]]:
    blocks = re.findall(r":root \{(.*?)\}", asset("page.css"), re.DOTALL)
    first, second = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    return {"light": first, "dark": {**first, **second}}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_has_the_contrast_of_level_aa(mode: str) -> None:
    colours = palettes()[mode]
    for name in TEXT:
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
        assert contrast(colours[name], colours["panel"]) >= 4.5, name
        if f"{name}-bg" in colours:
            assert contrast(colours[name], colours[f"{name}-bg"]) >= 4.5, name


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_marks_and_borders_have_the_contrast_of_graphics(mode: str) -> None:
    colours = palettes()[mode]
    for name in GRAPHICS:
        assert contrast(colours[name], colours["paper"]) >= 3, name


def test_a_saved_figure_has_the_light_palette() -> None:
    assert light() == {f"--{name}": value for name, value in palettes()["light"].items()}
    assert "var(" not in str(resolved(CONFIG))
