"""Waiting for a page in a browser."""

from __future__ import annotations

import time
from typing import Any


def until(page: Any, expression: str, seconds: float = 60) -> None:
    """Wait until a JavaScript expression is true.

    Playwright's own `wait_for_function` evaluates the text again and again inside the page, which the page's content
    security policy forbids from the second time on.
    """
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"never true: {expression}"
        page.wait_for_timeout(50)
