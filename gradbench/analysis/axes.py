"""Which axis of a matrix the charts and the verdict run along, which split the panels, and at what the rest is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gradbench.case.sizes import written_size

__all__ = ["Axes", "axis_value", "is_size", "read_axes", "setting"]

#: From so many values on an axis is a curve of its own.
_A_SWEEP = 3


@dataclass(frozen=True)
class Axes:
    """The roles of a matrix's axes.

    Attributes:
        along: the numeric axis to run along: `depth` if the matrix has it, else the one with most values; "" if none.
        groups: the axes of names, for example `model`: one panel each.
        others: the other numeric axes, for example `negative_slope`.
        reference: for each of `others` the value at which most was measured.
    """

    along: str
    groups: tuple[str, ...]
    others: tuple[str, ...]
    reference: dict[str, Any]

    def at_reference(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of `frame` at the reference values of the other axes."""
        for name, value in self.reference.items():
            frame = frame[frame[name] == value]
        return frame

    def crossings(self, cells: pd.DataFrame) -> list[Axes]:
        """The roles for each other numeric axis that was swept at one value of `along` alone: it runs along then.

        A matrix over depth at one slope, and over slopes at one depth, is two curves that cross. There are none unless
        every cell is on one of the curves, at the reference values of what they do not run along.
        """
        found = []
        for name in self.others:
            values = cells.groupby(self.along)[name].nunique()
            if (values > 1).sum() == 1 and values.max() >= _A_SWEEP and len(values) > 1:
                rest = tuple(other for other in self.others if other != name)
                held = {self.along: np.asarray(values.idxmax()).item()}
                found.append(
                    Axes(name, self.groups, (self.along, *rest), held | {one: self.reference[one] for one in rest})
                )
        shown = self.uncrossed(cells, found).index
        for axes in found:
            shown = shown.union(axes.at_reference(cells).index)
        return found if len(shown) == len(cells) else []

    def uncrossed(self, frame: pd.DataFrame, crossings: Sequence[Axes]) -> pd.DataFrame:
        """The rows of `frame` at the reference values of the axes that `crossings` run along."""
        for axes in crossings:
            frame = frame[frame[axes.along] == self.reference[axes.along]]
        return frame


def read_axes(cells: pd.DataFrame, axes: Sequence[str]) -> Axes:
    """Assign the roles from the cells that were planned."""
    varying = [name for name in axes if cells[name].nunique() > 1]
    numeric = [name for name in axes if pd.api.types.is_numeric_dtype(cells[name])]
    candidates = [name for name in numeric if name in varying] or numeric
    along = "depth" if "depth" in candidates else max(candidates, key=lambda name: cells[name].nunique(), default="")
    others = tuple(name for name in numeric if name != along)
    groups = tuple(name for name in axes if name not in numeric)
    reference: dict[str, Any] = {}
    if others and not cells.empty:
        sizes = cells.groupby(list(others), sort=False)["strategy"].agg(["nunique", "size"])
        best = sizes.sort_values(["nunique", "size"], ascending=False, kind="stable").index[0]
        values = best if isinstance(best, tuple) else (best,)
        reference = {name: np.asarray(value).item() for name, value in zip(others, values, strict=True)}
    return Axes(along, groups, others, reference)


def is_size(axis: str) -> bool:
    """Whether the values of an axis are bytes, which people write as sizes."""
    return axis.rpartition(".")[2] == "memory_limit"


def axis_value(axis: str, value: object) -> str:
    """One value of an axis, written.

    >>> axis_value("depth", 7.0), axis_value("model", "hybrid"), axis_value("memory_limit", 600_000_000)
    ('7', 'hybrid', '600 MB')
    """
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if not isinstance(value, int | float | np.number):
        return str(value)
    return written_size(float(value)) if is_size(axis) else f"{value:g}"


def setting(point: Mapping[str, object]) -> str:
    """Write axes and their values for a sentence: `hybrid, depth 5, negative slope 0.2`."""
    written = ((axis, value, axis_value(axis, value)) for axis, value in point.items())
    return ", ".join(
        text if isinstance(value, str) else f"{axis.replace('_', ' ')} {text}" for axis, value, text in written
    )
