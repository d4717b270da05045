"""The calendar of a case's nights: its series by name, the days as places on an axis, and what is marked there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import altair as alt
import pandas as pd

from gradbench.history.series import Series
from gradbench.history.table import SERIES

__all__ = ["Calendar", "key_of", "series_names"]

_TICKS = 5


@dataclass(frozen=True)
class Calendar:
    """Days as whole numbers, so that no reader's time zone moves them."""

    first: date
    last: int

    @classmethod
    def of(cls, nights: Sequence[str]) -> Calendar:
        """The days from the first of `nights` (YYYY-MM-DD) to the last."""
        first = date.fromisoformat(min(nights))
        return cls(first, (date.fromisoformat(max(nights)) - first).days)

    def place(self, night: str) -> int:
        """Days since the first night; 0 for what was before."""
        return max((date.fromisoformat(night) - self.first).days, 0)

    def axis(self) -> alt.Axis:
        """The axis with a few days by name."""
        step = max(1, -(-self.last // _TICKS))
        values = list(range(0, self.last + 1, step))
        days = [date.fromordinal(self.first.toordinal() + value) for value in values]
        texts = [f"{day.day} {day:%b}" for day in days]
        return alt.Axis(
            title=f"night ({self.first.isoformat()} and after)",
            values=values,
            labelExpr=f"{texts}[datum.value / {step}]",
            grid=False,
        )


def key_of(series: Series) -> tuple[str, str, str]:
    """The values of a series in the columns `SERIES` of a history."""
    return series.profile or "", " ".join(series.sets), series.environment


def series_names(history: pd.DataFrame) -> Mapping[tuple[str, ...], str]:
    """What tells the series of nights apart, in words; that of the newest night first."""
    newest = history.sort_values("night", ascending=False, kind="stable").drop_duplicates(list(SERIES))
    rows = list(newest.to_dict("records"))
    words = {tuple(row[name] for name in SERIES): list(_words(row)) for row in rows}
    texts = [", ".join(each) for each in words.values()]
    return {
        key: f"{text} ({key[-1]})" if texts.count(text) > 1 else text
        for (key, _), text in zip(words.items(), texts, strict=True)
    }


def _words(row: Mapping[Any, str]) -> Iterator[str]:
    if row["profile"]:
        yield f"profile {row['profile']}"
    if row["sets"]:
        yield row["sets"]
    yield row["device"] or "unknown device"
    if row["torch"]:
        yield f"torch {row['torch']}"
