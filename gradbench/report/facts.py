"""What a manifest says about a run, for the page: title and question, how to repeat it, the environment."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gradbench.analysis.tables import Run

__all__ = ["Facts", "facts"]

#: Entries of the manifest that the page shows elsewhere.
_ELSEWHERE = {"argv", "command", "case_text", "settings", "axes", "title", "question", "source", "schema", "state"}


@dataclass(frozen=True)
class Facts:
    """What the page says besides the tables.

    Attributes:
        title: the case's title.
        question: the case's question.
        source: who asked it first.
        command: the command that repeats the run.
        case_text: the case file.
        unfinished: why the run is not complete, in one sentence; empty if it is.
        environment: names and values.
    """

    title: str
    question: str
    source: str
    command: str
    case_text: str
    unfinished: str
    environment: tuple[tuple[str, str], ...]


def facts(run: Run) -> Facts:
    """Read the facts from the run's manifest; what it does not say is empty."""
    manifest = run.manifest
    text = str(manifest.get("case_text", ""))
    try:
        case: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        case = {}
    command = manifest.get("command") or manifest.get("argv", "")
    state = str(manifest.get("state", "complete"))
    rest = {key: value for key, value in manifest.items() if key not in _ELSEWHERE}
    data = manifest.get("settings", {}).get("data", {}).get("name", "")
    shown = {"data": data, **rest.pop("environment", {}), **rest}
    return Facts(
        title=str(manifest.get("title") or case.get("title") or manifest.get("case") or run.folder.name),
        question=str(manifest.get("question") or case.get("question", "")),
        source=str(manifest.get("source") or case.get("source", "")),
        command=command if isinstance(command, str) else shlex.join(map(str, command)),
        case_text=text,
        unfinished="" if state == "complete" else f"This run is {state}: the verdict rests on the cells that finished.",
        environment=tuple(_flat(shown)),
    )


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = key if key.isupper() else f"{prefix}{key}".replace("_", " ")  # the system's variables as they are
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        elif isinstance(value, list | tuple):
            yield from [(name, ", ".join(str(item) for item in value))] if value else []
        elif value not in (None, ""):
            yield name, {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
