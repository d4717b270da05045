"""Decide a case's claims from a run's tables: held, not held, undecided or not measured, each with its number.

A claim's number is one value for each seed, combined (minus, divided by) with another of the same seed, or first cell
by cell with those of the same setting, where the claim says how the cells become one number then; the median
over seeds is held against the test, and so are both ends of its interval: a claim whose interval does not clear the
number is undecided. (One seed has no interval.) A seed has no number if one of its cells
that should have one has none (it failed) or has nan. Such a seed is never filled in: the claim is decided only if no
value of the absent seeds could turn it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gradbench.analysis.axes import setting
from gradbench.analysis.divergence import diverged
from gradbench.analysis.select import NothingMatchesError, matching, select
from gradbench.analysis.statistics import interval, median, slope
from gradbench.analysis.units import quantity_unit

if TYPE_CHECKING:
    from gradbench.case.schema import Claim, Quantity

__all__ = [
    "HELD",
    "NOT_HELD",
    "NOT_MEASURED",
    "REDUCE",
    "UNDECIDED",
    "evaluate",
    "is_about_gradients",
    "measured",
    "per_cell",
]

HELD, NOT_HELD, UNDECIDED, NOT_MEASURED = "held", "not held", "undecided", "not measured"

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
}
#: How numbers become one; any nan gives nan.
REDUCE: dict[str, Callable[[pd.Series], float]] = {
    "min": lambda values: float(values.min(skipna=False)),
    "max": lambda values: float(values.max(skipna=False)),
    "mean": lambda values: float(values.mean(skipna=False)),
    "median": median,
}
_FAILED = ("oom", "timeout", "error", "missing")
#: The table whose rows a column of `cells` summarises: with rows there, the column was asked for.
_SUMMARISES = {
    **dict.fromkeys(("accuracy", "loss"), "training"),
    **dict.fromkeys(("verdict", "rel_error", "noise_ratio", "worst_noise_ratio"), "gradients"),
    "min_snr_db": "activations",
}
#: What no seed changes, so that a case measures it with the first alone (`gradbench.case.expand`).
_OF_FIRST_SEED = {
    "step_seconds",
    "time_ratio",
    "peak_bytes",
    "saved_bytes",
    "left_bytes",
    "bytes_per_pixel",
}
#: More settings than these that have the largest or smallest number alike are not named.
_FEW_PLACES = 3
#: The rows that have no number by design.
_NONE_BY_DESIGN: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "flipped_gates": lambda rows: rows["kind"] != "activation",
    "train_loss": lambda rows: rows["step"] == 0,
}


def evaluate(
    tables: Mapping[str, pd.DataFrame], claims: Sequence[Claim], axes: Iterable[str], profile: str | None = None
) -> list[dict[str, Any]]:
    """Return a row of `results.CLAIMS` for every claim, in their order.

    Args:
        tables: `cells`, `gradients`, `activations`, `training` with their leading columns (cell, axes, seed).
        claims: the case's claims.
        axes: names of the axes of the case's matrix.
        profile: the run's; claims that are asked of others are not measured.
    """
    return [_decide(tables, claim, tuple(axes), profile) for claim in claims]


def is_about_gradients(claim: Mapping[str, Any]) -> bool:
    """Whether a number of the claim, as the manifest has it, is taken from what was measured of gradients."""
    quantities = [quantity for key in ("value", "minus", "divided_by") if (quantity := claim.get(key))]
    return any("gradients" in (one["table"], _SUMMARISES.get(one["column"])) for one in quantities)


def _decide(
    tables: Mapping[str, pd.DataFrame], claim: Claim, axes: tuple[str, ...], profile: str | None
) -> dict[str, Any]:
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
    if claim.profiles and profile not in claim.profiles:
        return {**row, "reason": f"asked of the profile {' or '.join(claim.profiles)} only"}
    try:
        sides = [_side(tables, quantity, axes) for quantity in _quantities(claim)]
        if claim.across is None:
            values, found = _seed_by_seed(sides, claim)
        else:
            values, found = _cell_by_cell(tables["cells"], sides, claim, axes)
    except NothingMatchesError as error:
        return {**row, "reason": str(error)}
    numbers = values.dropna()
    absent = len(values) - len(numbers)
    why = dict.fromkeys(word for side in sides for word in side.why)
    details = f" ({', '.join(why)})" if why else ""
    reason = f"{absent} of {len(values)} seeds have no number{details}" if absent else ""
    if numbers.empty:
        return {**row, "reason": "; ".join([reason, *found])}
    value = median(numbers)
    low, high = interval(numbers)
    row = {**row, "value": value, "low": low, "high": high, "seeds": len(numbers)}
    notes = [*_notes(sides, numbers.index), *found]
    outcomes = {_holds(claim.test, median([*numbers, *[end] * absent])) for end in (-np.inf, np.inf)}
    if len(outcomes) > 1:
        status, reason = UNDECIDED, f"{reason}, and they could turn the median"
    else:
        held = outcomes.pop()
        status = HELD if held else NOT_HELD
        if len(numbers) > 1 and {_holds(claim.test, low), _holds(claim.test, high)} != {held}:
            unclear = f"the interval over {len(numbers)} seeds does not clear the number"
            status, reason = UNDECIDED, f"{reason}; {unclear}" if reason else unclear
    return {**row, "status": status, "reason": "; ".join([*[reason] * bool(reason), *notes])}


def _notes(sides: Sequence[_Side], seeds: pd.Index) -> list[str]:
    """Say how many trainings of these seeds diverged, and what they count as."""
    units = [quantity_unit(side.quantity.model_dump()) for side in sides]
    assumed = pd.concat(
        side.assumed.assign(amount=side.assumed["value"].map(unit.amount))
        for side, unit in zip(sides, units, strict=True)
    )
    counted = assumed[assumed["seed"].isin(seeds)].drop_duplicates(["cell", "strategy", "amount"])
    notes = []
    for (strategy, amount), rows in counted.groupby(["strategy", "amount"], sort=False):
        count = "1 training" if len(rows) == 1 else f"{len(rows)} trainings"
        notes.append(f"{count} with {strategy} diverged and {'counts' if len(rows) == 1 else 'count'} as {amount}")
    return notes


def _holds(test: str, value: float) -> bool:
    parts = re.match(r"(<=|>=|<|>|==) *(.+)", test)
    if parts is None:
        raise ValueError(f"test {test!r} is not a comparison with a number")
    return bool(_COMPARE[parts[1]](value, float(parts[2])))


@dataclass(frozen=True)
class _Side:
    """One quantity of a claim, as the run has it."""

    quantity: Quantity
    """What was asked for."""
    cells: pd.DataFrame
    """Its value for each cell (index: cell)."""
    seeds: pd.Index
    """The seeds that should have it."""
    lost: pd.Index
    """Those of them with a cell that should have it and has none."""
    why: list[str]
    """Why a seed may have none."""
    assumed: pd.DataFrame
    """Its rows that stand for trainings that diverged."""

    def withheld(self, values: pd.Series) -> pd.Series:
        """Take `values` (index: seed) away from seeds that lost a cell, with nan for each that should have one."""
        values = values.reindex(values.index.union(self.seeds))
        values[values.index.isin(self.lost)] = np.nan
        return values


def _quantities(claim: Claim) -> list[Quantity]:
    return [quantity for quantity in (claim.value, claim.minus, claim.divided_by) if quantity is not None]


def _side(tables: Mapping[str, pd.DataFrame], quantity: Quantity, axes: tuple[str, ...]) -> _Side:
    """Read a quantity from the tables.

    Raises:
        NothingMatchesError: nothing to read it from.
    """
    rows = measured(tables, quantity)
    cells = per_cell(rows, quantity)
    expected = _expected(tables, quantity, axes)
    lost = _lost(tables, quantity, expected, rows)
    why = []
    if count := lost["cell"].nunique():
        why.append(f"cells without one: {count}")
    if count := int(cells["value"].isna().sum()):
        why.append(f"cells where it is nan: {count}")
    if quantity.slope_over is not None and np.isinf(cells["value"]).any():
        why.append("a slope has no number where one of its points is infinite")
    seeds = pd.Index(expected["seed"].unique())
    return _Side(quantity, cells, seeds, pd.Index(lost["seed"].unique()), why, rows[rows["diverged"]])


def _seed_by_seed(sides: Sequence[_Side], claim: Claim) -> tuple[pd.Series, list[str]]:
    """The claim's number for each seed (index: seed), of numbers for each seed, and nothing to add to it."""
    numbers = []
    for side in sides:
        if side.quantity.slope_over is None:
            values = side.cells.groupby("seed")["value"].agg(REDUCE[side.quantity.across])
        else:
            values = _slopes(side.cells, side.quantity.slope_over)
        numbers.append(side.withheld(values))
    return _combined(numbers, claim), []


def _cell_by_cell(
    cells: pd.DataFrame, sides: Sequence[_Side], claim: Claim, axes: tuple[str, ...]
) -> tuple[pd.Series, list[str]]:
    """The claim's number for each seed (index: seed), of numbers for each setting; what to add to it.

    Raises:
        NothingMatchesError: a cell has two counterparts.
    """
    shared = [axis for axis in axes if len({side.quantity.wanted(axis) for side in sides}) == 1]
    points = cells.drop_duplicates("cell").set_index("cell")[["seed", *shared]]
    numbers = []
    for side in sides:
        index = pd.MultiIndex.from_frame(points.loc[side.cells.index])
        if index.has_duplicates:
            raise NothingMatchesError(f"two cells of a seed are alike in {', '.join(shared) or 'every axis'}: no pairs")
        numbers.append(side.cells["value"].set_axis(index))
    combined = _combined(numbers, claim)
    values = combined.groupby(level="seed").agg(REDUCE[claim.across or "median"])
    for side in sides:
        values = side.withheld(values)
    varied = [axis for axis in shared if combined.index.get_level_values(axis).nunique() > 1]
    alone = 0 if any(len(side.lost) for side in sides) else sum(len(combined) - len(one) for one in numbers)
    notes = [f"cells without a counterpart: {alone}"] if alone else []
    return values, [*notes, *_extremes(combined, values, varied, claim.across)]


def _combined(numbers: Sequence[pd.Series], claim: Claim) -> pd.Series:
    first, *others = numbers
    given = ((claim.minus, pd.Series.sub), (claim.divided_by, pd.Series.div))
    operations = [operation for other, operation in given if other is not None]
    with np.errstate(invalid="ignore", divide="ignore"):
        for operation, other in zip(operations, others, strict=True):
            first = operation(first, other)
    return first


def _extremes(combined: pd.Series, values: pd.Series, axes: Sequence[str], across: str | None) -> list[str]:
    """Say at which settings, along `axes`, the seeds have their largest or smallest number, unless at many."""
    word = {"max": "largest", "min": "smallest"}.get(across or "")
    if word is None or not axes:
        return []
    points = combined.index.to_frame(index=False)
    there = combined.to_numpy() == points["seed"].map(values).to_numpy()
    places = dict.fromkeys(
        setting(dict(zip(axes, point, strict=True))) for point in points.loc[there, list(axes)].to_numpy(dtype=object)
    )
    return [f"{word} at {' or '.join(places)}"] if 0 < len(places) <= _FEW_PLACES else []


def per_cell(rows: pd.DataFrame, quantity: Quantity) -> pd.DataFrame:
    """The quantity for each cell (index: cell) of the rows that `measured` returned."""
    groups = rows.groupby("cell", sort=False)
    within = REDUCE["mean" if quantity.within == "share" else quantity.within]
    return groups.first().assign(value=groups["value"].agg(within))


def _slopes(cells: pd.DataFrame, over: str) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(cells["over"]):
        raise NothingMatchesError(f"{over} is not a number, so there is no slope over it")
    if cells["over"].nunique() < 2:
        raise NothingMatchesError(f"a slope over {over} needs two values of it or more")
    slopes = {seed: slope(group["over"], group["value"]) for seed, group in cells.groupby("seed")}
    return pd.Series(slopes, dtype=np.float64)


def measured(tables: Mapping[str, pd.DataFrame], quantity: Quantity) -> pd.DataFrame:
    """The rows that were measured: cell, strategy, seed, the value and, for a slope, the place on the axis.

    nan is a result, except in `cells`, where it is also an empty field, and in rows that have no number by design. What
    has the number that the quantity gives to `diverged` trainings is marked.

    Raises:
        NothingMatchesError: there is none.
    """
    table, where = quantity.table, f"{quantity.table}.{quantity.column}"
    frame = tables.get(table)
    if frame is None:
        raise NothingMatchesError(f"the run has no table {table}")
    if quantity.column not in frame:
        raise NothingMatchesError(f"{table} has no column {quantity.column!r}")
    frame = select(frame, quantity.where, table)
    values = frame[quantity.column]
    lost = pd.Series(False, frame.index) if quantity.diverged is None else diverged(frame)
    values = values.mask(lost, quantity.diverged)
    present = values.notna() & (values.astype(str) != "")
    if table == "cells":
        present &= frame["status"] != "missing"
    if not present.any():
        statuses = [] if table != "cells" else sorted(frame["status"].unique())
        if statuses and set(statuses) <= set(_FAILED):
            raise NothingMatchesError(f"none of the cells that it asks for finished ({', '.join(statuses)})")
        raise NothingMatchesError(f"{where} is empty in every row that matches")
    if table != "cells" and pd.api.types.is_numeric_dtype(values):
        by_design = _NONE_BY_DESIGN.get(quantity.column)
        present = ~by_design(frame) if by_design else pd.Series(True, frame.index)
    rows, values, lost = frame[present], values[present], lost[present]
    if quantity.within == "share":
        if quantity.equals is None:
            raise NothingMatchesError(f"the share of {where} needs `equals`")
        values = matching(values, quantity.equals).astype(np.float64)
    else:
        values = pd.to_numeric(values, errors="coerce").astype(np.float64)
        if values.isna().all():
            raise NothingMatchesError(f"{where} holds words, of which only the share can be taken")
    columns = {"cell": rows["cell"], "strategy": rows["strategy"], "seed": rows["seed"], "value": values}
    columns["diverged"] = lost
    if quantity.slope_over is not None:
        if quantity.slope_over not in rows:
            raise NothingMatchesError(f"{table} has no column {quantity.slope_over!r} for the slope")
        columns["over"] = rows[quantity.slope_over]
    return pd.DataFrame(columns)


def _expected(tables: Mapping[str, pd.DataFrame], quantity: Quantity, axes: tuple[str, ...]) -> pd.DataFrame:
    """The rows of `cells`, failed ones too, that the quantity's `where` names and that should have it."""
    known = {key: wanted for key, wanted in quantity.where.items() if key in ("seed", "strategy", *axes)}
    try:
        rows = select(tables["cells"], known, "cells")
    except NothingMatchesError:
        return tables["cells"].iloc[:0]
    of_first_seed = quantity.table == "state" or (quantity.table == "cells" and quantity.column in _OF_FIRST_SEED)
    return rows[rows["seed"] == 0] if of_first_seed else rows


def _lost(
    tables: Mapping[str, pd.DataFrame], quantity: Quantity, expected: pd.DataFrame, rows: pd.DataFrame
) -> pd.DataFrame:
    """Those of `expected` that should have a number and have none.

    One that ran to its end without a number was not asked for it, nor was a strategy that did so and has none in any
    cell. The time and the memory of a diverged one are taken before training.
    """
    without = expected[~_pairs(expected).isin(_pairs(rows))]
    summarised = _SUMMARISES.get(quantity.column) if quantity.table == "cells" else quantity.table
    lost = without["status"].isin(_FAILED if summarised is None else (*_FAILED, "diverged"))
    never = set(expected["strategy"][expected["status"] == "ok"]) - set(rows["strategy"])
    lost &= ~without["strategy"].isin(never)
    if quantity.table == "cells" and summarised is not None and summarised in tables:
        lost |= pd.Series(_pairs(without).isin(_pairs(tables[summarised])), without.index)
    return without[lost]


def _pairs(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["cell", "strategy"]])
