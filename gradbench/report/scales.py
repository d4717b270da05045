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

from gradbench.report.words import MINUS, power_of_ten

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
        texts = {f"{value:.6g}": text for value, text in self.labels.items()}
        lookup = f"{json.dumps(texts, ensure_ascii=False)}[format(datum.value, '.6~g')]"
        if self.kind == "log":
            texts = {str(round(math.log10(value))): text for value, text in self.labels.items()}
            lookup = f"{json.dumps(texts, ensure_ascii=False)}[round(log(datum.value) / LN10)]"
        return alt.Axis(title=title, values=list(self.labels), labelExpr=lookup)

    def scale(self) -> alt.Scale:
        """The scale with these limits."""
        return alt.Scale(type="log" if self.kind == "log" else "linear", domain=[self.low, self.high], nice=False)


def logarithmic(frame: pd.DataFrame, columns: Iterable[str] = ("y", "lo", "hi"), show: Iterable[float] = ()) -> Scale:
    """A logarithmic scale for `columns` with room for `show`; 0 below it and ∞ above it if they occur."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns])
    positive = values[np.isfinite(values) & (values > 0)]
    exponents = np.log10([*positive, *show]) if len(positive) or show else np.zeros(1)
    low = max(math.floor(exponents.min() + 1e-9), _SMALLEST)
    high = min(max(math.ceil(exponents.max() - 1e-9), low + 1), _LARGEST)
    step = max(1, math.ceil((high - low) / 7))
    labels = {10.0**power: power_of_ten(power) for power in range(low, high + 1) if power % step == 0}
    if (values <= 0).any():
        low -= step
        labels[10.0**low] = "0"
    if (values > 10.0**high).any():
        high += step
        labels[10.0**high] = "∞" if np.isinf(values.max()) else f">{power_of_ten(high - step)}"
    return Scale("log", 10.0**low, 10.0**high, labels)


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
