"""What lies in the folder of reports: cases, their runs in order, and which of them are held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gradbench.history.baselines import Baseline, find_baseline
from gradbench.history.find import runs_of
from gradbench.history.series import Series, read_manifest, series_of

__all__ = ["Entry", "Pair", "Shelf", "Why", "entry_of", "read_shelf"]

Why = Literal["baseline", "previous", "version", "chosen"]
#: The folder of runs that the documents quote: a run a case.
REFERENCE = "reference"


@dataclass(frozen=True)
class Entry:
    """A run: its case, its name in the site, its folder and manifest.

    Attributes:
        case: the folder of its case.
        name: the run's folder, or "reference".
        folder: where it lies.
        manifest: its `manifest.json`.
        series: the runs that may be held against it.
    """

    case: str
    name: str
    folder: Path
    manifest: Mapping[str, Any]
    series: Series

    @property
    def page(self) -> str:
        """Its page, from the root of the site."""
        return f"runs/{self.case}/{self.name}.html"


@dataclass(frozen=True)
class Pair:
    """Two runs of a case that have a page together, and why: what the base is to the new one, the gravest first."""

    base: Entry
    new: Entry
    why: tuple[Why, ...]

    @property
    def against(self) -> str:
        """The base in words."""
        torch = (self.base.manifest.get("environment") or {}).get("torch", "")
        words = {"baseline": "the baseline", "previous": "the run before", "version": f"torch {torch}"}
        return words.get(self.why[0], self.base.name)

    @property
    def page(self) -> str:
        """Its page, from the root of the site."""
        return f"compare/{self.new.case}/{self.base.name}..{self.new.name}.html"


@dataclass(frozen=True)
class Shelf:
    """The runs of all cases, the oldest first, the reference runs and the baselines that count, by series."""

    runs: Mapping[str, tuple[Entry, ...]]
    references: tuple[Entry, ...]
    baselines: Mapping[Series, Baseline]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every run."""
        return (*self.references, *(entry for runs in self.runs.values() for entry in runs))


def read_shelf(reports: Path) -> Shelf:
    """Find every run in `reports`, of which only the manifests are read.

    Raises:
        UsageError: a manifest or a file of baselines is damaged.
    """
    folders = sorted(path for path in reports.glob("[!.]*") if path.is_dir() and path.name != REFERENCE)
    runs = {path.name: tuple(entry_of(run, path.name) for run in runs_of(path)) for path in folders}
    found = {case: entries for case, entries in runs.items() if entries}
    references = tuple(entry_of(run, run.name, REFERENCE) for run in sorted(runs_of(reports / REFERENCE)))
    baselines = {}
    for case, entries in found.items():
        for series in {entry.series: None for entry in entries}:
            baseline = find_baseline(reports / case, series)
            if baseline is not None:
                baselines[series] = baseline
    return Shelf(found, references, baselines)


def entry_of(folder: Path, case: str, name: str = "") -> Entry:
    """The run in `folder`, under its own name or another."""
    manifest = read_manifest(folder)
    return Entry(case, name or folder.name, folder, manifest, series_of({"case": case, **manifest}))
