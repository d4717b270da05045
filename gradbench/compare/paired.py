"""Paired statistics: a pair is a cell of both runs; first per strategy and column, then, where that tells, in detail.

A family is one strategy and one column. Its pairs are the cells, each with the mean over its weight tensors or layers
and steps, because tensors of one cell move together. Each family that changed at all gets one exact sign-flip test over
all its cells, and the false-discovery rate over the families is held. Only inside a significant family are the values
of each axis, then the settings, tested in turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gradbench.analysis.statistics import adjusted, fewest_pairs, paired_interval, sign_flip, smallest_p
from gradbench.compare.comparison import Rules
from gradbench.compare.match import Matched, by, label
from gradbench.compare.outcome import Outcome, Test
from gradbench.compare.quantities import QUANTITIES, Quantity, differences, without_zeros

__all__ = ["compare_numbers"]


#: The values of some axes, and the pairs that have them.
_Place = tuple[dict[str, Any], pd.DataFrame]


@dataclass(frozen=True)
class _Family:
    """One strategy and one column.

    Attributes:
        quantity: the column.
        strategy: its name.
        axes: of the matrix, those with more than one value.
        rows: of `quantities.differences`, of every strategy.
        pairs: the means of the strategy's rows over each cell: `cell`, axes, `seed`, `base`, `new`, `value`.
        changed: whether any number of it is not the same bit for bit.
        differing: how many pairs differ beyond rounding: the others say nothing in a test.
        judged: whether a change may be a regression by its nature: the column is firm, and a peak of memory only where
            it does not rest on what cuDNN's search found.
    """

    quantity: Quantity
    strategy: str
    axes: tuple[str, ...]
    rows: pd.DataFrame
    pairs: pd.DataFrame
    changed: bool
    differing: int
    judged: bool

    def rows_of(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """The rows behind some of the pairs."""
        return self.rows[(self.rows["strategy"] == self.strategy) & self.rows["cell"].isin(pairs["cell"])]


def compare_numbers(matched: Matched, rules: Rules) -> Iterator[Test]:
    """A test for every strategy and column that both runs have numbers in, and what was found inside it."""
    families = [family for quantity in QUANTITIES for family in _families(matched, quantity)]
    changed = [family for family in families if family.differing]
    for family in families:
        if not family.differing:
            outcome: Outcome = "within rounding" if family.changed else "identical"
            yield replace(_described(family, family.pairs, {}, "all"), outcome=outcome)
    for family in changed:
        if family.quantity.scale == "exact":
            yield from _exact(family, rules)
    for judged in (True, False):  # what is only told must not weaken what is judged
        tested = [family for family in changed if family.quantity.scale != "exact" and family.judged == judged]
        p = [sign_flip(family.pairs["value"]) for family in tested]
        for family, one, corrected in zip(tested, p, adjusted(p), strict=True):
            yield from _tested(family, one, float(corrected), len(tested), rules)


def _families(matched: Matched, quantity: Quantity) -> Iterator[_Family]:
    rows = differences(matched, quantity)
    if rows.empty:
        return
    changed = set(rows.loc[rows["changed"], "strategy"])
    pairs = rows if quantity.table == "cells" else _means(rows, matched.axes)
    judged = quantity.meaning.firm and not (quantity.column == "peak_bytes" and matched.searched)
    for strategy, mine in pairs.groupby("strategy", sort=False):
        differing = int((mine["value"] != 0).sum())
        yield _Family(quantity, str(strategy), matched.axes, rows, mine, strategy in changed, differing, judged)


def _means(rows: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row for each strategy and cell: the means of its weight tensors or layers and steps."""
    means = rows.groupby(["strategy", "cell"], sort=False)[["base", "new", "value"]].agg(
        {"base": _mean, "new": _mean, "value": "mean"}
    )
    pairs = rows.drop_duplicates(["strategy", "cell"])[["strategy", "cell", *axes, "seed"]]
    return pairs.assign(**{name: means[name].to_numpy() for name in ("base", "new", "value")})


def _mean(values: pd.Series) -> float:
    return float(without_zeros(values).mean())


def _exact(family: _Family, rules: Rules) -> Iterator[Test]:
    """Numbers that follow from the settings alone: a size is enough."""
    yield replace(_described(family, family.pairs, {}, "all"), outcome="not tested")
    for setting, pairs in by(family.pairs, family.axes):
        test = _described(family, pairs, setting, "setting")
        outcome = _outcome(family, pairs, rules)
        yield _said(family, pairs, test, outcome, rules)


def _tested(family: _Family, p: float, corrected: float, families: int, rules: Rules) -> Iterator[Test]:
    """The test of a family, and, where it is significant, those inside it."""
    test = replace(_described(family, family.pairs, {}, "all"), p=p, adjusted=corrected)
    if corrected <= rules.rate:
        outcome = _outcome(family, family.pairs, rules)
        yield _said(family, family.pairs, test, outcome, rules)
        yield from _inside(family, rules, told=outcome != "no change")
        return
    yield _doubtful(family, family.pairs, test, families, rules)
    for setting, pairs in by(family.pairs, family.axes):
        yield replace(_described(family, pairs, setting, "setting"), outcome="not tested")


def _doubtful(family: _Family, pairs: pd.DataFrame, test: Test, tests: int, rules: Rules) -> Test:
    """A test that is not significant: was it able to be, on its own among so many tests?"""
    differing = int((pairs["value"] != 0).sum())
    if not (family.judged or rules.timings) or tests * smallest_p(differing) <= rules.rate:
        return replace(test, outcome="no change")
    enough = fewest_pairs(rules.rate / tests)
    test = replace(test, seeds_needed=_seeds(family, pairs, enough))
    if _outcome(family, pairs, rules) == "regression":
        test = _said(family, pairs, test, "too few pairs", rules)
        seeds = f", with {test.seeds_needed} seeds" if test.seeds_needed else ""
        test = replace(test, says=f"{test.says}; too few pairs for a test, {enough} would do{seeds}")
    return replace(test, outcome="too few pairs")


def _inside(family: _Family, rules: Rules, told: bool) -> Iterator[Test]:
    """Inside a significant family: each value of each axis, then each setting, where pairs differ at all.

    What is `told` of all settings is not told again of some.
    """
    axes = [axis for axis in family.axes if family.pairs[axis].nunique() > 1]
    levels: dict[str, list[_Place]] = {
        "axis": [place for axis in axes for place in by(family.pairs, (axis,))] if len(axes) > 1 else [],
        "setting": list(by(family.pairs, family.axes)),
    }
    for level, everywhere in levels.items():
        places = [(setting, pairs) for setting, pairs in everywhere if (pairs["value"] != 0).any()]
        p = [sign_flip(pairs["value"]) for _, pairs in places]
        found = False
        for (setting, pairs), one, corrected in zip(places, p, adjusted(p), strict=True):
            test = replace(_described(family, pairs, setting, level), p=one, adjusted=float(corrected))
            outcome = _outcome(family, pairs, rules)
            if outcome == "no change" or told:
                yield replace(test, outcome="no change" if outcome == "no change" else "not tested")
            elif corrected <= rules.rate:
                found = True
                yield _said(family, pairs, test, outcome, rules)
            else:
                yield _doubtful(family, pairs, test, len(places), rules)
        told = told or found


def _outcome(family: _Family, pairs: pd.DataFrame, rules: Rules) -> Outcome:
    """What the mean difference of some pairs is, if it is significant: it must have the size, too."""
    mean, base = float(pairs["value"].mean()), float(pairs["base"].mean())
    size = family.quantity.size(rules, base)
    judged = family.judged or (rules.timings and not family.quantity.meaning.firm)
    if mean >= size and mean > 0:
        return "regression" if judged else "advisory"
    return "improvement" if mean <= -size and mean < 0 and judged else "no change"


def _described(family: _Family, pairs: pd.DataFrame, setting: Mapping[str, Any], level: Any) -> Test:
    """The numbers of some pairs, with their interval, without a verdict."""
    quantity, values = family.quantity, pairs["value"].to_numpy(np.float64)
    base = quantity.mean(pairs["base"])
    ends = paired_interval(values) if quantity.scale != "exact" else (math.nan, math.nan)
    low, high = sorted(quantity.ratio(end, base) for end in ends)
    return Test(
        kind="exact" if quantity.scale == "exact" else "paired",
        check=quantity.column,
        strategy=family.strategy,
        level=level,
        setting=setting,
        pairs=len(pairs),
        base=base,
        new=quantity.mean(pairs["new"]),
        outcome="no change",
        ratio=quantity.ratio(float(values.mean()), base),
        low=low,
        high=high,
    )


def _said(family: _Family, pairs: pd.DataFrame, test: Test, outcome: Outcome, rules: Rules) -> Test:
    """The test with its outcome; unless nothing changed, in a sentence that says where it is worst, or best."""
    if outcome == "no change":
        return replace(test, outcome=outcome)
    quantity, values = family.quantity, pairs["value"].to_numpy(np.float64)
    mean = float(values.mean())
    ends = sorted(paired_interval(values), key=lambda end: quantity.sign * end)
    notes = []
    if test.kind == "paired" and not math.isnan(ends[0]):
        notes.append(f"95 % interval {quantity.written(*ends)}")
    if not math.isnan(test.adjusted):
        notes.append(f"adjusted p {test.adjusted:.2g}")
    if test.kind == "paired":
        notes.append(f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}")
    where, parameter = _worst(family, pairs, test.setting, math.copysign(1, mean))
    unit = f" {quantity.meaning.unit}" if quantity.meaning.unit else ""
    details = f"{quantity.written(mean)}, {test.base:.4g} -> {test.new:.4g}{unit}"
    details += f" ({', '.join(notes)})" if notes else ""
    details += f"; {where}" if where else ""
    at = f" at {label(test.setting)}" if test.setting else ""
    says = f"{quantity.column} of {family.strategy}{at}: {details}"
    return replace(test, outcome=outcome, says=says, details=details, parameter=parameter)


def _worst(family: _Family, pairs: pd.DataFrame, setting: Mapping[str, Any], sign: float) -> tuple[str, str]:
    """Where the difference is largest among some pairs: in words, and the weight tensor or layer that shows it."""
    places = list(by(pairs, family.axes))
    point, inside = max(places, key=lambda place: sign * float(place[1]["value"].mean()))
    tensors = family.rows_of(inside).groupby("where", sort=False)["value"].mean()
    tensor = str((sign * tensors).idxmax())
    words = ""
    if len(places) > 1:
        at = label({axis: value for axis, value in point.items() if axis not in setting})
        words = f"the most at {at}: {family.quantity.written(float(inside['value'].mean()))}"
    if len(tensors) > 1:
        lead = f"{words}, in" if words else "the most in"
        words = f"{lead} {tensor}: {family.quantity.written(float(tensors[tensor]))}"
    return words, tensor


def _seeds(family: _Family, pairs: pd.DataFrame, enough: int) -> int:
    """With how many seeds `enough` pairs would differ, if each brought as many; 0 for times, which one seed has."""
    differing = pairs[pairs["value"] != 0]
    if not family.judged or differing.empty:
        return 0
    return math.ceil(enough / differing.groupby("seed").size().mean())
