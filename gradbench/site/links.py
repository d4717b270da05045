"""Links between the pages of the site, relative, so that they work from disk and under any address."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

__all__ = ["link"]


def link(page: str, target: str) -> str:
    """The URL of `target` on `page`, both paths from the root of the site.

    >>> link("runs/a/1.html", "cases/a #1.html")
    '../../cases/a%20%231.html'
    """
    return quote(posixpath.relpath(target, posixpath.dirname(page) or "."))
