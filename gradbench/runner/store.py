"""Finished cells on disk: one JSON file each, under a hash of everything that decides its numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradbench.errors import EnvironmentError
from gradbench.files import write_atomic
from gradbench.results import CELL_STATUSES

__all__ = ["FINISHED", "Record", "Rows", "Store", "cells_folder"]

#: The rows of each table, as `measure.cell.run_cell` returns them.
Rows = dict[str, list[dict[str, Any]]]

#: Cells that are skipped on the next run; those with another status are run again.
FINISHED = ("ok", "diverged", "excluded")
#: What of an environment decides which numbers a cell has.
_DECIDING = {"device", "devices", "device_name", "gpus", "torch", "variables"}


@dataclass(frozen=True)
class Record:
    """What is kept of a cell that was run.

    Attributes:
        status: one of `results.CELL_STATUSES`: the worst of its strategies'.
        reason: why it is not ok; empty otherwise.
        tables: the rows, without the columns `cell`, axes and `seed`.
        wall_seconds: how long its process took.
        work: what `plan.work` expected, in its arbitrary unit.
        environment: the id of the environment that it ran in (`environment-<id>.json` beside it).
        device: the name of the device that it ran on.
        time: when it ended, UTC.
    """

    status: str
    reason: str
    tables: Rows
    wall_seconds: float
    work: float
    environment: str
    device: str
    time: str


def cells_folder(case_folder: Path, night: str | None = None) -> Path:
    """Where the records of a case are; those of each night are apart."""
    cells = case_folder / ".cells"
    return cells / night if night else cells


class Store:
    """The records of one case in `folder`. `note` is told what cannot be read."""

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self.folder = folder
        self._note = note

    def read(self, key: str) -> Record | None:
        """The record under `key`; None if there is none, or none that can be read."""
        path = self._path(key)
        return self._load(path) if path.is_file() else None

    def write(self, key: str, record: Record) -> None:
        """Keep `record`; infinities and NaN survive.

        Raises:
            EnvironmentError: the disk is full, or the folder cannot be written to.
        """
        try:
            write_atomic(self._path(key), json.dumps(asdict(record)))
        except EnvironmentError as error:
            kept = "the cells that finished before are kept, and the same command goes on with the others"
            raise EnvironmentError(f"{error}; {kept}") from error

    def write_environment(self, name: str, environment: dict[str, Any]) -> None:
        """Keep what the id `name` in a record stands for."""
        write_atomic(self.folder / f"environment-{name}.json", json.dumps(environment, indent=2) + "\n")

    def environments(self) -> dict[str, dict[str, Any]]:
        """What cells ran in, by the id that their records have; what cannot be read is left out."""
        found = {}
        for path in sorted(self.folder.glob("environment-*.json")):
            try:
                environment = json.loads(path.read_text(encoding="utf-8"))
                whole = isinstance(environment, dict) and environment.keys() >= _DECIDING
            except (OSError, ValueError):
                whole = False
            if whole:
                found[path.stem.removeprefix("environment-")] = environment
            else:
                self._note(f"{path}: damaged, so its cells cannot be told from others")
        return found

    def log(self, key: str) -> Path:
        """The file for what the cell's process prints; kept where the cell fails."""
        return self.folder / f"{key}.log"

    def begun(self, key: str) -> Path:
        """The file for what the cell's process has found so far; kept where it comes to no end."""
        return self.folder / f"{key}.begun"

    def __iter__(self) -> Iterator[Record]:
        """Every record of the case, whatever its key."""
        for path in sorted(self.folder.glob("*.json")):
            if not path.name.startswith("environment-") and (record := self._load(path)) is not None:
                yield record

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _load(self, path: Path) -> Record | None:
        try:
            record = Record(**json.loads(path.read_text(encoding="utf-8")))
            whole = record.status in CELL_STATUSES and all(isinstance(rows, list) for rows in record.tables.values())
        except (OSError, ValueError, TypeError, AttributeError):
            whole = False
        if not whole:
            self._note(f"{path}: damaged, so the cell counts as not run")
            return None
        return record
