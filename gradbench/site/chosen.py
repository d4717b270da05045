"""Two runs that the user names, put beside those of the folder of reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gradbench.history.find import find_run
from gradbench.site.shelf import Entry, Pair, Shelf, entry_of

__all__ = ["choose"]


def choose(shelf: Shelf, reports: Path, base: str, new: str) -> Pair:
    """The pair of the runs that `base` and `new` mean, see `find_run`; they need not lie in `reports`.

    Raises:
        UsageError: there is no such run.
    """
    later = find_run(new, reports)
    known = list(shelf.entries)
    second = _entry(later, known)
    return Pair(_entry(find_run(base, reports, like=later), [*known, second]), second, ("chosen",))


def _entry(folder: Path, known: list[Entry]) -> Entry:
    """The entry of the run in `folder`: a known one, or a new one under a name that is free."""
    folder = folder.resolve()
    for entry in known:
        if entry.folder.resolve() == folder:
            return entry
    found = entry_of(folder, folder.parent.name)
    found = replace(found, case=str(found.manifest.get("case") or found.case))
    names = {entry.name for entry in known if entry.case == found.case}
    number = 2
    while found.name in names:
        found, number = replace(found, name=f"{folder.name}-{number}"), number + 1
    return found
