"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gradbench.runner.pool import PRELOAD

__all__ = ["RunOptions", "Targets"]


@dataclass(frozen=True)
class RunOptions:
    """What the command line asks for.

    Attributes:
        cases: names, globs or paths of case files.
        profile: of the case; None chooses `full` with a GPU and `quick` without, where the case has them.
        sets: "key=value", the last word on a setting.
        device: "auto", "cpu", "cuda" (all GPUs) or "cuda:N".
        out: the folder that gets a folder for each case.
        jobs: cells at a time, on all GPUs together; None for what suits the machine.
        threads: CPU threads of each; None for the cores divided by the jobs.
        only: of the cells not finished, run the "failed", the "missing" (never run), both, or none.
        only_cells: ids or labels of the only cells that belong to the run, which then decides no claim; empty for all.
        fresh: run every cell again, whatever the store has.
        dry_run: say what would be run.
        timeout: seconds that a cell may take, the waiting for the device included.
        verbosity: -1 quiet, 0, 1 with verdicts.
        argv: the command line as it was typed.
        night: the date of the night that this is a part of; its cells are stored apart, so that an interrupted night
            goes on and no cell of another is used.
    """

    cases: tuple[str, ...]
    profile: str | None = None
    sets: tuple[str, ...] = ()
    device: str = "auto"
    out: Path = Path("reports")
    jobs: int | None = None
    threads: int | None = None
    only: frozenset[str] = frozenset({"failed", "missing"})
    only_cells: tuple[str, ...] = ()
    fresh: bool = False
    dry_run: bool = False
    timeout: float | None = None
    verbosity: int = 0
    argv: tuple[str, ...] = ()
    night: str | None = None


@dataclass(frozen=True)
class Targets:
    """The functions that a run calls, as "package.module:function", and what the cells' server imports beforehand.

    All but `report` are called in processes of their own; none is imported before it is needed.
    """

    cell: str = "gradbench.measure.cell:run_cell"
    probe: str = "gradbench.runner.probe:probe"
    data: str = "gradbench.runner.probe:fetch_data"
    report: str = "gradbench.report.build:build"
    preload: tuple[str, ...] = PRELOAD
