"""Gradients that are rounded to a grid: error and bias of rounding a uniform number are known.

For a number uniform over many steps D: rounding down errs by D/2 in the mean, with variance D^2/12; rounding to the
nearest errs by nothing in the mean, with variance D^2/12; rounding up or down at random, with the probabilities that
keep the mean, errs by nothing in the mean, with variance D^2/6, all of which is drawn anew for the same number; half a
step lower it errs by D/2 too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gradbench.calibrate.count import Count, count, estimate
from gradbench.calibrate.planted import Planted, Probe, mean_output
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import measure_gradients
from gradbench.strategies.stored import Stored

__all__ = ["calibrate_rounding"]

GROUP = "bias and variance of rounding"
MINIBATCHES = 8
DRAWS = 4
SHAPE = (10, 40)
ENTRIES = 400
STEP = 1 / 8
#: Of an entry that is uniform on 0 to 1.
VARIANCE = 1 / 12


def calibrate_rounding(repetitions: int, seed: int) -> Iterator[Count]:
    """Yield a count of noise ratio, bias ratio and the variance of draws for each way to round."""
    generator = torch.Generator().manual_seed(seed)

    def rounded(way: Callable[[Tensor], Tensor]) -> Callable[[str, Tensor], Tensor]:
        return lambda name, g: way(g / STEP) * STEP

    def at_random(q: Tensor) -> Tensor:
        return torch.floor(q + torch.rand(q.shape, generator=generator))

    # The way, its mean error, its variance and what of it is that of draws, in steps.
    ways: dict[str, tuple[Callable[[Tensor], Tensor], float, float, float]] = {
        "down": (torch.floor, 1 / 2, 1 / 12, 0),
        "to the nearest": (torch.round, 0, 1 / 12, 0),
        "at random": (at_random, 0, 1 / 6, 1 / 6),
        "at random, half a step lower": (lambda q: at_random(q) - 0.5, 1 / 2, 1 / 6, 1 / 6),
    }
    strategies = [Planted(rounded(way), name, random=True) for name, (way, *_) in ways.items()]
    found: dict[str, list[GradientErrors]] = {name: [] for name in ways}
    for _ in range(repetitions):
        batches = [(torch.rand(1, ENTRIES, generator=generator), torch.zeros(1)) for _ in range(MINIBATCHES)]
        probe = Probe({"weight": SHAPE})
        results = measure_gradients(probe, Stored(), strategies, batches, 0, loss=mean_output, draws=DRAWS)
        for name, comparison in results.items():
            found[name] += comparison.gradients
    for name, (_, bias, variance, drawn) in ways.items():
        truths = {
            "noise_ratio": STEP**2 * (bias**2 + variance) / VARIANCE,
            "bias_ratio": MINIBATCHES * STEP**2 * bias**2 / VARIANCE,
            "draw_variance_ratio": STEP**2 * drawn / VARIANCE,
        }
        for column, planted in truths.items():
            estimates = [estimate(one, column) for one in found[name]]
            yield count(GROUP, f"{column}: rounding {name}, M = {MINIBATCHES}", planted, estimates)
