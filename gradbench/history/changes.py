"""Every lasting change of level in a case's history: which number, at which setting and night, from what to what."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gradbench.analysis.statistics import adjusted
from gradbench.history.steps import Step, step_p, steps
from gradbench.history.table import FIRM, SERIES, axes_of

__all__ = ["Change", "changes"]


@dataclass(frozen=True)
class Change:
    """A lasting change of one number.

    Attributes:
        setting: the axes' values.
        strategy: whose.
        column: the number's column in the history.
        step: the night, the levels before and after, and the p-value.
    """

    setting: dict[str, object]
    strategy: str
    column: str
    step: Step


def changes(history: pd.DataFrame, size: float = 0.1, rate: float = 0.05) -> list[Change]:
    """The lasting changes of the firm numbers in one series of nights, the newest first.

    Over all numbers that varied at all, false discoveries are held to `rate` (Benjamini and Hochberg, 1995).

    Args:
        history: rows of `read_history` with one `profile`, `sets` and `environment`.
        size: the smallest relative change that counts.
        rate: the false-discovery rate.
    """
    if len(history.groupby(list(SERIES))) > 1:
        raise ValueError("the history of one series at a time: numbers of other environments differ anyway")
    axes, found = axes_of(history), []
    for point, group in history.groupby([*axes, "strategy"], sort=False, dropna=False):
        by_night = group.drop_duplicates("night", keep="last").set_index("night").sort_index()
        found += [(point, column, by_night[column]) for column in FIRM if by_night[column].nunique() > 1]
    corrected = adjusted([step_p(values) for *_, values in found])
    changed = [
        Change(dict(zip(axes, point, strict=False)), str(point[-1]), column, step)
        for (point, column, values), p in zip(found, corrected, strict=True)
        if p <= rate
        for step in steps(values, size, rate, decibels=column.endswith("_db"))
    ]
    return sorted(changed, key=lambda change: change.step.night, reverse=True)
