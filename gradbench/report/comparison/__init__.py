"""A comparison as text, JSON, Markdown and JUnit: four readers of `gradbench.compare.comparison.Comparison`."""

from __future__ import annotations

from collections.abc import Callable

from gradbench.compare.comparison import Comparison
from gradbench.report.comparison.document import as_json
from gradbench.report.comparison.junit import junit
from gradbench.report.comparison.markdown import markdown
from gradbench.report.comparison.text import text

__all__ = ["FORMATS", "as_json", "junit", "markdown", "text"]

#: Each output by the word that the command line has for it.
FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": text,
    "json": as_json,
    "markdown": markdown,
    "junit": junit,
}
