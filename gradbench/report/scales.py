"""Axes for numbers that may be zero or infinite: such values stand on a line of their own at the edge, and say so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from gradbench.report.figure import Control
from gradbench.report.words import MINUS, number, power_of_ten

__all__ = ["ChosenScale", "Scale", "decibels", "decibels_around", "logarithmic", "shares_around"]

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


@dataclass(frozen=True)
class ChosenScale:
    """A scale for each combination of the reader's choices, of which the chart uses the one that is chosen.

    Attributes:
        controls: the choices, each with its column of the data.
        scales: a scale for each combination, in the order of `itertools.product`.
    """

    controls: tuple[Control, ...]
    scales: tuple[Scale, ...]

    @classmethod
    def over(
        cls, frame: pd.DataFrame, controls: Sequence[Control], fit: Callable[[pd.DataFrame], Scale]
    ) -> ChosenScale:
        """`fit` applied to the rows of each combination; to all rows where a combination has none."""
        found = [frame[rows] for rows in _chosen(frame, controls)]
        return cls(tuple(controls), tuple(fit(rows if len(rows) else frame) for rows in found))

    def place(self, frame: pd.DataFrame, columns: Iterable[str] = ("y", "lo", "hi")) -> pd.DataFrame:
        """`frame` with `columns` moved inside the limits, each row in the scale that it is drawn on."""
        placed, columns = frame.copy(), list(columns)
        for rows, scale in zip(_chosen(frame, self.controls), self.scales, strict=True):
            placed.loc[rows, columns] = scale.place(frame[rows], columns)[columns]
        return placed

    def axis(self, title: str | None) -> alt.Axis:
        """The axis with the ticks and labels of what is chosen, and room for the widest label of all."""
        text = "y_scale.texts[round(datum.index * (length(y_scale.texts) - 1))]"
        room = 8 + 8 * max(len(label) for one in self.scales for label in one.labels.values())
        return alt.Axis(title=title, values=alt.ExprRef("y_scale.ticks"), labelExpr=text, minExtent=room)

    def scale(self) -> alt.Scale:
        """The scale with the limits of what is chosen."""
        domain = [alt.ExprRef("y_scale.low"), alt.ExprRef("y_scale.high")]
        return alt.Scale(type="log" if self.scales[0].kind == "log" else "linear", domain=domain, nice=False)

    def param(self) -> dict[str, str]:
        """The parameter of the chart, after those of the choices, on which axis and scale rest."""
        place = "0"
        for control in self.controls:
            values = json.dumps([value for _, value in control.options], ensure_ascii=False)
            place = f"({place}) * {len(control.options)} + indexof({values}, choice_{control.name})"
        known = [
            {
                "low": one.low,
                "high": one.high,
                "ticks": sorted(one.labels),
                "texts": [one.labels[tick] for tick in sorted(one.labels)],
            }
            for one in self.scales
        ]
        return {"name": "y_scale", "expr": f"{json.dumps(known, ensure_ascii=False)}[{place}]"}


def _chosen(frame: pd.DataFrame, controls: Sequence[Control]) -> list[pd.Series]:
    """For each combination of choices, which rows it shows."""
    everything = pd.Series(True, index=frame.index)
    found = []
    for values in product(*([value for _, value in control.options] for control in controls)):
        rows = everything
        for control, value in zip(controls, values, strict=True):
            rows = rows & (frame[control.name] == value)
        found.append(rows)
    return found


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


def shares_around(frame: pd.DataFrame, columns: Iterable[str] = ("y",)) -> Scale:
    """A linear scale in percent around `columns`, shares from 0 to 1, so that a small step is seen."""
    return _around(frame, columns, 100, " %")


def decibels_around(frame: pd.DataFrame, columns: Iterable[str] = ("y",)) -> Scale:
    """A linear scale in decibels around `columns`, so that a small step is seen; ∞ above it if it occurs."""
    return _around(frame, columns, 1, "")


def _around(frame: pd.DataFrame, columns: Iterable[str], factor: float, unit: str) -> Scale:
    """At most eight ticks, 1, 2 or 5 times a power of ten apart and at least 1; unlike a scale from zero, no size."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns]) * factor
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= 6)
    first = min(math.floor(low / step), max(math.ceil(high / step) - 1, 0))
    ticks = [step * place for place in range(first, max(math.ceil(high / step), first + 1) + 1)]
    labels = {tick / factor: f"{tick}{unit}".replace("-", MINUS) for tick in ticks}
    if np.isposinf(values).any():
        labels[(ticks[-1] + step) / factor] = "∞"
    return Scale("linear", min(labels), max(labels), labels)
