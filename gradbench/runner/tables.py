"""Rows to CSV: columns and types as `gradbench.results` says, so that the same results give the same bytes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gradbench.case.expand import Cell
from gradbench.files import atomic
from gradbench.results import CELL_STATUSES, TABLES, Column
from gradbench.runner.plan import strategies
from gradbench.runner.store import Rows

__all__ = ["absent", "cell_status", "failure_rows", "problem", "write_claims", "write_tables"]

_MEASURED = tuple(table for name, table in TABLES.items() if name != "claims")
#: From what is worst to be hidden by the rest to what is least.
_SEVERITY = ("error", "timeout", "oom", "diverged", "ok", "excluded")


def write_tables(folder: Path, axes: Sequence[str], results: Iterable[tuple[Cell, Rows]]) -> None:
    """Write `cells.csv`, `gradients.csv`, ... in the order of `results`."""
    with ExitStack() as stack:
        writers = {}
        for table in _MEASURED:
            file = stack.enter_context(atomic(folder / table.file))
            writers[table.name] = csv.writer(file, lineterminator="\n")
            writers[table.name].writerow(["cell", *axes, "seed", *(column.name for column in table.columns)])
        for cell, tables in results:
            lead = [cell.id, *(cell.point[axis] for axis in axes), cell.seed]
            for table in _MEASURED:
                writers[table.name].writerows([*lead, *line] for line in _lines(tables, table.name))


def write_claims(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write `claims.csv`."""
    table = TABLES["claims"]
    with atomic(folder / table.file) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in table.columns])
        writer.writerows(_lines({"claims": list(rows)}, "claims"))


def absent(cell: Cell) -> Rows:
    """Rows for a cell that was not run."""
    return failure_rows(cell, "missing", "not run: the run ended before its turn", None)


def failure_rows(cell: Cell, status: str, reason: str, wall_seconds: float | None) -> Rows:
    """Rows for a cell that has none of its own: one a strategy, so that every absent number has its reason."""
    fate = {"status": status, "reason": reason, "wall_seconds": wall_seconds}
    return {"cells": [{"strategy": strategy, **fate} for strategy in strategies(cell.settings)]}


def cell_status(tables: Rows) -> tuple[str, str]:
    """The status of a cell and the reason: the worst of its strategies'."""
    worst = min(tables["cells"], key=lambda row: _SEVERITY.index(row["status"]))
    reason = worst.get("reason") or ""
    return worst["status"], f"{worst['strategy']}: {reason}" if reason else ""


def problem(tables: Any) -> str | None:
    """What is wrong with the rows that a cell returned, in one sentence, or None."""
    if not isinstance(tables, dict) or not tables.get("cells"):
        return "the cell returned no row for the table cells"
    for name, rows in tables.items():
        known = {column.name for table in _MEASURED if table.name == name for column in table.columns}
        for row in rows:
            if unknown := [column for column in row if column not in known]:
                return f"the cell returned a column {unknown[0]!r} that table {name} does not have"
    statuses = [row.get("status") for row in tables["cells"]]
    return next((f"the cell returned the status {one!r}" for one in statuses if one not in CELL_STATUSES), None)


def _lines(tables: Rows, name: str) -> Iterator[list[str]]:
    columns = TABLES[name].columns
    for row in tables.get(name, ()):
        yield [_field(row.get(column.name), column) for column in columns]


def _field(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if column.dtype == "string":
        return " ".join(str(value).split())
    if column.dtype == "bool":
        return str(bool(value))
    if column.dtype == "int":
        return str(int(value)) if math.isfinite(value) else ""
    return format(float(value), ".6g")
