"""The floors under every error, in words: what stored training differs from itself, and from float64."""

from __future__ import annotations

import pandas as pd

from gradbench.analysis.statistics import median
from gradbench.analysis.tables import Run

__all__ = ["floors"]

_PRECISION = ("precision", "train.precision")


def floors(run: Run) -> tuple[str, ...]:
    """Say for each precision of a run how far stored training is from itself, computed twice, and from float64.

    No error below these can be told from the device's own. A run without the numbers has no sentence.
    """
    cells, gradients = (_stored(run.tables[name]) for name in ("cells", "gradients"))
    axis = next((name for name in _PRECISION if name in run.axes), "")
    values = list(dict.fromkeys(cells[axis])) if axis else [""]
    sentences = []
    for value in values:
        mine = [frame[frame[axis] == value] if axis else frame for frame in (cells, gradients)]
        parts = [*_repeats(mine[0]["repeat_error"].dropna()), *_truth(mine[1])]
        if parts:
            where = f" in {value}" if axis else ""
            sentences.append(f"Stored training{where} {' and '.join(parts)}.")
    return tuple(sentences)


def _stored(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["strategy"] == "stored"]


def _repeats(errors: pd.Series) -> list[str]:
    """Say how far a gradient is from the same gradient computed once more: the largest of all cells."""
    if errors.empty:
        return []
    largest = float(errors.max())
    if largest == 0:
        return ["repeats itself bit for bit"]
    return [f"differs from itself, computed twice, by up to {largest:.2g} of a gradient"]


def _truth(gradients: pd.DataFrame) -> list[str]:
    """Say how far weight gradients are from float64: in the median and at worst."""
    errors = gradients.loc[gradients["kind"] == "weight", "rel_error_truth"].dropna()
    if errors.empty:
        return []
    middle, worst = median(errors), float(errors.max())
    return [f"is {middle:.2g} of a weight gradient away from float64 in the median, {worst:.2g} at worst"]
