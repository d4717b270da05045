"""A linear axis around the numbers, so that a small step is seen; unlike one from zero it says nothing of size."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from gradbench.report.scales import Scale
from gradbench.report.words import MINUS

__all__ = ["decibels_around", "shares_around"]


def shares_around(frame: pd.DataFrame, columns: Iterable[str] = ("y",)) -> Scale:
    """An axis in percent for `columns`, shares from 0 to 1."""
    return _around(frame, columns, 100, " %")


def decibels_around(frame: pd.DataFrame, columns: Iterable[str] = ("y",)) -> Scale:
    """An axis in decibels for `columns`; ∞ above it if it occurs."""
    return _around(frame, columns, 1, "")


def _around(frame: pd.DataFrame, columns: Iterable[str], factor: float, unit: str) -> Scale:
    """At most eight ticks, 1, 2 or 5 times a power of ten apart and at least 1."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns]) * factor
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    steps = (digit * 10**power for power in range(9) for digit in (1, 2, 5))
    step = next(step for step in steps if (high - low) / step <= 6)
    first = math.floor(low / step)
    ticks = [step * place for place in range(first, max(math.ceil(high / step), first + 1) + 1)]
    labels = {tick / factor: f"{tick}{unit}".replace("-", MINUS) for tick in ticks}
    if np.isposinf(values).any():
        labels[(ticks[-1] + step) / factor] = "∞"
    return Scale("linear", min(labels), max(labels), labels)
