"""Gates: what is a regression without statistics, because it is a word, a count of what must not be, or a bit.

Each gate looks at one strategy at one setting, over its seeds, and yields a `Change` for each seed that got worse. It
is told which run is the old one, so that the same gate with the runs exchanged finds improvements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gradbench.compare.match import BASE, NEW, plain
from gradbench.results import VERDICTS

__all__ = ["GATES", "Change", "Gate", "Group", "Row", "listed"]

Row = Mapping[Any, Any]
#: What became of a row, from best to worst; equal ranks are equally bad.
_STATUS_RANKS = {"ok": 0, "diverged": 1, "excluded": 2, "oom": 2, "timeout": 2, "error": 2}
#: Between the intervals of two noise ratios that are clearly apart: half a decade, half the width of a class.
_APART = math.sqrt(10)
_VERDICT_RANKS = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True)
class Change:
    """One seed that got worse.

    Attributes:
        base: the word or number before, in the old run.
        new: the one after.
        seed: whose.
        rank: how bad it is, to find the worst of several.
        parameter: the weight tensor that shows it, if one does.
        certain: whether one seed is enough; else more than half of a setting's seeds must have changed.
        judged: whether it counts; else it is only told.
        why: what a reader should know, in a few words.
    """

    base: float | str
    new: float | str
    seed: int
    rank: float
    parameter: str = ""
    certain: bool = True
    judged: bool = True
    why: str = ""


@dataclass(frozen=True)
class Group:
    """One strategy at one setting.

    Attributes:
        strategy: its name.
        setting: the axes' values.
        rows: of the joined table `cells`, one a seed; with `faults` of both runs, the checks of the table `state` that
            are at fault with their sentences, None where nothing was checked.
        weights: of the joined table `gradients`, those of weights.
        stored: the rows of `cells` of stored training, by cell.
    """

    strategy: str
    setting: Mapping[str, Any]
    rows: Sequence[Row]
    weights: pd.DataFrame
    stored: Mapping[str, Row]


Gate = Callable[[Group, str, str], Iterator[Change]]


def status(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """A row that was finished and is not, or whose training now diverges.

    Where another seed of the same setting had diverged before, one more is no news: then most of the seeds must.
    """
    known = {row[f"status{old}"] for row in group.rows}
    for row in group.rows:
        before, after = row[f"status{old}"], row[f"status{new}"]
        if "missing" in (before, after) or _STATUS_RANKS[after] <= _STATUS_RANKS[before]:
            continue
        certain = after != "diverged" or after not in known
        why = row[f"reason{new}"] if isinstance(row[f"reason{new}"], str) else ""
        yield Change(before, after, row["seed"], _STATUS_RANKS[after], certain=certain, why=why)


def verdict(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """A row with a worse verdict, clearly: a weight's noise ratio moved up by more than half the width of a class.

    A verdict also changes because one end of an interval moved over a limit; the interval must therefore begin half a
    decade above where it ended before, or it is told and not judged. So is `exact` to `rounding`: it is within plain
    autograd's own error, and who promises bits has a claim for it. `undefined` has no scale to be worse than.
    """
    known = {row[f"verdict{old}"] for row in group.rows}
    for row in group.rows:
        before, after = row[f"verdict{old}"], row[f"verdict{new}"]
        if before not in _VERDICT_RANKS or after not in _VERDICT_RANKS:
            continue
        rank = _VERDICT_RANKS[after]
        if rank <= _VERDICT_RANKS[before]:
            continue
        where = str(row[f"worst_parameter{new}"] or "")
        if after == "broken":
            yield Change(before, after, row["seed"], rank, where, certain=after not in known)
        elif before == "undefined":
            continue
        elif after == "rounding":
            why = "no longer bit for bit, but within plain autograd's own error"
            yield Change(before, after, row["seed"], rank, where, judged=False, why=why)
        else:
            yield from _clearly_worse(group, row, rank, old, new)


def _clearly_worse(group: Group, row: Row, rank: int, old: str, new: str) -> Iterator[Change]:
    before, after = row[f"verdict{old}"], row[f"verdict{new}"]
    rows = group.weights
    rows = rows[rows["cell"] == row["cell"]]
    rows = rows[rows[f"verdict{new}"].map(_VERDICT_RANKS) > _VERDICT_RANKS[before]]
    if rows.empty:  # nothing to hold the summary's word against
        yield Change(before, after, row["seed"], rank, str(row[f"worst_parameter{new}"] or ""), certain=False)
        return
    left = rows[rows[f"noise_low{new}"] > _APART * rows[f"noise_high{old}"]]
    if left.empty:
        worst = rows.loc[rows[f"noise_ratio{new}"].fillna(math.inf).idxmax()]
        why = "the noise ratio moved by less than half a class"
        yield Change(before, after, row["seed"], rank, worst["parameter"], judged=False, why=why)
        return
    worst = left.loc[left[f"noise_ratio{new}"].idxmax()]
    why = (
        f"noise ratio of {worst['parameter']} at step {worst['step']}: "
        f"{worst[f'noise_ratio{old}']:.3g} -> {worst[f'noise_ratio{new}']:.3g}"
    )
    yield Change(before, after, row["seed"], rank, worst["parameter"], certain=False, why=why)


def missing_gradients(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """More parameters without the gradient that stored training has."""
    return _more(group, "missing_gradients", old, new)


def changed_buffers(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """More buffers that one step leaves other than stored training does."""
    return _more(group, "changed_buffers", old, new)


def _more(group: Group, column: str, old: str, new: str) -> Iterator[Change]:
    for row in group.rows:
        before, after = row[f"{column}{old}"], row[f"{column}{new}"]
        if not (pd.isna(before) or pd.isna(after)) and after > before:
            yield Change(plain(before), plain(after), row["seed"], float(after))


def faults(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """A check of what one step leaves behind that is at fault and was not: buffers, random streams, masks, memory."""
    for row in group.rows:
        before, after = row[f"faults{old}"], row[f"faults{new}"]
        if before is None or after is None or not (added := [check for check in after if check not in before]):
            continue
        why = "; ".join(after[check] for check in added)
        yield Change(listed(before), listed(after), row["seed"], float(len(after)), why=why)


def listed(checks: Iterable[str]) -> str:
    """Return the names of checks at fault as one word.

    >>> listed({"buffers": "norm.running_mean", "masks": "dropout"}), listed({})
    ('buffers, masks', 'none')
    """
    return ", ".join(checks) or "none"


def repeatability(group: Group, old: str = BASE, new: str = NEW) -> Iterator[Change]:
    """A gradient that was the same bit for bit when it was computed again, and is not, where the stored one still is.

    Where stored training does not repeat itself either, it is the model or the device, and only told.
    """
    for row in group.rows:
        before, after = row[f"repeat_error{old}"], row[f"repeat_error{new}"]
        if pd.isna(before) or pd.isna(after) or before != 0 or after == 0:
            continue
        stored = group.stored.get(row["cell"], row)[f"repeat_error{new}"]
        judged = stored == 0
        why = "" if judged else "stored training does not repeat itself either"
        yield Change(0.0, float(after), row["seed"], float(after), judged=judged, why=why)


#: Each gate by its name, the gravest first.
GATES: dict[str, Gate] = {
    "status": status,
    "missing gradients": missing_gradients,
    "changed buffers": changed_buffers,
    "faults": faults,
    "repeatability": repeatability,
    "verdict": verdict,
}
