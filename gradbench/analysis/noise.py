"""How far errors are below the noise of SGD: of a layer, of the whole model, and what would change the verdict.

The noise ratio is the power of a gradient's error over the variance of the gradient between minibatches, so an error is
1 / ratio times below that noise. The variance shrinks as one over the batch size; if the error stays as it is, the
ratio grows as the batch size does. That is an extrapolation: the part of an error that is drawn anew with every image
shrinks as well.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from gradbench.analysis.tables import Run
from gradbench.case.keys import flatten

__all__ = ["batch_size_at", "below_noise", "minibatches_needed", "too_few_minibatches", "whole_model"]

#: The limits of the verdicts: an order of magnitude below the noise of SGD, and the noise itself.
LIMITS = (0.1, 1.0)
_KEY = ["cell", "strategy", "step"]


def whole_model(gradients: pd.DataFrame) -> pd.Series:
    """Return the noise ratio of all weights taken together, for each cell, strategy and step.

    That is sum |e|^2 / sum s2 over the weight tensors, with |e|^2 = noise_ratio s2.
    """
    weights = gradients[gradients["kind"] == "weight"]
    errors = (weights["noise_ratio"] * weights["sgd_variance"]).groupby([weights[key] for key in _KEY], sort=False)
    noise = weights["sgd_variance"].groupby([weights[key] for key in _KEY], sort=False)
    return errors.sum(min_count=1) / noise.sum(min_count=1)


def batch_size_at(noise_ratio: float, batch_size: int, limit: float = LIMITS[0]) -> float:
    """Return the batch size at which the ratio would be `limit`, if the error stayed as it is.

    >>> batch_size_at(0.001, 64)
    6400.0
    """
    return math.inf if noise_ratio == 0 else batch_size * limit / noise_ratio


def minibatches_needed(noise_ratio: float, low: float, high: float, minibatches: int) -> float:
    """Return how many minibatches would let the interval clear both limits, if the ratio stays what it is.

    On the scale of the fourth root, on which the interval was taken, its reach shrinks as one over the square root of
    the number of minibatches; infinite where the interval has no end or the ratio is at a limit.

    >>> minibatches_needed(0.2, 0.05, 0.5, 8)
    28.0
    """
    root, reach = noise_ratio**0.25, max(high**0.25 - noise_ratio**0.25, noise_ratio**0.25 - low**0.25)
    room = min(abs(root - limit**0.25) for limit in LIMITS)
    if not math.isfinite(reach) or room == 0:
        return math.inf
    return float(max(minibatches, math.ceil(minibatches * (reach / room) ** 2)))


def below_noise(run: Run) -> tuple[str, ...]:
    """Say for each strategy how many times its error is below the noise of SGD, and at which batch size no longer.

    Strategies whose weight gradients all equal the stored ones have no error and no sentence.
    """
    gradients, batch_size = run.tables["gradients"], _setting(run, "data", "batch_size")
    sentences = []
    for strategy, mine in _compared(gradients):
        whole = whole_model(mine).dropna()
        whole = whole[np.isfinite(whole)]
        finite = mine[np.isfinite(mine["noise_ratio"])]
        if whole.empty or not (whole > 0).any():
            continue
        worst = finite.loc[finite["noise_ratio"].idxmax()]
        ratio = float(worst["noise_ratio"])
        where = f"{worst['parameter']} at step {worst['step']}"
        text = (
            f"{strategy}: in power, the error of the whole gradient is {_times(float(whole.median()))} the noise of "
            f"SGD in the median, that of the worst layer ({where}) {_times(ratio)} it"
        )
        if batch_size and 0 < ratio < LIMITS[0]:
            text += (
                f"; extrapolated from batch size {batch_size}, it would no longer be an order of magnitude below at "
                f"{batch_size_at(ratio, batch_size):.3g}"
            )
        sentences.append(f"{text}.")
    return tuple(sentences)


def too_few_minibatches(run: Run) -> tuple[str, ...]:
    """Warn in one sentence of unresolved verdicts, with the number of minibatches that would resolve most of them."""
    minibatches = _setting(run, "measure", "sgd_batches")
    verdicts, open_ = 0, {}
    for strategy, mine in _compared(run.tables["gradients"]):
        verdicts += len(mine)
        unresolved = mine[(mine["verdict"] == "unresolved") & mine["noise_ratio"].notna()]
        if len(unresolved):
            open_[strategy] = unresolved
    if not open_ or not minibatches:
        return ()
    rows = pd.concat(open_.values())
    ends = zip(rows["noise_ratio"], rows["noise_low"], rows["noise_high"], strict=True)
    wanted = float(np.median([minibatches_needed(*one, minibatches) for one in ends]))
    names = ", ".join(f"{len(mine)} of {strategy}" for strategy, mine in open_.items())
    text = f"{len(rows)} of {verdicts} verdicts are unresolved with {minibatches} minibatches ({names})"
    much = f"; measure.sgd_batches = {wanted:.0f} would resolve about half of them" if math.isfinite(wanted) else ""
    return (f"{text}{much}.",)


def _compared(gradients: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    weights = gradients[(gradients["kind"] == "weight") & (gradients["strategy"] != "stored")]
    for strategy, mine in weights.groupby("strategy", sort=False):
        yield str(strategy), mine


def _setting(run: Run, section: str, key: str) -> int:
    """A setting that all cells share; 0 where the matrix, an override or the manifest has not one number of it."""
    settings: dict[str, Any] = run.manifest.get("settings") or {}
    value = settings.get(section, {}).get(key)
    overrides = tomllib.loads(run.manifest.get("case_text") or "").get("override", [])
    overridden = any(f"{section}.{key}" in dict(flatten(override["set"])) for override in overrides)
    return 0 if value is None or overridden or {key, f"{section}.{key}"} & set(run.axes) else int(value)


def _times(ratio: float) -> str:
    """The ratio in words: "120 times below"."""
    if ratio == 0:
        return "nothing beside"
    return f"{1 / ratio:.3g} times below" if ratio <= 1 else f"{ratio:.3g} times above"
