"""Decide a case's claims from a run's tables: held, not held or not measured, each with its number.

A claim's number is one value for each seed, combined (minus, divided by) with another of the same seed; the median
over seeds is held against the test. A seed that has no number (its cell failed) is never filled in: the claim is
decided only if no value of the absent seeds could turn it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradbench.analysis.select import NothingMatchesError, matching, select
from gradbench.analysis.statistics import interval, median, slope

if TYPE_CHECKING:
    from gradbench.case.schema import Claim, Quantity

__all__ = ["HELD", "NOT_HELD", "NOT_MEASURED", "evaluate"]

HELD, NOT_HELD, NOT_MEASURED = "held", "not held", "not measured"

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
_REDUCE: dict[str, Callable[[pd.Series], float]] = {
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "mean": lambda values: float(values.mean()),
    "median": median,
}


def evaluate(tables: Mapping[str, pd.DataFrame], claims: Sequence[Claim], axes: Iterable[str]) -> list[dict[str, Any]]:
    """Return a row of `results.CLAIMS` for every claim, in their order.

    Args:
        tables: `cells`, `gradients`, `activations`, `training` with their leading columns (cell, axes, seed).
        claims: the case's claims.
        axes: names of the axes of the case's matrix.
    """
    return [_decide(tables, claim, tuple(axes)) for claim in claims]


def _decide(tables: Mapping[str, pd.DataFrame], claim: Claim, axes: tuple[str, ...]) -> dict[str, Any]:
    nothing = float("nan")
    row = {
        "claim": claim.name,
        "says": claim.says,
        "source": claim.source,
        "status": NOT_MEASURED,
        "value": nothing,
        "low": nothing,
        "high": nothing,
        "test": claim.test,
        "seeds": 0,
        "reason": "",
    }
    try:
        values = _per_seed(tables, claim.value)
        expected = _seeds(tables, claim.value, axes)
        with np.errstate(invalid="ignore", divide="ignore"):
            if claim.minus is not None:
                values = values.sub(_per_seed(tables, claim.minus))
            if claim.divided_by is not None:
                values = values.div(_per_seed(tables, claim.divided_by))
    except NothingMatchesError as error:
        return {**row, "reason": str(error)}
    numbers = values.dropna()
    absent = len(expected.union(values.index)) - len(numbers)
    reason = f"{absent} of {absent + len(numbers)} seeds have no number" if absent else ""
    if numbers.empty:
        return {**row, "reason": reason}
    value = median(numbers)
    low, high = interval(numbers)
    row = {**row, "value": value, "low": low, "high": high, "seeds": len(numbers), "reason": reason}
    outcomes = {_holds(claim.test, median([*numbers, *[end] * absent])) for end in (-np.inf, np.inf)}
    if len(outcomes) > 1:
        return {**row, "reason": f"{reason}, and they could turn the median"}
    return {**row, "status": HELD if outcomes.pop() else NOT_HELD}


def _holds(test: str, value: float) -> bool:
    parts = re.match(r"(<=|>=|<|>|==) *(.+)", test)
    if parts is None:
        raise ValueError(f"test {test!r} is not a comparison with a number")
    return bool(_COMPARE[parts[1]](value, float(parts[2])))


def _per_seed(tables: Mapping[str, pd.DataFrame], quantity: Quantity) -> pd.Series:
    """The quantity for each seed (index: seed), nan where it is undefined.

    Raises:
        NothingMatchesError: nothing to read it from.
    """
    frame = tables.get(quantity.table)
    if frame is None:
        raise NothingMatchesError(f"the run has no table {quantity.table}")
    if quantity.column not in frame:
        raise NothingMatchesError(f"{quantity.table} has no column {quantity.column!r}")
    frame = select(frame, quantity.where, quantity.table)
    cells = _per_cell(frame, quantity)
    if quantity.slope_over is None:
        return cells.groupby("seed")["value"].agg(_REDUCE[quantity.across])
    if not pd.api.types.is_numeric_dtype(cells["over"]):
        raise NothingMatchesError(f"{quantity.slope_over} is not a number, so there is no slope over it")
    if cells["over"].nunique() < 2:
        raise NothingMatchesError(f"a slope over {quantity.slope_over} needs two values of it or more")
    slopes = {seed: slope(group["over"], group["value"]) for seed, group in cells.groupby("seed")}
    return pd.Series(slopes, dtype=np.float64)


def _per_cell(frame: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """One row a cell: its seed, the reduced value and, for a slope, its place on the axis."""
    values, where = frame[quantity.column], f"{quantity.table}.{quantity.column}"
    present = values.notna() & (values.astype(str) != "")
    if not present.any():
        raise NothingMatchesError(f"{where} is empty in every row that matches")
    values = values[present]
    if quantity.within == "share":
        if quantity.equals is None:
            raise NothingMatchesError(f"the share of {where} needs `equals`")
        values, reduce = matching(values, quantity.equals).astype(np.float64), _REDUCE["mean"]
    else:
        values, reduce = pd.to_numeric(values, errors="coerce").astype(np.float64), _REDUCE[quantity.within]
        if values.isna().all():
            raise NothingMatchesError(f"{where} holds words, of which only the share can be taken")
    rows = frame.loc[present]
    columns = {"cell": rows["cell"], "seed": rows["seed"], "value": values}
    if quantity.slope_over is not None:
        if quantity.slope_over not in rows:
            raise NothingMatchesError(f"{quantity.table} has no column {quantity.slope_over!r} for the slope")
        columns["over"] = rows[quantity.slope_over]
    groups = pd.DataFrame(columns).groupby("cell", sort=False)
    cells = groups.first()
    cells["value"] = groups["value"].agg(reduce)
    return cells


def _seeds(tables: Mapping[str, pd.DataFrame], quantity: Quantity, axes: tuple[str, ...]) -> pd.Index:
    """The seeds that the quantity should have: those of every cell, failed ones too, that its `where` names."""
    frame = tables.get("cells")
    if frame is None:
        return pd.Index([])
    known = {key: wanted for key, wanted in quantity.where.items() if key in ("seed", "strategy", *axes)}
    try:
        seeds: pd.Index = pd.Index(select(frame, known, "cells")["seed"].unique())
    except NothingMatchesError:
        return pd.Index([])
    return seeds
