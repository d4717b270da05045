"""The gates applied to two joined runs: every strategy at every setting, and every claim."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from gradbench.analysis.claims import HELD, NOT_HELD, NOT_MEASURED, UNDECIDED
from gradbench.analysis.units import Unit
from gradbench.compare.comparison import Difference
from gradbench.compare.gates import GATES, Change, Gate, Group, Row, listed
from gradbench.compare.match import BASE, NEW, Matched, label, plain
from gradbench.compare.outcome import Outcome, Test

__all__ = ["judge_claims", "judge_gates"]

#: The columns of `gradients` that a gate reads.
_OF_WEIGHTS = ("verdict", "noise_ratio", "noise_low", "noise_high")
#: The column of a group's rows that a gate reads.
_COLUMNS = {
    "status": "status",
    "missing gradients": "missing_gradients",
    "changed buffers": "changed_buffers",
    "faults": "faults",
    "repeatability": "repeat_error",
    "verdict": "verdict",
}


def judge_gates(matched: Matched) -> Iterator[Test]:
    """A test for every gate, strategy and setting that has what the gate looks at in both runs."""
    rows = _with_faults(matched)
    gradients = matched.tables["gradients"]
    read = [f"{column}{side}" for column in _OF_WEIGHTS for side in (BASE, NEW)]
    weights = gradients.loc[gradients[f"kind{BASE}"] == "weight", ["cell", "strategy", "parameter", "step", *read]]
    weights_of = {str(strategy): mine for strategy, mine in weights.groupby("strategy")}
    stored = {row["cell"]: row for row in rows if row["strategy"] == "stored"}
    places: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        places.setdefault((row["strategy"], *(row[axis] for axis in matched.axes)), []).append(row)
    for (strategy, *values), mine in places.items():
        setting = {axis: plain(value) for axis, value in zip(matched.axes, values, strict=True)}
        group = Group(strategy, setting, mine, weights_of.get(strategy, weights.iloc[:0]), stored)
        for name, gate in GATES.items():
            yield from _judge(name, gate, group)


def _with_faults(matched: Matched) -> list[dict[Any, Any]]:
    """Return the rows of `cells` with what the table `state` found, `faults` of both runs."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for row in matched.tables["state"].to_dict("records"):
        faults = found.setdefault((row["cell"], row["strategy"]), {BASE: {}, NEW: {}})
        for side in (BASE, NEW):
            if row[f"outcome{side}"] == "fault":
                faults[side][row["check"]] = row[f"says{side}"]
    unknown: dict[str, None] = {BASE: None, NEW: None}
    rows = matched.tables["cells"].to_dict("records")
    for row in rows:
        faults_of = found.get((row["cell"], row["strategy"]), unknown)
        row.update({f"faults{side}": faults_of[side] for side in (BASE, NEW)})
    return rows


def _judge(name: str, gate: Gate, group: Group) -> Iterator[Test]:
    """One seed is enough if the change is certain; else more than half of the seeds must have changed."""
    seeds = sum(_measured(row, _COLUMNS[name]) for row in group.rows)
    if not seeds:
        return
    worse = list(gate(group, BASE, NEW))
    better = [replace(change, base=change.new, new=change.base) for change in gate(group, NEW, BASE)]
    for outcome, changes in (("regression", worse), ("improvement", better)):
        judged = [change for change in changes if change.judged]
        if any(change.certain for change in judged) or 2 * len(judged) > seeds:
            yield _test(name, group, seeds, outcome, judged)
            return
    if worse:
        yield _test(name, group, seeds, "advisory", worse)
        return
    row = next(row for row in group.rows if _measured(row, _COLUMNS[name]))
    base, new = (_told(row[f"{_COLUMNS[name]}{side}"]) for side in (BASE, NEW))
    yield Test("gate", name, group.strategy, "setting", group.setting, seeds, base, new, "no change")


def _told(value: Any) -> float | str:
    """Return a number or word of a row; of several faults their names."""
    return listed(value) if isinstance(value, dict) else plain(value)


def _measured(row: Row, column: str) -> bool:
    return all(
        not pd.isna(row[f"{column}{side}"]) and row[f"{column}{side}"] not in ("", "missing") for side in (BASE, NEW)
    )


def _test(name: str, group: Group, seeds: int, outcome: Any, changes: list[Change]) -> Test:
    worst = max(changes, key=lambda change: (change.certain, change.rank))
    count = f"{len(changes)} of {seeds} seeds" if seeds > 1 else f"seed {worst.seed}"
    why = f" ({worst.why})" if worst.why else ""
    column = "" if _COLUMNS[name] == name or name.replace(" ", "_") == _COLUMNS[name] else f"{_COLUMNS[name]} "
    details = f"{column}{_word(worst.new)}, was {_word(worst.base)}, in {count}{why}"
    where = f" at {label(group.setting)}" if group.setting else ""
    return Test(
        kind="gate",
        check=name,
        strategy=group.strategy,
        level="setting",
        setting=group.setting,
        pairs=seeds,
        base=worst.base,
        new=worst.new,
        outcome=outcome,
        says=f"{name} of {group.strategy}{where}: {details}",
        parameter=worst.parameter,
        details=details,
    )


def _word(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def judge_claims(matched: Matched, units: Mapping[str, Unit]) -> tuple[list[Test], list[str], list[Difference]]:
    """The claims as tests, the names of those that the new run no longer measures, and what differs in their tests.

    A claim that was held and is not is a regression if its number left the interval that it had over seeds in the base
    run, or had none; inside, it stood too near to its limit to tell, and is told only. So is one that was held and that
    the seeds of the new run do not decide.

    Args:
        matched: both runs.
        units: of the claims by their names.
    """
    tests, lost, different = [], [], []
    for row in matched.tables["claims"].to_dict("records"):
        name = row["claim"]
        if row["_merge"] != "both" or row[f"test{BASE}"] != row[f"test{NEW}"]:
            now = str(row[f"test{NEW}"]) if row["_merge"] == "both" else "absent"
            different.append(Difference(f"claim {name}", str(row[f"test{BASE}"]), now))
            continue
        old, new = row[f"status{BASE}"], row[f"status{NEW}"]
        if (old, new) == (HELD, NOT_MEASURED):
            lost.append(name)
        else:
            borderline = row[f"low{BASE}"] <= row[f"value{NEW}"] <= row[f"high{BASE}"]
            outcome: Outcome = "no change"
            if (old, new) == (HELD, NOT_HELD):
                outcome = "advisory" if borderline else "regression"
            elif (old, new) == (HELD, UNDECIDED):
                outcome = "advisory"
            elif (old, new) == (NOT_HELD, HELD) and not borderline:
                outcome = "improvement"
            tests.append(_claim(row, outcome, units[name]))
    return tests, lost, different


def _claim(row: dict[Any, Any], outcome: Outcome, unit: Unit) -> Test:
    old, new = row[f"status{BASE}"], row[f"status{NEW}"]
    value, was = (unit.amount(row[f"value{run}"]) for run in (NEW, BASE))
    numbers = f"{value}, was {was}, test {unit.test(row[f'test{BASE}'])}"
    near = outcome == "advisory" and new == NOT_HELD
    doubt = ", within the interval over seeds that it had" if near else ""
    says = "" if outcome == "no change" else f"claim {row['claim']} is {new}, was {old}: {numbers}{doubt}"
    seeds = 0 if math.isnan(row[f"value{NEW}"]) else int(row[f"seeds{NEW}"])
    return Test("gate", "claim", "", "all", {}, seeds, old, new, outcome, says, parameter=row["claim"])
