"""Paired statistics: a pair is a cell of both runs, and is flipped as a whole.

A family is one strategy and one column. Its pairs are the cells, each with the mean over its weight tensors or layers
and steps, because tensors of one cell move together, and with how far a single tensor stands out. Each family that
changed at all gets one exact sign-flip test of all that a reader could be told of it: all cells, those with each value
of each axis, those of each setting, by their means and by single tensors; the false-discovery rate over the families is
held. What is told is the widest place that shows it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradbench.analysis.statistics import adjusted, fewest_pairs, paired_interval, sign_flips, smallest_p
from gradbench.compare.comparison import Rules
from gradbench.compare.match import Matched, by, label
from gradbench.compare.outcome import Outcome, Test, View
from gradbench.compare.quantities import QUANTITIES, Quantity, differences, without_zeros

__all__ = ["compare_numbers"]


_Level = Literal["all", "axis", "setting"]
#: The numbers of a pair that are summed, and their columns: the mean of its tensors, how far a single one stands out.
_VIEWS: dict[View, str] = {"mean": "value", "single": "single"}
#: Outcomes that are told, each once: at the widest place that shows it.
_TELLING: tuple[Outcome, ...] = ("regression", "improvement", "advisory", "too few pairs")
#: What has too few pairs is told of some settings only if chance finds the like somewhere in a family less often.
_RARE = 0.25


@dataclass(frozen=True)
class _Family:
    """One strategy and one column.

    Attributes:
        quantity: the column.
        strategy: its name.
        axes: of the matrix, those with more than one value.
        rows: of `quantities.differences`, of every strategy.
        pairs: the means of the strategy's rows over each cell: `cell`, axes, `seed`, `base`, `new`, `value`; and
            `single`, how far one tensor or layer stands out: (largest + smallest) / 2 of their values.
        changed: whether any number of it is not the same bit for bit.
        differing: how many pairs differ beyond rounding: the others say nothing in a test.
        judged: whether a change may be a regression by its nature: the column is firm and has a better end, and a peak
            of memory only where it does not rest on what cuDNN's search found.
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


@dataclass(frozen=True)
class _Place:
    """Some pairs of a family in one view, and what the sign-flip test says of them.

    Attributes:
        view: which number of each pair is summed.
        level: over what: "all" settings, those with one value of an "axis", or one "setting".
        setting: the axes' values that the level fixes.
        pairs: those of the family that have them.
        p: of that sum alone.
        among_all: p among all places of the family in this view.
        adjusted: the larger of that and the family's p among all families in this view, for the false-discovery rate.
    """

    view: View
    level: _Level
    setting: Mapping[str, Any]
    pairs: pd.DataFrame
    p: float = math.nan
    among_all: float = math.nan
    adjusted: float = math.nan

    @property
    def values(self) -> pd.Series:
        """A number for each pair."""
        values: pd.Series = self.pairs[_VIEWS[self.view]]
        return values

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Of the centre that they lie around."""
        return paired_interval(self.values)


def compare_numbers(matched: Matched, rules: Rules) -> Iterator[Test]:
    """A test for every strategy and column that both runs have numbers in, and what was found inside it."""
    families = [family for quantity in QUANTITIES for family in _families(matched, quantity)]
    changed = [family for family in families if family.differing]
    for family in families:
        if not family.differing:
            outcome: Outcome = "within rounding" if family.changed else "identical"
            yield replace(_described(family, _Place("mean", "all", {}, family.pairs)), outcome=outcome)
    for family in changed:
        if family.quantity.scale == "exact":
            yield from _exact(family, rules)
    for judged in (True, False):  # what is only told must not weaken what is judged
        tested = [family for family in changed if family.quantity.scale != "exact" and family.judged == judged]
        views = [_adjusted([_tested(_places(family, view)) for family in tested]) for view in _VIEWS]
        for family, *places in zip(tested, *views, strict=True):
            yield from _told(family, list(itertools.chain(*places)), len(tested), rules)


def _families(matched: Matched, quantity: Quantity) -> Iterator[_Family]:
    rows = differences(matched, quantity)
    if rows.empty:
        return
    changed = set(rows.loc[rows["changed"], "strategy"])
    differing = rows[rows["value"] != 0].groupby("strategy")["cell"].nunique()
    pairs = rows if quantity.table == "cells" else _means(rows, matched.axes)
    judged = quantity.meaning.firm and bool(quantity.meaning.direction)
    judged &= not (quantity.column == "peak_bytes" and matched.searched)
    for strategy, mine in pairs.groupby("strategy", sort=False):
        differ = int(differing.get(strategy, 0))
        yield _Family(quantity, str(strategy), matched.axes, rows, mine, strategy in changed, differ, judged)


def _means(rows: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """One row for each strategy and cell: the means of its weight tensors or layers and steps, and how far one is out.

    (largest + smallest) / 2 of what the single tensors changed by turns its sign with theirs, as a mean does.
    """
    means = rows.groupby(["strategy", "cell"], sort=False)[["base", "new", "value"]].agg(
        {"base": _mean, "new": _mean, "value": "mean"}
    )
    tensors = rows.groupby(["strategy", "cell", "where"], sort=False)["value"].mean()
    ends = tensors.groupby(["strategy", "cell"], sort=False).agg(["min", "max"]).loc[means.index]
    pairs = rows.drop_duplicates(["strategy", "cell"])[["strategy", "cell", *axes, "seed"]]
    numbers = {name: means[name].to_numpy() for name in ("base", "new", "value")}
    return pairs.assign(**numbers, single=ends.mean(axis=1).to_numpy())


def _mean(values: pd.Series) -> float:
    return float(without_zeros(values).mean())


def _places(family: _Family, view: View) -> list[_Place]:
    """All that a reader could be told of a family in one view, the widest first; nothing where it has not that view."""
    if _VIEWS[view] not in family.pairs:
        return []
    axes = [axis for axis in family.axes if family.pairs[axis].nunique() > 1]
    places = [_Place(view, "all", {}, family.pairs)]
    if len(axes) > 1:
        places += [
            _Place(view, "axis", setting, pairs) for axis in axes for setting, pairs in by(family.pairs, (axis,))
        ]
    return [*places, *(_Place(view, "setting", setting, pairs) for setting, pairs in by(family.pairs, family.axes))]


def _tested(places: Sequence[_Place]) -> list[_Place]:
    """The places of one family in one view with their p."""
    if not places:
        return []
    everywhere = places[0].pairs.index
    sums = [place.values.reindex(everywhere, fill_value=0.0).to_numpy(np.float64) for place in places]
    alone, among_all = sign_flips(np.stack(sums, axis=1))
    return [
        replace(place, p=float(one), among_all=float(all_of_them))
        for place, one, all_of_them in zip(places, alone, among_all, strict=True)
    ]


def _adjusted(families: Sequence[Sequence[_Place]]) -> list[list[_Place]]:
    """The places of all families in one view: a family by the most significant of its places, then those in it."""
    least = [min((place.among_all for place in places), default=math.nan) for places in families]
    known = [p for p in least if not math.isnan(p)]
    corrected = dict(zip(known, adjusted(known), strict=True))
    return [
        [replace(place, adjusted=max(place.among_all, float(corrected[p]))) for place in places]
        for places, p in zip(families, least, strict=True)
    ]


def _exact(family: _Family, rules: Rules) -> Iterator[Test]:
    """Numbers that follow from the settings alone: a size is enough."""
    yield replace(_described(family, _Place("mean", "all", {}, family.pairs)), outcome="not tested")
    for setting, pairs in by(family.pairs, family.axes):
        place = _Place("mean", "setting", setting, pairs)
        yield _said(family, place, _outcome(family, place, rules))


def _told(family: _Family, places: Sequence[_Place], families: int, rules: Rules) -> Iterator[Test]:
    """What came of each place; an outcome is told once, at the widest place that shows it, by its mean if that does.

    Of single tensors and layers only what is told is listed. Where a regression is told, nothing has too few pairs.
    """
    tests, told = [], set[Outcome]()
    for view, level in itertools.product(_VIEWS, ("all", "axis", "setting")):
        here = []
        for place in (place for place in places if (place.view, place.level) == (view, level)):
            outcome = _outcome(family, place, rules)
            if view == "single" and outcome == "no change":
                continue
            significant = place.adjusted <= rules.rate
            test = _said(family, place, outcome) if significant else _doubtful(family, place, outcome, families, rules)
            here.append(_silent(test) if test.outcome in told else test)
        tests += here
        told.update(test.outcome for test in here if test.outcome in _TELLING)
    for test in tests:
        told_better = test.outcome == "too few pairs" and "regression" in told
        if test.view == "mean" or (test.says and not told_better):
            yield _silent(test) if told_better else test


def _silent(test: Test) -> Test:
    """The numbers of a test alone."""
    return replace(test, outcome="not tested", says="", details="", seeds_needed=0)


def _doubtful(family: _Family, place: _Place, outcome: Outcome, families: int, rules: Rules) -> Test:
    """A place that is not significant: was it able to be, on its own among so many tests?

    `outcome` is what its size makes of it. Of all cells it is told that they have too few pairs; of some of them if
    they look like a regression, as clearly as so few pairs can, and not as one that chance finds somewhere.
    """
    test = _described(family, place)
    whole = (place.level, place.view) == ("all", "mean")
    tests = families if whole else families * place.among_all / place.p
    differing = place.values[place.values != 0]
    able = tests * smallest_p(len(differing)) <= rules.rate
    if not (family.judged or rules.timings) or able:
        return test
    if not whole and (outcome != "regression" or (differing < 0).any() or place.among_all > _RARE):
        return test
    enough = fewest_pairs(rules.rate / tests)
    test = replace(test, outcome="too few pairs", seeds_needed=_seeds(family, place, enough))
    if outcome != "regression":
        return test
    said = _said(family, place, "too few pairs")
    seeds = f", with {test.seeds_needed} seeds" if test.seeds_needed else ""
    return replace(
        said, seeds_needed=test.seeds_needed, says=f"{said.says}; too few pairs for a test, {enough} would do{seeds}"
    )


def _outcome(family: _Family, place: _Place, rules: Rules) -> Outcome:
    """What the mean difference of some pairs is, if it is significant: it must have the size, too."""
    mean, base = float(place.values.mean()), float(place.pairs["base"].mean())
    size = family.quantity.size(rules, base)
    judged = family.judged or (rules.timings and not family.quantity.meaning.firm)
    if not family.quantity.meaning.direction:
        return "advisory" if abs(mean) >= size and mean != 0 else "no change"
    if mean >= size and mean > 0:
        return "regression" if judged else "advisory"
    return "improvement" if mean <= -size and mean < 0 and judged else "no change"


def _described(family: _Family, place: _Place) -> Test:
    """The numbers of some pairs, with the interval of their mean, without a verdict."""
    quantity, (parameter, pairs) = family.quantity, _shown(family, place)
    ends = place.interval if place.view == "mean" and quantity.scale != "exact" else (math.nan, math.nan)
    base = quantity.mean(pairs["base"])
    low, high = sorted(quantity.ratio(end, base) for end in ends)
    return Test(
        kind="exact" if quantity.scale == "exact" else "paired",
        check=quantity.column,
        strategy=family.strategy,
        level=place.level,
        setting=place.setting,
        pairs=len(pairs),
        base=base,
        new=quantity.mean(pairs["new"]),
        outcome="no change",
        parameter=parameter,
        ratio=quantity.ratio(float(pairs["value"].mean()), base),
        low=low,
        high=high,
        p=place.p,
        adjusted=place.adjusted,
        view=place.view,
    )


def _shown(family: _Family, place: _Place) -> tuple[str, pd.DataFrame]:
    """The pairs, or those of the tensor or layer that changed most the way that one stands out, with its name."""
    if place.view == "mean":
        return "", place.pairs
    rows = family.rows_of(place.pairs)
    tensors = rows.groupby("where", sort=False)["value"].mean()
    tensor = str((math.copysign(1, place.values.mean()) * tensors).idxmax())
    return tensor, rows[rows["where"] == tensor].groupby("cell", sort=False)[["base", "new", "value"]].mean()


def _said(family: _Family, place: _Place, outcome: Outcome) -> Test:
    """What is told of a place with its outcome; unless nothing changed, in a sentence that says where most."""
    test = _described(family, place)
    if outcome == "no change":
        return test
    quantity, mean = family.quantity, float(_shown(family, place)[1]["value"].mean())
    notes = []
    if not math.isnan(test.low):
        ends = sorted(place.interval, key=lambda end: quantity.sign * end)
        notes.append(f"95 % interval {quantity.written(*ends)}")
    if not math.isnan(test.adjusted):
        notes.append(f"adjusted p {test.adjusted:.2g}")
    if test.kind == "paired":
        notes.append(f"{test.pairs} pair{'s' if test.pairs > 1 else ''}")
    unit = f" {quantity.meaning.unit}" if quantity.meaning.unit else ""
    details = f"{quantity.written(mean)}, {test.base:.4g} -> {test.new:.4g}{unit}"
    details += f" ({', '.join(notes)})" if notes else ""
    if test.parameter:
        details = f"in {test.parameter} {details}"
    else:
        where, tensor = _worst(family, place.pairs, place.setting, math.copysign(1, mean))
        details += f"; {where}" if where else ""
        test = replace(test, parameter=tensor)
    at = f" at {label(place.setting)}" if place.setting else ""
    says = f"{quantity.column} of {family.strategy}{at}: {details}"
    return replace(test, outcome=outcome, says=says, details=details)


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


def _seeds(family: _Family, place: _Place, enough: int) -> int:
    """With how many seeds `enough` pairs would differ, if each brought as many; 0 for times, which one seed has."""
    differing = place.pairs[place.values != 0]
    if not family.judged or differing.empty:
        return 0
    return math.ceil(enough / differing.groupby("seed").size().mean())
