"""Where the pages lie in the site, and the links between them: relative, so that they work from disk too."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

__all__ = ["INDEX", "case_path", "link", "versions_path"]

#: The first page, from the root of the site.
INDEX = "index.html"


def case_path(case: str) -> str:
    """The path of a case's page from the root of the site."""
    return f"cases/{case}.html"


def versions_path(case: str) -> str:
    """The path of a case's page by PyTorch version from the root of the site."""
    return f"torch/{case}.html"


def link(page: str, target: str) -> str:
    """The URL of `target` on `page`, both paths from the root of the site.

    >>> link("runs/a/1.html", "cases/a #1.html")
    '../../cases/a%20%231.html'
    """
    return quote(posixpath.relpath(target, posixpath.dirname(page) or "."))
