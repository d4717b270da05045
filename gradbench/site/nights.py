"""The nights as `reports/nightly/` keeps them: when, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradbench.site.listed import Standing

__all__ = ["Night", "read_nights"]


@dataclass(frozen=True)
class Night:
    """A night: its date, how it ended and a sentence for each case."""

    date: str
    standing: Standing
    cases: tuple[tuple[str, str], ...]


def read_nights(reports: Path) -> list[Night]:
    """The nights, the newest first."""
    return []
