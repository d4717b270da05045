"""Which runs are held against each other without being asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from gradbench.history.series import Series
from gradbench.site.shelf import Entry, Pair, Shelf
from gradbench.site.versions import by_version

__all__ = ["pairs_of"]


def pairs_of(shelf: Shelf) -> list[Pair]:
    """Each run with the one before it, the newest with its baseline, and each version of PyTorch with the one before.

    The run before is that of the same series; of a version its newest run is meant. Two runs have one page, however
    many reasons there are to compare them.
    """
    found: dict[str, Pair] = {}
    for runs in shelf.runs.values():
        for pair in (*_baselines(shelf, runs), *_previous(runs), *_versions(runs)):
            known = found.get(pair.page)
            found[pair.page] = replace(known, why=(*known.why, *pair.why)) if known else pair
    return list(found.values())


def _baselines(shelf: Shelf, runs: Sequence[Entry]) -> Iterator[Pair]:
    names = {entry.name: entry for entry in runs}
    for series, entry in {entry.series: entry for entry in runs}.items():
        baseline = shelf.baselines.get(series)
        if baseline is not None and baseline.run in names and baseline.run != entry.name:
            yield Pair(names[baseline.run], entry, ("baseline",))


def _previous(runs: Sequence[Entry]) -> Iterator[Pair]:
    newest: dict[Series, Entry] = {}
    for entry in runs:
        if entry.series in newest:
            yield Pair(newest[entry.series], entry, ("previous",))
        newest[entry.series] = entry


def _versions(runs: Sequence[Entry]) -> Iterator[Pair]:
    for group in by_version(runs):
        for base, new in pairwise(group.runs.values()):
            yield Pair(base, new, ("version",))
