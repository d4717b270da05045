"""`gradbench gather`: a case's run from cells that ran elsewhere, in several stays on a GPU or on several alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradbench.errors import EXIT, UsageError
from gradbench.files import make_writable
from gradbench.runner.case_run import CaseRun, keyed
from gradbench.runner.cases import Chosen, choose, find
from gradbench.runner.interrupt import interruptible
from gradbench.runner.options import RunOptions, Targets
from gradbench.runner.plan import Planned
from gradbench.runner.progress import progress
from gradbench.runner.store import FINISHED, Record, Store, cells_folder

__all__ = ["gather"]

_TARGETS = Targets()


@dataclass(frozen=True)
class _Found:
    """The cells of a case that a store has, of those that ran in one environment."""

    store: Store
    name: str
    environment: dict[str, Any]
    chosen: Chosen
    planned: tuple[Planned, ...]

    @property
    def kind(self) -> str:
        """What decides the numbers of these cells beside themselves, in words."""
        on_cpu = self.environment["device"] == "cpu"
        more = {"threads": self.environment.get("threads")} if on_cpu else self.environment["variables"]
        words = [f"{self.environment['device_name']} with torch {self.environment['torch']}"]
        return ", ".join([*words, *(f"{key} {value}" for key, value in more.items())])


def gather(
    options: RunOptions,
    folders: Sequence[Path],
    targets: Targets = _TARGETS,
    tell: Callable[[Path], None] = lambda folder: None,
) -> int:
    """Copy the cases' cells from `folders` into their stores, write a run of each case, and return the worst exit code.

    Nothing is run, and no cell is of another machine's kind, source or settings than the others: a cell's key, which
    all of that decides, is worked out again in the environment that its store tells of.

    Args:
        options: the cases, their profile and settings, and where to.
        folders: each a folder of reports, the folder of a case in it, or a store (`.cells`).
        targets: whose `report` is used.
        tell: called with the folder of each run that was written.

    Raises:
        CaseError: mistakes in a case file, or an unknown name.
        UsageError: a folder that is none, no cell of a case in any, or cells of two kinds of machine.
        EnvironmentError: a folder that cannot be written to, a full disk.
    """
    show = progress(options.verbosity)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; folders of reports are allowed, or of a case in them")
    gathered = [
        _of_one_kind(path.stem, list(_found(path, options, folders, show.note)), folders) for path in find(options)
    ]
    codes: list[int] = [EXIT.OK]
    with interruptible() as interrupt:
        for found in gathered:
            last = found[-1]
            ours = Store(cells_folder(options.out / last.chosen.name), note=show.note)
            make_writable(ours.folder)
            for one in found:
                _copy(one, ours)
            of_all = replace(
                options,
                jobs=last.environment.pop("jobs", None),
                threads=last.environment.pop("threads", None),
                only=frozenset(),
            )
            codes.append(CaseRun(last.chosen, of_all, targets, last.environment, show, interrupt, tell).run({}))
    return max(codes)


def _found(path: Path, options: RunOptions, folders: Iterable[Path], note: Callable[[str], None]) -> Iterator[_Found]:
    """What there is of the case in `folders`, the store and environment of the newest cell last."""
    everything = []
    for folder in folders:
        places = (folder / path.stem / ".cells", folder / ".cells", folder)
        store = Store(next((place for place in places if any(place.glob("environment-*.json"))), places[0]), note)
        for name, environment in store.environments().items():
            chosen = choose(path, options, environment)
            planned = tuple(keyed(chosen, environment, environment.get("threads") or 1))
            records = [record for one in planned if (record := store.read(one.key)) and record.environment == name]
            if records or any(store.begun(one.key).is_file() for one in planned):
                newest = max((record.time for record in records), default="")
                everything.append((newest, _Found(store, name, environment, chosen, planned)))
    return (found for _, found in sorted(everything, key=lambda one: one[0]))


def _of_one_kind(case: str, found: list[_Found], folders: Iterable[Path]) -> list[_Found]:
    if not found:
        places = ", ".join(map(str, folders))
        must = "profile, settings, data set and gradbench must be those that the cells ran with"
        raise UsageError(f"{case}: no cell of it in {places}: {must}")
    if len(kinds := dict.fromkeys(one.kind for one in found)) > 1:
        several = "; and on ".join(
            f"{kind} ({', '.join(str(one.store.folder) for one in found if one.kind == kind)})" for kind in kinds
        )
        raise UsageError(f"{case}: cells of one kind of machine are allowed, these ran on {several}")
    return found


def _copy(found: _Found, ours: Store) -> None:
    """Copy what `ours` lacks or has an older record of, with what a cell that came to no end had begun."""
    if found.store.folder.resolve() == ours.folder.resolve():
        return
    ours.write_environment(found.name, found.environment)
    for one in found.planned:
        theirs, known = found.store.read(one.key), ours.read(one.key)
        if theirs is not None and (known is None or (_worth(theirs) > _worth(known))):
            ours.write(one.key, theirs)
        begun = found.store.begun(one.key)
        if begun.is_file() and (known or theirs) is None:
            shutil.copyfile(begun, ours.begun(one.key))


def _worth(record: Record) -> tuple[bool, str]:
    return record.status in FINISHED, record.time
