"""From numbers to a word: is a gradient exact, as good as rounding, below the noise of SGD, or harmful?"""

from __future__ import annotations

from collections.abc import Iterable

from gradbench.measure.errors import GradientErrors
from gradbench.results import VERDICTS

__all__ = ["EXCESS_OF_ROUNDING", "NOISE_FLOOR", "verdict", "worst"]

#: At most so many times plain autograd's own distance from float64 counts as rounding.
EXCESS_OF_ROUNDING = 2.0
#: "An order of magnitude" below the variance of SGD (Chakrabarti and Moseley), in power.
NOISE_FLOOR = 0.1


def verdict(errors: GradientErrors) -> str:
    """Return one of `results.VERDICTS` for one parameter tensor. The loss times any constant changes no verdict.

    `broken`: missing, not finite, or a whole output channel zero where the stored gradient's is not. `undefined`: the
    stored gradient itself is zero. `exact`: equal bit for bit. Else by the 95 % interval of the noise ratio:
    `below-noise` when it ends below 0.1, and `rounding` when moreover the excess is at most 2; `comparable` when it
    lies within 0.1 to 1, `harmful` when it begins above 1, `unresolved` when it straddles a limit or the noise estimate
    is not positive.
    """
    if errors.missing or not errors.finite or errors.zeroed_channels:
        return "broken"
    if errors.identical:
        return "undefined" if errors.grad_norm == 0 else "exact"
    if errors.grad_norm == 0:
        return "undefined"
    if not errors.sgd_variance > 0:
        return "unresolved"
    if errors.noise_high < NOISE_FLOOR:
        return "rounding" if errors.excess <= EXCESS_OF_ROUNDING else "below-noise"
    if errors.noise_low > 1:
        return "harmful"
    if errors.noise_low >= NOISE_FLOOR and errors.noise_high <= 1:
        return "comparable"
    return "unresolved"


def worst(verdicts: Iterable[str]) -> str:
    """Return the worst of some verdicts in the order of `results.VERDICTS`, or an empty string for none."""
    return max(verdicts, key=VERDICTS.index, default="")
