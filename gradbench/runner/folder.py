"""A run's folder: tables, claims, manifest, report, and `latest`, the file beside it that names the newest one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from gradbench.analysis.claims import evaluate
from gradbench.analysis.tables import read_table
from gradbench.case.expand import Cell
from gradbench.case.schema import Case
from gradbench.files import cannot_write, write_atomic
from gradbench.results import TABLES
from gradbench.runner.manifest import now
from gradbench.runner.store import Rows
from gradbench.runner.tables import write_claims, write_tables

__all__ = ["write_run"]


def write_run(
    out: Path, manifest: dict[str, Any], case: Case, results: Iterable[tuple[Cell, Rows]], build: Callable[[Path], Path]
) -> tuple[Path, Path]:
    """Write the folder `out / manifest["run"]` and return its path and the report's, which `build(folder)` writes.

    Raises:
        EnvironmentError: the disk is full, or the folder cannot be written to.
    """
    folder = out / manifest["run"]
    try:
        folder.mkdir()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        report = _fill(folder, manifest, case, results, build)
    except BaseException:
        # The cells are in the store: half a folder has nothing that the next run does not write again.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    write_atomic(out / "latest", f"{folder.name}\n")
    return folder, report


def _fill(
    folder: Path,
    manifest: dict[str, Any],
    case: Case,
    results: Iterable[tuple[Cell, Rows]],
    build: Callable[[Path], Path],
) -> Path:
    """Write everything of a run's folder and return its report."""
    axes = tuple(case.matrix)
    write_tables(folder, axes, results)
    # Claims are decided from the files, so that whoever reads them decides the same.
    tables = {name: read_table(folder, name, axes) for name in TABLES if name != "claims"}
    write_claims(folder, evaluate(tables, case.claim, axes, manifest.get("profile")))
    write_atomic(folder / "manifest.json", json.dumps({**manifest, "finished": now()}, indent=2) + "\n")
    try:
        return build(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
