"""Axes for numbers that may be zero or infinite: such values stand on a line of their own at the edge, and say so."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gradbench.report.words import MINUS, number, power_of_ten

__all__ = ["Scale", "decibels", "logarithmic"]

#: No axis shows more than these powers of ten; what lies beyond stands at the edge.
_SMALLEST, _LARGEST = -16, 8


@dataclass(frozen=True)
class Scale:
    """The limits and ticks of an axis; `labels` maps every tick to its text."""

    kind: str
    low: float
    high: float
    labels: dict[float, str]

    def place(self, frame: pd.DataFrame, columns: Iterable[str] = ("y", "lo", "hi")) -> pd.DataFrame:
        """`frame` with `columns` moved inside the limits."""
        return frame.assign(**{column: frame[column].clip(self.low, self.high) for column in columns})

    def axis(self, title: str | None) -> alt.Axis:
        """The axis with these ticks and labels."""
        values = sorted(self.labels)
        texts = json.dumps([self.labels[value] for value in values], ensure_ascii=False)
        return alt.Axis(title=title, values=values, labelExpr=f"{texts}[round(datum.index * {len(values) - 1})]")

    def scale(self) -> alt.Scale:
        """The scale with these limits."""
        return alt.Scale(type="log" if self.kind == "log" else "linear", domain=[self.low, self.high], nice=False)


def logarithmic(frame: pd.DataFrame, columns: Iterable[str] = ("y", "lo", "hi"), show: Iterable[float] = ()) -> Scale:
    """A logarithmic scale for `columns` with room for `show`; 0 below it and ∞ above it if they occur."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns])
    positive = values[np.isfinite(values) & (values > 0)]
    shown = np.clip([*positive, *show, *([] if len(positive) or show else [1.0])], 10.0**_SMALLEST, 10.0**_LARGEST)
    ticks = _ticks(float(shown.min()), float(shown.max()))
    labels = {tick: _label(tick) for tick in ticks}
    step = 10.0 ** max(1, round(math.log10(ticks[-1] / ticks[0]) / 7))
    if (values <= 0).any():
        labels[ticks[0] / step] = "0"
    if (values > 10.0**_LARGEST).any():
        labels[ticks[-1] * step] = "∞" if np.isinf(values.max()) else f">{_label(ticks[-1])}"
    return Scale("log", min(labels), max(labels), labels)


def _ticks(low: float, high: float) -> list[float]:
    """Ticks from `low` or below to `high` or above: 1, 2, 5, 10 up to two decades, powers of ten beyond."""
    bottom, top = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    if math.log10(high / low) <= 2:
        ticks = [factor * 10.0**power for power in range(bottom, top + 1) for factor in (1, 2, 5)]
        first = max(place for place, tick in enumerate(ticks) if tick <= low * (1 + 1e-9))
        last = min(place for place, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
        return ticks[first : max(last, first + 1) + 1]
    step = math.ceil((top - bottom) / 7)
    bottom = step * math.floor(bottom / step)
    return [10.0**power for power in range(bottom, top + step, step)]


def _label(tick: float) -> str:
    power = round(math.log10(tick))
    return power_of_ten(power) if math.isclose(tick, 10.0**power) and abs(power) > 3 else number(tick)


def decibels(frame: pd.DataFrame, columns: Iterable[str] = ("y", "lo", "hi")) -> Scale:
    """A linear scale in decibels from 0 or below; ∞ above it if it occurs."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns])
    finite: Any = values[np.isfinite(values)]
    top, bottom = max([20.0, *finite]), min([0.0, *finite])
    step = next(step for step in (10, 20, 40, 50, 100, 200, 500, 1000, 1e9) if (top - bottom) / step <= 8)
    low, high = step * math.floor(bottom / step), step * math.ceil(top / step)
    labels = {float(value): f"{value:g}".replace("-", MINUS) for value in np.arange(low, high + step / 2, step)}
    if np.isposinf(values).any():
        high += step
        labels[float(high)] = "∞"
    return Scale("linear", float(low), float(high), labels)
