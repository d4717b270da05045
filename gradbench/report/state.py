"""What one step leaves behind, for the page: a table of strategies and checks."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.tables import Run
from gradbench.report.words import ABSENT
from gradbench.results import CHECKS

__all__ = ["Mark", "StateRow", "StateSection", "state_section"]

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
class StateSection:
    """The section: the checks with their meaning, and a row a strategy."""

    checks: tuple[tuple[str, str], ...]
    rows: tuple[StateRow, ...]


def state_section(run: Run) -> StateSection:
    """Read the section from the run's table `state`; without rows where nothing was checked."""
    state = run.tables["state"]
    return StateSection(
        checks=tuple(CHECKS.items()),
        rows=tuple(
            StateRow(str(strategy), tuple(_mark(mine[mine["check"] == check]) for check in CHECKS))
            for strategy, mine in state.groupby("strategy", sort=False)
        ),
    )


def _mark(rows: pd.DataFrame) -> Mark:
    outcomes = rows["outcome"].tolist()
    worst = max(outcomes, key=list(_SIGNS).index, default="not applicable")
    count = outcomes.count(worst)
    some = f" {count} of {len(outcomes)}" if worst in ("fault", "rounding") and len(outcomes) > 1 else ""
    says = next((str(text) for text in rows.loc[rows["outcome"] == worst, "says"] if text), worst)
    return Mark(worst, _SIGNS[worst], some, says)
