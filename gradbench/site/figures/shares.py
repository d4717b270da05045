"""An axis for shares: percent, zoomed to where the numbers are."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from gradbench.report.scales import Scale

__all__ = ["shares"]


def shares(frame: pd.DataFrame, columns: Iterable[str] = ("y",)) -> Scale:
    """A linear scale in percent for `columns`, numbers from 0 to 1."""
    values = np.concatenate([frame[column].dropna().to_numpy(np.float64) for column in columns])
    low, high = (100 * float(end) for end in (values.min(), values.max()))
    step = next((step for step in (1, 2, 5, 10) if (high - low) / step <= 6), 20)
    ticks = range(
        step * math.floor(low / step), step * max(math.ceil(high / step), math.floor(low / step) + 1) + 1, step
    )
    labels = {tick / 100: f"{tick} %" for tick in ticks}
    return Scale("linear", min(labels), max(labels), labels)
