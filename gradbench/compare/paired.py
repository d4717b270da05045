"""Paired statistics: a pair is a cell of both runs; first per strategy and column, then, where that tells, in detail.

A family is one strategy and one column. Its pairs are the cells, each with the mean over its weight tensors or layers
and steps, because tensors of one cell move together. Each family that changed at all gets one exact sign-flip test over
all its cells, and the false-discovery rate over the families is held. Only inside a significant family are the values
of each axis, then the settings, tested in turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gradbench.analysis.statistics import adjusted, fewest_pairs, paired_interval, sign_flip, smallest_p
from gradbench.compare.comparison import Rules
from gradbench.compare.match import Matched, by, label
from gradbench.compare.outcome import Outcome, Test
from gradbench.compare.quantities import QUANTITIES, Quantity, differences

__all__ = ["compare_numbers"]


@dataclass(frozen=True)
class _Family:
    """One strategy and one column: the rows of `quantities.differences`, and a row a cell (`base`, `new`, `value`)."""

    quantity: Quantity
    strategy: str
    axes: tuple[str, ...]
    rows: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def judged(self) -> bool:
        """Whether a change may be a regression by its nature: the column is firm."""
        return self.quantity.meaning.firm

    @property
    def differing(self) -> int:
        """How many pairs differ: the others say nothing in a test."""
        return int((self.pairs["value"] != 0).sum())


def compare_numbers(matched: Matched, rules: Rules) -> Iterator[Test]:
    """A test for every strategy and column that both runs have numbers in, and what was found inside it."""
    families = [family for quantity in QUANTITIES for family in _families(matched, quantity)]
    changed = [family for family in families if family.differing]
    for family in families:
        if not family.differing:
            outcome: Outcome = "within rounding" if family.rows["changed"].any() else "identical"
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
    for strategy, mine in rows.groupby("strategy", sort=False):
        means = mine.groupby("cell", sort=False)[["base", "new", "value"]].mean()
        pairs = mine.drop_duplicates("cell").set_index("cell")[[*matched.axes, "seed"]].join(means)
        yield _Family(quantity, str(strategy), matched.axes, mine, pairs)


def _exact(family: _Family, rules: Rules) -> Iterator[Test]:
    """Numbers that follow from the settings alone: a size is enough."""
    for setting, pairs in by(family.pairs, family.axes):
        test = _described(family, pairs, setting, "setting")
        outcome = _outcome(family, pairs, rules)
        yield _said(family, pairs, test, outcome, rules) if outcome != "no change" else replace(test, outcome=outcome)


def _tested(family: _Family, p: float, corrected: float, families: int, rules: Rules) -> Iterator[Test]:
    """The test of a family, and, where it is significant, those inside it."""
    test = replace(_described(family, family.pairs, {}, "all"), p=p, adjusted=corrected)
    if corrected <= rules.rate:
        outcome = _outcome(family, family.pairs, rules)
        yield (
            _said(family, family.pairs, test, outcome, rules)
            if outcome != "no change"
            else replace(test, outcome=outcome)
        )
        yield from _inside(family, rules, told=outcome != "no change")
        return
    outcome = "no change"
    if (family.judged or rules.timings) and families * smallest_p(family.differing) > rules.rate:
        outcome, enough = "too few pairs", fewest_pairs(rules.rate / families)
        test = replace(test, seeds_needed=_seeds(family, enough))
        if _outcome(family, family.pairs, rules) == "regression":
            test = _said(family, family.pairs, test, outcome, rules)
            seeds = f", with {test.seeds_needed} seeds" if test.seeds_needed else ""
            test = replace(test, says=f"{test.says}; too few pairs for a test, {enough} would do{seeds}")
    yield replace(test, outcome=outcome)
    for setting, pairs in by(family.pairs, family.axes):
        yield replace(_described(family, pairs, setting, "setting"), outcome="not tested")


def _inside(family: _Family, rules: Rules, told: bool) -> Iterator[Test]:
    """Inside a significant family: each value of each axis, then each setting. What is `told` is not told again."""
    levels = [
        (
            "axis",
            [group for axis in family.axes if family.pairs[axis].nunique() > 1 for group in by(family.pairs, (axis,))],
        ),
        ("setting", list(by(family.pairs, family.axes))),
    ]
    for level, groups in levels:
        p = [sign_flip(pairs["value"]) for _, pairs in groups]
        found = False
        for (setting, pairs), one, corrected in zip(groups, p, adjusted(p), strict=True):
            test = replace(_described(family, pairs, setting, level), p=one, adjusted=float(corrected))
            outcome = _outcome(family, pairs, rules) if corrected <= rules.rate else "no change"
            if told or outcome == "no change":
                yield replace(test, outcome="no change" if outcome == "no change" else "not tested")
            else:
                found = True
                yield _said(family, pairs, test, outcome, rules)
        told = told or found


def _outcome(family: _Family, pairs: pd.DataFrame, rules: Rules) -> Outcome:
    """What the mean difference of some pairs is, if it is significant: it must have the size, too."""
    mean, base = float(pairs["value"].mean()), float(pairs["base"].mean())
    size = family.quantity.size(rules, base)
    judged = family.judged or rules.timings
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
    """The test with its outcome in a sentence, and where it is worst (or best)."""
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
    """Where the difference is largest among some pairs: the setting, in words, and in it the weight tensor or layer."""
    parts, settings = [], list(by(pairs, family.axes))
    point, inside = max(settings, key=lambda group: sign * float(group[1]["value"].mean()))
    if len(settings) > 1:
        place = label({axis: value for axis, value in point.items() if axis not in setting})
        parts.append(f"{place}: {family.quantity.written(float(inside['value'].mean()))}")
    rows = family.rows[family.rows["cell"].isin(inside.index)]
    tensors = rows.groupby("where", sort=False)["value"].mean()
    tensor = str((sign * tensors).idxmax())
    if len(tensors) > 1:
        parts.append(f"{tensor}: {family.quantity.written(float(tensors[tensor]))}")
    return f"the most at {', in '.join(parts)}" if len(
        settings
    ) > 1 else f"the most in {parts[0]}" if parts else "", tensor


def _seeds(family: _Family, pairs: int) -> int:
    """With how many seeds so many pairs would differ, if each seed brought as many; 0 for times, which one seed has."""
    if not family.judged:
        return 0
    return math.ceil(pairs / family.pairs[family.pairs["value"] != 0].groupby("seed").size().mean())
