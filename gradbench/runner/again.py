"""A cell of a run that is over, as it was run: to look closer at what it found."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from gradbench.analysis.select import matching
from gradbench.analysis.tables import Run
from gradbench.case.expand import Cell, expand
from gradbench.case.load import load
from gradbench.errors import UsageError, did_you_mean
from gradbench.results import VERDICTS
from gradbench.runner.plan import plan

__all__ = ["cell_again", "worst_of"]


def cell_again(run: Run, name: str) -> tuple[Cell, pd.DataFrame]:
    """Return a cell of a run, and its rows of the table `cells`.

    The cell is found by its point and seed, so that a run of an older gradbench, whose hashes were others, has it too.

    Args:
        run: the run.
        name: the cell's id, or its name in the progress: `hybrid depth=3 seed=0`.

    Raises:
        UsageError: the run has no such cell.
        CaseError: the case that the run carries is none for this gradbench.
    """
    rows = run.tables["cells"]
    labels = {one.label: one.cell for one in plan(_cells(run), lambda settings: {}, lambda data: "")}
    cell = labels.get(name)
    if cell is None:
        mine = rows[rows["cell"] == name]
        if mine.empty:
            near = did_you_mean(name, [*labels, *rows["cell"].unique()])
            raise UsageError(f"{run.folder}: no cell {name!r}; cells.csv has their ids{near}")
        point = {axis: mine[axis].iloc[0] for axis in (*run.axes, "seed")}
        cell = next(one for one in labels.values() if _is_at(one, point))
    here = rows["seed"] == cell.seed
    for axis, value in cell.point.items():
        here &= matching(rows[axis], value)
    return cell, rows[here]


def worst_of(rows: pd.DataFrame) -> tuple[str, int | None]:
    """Return the strategy with the worst verdict and the step that decides it; stored training does not count.

    Raises:
        UsageError: no strategy has a verdict.
    """
    judged = rows[rows["verdict"].isin(VERDICTS) & (rows["strategy"] != "stored")]
    if judged.empty:
        raise UsageError("no strategy of this cell has a verdict: name one with --strategy, and a --step")
    worst = max(judged["verdict"], key=VERDICTS.index)
    first = judged[judged["verdict"] == worst].iloc[0]
    return str(first["strategy"]), None if pd.isna(first["worst_step"]) else int(first["worst_step"])


def _cells(run: Run) -> tuple[Cell, ...]:
    """Return all cells of the case that a run carries in its manifest."""
    known = run.manifest
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{known['case']}.toml"
        path.write_text(known["case_text"], encoding="utf-8")
        return expand(load(path, known["profile"], known["sets"]), known["case"])


def _is_at(cell: Cell, point: dict[str, Any]) -> bool:
    known = {**cell.point, "seed": cell.seed}
    return all(bool(matching(pd.Series([value]), known[axis]).all()) for axis, value in point.items())
