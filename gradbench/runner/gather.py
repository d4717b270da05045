"""`gradbench gather`: a case's run from cells that ran elsewhere, in several sittings at a GPU or at several alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from gradbench.errors import EXIT, UsageError
from gradbench.files import make_writable, write_atomic
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
    """The cells of a case that a store has, of those that ran in one environment.

    Attributes:
        store: where they are.
        name: the environment's id there.
        environment: what they ran in.
        chosen: the case.
        planned: all cells of the case, with the keys that they have in that environment.
        count: how many of them the store has.
        newest: when the last of these ended, UTC.
    """

    store: Store
    name: str
    environment: dict[str, Any]
    chosen: Chosen
    planned: tuple[Planned, ...]
    count: int
    newest: str

    @property
    def kind(self) -> str:
        """What decides the numbers of these cells beside themselves, in words."""
        on_cpu = self.environment["device"] == "cpu"
        more = {"threads": self.environment["threads"]} if on_cpu else self.environment["variables"]
        words = [f"{self.environment['device_name']} with torch {self.environment['torch']}"]
        return ", ".join([*words, *(f"{key} {value}" for key, value in more.items())])


def gather(
    options: RunOptions,
    folders: Sequence[Path],
    targets: Targets = _TARGETS,
    tell: Callable[[Path], None] = lambda folder: None,
) -> int:
    """Copy the cases' cells from `folders` into their stores, write a run of each case, and return the worst exit code.

    Nothing is run, and no cell is of another kind of machine, source or settings than the others: a cell's key, which
    all of that decides, is worked out again in the environment that its store tells of. Of several kinds the one that
    most cells ran on makes the run. Of one cell's records the newest counts, unless only an older one came to its end.

    Args:
        options: the cases, their profile and settings, and where to.
        folders: each a folder of reports, the folder of a case in it, or a store (`.cells`).
        targets: whose `report` is used.
        tell: called with the folder of each run that was written.

    Raises:
        CaseError: mistakes in a case file, or an unknown name.
        UsageError: a folder that is none, or no cell of any case in them.
        EnvironmentError: a folder that cannot be written to, a full disk.
    """
    show = progress(options.verbosity)
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; folders of reports are allowed, or of a case in them")
    paths = find(options)
    noted = cache(show.note)  # each store is looked at for every case
    gathered = [found for path in paths if (found := _of_one_kind(_found(path, options, folders, noted), noted))]
    if not gathered:
        raise UsageError(_nothing([path.stem for path in paths], folders))
    codes: list[int] = [EXIT.OK]
    with interruptible() as interrupt:
        for found in gathered:
            last = found[-1]
            ours = Store(cells_folder(options.out / last.chosen.name), note=noted)
            make_writable(ours.folder)
            for one in found:
                _copy(one, ours)
            jobs, threads = last.environment.get("jobs"), last.environment.get("threads")
            environment = {key: value for key, value in last.environment.items() if key not in ("jobs", "threads")}
            nothing = replace(options, jobs=jobs, threads=threads, only=frozenset())
            codes.append(CaseRun(last.chosen, nothing, targets, environment, show, interrupt, tell).run({}))
            if interrupt():
                codes.append(EXIT.INTERRUPTED)
                break
    return max(codes)


def _found(path: Path, options: RunOptions, folders: Iterable[Path], note: Callable[[str], None]) -> Iterator[_Found]:
    """What there is of the case in `folders`."""
    for place in dict.fromkeys(_store(folder, path.stem).resolve() for folder in folders):
        store = Store(place, note)
        for name, environment in store.environments().items():
            if environment["device"] == "cpu" and "threads" not in environment:
                note(
                    f"{place}: left out, since an older gradbench did not keep how many threads its cells had on a CPU"
                )
                continue
            chosen = choose(path, options, environment)
            planned = tuple(keyed(chosen, environment, environment.get("threads", 1)))
            records = [record for one in planned if (record := store.read(one.key)) and record.environment == name]
            if records or any(store.begun(one.key).is_file() for one in planned):
                newest = max((record.time for record in records), default="")
                yield _Found(store, name, environment, chosen, planned, len(records), newest)


def _store(folder: Path, case: str) -> Path:
    """The store of a case that `folder` means."""
    places = (folder / case / ".cells", folder / ".cells", folder)
    return next((place for place in places if any(place.glob("environment-*.json"))), places[0])


def _of_one_kind(found: Iterable[_Found], note: Callable[[str], None]) -> list[_Found]:
    """Those of the kind of machine that most cells ran on, the one with the newest cell last."""
    kinds: dict[str, list[_Found]] = {}
    for one in sorted(found, key=lambda one: one.newest):
        kinds.setdefault(one.kind, []).append(one)
    counts = {kind: sum(one.count for one in several) for kind, several in kinds.items()}
    most = max(counts, key=lambda kind: (counts[kind], kinds[kind][-1].newest), default=None)
    for kind in counts:
        if kind != most:
            case = kinds[kind][-1].chosen.name
            note(f"{case}: {counts[kind]} cells on {kind} are left out: a run has one kind of machine, here {most}")
    return [] if most is None else kinds[most]


def _nothing(cases: Sequence[str], folders: Sequence[Path]) -> str:
    """Why there is nothing to gather."""
    names = ", ".join(cases)
    for folder in folders:
        if not any(any(_store(folder, case).glob("environment-*.json")) for case in cases):
            return f"{folder}: no cells of {names} are kept there; they are in the folder .cells beside a case's runs"
    places = ", ".join(map(str, folders))
    must = "profile, settings, data set and gradbench must be those that the cells ran with"
    return f"{places}: no cell of {names} as it is asked for here: {must}"


def _copy(found: _Found, ours: Store) -> None:
    """Copy what `ours` lacks or has an older record of, with what a cell that came to no end had begun."""
    if found.store.folder.resolve() == ours.folder.resolve():
        return
    ours.write_environment(found.name, found.environment)
    for one in found.planned:
        theirs, known = found.store.read(one.key), ours.read(one.key)
        if theirs is not None and (known is None or _worth(theirs) > _worth(known)):
            ours.write(one.key, theirs)
            known = theirs
        begun, mine = found.store.begun(one.key), ours.begun(one.key)
        if known is not None and known.status in FINISHED:
            mine.unlink(missing_ok=True)
        elif begun.is_file() and (not mine.is_file() or _phases(begun) > _phases(mine)):
            write_atomic(mine, begun.read_bytes())


def _phases(begun: Path) -> int:
    """How many phases of a cell are done, by the file that keeps them (`measure.begun`)."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return len(json.loads(begun.read_text(encoding="utf-8"))["phases"])
    return 0


def _worth(record: Record) -> tuple[bool, str]:
    return record.status in FINISHED, record.time
