"""The nights as `reports/nightly/` keeps them: when, how they ended, and a sentence for each case."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradbench.errors import UsageError
from gradbench.site.listed import Standing

__all__ = ["Night", "NightCase", "read_nights"]

#: The state of a case after a night, and whether somebody should look.
_TONES = {"failed": "bad", "regression": "bad", "incomplete": "look", "no baseline": "look", "no regression": "good"}


@dataclass(frozen=True)
class NightCase:
    """A case in a night: its folder, where it ran, its run (empty where none was written), and what came of it."""

    case: str
    place: str
    run: str
    standing: Standing
    sentence: str

    @property
    def page(self) -> str:
        """The page of its run, from the root of the site, which retention may have removed."""
        return f"runs/{self.case}/{self.run}.html"


@dataclass(frozen=True)
class Night:
    """A night: its date (YYYY-MM-DD) and its cases."""

    date: str
    cases: tuple[NightCase, ...]


def read_nights(reports: Path) -> list[Night]:
    """The nights, the newest first.

    Raises:
        UsageError: a night's file is damaged.
    """
    paths = sorted(reports.glob("nightly/[!.]*/nightly.json"), key=lambda path: path.parent.name, reverse=True)
    return [_night(path) for path in paths]


def _night(path: Path) -> Night:
    try:
        night = json.loads(path.read_text(encoding="utf-8"))
        return Night(str(night["date"]), tuple(_case(entry) for entry in night["cases"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: damaged ({error}); move it away, and the site is built without this night"
        ) from error


def _case(entry: dict[str, Any]) -> NightCase:
    state = str(entry["state"])
    standing = Standing(_TONES.get(state, "look"), state)
    return NightCase(entry["case"], entry["place"], entry["run"], standing, entry["sentence"])
