"""Rows of a table that match a `where`, however a number is written: 0.2 and "0.2", 3 and 3.0 are the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

__all__ = ["NothingMatchesError", "matching", "select"]

Scalar = str | int | float | bool


class NothingMatchesError(Exception):
    """No row matches; the text says which condition is to blame."""


def _same(value: object, wanted: Scalar) -> bool:
    if isinstance(wanted, bool) or isinstance(value, bool):
        return str(value).lower() == str(wanted).lower()
    if str(value) == str(wanted):
        return True
    try:
        return math.isclose(float(value), float(wanted), rel_tol=1e-9)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def matching(values: pd.Series, wanted: Scalar | Sequence[Scalar]) -> pd.Series:
    """Which of `values` are `wanted`, or one of it where it is a list."""
    options = [wanted] if isinstance(wanted, str | int | float | bool) else list(wanted)
    hits = [value for value in values.unique() if not pd.isna(value) and any(_same(value, one) for one in options)]
    return values.isin(hits)


def select(frame: pd.DataFrame, where: Mapping[str, Scalar | Sequence[Scalar]], table: str) -> pd.DataFrame:
    """The rows of `frame` that match every entry of `where`; `table` is its name, for the message.

    Raises:
        NothingMatchesError: a column does not exist, or no row is left.
    """
    if frame.empty:
        raise NothingMatchesError(f"{table} has no rows")
    kept = frame
    for column, wanted in where.items():
        if column not in frame:
            raise NothingMatchesError(f"{table} has no column {column!r}")
        hits = matching(kept[column], wanted)
        if not hits.any():
            there = ", ".join(str(value) for value in list(kept[column].dropna().unique())[:8])
            before = " and ".join(f"{key} = {where[key]}" for key in list(where)[: list(where).index(column)])
            context = f" with {before}" if before else ""
            raise NothingMatchesError(f"no row of {table}{context} has {column} = {wanted}; there are {there}")
        kept = kept[hits]
    return kept
