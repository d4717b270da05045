"""Where a verdict would change: the batch size, extrapolated and checked at a second one, and the step.

With batches of k times the size the variance of SGD is 1/k of what it was. Of an error, what is drawn anew with every
image shrinks alike, and its mean over minibatches, the bias, stays. So a noise ratio r with a squared bias of b times
the variance becomes r + (k - 1) b. That is an extrapolation: an error that is drawn anew for each gradient instead of
each image, such as its rounding, does not shrink, and its ratio grows to k r.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gradbench.analysis.noise import LIMITS
from gradbench.analysis.tables import Run
from gradbench.results import RIGHT, VERDICTS

__all__ = ["Check", "batch_size_checks", "batch_size_of_change", "changes", "extrapolated", "steps_of_change"]

_CHECK = ["check_noise_ratio", "check_noise_low", "check_noise_high"]
#: Batch sizes from here on are of no interest.
LARGEST = 1_000_000


@dataclass(frozen=True)
class Check:
    """One strategy at a second batch size, over weight tensors, steps and cells.

    Attributes:
        batch_size: the second one.
        tensors: how many were measured at both.
        quotient: the median of measured over extrapolated noise ratios.
        agree: how many intervals meet.
        worst: the tensor with the largest noise ratio there, and its step.
        extrapolated: the noise ratio of the worst, with the ends of its interval.
        measured: the same, measured.
    """

    strategy: str
    batch_size: int
    tensors: int
    quotient: float
    agree: int
    worst: str
    extrapolated: tuple[float, float, float]
    measured: tuple[float, float, float]


def extrapolated(gradients: pd.DataFrame, minibatches: pd.Series | int, factor: float) -> pd.DataFrame:
    """Return the noise ratios at `factor` times the batch size: columns `value`, `low` and `high`.

    The interval adds those of the two numbers that it is made from, so that it covers at least as often as they do.

    Args:
        gradients: rows of the table.
        minibatches: M, over which they were measured.
        factor: above 0.
    """
    ratio, low, high = (gradients[name] for name in ("noise_ratio", "noise_low", "noise_high"))
    grown = factor - 1
    bias = (gradients["bias_ratio"] / minibatches).clip(lower=0).clip(upper=ratio)
    ends = [(gradients[name] / minibatches).clip(lower=0).clip(upper=high) for name in ("bias_low", "bias_high")]
    least, most = ends if grown >= 0 else reversed(ends)
    return pd.DataFrame(
        {
            "value": ratio + grown * bias,
            "low": (low + grown * least).clip(lower=0),
            "high": high + grown * most,
        }
    )


def batch_size_of_change(noise_ratio: float, bias: float, batch_size: float, limit: float) -> float:
    """Return the batch size at which the ratio reaches `limit`; infinite where there is no bias.

    Args:
        noise_ratio: at `batch_size`, below the limit.
        bias: the squared bias over the variance of SGD, `bias_ratio` / M.
        batch_size: where both were measured.
        limit: 0.1 or 1.

    >>> batch_size_of_change(0.05, 0.05, 64, 0.1)
    128.0
    """
    return batch_size * (1 + (limit - noise_ratio) / bias) if bias > 0 else math.inf


def batch_size_checks(run: Run) -> tuple[Check, ...]:
    """Hold what was extrapolated against what was measured at `measure.check_batch_size`, for each strategy."""
    found = []
    for strategy, mine in _compared(run):
        mine = mine[np.isfinite(mine["check_noise_ratio"]) & (mine["noise_ratio"] > 0)]
        sizes = _setting(run, mine, "data", "batch_size"), _setting(run, mine, "measure", "check_batch_size")
        for (before, after), some in mine.groupby([sizes[0], sizes[1]]):
            ahead = extrapolated(some, _setting(run, some, "measure", "sgd_batches"), after / before)
            worst = some["check_noise_ratio"].idxmax()
            meet = (some["check_noise_low"] <= ahead["high"]) & (some["check_noise_high"] >= ahead["low"])
            found.append(
                Check(
                    strategy=strategy,
                    batch_size=int(after),
                    tensors=len(some),
                    quotient=float((some["check_noise_ratio"] / ahead["value"]).median()),
                    agree=int(meet.sum()),
                    worst=f"{some['parameter'].loc[worst]} at step {some['step'].loc[worst]}",
                    extrapolated=tuple(ahead.loc[worst]),
                    measured=tuple(some.loc[worst, _CHECK]),
                )
            )
    return tuple(found)


def changes(run: Run) -> tuple[str, ...]:
    """Say for each strategy at which batch size its first verdict would change, and from which step on one did.

    Strategies of which the same is to be said share a sentence.
    """
    said: dict[str, list[str]] = {}
    for strategy, mine in _compared(run):
        if (text := _at_batch_size(run, mine)) or mine["step"].nunique() > 1:
            said.setdefault("; ".join(part for part in (text, steps_of_change(mine)) if part), []).append(strategy)
    sentences = [f"{', '.join(strategies)}: {text}." for text, strategies in said.items()]
    for check in batch_size_checks(run):
        sentences.append(
            f"{check.strategy}: measured at batch size {check.batch_size}, the noise ratio is {check.quotient:.2g} "
            f"times what was extrapolated in the median, and {check.agree} of {check.tensors} intervals meet."
        )
    return tuple(sentences)


def steps_of_change(gradients: pd.DataFrame) -> str:
    """Say in how many cells the worst verdict of the weight tensors changes, and where first; the rows of a strategy.

    Verdicts that are right count as one. Empty where only one step was measured.
    """
    steps = sorted(int(step) for step in gradients["step"].unique())
    if len(steps) < 2:
        return ""
    rank = gradients["verdict"].map({word: max(place, len(RIGHT) - 1) for place, word in enumerate(VERDICTS)})
    worst = rank.groupby([gradients["cell"], gradients["step"]]).max().unstack("step")[steps]
    changed = (
        worst.ne(worst.shift(axis=1)).iloc[:, 1:] & worst.notna().iloc[:, 1:] & worst.shift(axis=1).iloc[:, 1:].notna()
    )
    cells = int(changed.any(axis=1).sum())
    if not cells:
        return f"no cell's verdict turns from right to wrong or back between the steps {_listed(steps)}"
    first = min(step for step in steps[1:] if changed[step].any())
    return f"in {cells} of {len(worst)} cells the verdict changes between the steps {_listed(steps)}, first at {first}"


def _at_batch_size(run: Run, mine: pd.DataFrame) -> str:
    """The smallest batch size at which a verdict leaves `below-noise`, and the one at which it leaves `comparable`."""
    biases = (mine["bias_ratio"] / _setting(run, mine, "measure", "sgd_batches")).clip(upper=mine["noise_ratio"])
    sizes = _setting(run, mine, "data", "batch_size")
    known = mine["verdict"].isin(("rounding", "below-noise")) & (biases > 0) & sizes.notna()
    said = []
    for limit, word in zip(LIMITS, ("below-noise", "comparable"), strict=True):
        rows = zip(mine["noise_ratio"][known], biases[known], sizes[known], strict=True)
        first = min((batch_size_of_change(*row, limit) for row in rows), default=math.inf)
        if first < LARGEST:
            said.append(f"{word} at {first:.2g}")
    if said:
        return f"extrapolated with a bias that stays, the first verdict leaves {' and '.join(said)} images a batch"
    if known.any():
        return f"extrapolated with a bias that stays, no verdict leaves below-noise below {LARGEST:,} images a batch"
    return ""


def _compared(run: Run) -> Iterator[tuple[str, pd.DataFrame]]:
    gradients = run.tables["gradients"]
    weights = gradients[(gradients["kind"] == "weight") & (gradients["strategy"] != "stored")]
    for strategy, mine in weights.groupby("strategy", sort=False):
        yield str(strategy), mine


def _setting(run: Run, rows: pd.DataFrame, section: str, key: str) -> pd.Series:
    """A setting of each row: of the matrix, or that of all."""
    axis = next((name for name in (key, f"{section}.{key}") if name in run.axes), None)
    value = rows[axis] if axis else (run.manifest.get("settings") or {}).get(section, {}).get(key)
    return pd.Series(value, index=rows.index, dtype="float64")


def _listed(steps: list[int]) -> str:
    return f"{', '.join(map(str, steps[:-1]))} and {steps[-1]}"
