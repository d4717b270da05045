"""A source's values with ours beside them: the same quantity, its median over seeds at the same places."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from gradbench.analysis.claims import REDUCE, measured, per_cell
from gradbench.analysis.select import NothingMatchesError
from gradbench.analysis.statistics import median

if TYPE_CHECKING:
    from gradbench.case.schema import Quantity, Reference

__all__ = ["Pair", "pairs"]


@dataclass(frozen=True)
class Pair:
    """A value of a source and ours.

    Attributes:
        x: the place on the reference's axis, or the layer's position; None for a level.
        theirs: the source's value.
        ours: the median over seeds at the same place; nan where nothing was measured there.
        seeds: how many it rests on.
    """

    x: float | None
    theirs: float
    ours: float
    seeds: int


def pairs(tables: Mapping[str, pd.DataFrame], reference: Reference) -> list[Pair]:
    """Each value of `reference` with ours, in its order.

    Args:
        tables: `cells`, `gradients`, `activations`, `training` with their leading columns (cell, axes, seed).
        reference: of the case.
    """
    quantity = reference.value.model_copy(update={"slope_over": reference.along})
    try:
        rows = measured(tables, quantity)
    except NothingMatchesError:
        rows = pd.DataFrame({"cell": [], "value": [], "over": [], "seed": []})
    if reference.level is not None:
        return [_pair(None, reference.level, rows, quantity)]
    places = pd.to_numeric(rows["over"])
    return [
        _pair(x, theirs, rows[(places - x).abs() <= 1e-9 * abs(x)], quantity) for x, theirs in reference.points or ()
    ]


def _pair(x: float | None, theirs: float, rows: pd.DataFrame, quantity: Quantity) -> Pair:
    if rows.empty:
        return Pair(x, theirs, math.nan, 0)
    seeds = per_cell(rows, quantity).dropna(subset=["value"]).groupby("seed")["value"].agg(REDUCE[quantity.across])
    return Pair(x, theirs, median(seeds), len(seeds))
