"""The one number of a case whose course over the nights the first page shows."""

from __future__ import annotations

import pandas as pd

from gradbench.analysis.statistics import median
from gradbench.history.nights import with_missed
from gradbench.history.series import Series
from gradbench.history.table import SERIES
from gradbench.report.words import ABSENT, number
from gradbench.site.figures.nights import key_of
from gradbench.site.listed import Listed
from gradbench.site.spark import Trend, sparkline

__all__ = ["trend"]


def trend(history: pd.DataFrame, newest: Listed) -> Trend | None:
    """The noise ratio of the strategy that the case names first, over the nights of the newest run's series.

    The number of a night is the median over its settings. None without two nights that have one.
    """
    rows = history[_is(history, newest.entry.series)]
    strategies = (newest.entry.manifest.get("settings") or {}).get("measure", {}).get("strategies") or []
    strategy = next((name for name in strategies if name in set(rows["strategy"])), None)
    values = (
        rows[rows["strategy"] == strategy].dropna(subset=["noise_ratio"]).groupby("night")["noise_ratio"].agg(median)
    )
    nights = with_missed(values.index)
    line = sparkline(values.reindex(nights).tolist())
    if line is None:
        return None
    first, last = number(values.iloc[0]), number(values.iloc[-1])
    return Trend(
        line,
        f"Noise ratio of {strategy} over {len(values)} nights: {first} at first, {last} at last",
        f"noise ratio of {strategy}, {len(values)} nights: {last if last != ABSENT else 'none'}",
    )


def _is(history: pd.DataFrame, series: Series) -> pd.Series:
    """Which rows are nights of `series`."""
    same = pd.Series(True, index=history.index)
    for name, value in zip(SERIES, key_of(series), strict=True):
        same &= history[name] == value
    return same
