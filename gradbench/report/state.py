"""What one step leaves behind, for the page: a table of strategies and checks, and every fault in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.axes import axis_value
from gradbench.analysis.tables import Run
from gradbench.report.words import ABSENT, axis_name
from gradbench.results import CHECKS

__all__ = ["Fault", "Mark", "StateRow", "StateSection", "state_section"]

#: The sign of each outcome, from best to worst; the worst over cells is shown.
_SIGNS = {"not applicable": ABSENT, "exact": "✓", "rounding": "≈", "fault": "✗"}


@dataclass(frozen=True)
class Mark:
    """One check of one strategy over all cells: the worst outcome, its sign, and how many cells have it."""

    outcome: str
    sign: str
    count: str
    title: str


@dataclass(frozen=True)
class StateRow:
    """One strategy."""

    strategy: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Fault:
    """One fault, in the first cell that has it; `places` says how many have it."""

    strategy: str
    check: str
    says: str
    places: str


@dataclass(frozen=True)
class StateSection:
    """The section: the checks with their meaning, a row a strategy, and the faults."""

    checks: tuple[tuple[str, str], ...]
    rows: tuple[StateRow, ...]
    faults: tuple[Fault, ...]


def state_section(run: Run) -> StateSection:
    """Read the section from the run's table `state`; without rows where nothing was checked."""
    state = run.tables["state"]
    faults = state[state["outcome"] == "fault"]
    return StateSection(
        checks=tuple(CHECKS.items()),
        rows=tuple(
            StateRow(str(strategy), tuple(_mark(mine[mine["check"] == check]) for check in CHECKS))
            for strategy, mine in state.groupby("strategy", sort=False)
        ),
        faults=tuple(
            Fault(str(strategy), str(check), str(some["says"].iloc[0]), _places(some, run.axes))
            for (strategy, check), some in faults.groupby(["strategy", "check"], sort=False)
        ),
    )


def _mark(rows: pd.DataFrame) -> Mark:
    outcomes = rows["outcome"].tolist()
    worst = max(outcomes, key=list(_SIGNS).index, default="not applicable")
    count = outcomes.count(worst)
    some = f" {count} of {len(outcomes)}" if worst in ("fault", "rounding") and len(outcomes) > 1 else ""
    says = next((str(text) for text in rows.loc[rows["outcome"] == worst, "says"] if text), worst)
    return Mark(worst, _SIGNS[worst], some, says)


def _places(rows: pd.DataFrame, axes: Sequence[str]) -> str:
    """Where it is: "depth 3, model hybrid, and in 4 more cells"."""
    first = ", ".join(f"{axis_name(axis)} {axis_value(axis, rows[axis].iloc[0])}" for axis in axes)
    more = len(rows) - 1
    return first if not more else f"{first} and {more} more cell{'s' * (more > 1)}"
