"""The numbers that are compared pair by pair, and how two of them become one difference that is above 0 where worse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gradbench.compare.comparison import Rules
from gradbench.compare.match import BASE, NEW, Matched
from gradbench.results import TABLES, VERDICTS, Column

__all__ = ["QUANTITIES", "Quantity", "differences", "without_zeros"]

#: At most so many times plain autograd's own distance from float64 is rounding, see docs/results.md.
_EXCESS_OF_ROUNDING = 2.0
#: A ratio beyond a million, an infinite one too, counts as a million: it must not outweigh every other pair.
_LARGEST = math.log(1e6)
_DECIBELS = 20 / math.log(10)
#: Columns of `gradients` in which stored training is looked at.
_OF_STORED = ("rel_error_truth", "grad_norm")

Rows = pd.DataFrame


@dataclass(frozen=True)
class Quantity:
    """A column that is compared pair by pair.

    Attributes:
        table: of `results`.
        column: of that table. Weights alone are looked at in `gradients`, and stored training's own there in what
            says how right and how large its gradients are, because all others are held against it.
        scale: "ratio": differences of logarithms; "decibel": differences in dB, told as ratios of amplitudes;
            "difference": differences as they are; "exact": ratios that need no test.
    """

    table: str
    column: str
    scale: Literal["ratio", "decibel", "difference", "exact"]

    @property
    def meaning(self) -> Column:
        """Its column in `results`: direction, unit, firm or advisory."""
        return next(column for column in TABLES[self.table].columns if column.name == self.column)

    @property
    def sign(self) -> int:
        """-1 where a larger number is better, else 1."""
        return -1 if self.meaning.direction == "higher is better" else 1

    def size(self, rules: Rules, base: float) -> float:
        """The smallest difference that counts, where `base` is the mean of the base run.

        `rules.size` of the number itself; of the amplitude where it is in decibels; of the smaller of the shares of
        right and of wrong for an accuracy.
        """
        if self.scale == "decibel":
            return _DECIBELS * math.log1p(rules.size)
        if self.scale != "difference":
            return math.log1p(rules.size)
        return rules.size * abs(min(base, 1 - base) if self.column == "accuracy" else base)

    def ratio(self, difference: float, base: float) -> float:
        """New over base (of the amplitudes where they are in decibels) for a mean difference, above 0 where worse."""
        if self.scale == "decibel":
            return math.exp(self.sign * difference / _DECIBELS)
        if self.scale != "difference":
            return math.exp(self.sign * difference)
        return (base + self.sign * difference) / base if base else math.nan

    def mean(self, values: pd.Series) -> float:
        """The mean of the numbers of some pairs, geometric where the scale is a ratio."""
        mean = float(without_zeros(values).mean())
        return math.exp(mean) if self.scale in ("ratio", "exact") else mean

    def written(self, *differences: float) -> str:
        """Differences as a reader sees them: "1.3 times", "-3.1 dB", "+0.01 to +0.02"."""
        if self.scale in ("ratio", "exact"):
            return f"{' to '.join(f'{self.ratio(difference, 1):.3g}' for difference in differences)} times"
        unit = " dB" if self.scale == "decibel" else ""
        return f"{' to '.join(f'{self.sign * difference:+.3g}' for difference in differences)}{unit}"


QUANTITIES = (
    Quantity("gradients", "rel_error", "ratio"),
    Quantity("gradients", "rel_error_truth", "ratio"),
    Quantity("gradients", "grad_norm", "ratio"),
    Quantity("activations", "snr_db", "decibel"),
    Quantity("cells", "accuracy", "difference"),
    Quantity("cells", "loss", "difference"),
    Quantity("cells", "peak_bytes", "exact"),
    Quantity("cells", "saved_bytes", "exact"),
    Quantity("cells", "left_bytes", "exact"),
    Quantity("cells", "step_seconds", "ratio"),
    Quantity("cells", "time_ratio", "ratio"),
)


def differences(matched: Matched, quantity: Quantity) -> Rows:
    """The rows that both runs have a number in: `cell`, `strategy`, axes, `seed`, then five columns.

    `value` is the difference, above 0 where worse (larger, where neither is better) and 0 within rounding; `base` and
    `new` are the numbers themselves, logarithms where the scale is a ratio, nan where they are not finite; `changed` is
    whether they differ at all; `where` is the weight tensor or the layer, if the table has one.
    """
    table = matched.tables[quantity.table]
    old, new = (table[f"{quantity.column}{side}"].to_numpy(np.float64) for side in (BASE, NEW))
    absent = np.isnan(old), np.isnan(new)
    # What has no number in `cells` has a status, which is a gate's.
    both = ~(absent[0] | absent[1] if quantity.table == "cells" else absent[0] & absent[1])
    where = {"gradients": "parameter", "activations": "layer"}.get(quantity.table)
    columns = ["cell", "strategy", *matched.axes, "seed", *([where] if where else [])]
    if quantity.table == "gradients":
        both &= (table[f"kind{BASE}"] == "weight").to_numpy()
    if quantity.column in _OF_STORED:
        both &= (table["strategy"] == "stored").to_numpy()
    if quantity.column == "rel_error":
        columns += [f"{column}{side}" for column in ("rel_error_truth", "excess") for side in (BASE, NEW)]
    rows: Rows = table.loc[both, columns]
    old, new = old[both], new[both]
    if rows.empty:
        return rows
    if quantity.column == "rel_error":
        value = _errors(matched, rows, old, new)
    elif quantity.scale == "decibel":
        value = _decibels(matched, rows, old, new)
    elif quantity.scale == "difference":
        value = new - old
    else:
        value = _ratios(old, new)
    if quantity.column == "rel_error_truth":
        value = np.where(np.abs(value) <= math.log(_EXCESS_OF_ROUNDING), 0.0, value)
    if quantity.meaning.direction == "higher is better":
        value = -value
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    shown = _logarithm if quantity.scale in ("ratio", "exact") else _finite
    kept: Rows = rows[["cell", "strategy", *matched.axes, "seed"]]
    return kept.assign(where=rows[where] if where else "", changed=~same, base=shown(old), new=shown(new), value=value)


def without_zeros(logarithms: pd.Series) -> pd.Series:
    """The logarithms of what is not 0, which alone have a ratio; those of zeros, -inf, if there is nothing else."""
    others = logarithms[logarithms != -math.inf]
    return others if others.notna().any() else logarithms


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _logarithm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of what is finite; -inf for zero, so that a geometric mean is zero."""
    with np.errstate(divide="ignore"):
        return np.log(_finite(values))


def _ratios(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(new / old); 0 for equal ones, zeros and non-finite ones too; to stop being finite is the worst."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        value = np.clip(np.log(new / old), -_LARGEST, _LARGEST)
    lost, found = np.isfinite(old) & ~np.isfinite(new), ~np.isfinite(old) & np.isfinite(new)
    value = np.where(lost, _LARGEST, np.where(found, -_LARGEST, value))
    same = (old == new) | (~np.isfinite(old) & ~np.isfinite(new))
    return np.where(same, 0.0, value)


def _errors(matched: Matched, rows: Rows, old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log ratios of relative errors of gradients, what is within plain autograd's own error apart.

    Errors below plain autograd's own distance from float64, or below the distance of two stored gradients of the same
    minibatch, count as that; a row that ends within rounding (`excess` at most 2) did not get worse, and one that began
    there did not get better.
    """
    floor = np.fmax(_plain_autograd(rows), _stored_repeat_error(matched, rows))
    floor = np.where(np.isfinite(floor), floor, 0.0)
    lower, upper = (np.where(np.isfinite(side), np.maximum(side, floor), side) for side in (old, new))
    value = _ratios(lower, upper)
    began, ended = (rows[f"excess{side}"].to_numpy(np.float64) <= _EXCESS_OF_ROUNDING for side in (BASE, NEW))
    return np.where((value > 0) & ended | (value < 0) & began, 0.0, value)


def _plain_autograd(rows: Rows) -> NDArray[np.float64]:
    """|g - t| / |t| of each row, the mean of both runs: `rel_error_truth` is |h - t| / |t|, `excess` over |g - t|."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = [
            rows[f"rel_error_truth{side}"].to_numpy(np.float64) / rows[f"excess{side}"].to_numpy(np.float64)
            for side in (BASE, NEW)
        ]
        return np.asarray((sides[0] + sides[1]) / 2)


def _stored_repeat_error(matched: Matched, rows: Rows) -> NDArray[np.float64]:
    """How far two stored gradients of the same minibatch are apart in each row's cell, the larger of the two runs."""
    cells = matched.tables["cells"]
    stored = cells[cells["strategy"] == "stored"].set_index("cell")
    largest = stored[[f"repeat_error{BASE}", f"repeat_error{NEW}"]].max(axis=1)
    return rows["cell"].map(largest).to_numpy(np.float64)


def _decibels(matched: Matched, rows: Rows, old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences of SNR; none where the strategy's weight gradients are within rounding in both runs."""
    amplitudes = [np.where(np.isfinite(side) | (side > 0), -side / _DECIBELS, np.inf) for side in (old, new)]
    with np.errstate(over="ignore", under="ignore"):
        value = -_DECIBELS * _ratios(np.exp(amplitudes[0]), np.exp(amplitudes[1]))
    right = VERDICTS[: VERDICTS.index("rounding") + 1]
    cells = matched.tables["cells"]
    fine = cells[cells[f"verdict{BASE}"].isin(right) & cells[f"verdict{NEW}"].isin(right)]
    known = set(_keys(fine))
    return np.where([key in known for key in _keys(rows)], 0.0, value)


def _keys(rows: Rows) -> Iterator[tuple[str, str]]:
    yield from zip(rows["cell"], rows["strategy"], strict=True)
