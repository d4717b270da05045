"""One thing that was looked at, and what came of it; findings are those that a reader should hear of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from gradbench.compare.comparison import Finding
from gradbench.compare.match import label
from gradbench.results import VERDICTS

__all__ = ["Outcome", "Test", "View", "findings", "frame"]

Outcome = Literal[
    "regression",
    "improvement",
    "advisory",
    "no change",
    "identical",
    "within rounding",
    "too few pairs",
    "not tested",
]
#: Of what has tensors or layers: their mean, or a single one that stands out.
View = Literal["mean", "single"]
#: The order of findings: those for which somebody is woken first, the gates before the numbers.
_KINDS = ("regression", "improvement", "advisory")
_CHECKS = ("status", "missing gradients", "changed buffers", "faults", "repeatability", "verdict", "claim")


@dataclass(frozen=True)
class Test:
    """One thing that was looked at: a gate, or a column of numbers, of one strategy.

    Attributes:
        kind: "gate"; "paired" for a statistical test; "exact" for a number that follows from the settings alone.
        check: the gate's name or the column's.
        strategy: whose; empty for a claim.
        level: over what: "all" settings, those with one value of an "axis", or one "setting".
        setting: the axes' values that the level fixes.
        pairs: how many pairs, seeds of a setting for a gate.
        base: the number or word of the base run.
        new: that of the new run.
        outcome: what came of it.
        says: that in one sentence; empty where nothing did.
        parameter: the weight tensor or layer that shows it most.
        ratio: new over base; nan for words.
        low: lower end of its 95 % interval.
        high: upper end of it.
        p: of the sign-flip test; nan where there was none.
        adjusted: p adjusted for the false-discovery rate.
        seeds_needed: with how many seeds a test could tell; 0 where it can, or where seeds are no help.
        view: of what has tensors or layers, whether it is their mean or a single one, `parameter`.
        details: the sentence without its subject, for when it is told of many settings at once.
    """

    kind: Literal["gate", "paired", "exact"]
    check: str
    strategy: str
    level: Literal["all", "axis", "setting"]
    setting: Mapping[str, Any]
    pairs: int
    base: float | str
    new: float | str
    outcome: Outcome
    says: str = ""
    parameter: str = ""
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    adjusted: float = math.nan
    seeds_needed: int = 0
    view: View = "mean"
    details: str = ""


def frame(tests: Iterable[Test]) -> pd.DataFrame:
    """The tests as a table: a column for each attribute but `details`."""
    names = [name for name in Test.__dataclass_fields__ if name != "details"]
    return pd.DataFrame([asdict(test) for test in tests], columns=names)


def findings(tests: Iterable[Test]) -> tuple[Finding, ...]:
    """What a reader should hear of, the worst first: one finding for a check and a strategy, however many settings."""
    groups: dict[tuple[str, ...], list[Test]] = {}
    settings: dict[tuple[str, str], int] = {}
    for test in tests:
        settings[test.check, test.strategy] = settings.get((test.check, test.strategy), 0) + (test.level == "setting")
        if test.says:
            kind = "advisory" if test.outcome == "too few pairs" else test.outcome
            level = "" if test.level == "setting" else str(test.setting)
            claim = test.parameter if test.check == "claim" else ""
            groups.setdefault((kind, test.check, test.strategy, level, claim), []).append(test)
    found = [_finding(key[0], group, settings[key[1], key[2]]) for key, group in groups.items()]
    return tuple(sorted(found, key=_rank))


def _finding(kind: Any, tests: Sequence[Test], settings: int) -> Finding:
    """The finding that some tests of one check and one strategy make; `settings` is how many were looked at."""
    worst = max(tests, key=_badness)
    ratios = [test.ratio for test in tests]
    shared = dict.fromkeys(worst.setting) if len(tests) < settings else {}
    setting = {axis: worst.setting[axis] for axis in shared if len({test.setting[axis] for test in tests}) == 1}
    return Finding(
        kind=kind,
        check=worst.check,
        strategy=worst.strategy,
        setting=setting if len(tests) > 1 else worst.setting,
        parameter=worst.parameter if len(tests) == 1 else "",
        base=worst.base,
        new=worst.new,
        ratio=_geometric_mean(ratios),
        low=worst.low if len(tests) == 1 else math.nan,
        high=worst.high if len(tests) == 1 else math.nan,
        p=worst.p,
        adjusted=worst.adjusted,
        pairs=sum(test.pairs for test in tests),
        says=worst.says if len(tests) == 1 else _together(tests, worst, settings),
    )


def _badness(test: Test) -> float:
    """How far a number moved, how large a count became, how bad a verdict is: larger is worse."""
    if test.ratio > 0:
        return abs(math.log(test.ratio))
    if isinstance(test.new, str):
        return VERDICTS.index(test.new) if test.new in VERDICTS else 0
    return float(test.new)


def _together(tests: Sequence[Test], worst: Test, settings: int) -> str:
    """The sentence of several settings: how many, and the worst of them."""
    where = "at every setting" if len(tests) == settings else f"at {len(tests)} of {settings} settings"
    return f"{worst.check} of {worst.strategy} {where}, the most at {label(worst.setting)}: {worst.details}"


def _geometric_mean(ratios: Sequence[float]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.mean(np.log(ratios))))


def _rank(finding: Finding) -> tuple[int, int, float]:
    gate = _CHECKS.index(finding.check) if finding.check in _CHECKS else len(_CHECKS)
    size = abs(math.log(finding.ratio)) if finding.ratio > 0 else 0.0
    return _KINDS.index(finding.kind), gate, -size
