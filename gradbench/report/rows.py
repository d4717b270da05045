"""The rows of the page's tables, every field written and with the number it is sorted by."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gradbench.analysis.axes import axis_value
from gradbench.analysis.summary import Summary
from gradbench.analysis.units import Unit
from gradbench.report.words import ABSENT, MINUS, accuracy, number
from gradbench.results import VERDICTS

__all__ = [
    "ClaimRow",
    "FailureRow",
    "Field",
    "SeedRow",
    "SettingRow",
    "claim_rows",
    "failure_rows",
    "has_counts",
    "setting_rows",
]

_SYMBOLS = {"held": "✓", "not held": "✗", "undecided": "?", "not measured": ABSENT}


@dataclass(frozen=True)
class ClaimRow:
    """A claim as the page shows it; `tone` is the CSS class of its status."""

    name: str
    says: str
    source: str
    status: str
    symbol: str
    tone: str
    value: str
    interval: str
    test: str
    seeds: int
    reason: str

    @property
    def spread(self) -> str:
        """The interval; of a single seed, which has none, that it is one."""
        return self.interval or ("1 seed" if self.seeds == 1 else "")


@dataclass(frozen=True)
class Field:
    """A field of the table of settings: its text and its sort key (a number, or the text itself)."""

    text: str
    key: str


@dataclass(frozen=True)
class SeedRow:
    """One cell under one strategy: `anchor` is the id of the cell's address, once for each cell; `says` what it is."""

    seed: int
    cell: str
    anchor: str
    ok: bool
    says: str


@dataclass(frozen=True)
class FailureRow:
    """One measurement that is not ok, and why."""

    axes: tuple[Field, ...]
    seed: int
    cell: str
    strategy: str
    status: str
    reason: str


@dataclass(frozen=True)
class SettingRow:
    """A setting: its place on the axes, strategy, verdict, numbers, and its seeds one by one."""

    axes: tuple[Field, ...]
    strategy: str
    colour: str
    verdict: str
    rank: int
    verdicts: str
    worst: str
    numbers: tuple[Field, ...]
    failed: int
    seeds: tuple[SeedRow, ...]


def claim_rows(claims: Sequence[dict[str, Any]]) -> list[ClaimRow]:
    """The claims, rows of `results.CLAIMS` with their `unit`, written."""
    return [
        ClaimRow(
            name=str(claim["claim"]),
            says=str(claim["says"]),
            source=str(claim["source"]),
            status=str(claim["status"]),
            symbol=_SYMBOLS.get(str(claim["status"]), ABSENT),
            tone=str(claim["status"]).replace(" ", "-"),
            value=_amount(claim["value"], claim["unit"]),
            interval=_interval(claim["low"], claim["high"], claim["unit"]),
            test=_test(claim["unit"].test(claim["test"])),
            seeds=0 if pd.isna(claim["seeds"]) else int(claim["seeds"]),
            reason=str(claim["reason"]),
        )
        for claim in claims
    ]


def _amount(value: float, unit: Unit) -> str:
    """A number with its unit; an absent one has none."""
    return ABSENT if math.isnan(value) else f"{_digits(value, unit)}{unit.sign}"


def _interval(low: float, high: float, unit: Unit) -> str:
    """Its two ends, or nothing where it has none."""
    return "" if math.isnan(low) or math.isnan(high) else f"{_digits(low, unit)} to {_digits(high, unit)}"


def _digits(value: float, unit: Unit) -> str:
    """In as many digits as numbers of that unit have, else as all numbers of the page."""
    return number(unit.factor * value) if unit.decimals is None else unit.digits(value)


def _test(test: str) -> str:
    """What a number is held against, written.

    >>> _test(">= 0.5"), _test("<= 1.81e10")
    ('≥ 0.5', '≤ 1.81·10¹⁰')
    """
    text = re.sub(r"-?[0-9.]+e[+-]?[0-9]+", lambda power: number(power[0]), test)
    return text.replace(">=", "≥").replace("<=", "≤").replace("-", MINUS)


def has_counts(summary: Summary) -> bool:
    """Whether the sources count the memory of any of the run's networks."""
    settings = summary.by_setting
    return not settings.empty and bool(settings["counted_bytes_per_pixel"].notna().any())


def setting_rows(
    summary: Summary, cells: pd.DataFrame, axes: Sequence[str], colours: dict[str, str]
) -> list[SettingRow]:
    """The settings, written; `colours` gives each strategy's colour."""
    keys = [*axes, "strategy"]
    cost = ("time_ratio", "bytes_per_pixel", *(["counted_bytes_per_pixel"] if has_counts(summary) else []))
    groups = {key if isinstance(key, tuple) else (key,): group for key, group in cells.groupby(keys, sort=False)}
    seen: set[str] = set()
    return [
        SettingRow(
            axes=tuple(_axis(axis, row[axis]) for axis in axes),
            strategy=row["strategy"],
            colour=colours[row["strategy"]],
            verdict=row["verdict"],
            rank=VERDICTS.index(row["verdict"]) if row["verdict"] else len(VERDICTS),
            verdicts=row["verdicts"],
            worst=row["settled_by"],
            numbers=(
                *(_number(row[name]) for name in ("worst_noise_ratio", "noise_ratio", "min_snr_db")),
                Field(accuracy(row["accuracy"], row["accuracy_sd"]), _key(row["accuracy"])),
                *(_number(row[name]) for name in cost),
            ),
            failed=row["failed"],
            seeds=tuple(_seed(cell, seen) for cell in groups[tuple(row[key] for key in keys)].to_dict("records")),
        )
        for row in summary.by_setting.to_dict("records")
    ]


def failure_rows(failures: pd.DataFrame, axes: Sequence[str]) -> list[FailureRow]:
    """What is not ok, written; `failures` is `Summary.failures`."""
    return [
        FailureRow(
            tuple(_axis(axis, row[axis]) for axis in axes),
            int(row["seed"]),
            *(str(row[name]) for name in ("cell", "strategy", "status", "reason")),
        )
        for row in failures.to_dict("records")
    ]


def _seed(cell: dict[Any, Any], seen: set[str]) -> SeedRow:
    first = cell["cell"] not in seen
    seen.add(cell["cell"])
    measured = [cell["verdict"], f"noise ratio {number(cell['noise_ratio'])}"]
    measured += [] if math.isnan(cell["accuracy"]) else [f"accuracy {accuracy(cell['accuracy'])}"]
    planned = cell.get("planned_batch", math.nan)
    measured += [] if pd.isna(planned) else [f"room for a batch of {int(planned):,}"]
    ok = cell["status"] == "ok"
    return SeedRow(
        seed=int(cell["seed"]),
        cell=cell["cell"],
        anchor=f"cell-{cell['cell']}" if first else "",
        ok=ok,
        says=", ".join(str(word) for word in (measured if ok else (cell["status"], cell["reason"])) if word),
    )


def _axis(axis: str, value: Any) -> Field:
    return Field(axis_value(axis, value), f"{value:g}" if isinstance(value, int | float) else str(value))


def _number(value: float) -> Field:
    return Field(number(value), _key(value))


def _key(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
