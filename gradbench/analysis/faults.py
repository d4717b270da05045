"""What one step of a strategy leaves behind other than stored training does, in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.tables import Run

__all__ = ["Fault", "faults"]


@dataclass(frozen=True)
class Fault:
    """One fault, in the first cell that has it; `places` says how many have it."""

    strategy: str
    check: str
    says: str
    places: str

    def __str__(self) -> str:
        """The fault in one line."""
        return f"{self.strategy}, {self.check}: {self.says}{f' ({self.places})' if self.places else ''}"


def faults(run: Run) -> tuple[Fault, ...]:
    """The rows of the table `state` that are faults, one for each strategy and check."""
    state = run.tables["state"]
    found = state[state["outcome"] == "fault"].groupby(["strategy", "check"], sort=False)
    return tuple(
        Fault(str(strategy), str(check), str(some["says"].iloc[0]), _places(some, run.axes))
        for (strategy, check), some in found
    )


def _places(rows: pd.DataFrame, axes: Sequence[str]) -> str:
    """Where it is: "hybrid, depth 3 and 4 more cells"."""
    first, more = setting({axis: rows[axis].iloc[0] for axis in axes}), len(rows) - 1
    return first if not more else f"{first} and {more} more cell{'s' * (more > 1)}"
