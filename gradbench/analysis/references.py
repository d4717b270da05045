"""A source's values with ours beside them: the same quantity, its median over seeds at the same places."""

from __future__ import annotations

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
        x: the place on the reference's axis; None for a level.
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
        cells = per_cell(measured(tables, quantity), quantity).dropna(subset=["value"])
    except NothingMatchesError:
        cells = pd.DataFrame({"value": [], "over": [], "seed": []})
    if reference.level is not None:
        return [_pair(None, reference.level, cells, quantity)]
    places = None if cells.empty else pd.to_numeric(cells["over"])
    return [
        _pair(x, theirs, cells if places is None else cells[(places - x).abs() <= 1e-9 * abs(x)], quantity)
        for x, theirs in reference.points or ()
    ]


def _pair(x: float | None, theirs: float, cells: pd.DataFrame, quantity: Quantity) -> Pair:
    seeds = cells.groupby("seed")["value"].agg(REDUCE[quantity.across])
    return Pair(x, theirs, median(seeds), len(seeds))
