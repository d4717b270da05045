"""The look of the charts: the page's colours as CSS variables, and the same with the values of its light palette."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, TypeVar

__all__ = ["CONFIG", "asset", "light", "resolved"]

T = TypeVar("T")

_AXIS = {
    "labelColor": "var(--ink-2)",
    "titleColor": "var(--ink-2)",
    "gridColor": "var(--rule)",
    "domain": False,
    "ticks": False,
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": 500,
    "labelPadding": 6,
    "titlePadding": 10,
    "labelFlush": False,
}
_LEGEND = {
    "orient": "bottom",
    "direction": "horizontal",
    "title": None,
    "labelColor": "var(--ink)",
    "labelFontSize": 12,
    "labelLimit": 320,
    "symbolOpacity": 1,
    "symbolStrokeWidth": 1,
    "columns": 4,
    "columnPadding": 16,
    "offset": 12,
}
_TITLE = {
    "anchor": "start",
    "frame": "group",
    "color": "var(--ink)",
    "fontSize": 14,
    "fontWeight": 600,
    "subtitleColor": "var(--ink-2)",
    "subtitleFontSize": 12,
    "offset": 12,
}
#: Vega-Lite's configuration of every chart. Legends and titles are drawn in saved figures only: a page has its own.
CONFIG: dict[str, Any] = {
    "background": None,
    "font": "Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif",
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": _LEGEND,
    "title": _TITLE,
    "text": {"fontSize": 12},
}


@cache
def asset(name: str) -> str:
    """A file of the page's assets."""
    return (resources.files("gradbench.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def light() -> dict[str, str]:
    """The colours of the light palette: the name of a CSS variable and its value."""
    block = re.search(r":root \{(.*?)\}", asset("page.css"), re.DOTALL)
    return dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block[1])) if block else {}


def resolved(spec: T) -> T:
    """`spec` (of lists, dicts and plain values) with the light palette's value for every CSS variable."""
    text = re.sub(r"var\((--[\w-]+)\)", lambda found: light()[found[1]], json.dumps(spec))
    changed: T = json.loads(text)
    return changed
