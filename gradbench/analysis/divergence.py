"""Which trainings diverged: the gradients of a network that was not trained yet may be right all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from gradbench.analysis.tables import Run

__all__ = ["diverged_trainings"]

#: So many settings are named, the others counted.
_NAMED = 4


def diverged_trainings(run: Run) -> tuple[str, ...]:
    """Say of each strategy how many of its trainings diverged, and at which settings; nothing where none did."""
    training = run.tables["training"]
    trained = pd.MultiIndex.from_frame(training[["cell", "strategy"]])
    cells = run.tables["cells"]
    cells = cells[pd.MultiIndex.from_frame(cells[["cell", "strategy"]]).isin(trained)]
    return tuple(_sentences(cells, [axis for axis in run.axes if cells[axis].nunique() > 1]))


def _sentences(cells: pd.DataFrame, axes: Sequence[str]) -> Iterator[str]:
    for strategy, mine in cells.groupby("strategy", sort=False):
        diverged = mine[(mine["status"] == "diverged") & mine["accuracy"].isna()]
        if diverged.empty:
            continue
        places = list(
            dict.fromkeys(", ".join(_said(axis, row[axis]) for axis in axes) for _, row in diverged.iterrows())
        )
        more = [f"{len(places) - _NAMED} more settings"] if len(places) > _NAMED + 1 else []
        at = "; ".join([*places[:_NAMED], *more] if more else places)
        yield f"{len(diverged)} of {len(mine)} trainings with {strategy} diverged{f': {at}' if at else ''}."


def _said(axis: str, value: object) -> str:
    return str(value) if isinstance(value, str) else f"{axis.replace('_', ' ')} {value:g}"
