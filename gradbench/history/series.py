"""Runs that may be held against each other number by number: one case, one profile, the same sets, one environment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradbench.compare.environment import environment, environment_key
from gradbench.errors import UsageError

__all__ = ["Series", "last_words", "place", "read_manifest", "series_of"]


@dataclass(frozen=True)
class Series:
    """What the runs of one series have in common.

    Attributes:
        case: the case's name.
        profile: the profile's name, or None.
        sets: what `--set` changed, as "key=value", the last word on each key, and what `--cell` chose, as "cell=ID";
            sorted.
        environment: the key of `gradbench.compare.environment`.
    """

    case: str
    profile: str | None
    sets: tuple[str, ...]
    environment: str


def series_of(manifest: Mapping[str, Any]) -> Series:
    """The series of the run with this manifest."""
    cells = {f"cell={name}" for name in manifest.get("only_cells", [])}
    sets = tuple(sorted({*last_words(manifest.get("sets", [])), *cells}))
    return Series(manifest["case"], manifest.get("profile"), sets, environment_key(manifest))


def last_words(sets: Iterable[str]) -> tuple[str, ...]:
    """Of "key=value" entries the last on each key, sorted.

    >>> last_words(["seeds=2", "depth=3", "seeds=4"])
    ('depth=3', 'seeds=4')
    """
    return tuple(sorted({entry.partition("=")[0].strip(): entry for entry in sets}.values()))


def place(manifest: Mapping[str, Any]) -> str:
    """The environment of a run in a few words: torch, the device's name, versions, threads; no flags."""
    return ", ".join(
        value if name == "device name" else f"{name} {value}"
        for name, value in environment(manifest).items()
        if name not in ("device", "numpy") and not name.startswith("flag ")
    )


def read_manifest(run_folder: Path) -> dict[str, Any]:
    """The manifest of the run in `run_folder`.

    Raises:
        UsageError: it is not there, or not JSON.
    """
    path = run_folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{run_folder}: manifest.json is missing, so this is not the folder of a run") from error
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise UsageError(f"{path}: not the manifest of a run")
    return manifest
