"""Which trainings diverged: the gradients of a network that was not trained yet may be right all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.tables import Run

__all__ = ["diverged", "diverged_trainings"]

#: So many settings are named, the others counted.
_NAMED = 4


def diverged(cells: pd.DataFrame) -> pd.Series:
    """Which rows of `cells` are trainings that diverged; a row may have that status for its reference's sake alone."""
    return (cells["status"] == "diverged") & cells["train_seconds"].notna() & cells["accuracy"].isna()


def diverged_trainings(run: Run) -> tuple[str, ...]:
    """Say of each strategy how many of its trainings diverged, and at which settings; nothing where none did."""
    cells = run.tables["cells"]
    trained = cells[cells["train_seconds"].notna()]
    return tuple(_sentences(trained, [axis for axis in run.axes if trained[axis].nunique() > 1]))


def _sentences(cells: pd.DataFrame, axes: Sequence[str]) -> Iterator[str]:
    for strategy, mine in cells.groupby("strategy", sort=False):
        lost = mine[diverged(mine)]
        if lost.empty:
            continue
        places = list(dict.fromkeys(setting({axis: row[axis] for axis in axes}) for _, row in lost.iterrows()))
        more = [f"{len(places) - _NAMED} more settings"] if len(places) > _NAMED + 1 else []
        at = "; ".join([*places[:_NAMED], *more] if more else places)
        yield f"{len(lost)} of {len(mine)} trainings with {strategy} diverged{f': {at}' if at else ''}."
