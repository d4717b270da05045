"""The noise ratio at four times the batch size, extrapolated and measured, where the law of the error is known.

Every image brings an error of its own, with standard deviation sigma and mean mu in each entry of the gradient, whose
standard deviation over images is SPREAD. Over minibatches of B images the noise ratio is (mu^2 + sigma^2 / B) /
(SPREAD^2 / B): a bias grows with the batch, a variance does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd
import torch
from torch import Tensor

from gradbench.analysis.extrapolation import extrapolated
from gradbench.calibrate.count import Count, Estimate, count, estimate
from gradbench.calibrate.planted import Planted, Probe, mean_output
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import measure_gradients
from gradbench.strategies.stored import Stored

__all__ = ["calibrate_batch_size"]

GROUP = "noise ratio at another batch size"
MINIBATCHES = 8
SHAPE = (12, 20)
ENTRIES = 240
SPREAD = 1.0
BATCH, LARGER = 4, 16
#: Mean and standard deviation of an image's error in each entry.
ERRORS = {"unbiased": (0.0, 0.3), "biased": (0.1, 0.3), "nearly all bias": (0.2, 0.05)}


def calibrate_batch_size(repetitions: int, seed: int) -> Iterator[Count]:
    """Yield a count of the extrapolated and of the measured noise ratio for each error."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, dict[int, list[GradientErrors]]] = {name: {BATCH: [], LARGER: []} for name in ERRORS}
    for _ in range(repetitions):
        for size in (BATCH, LARGER):
            for name, errors in _measure(size, generator).items():
                found[name][size].append(errors)
    for name, (mean, deviation) in ERRORS.items():
        planted = (mean**2 + deviation**2 / LARGER) / (SPREAD**2 / LARGER)
        ahead = extrapolated(pd.DataFrame([_columns(one) for one in found[name][BATCH]]), MINIBATCHES, LARGER / BATCH)
        what = f"{name}, from {BATCH} to {LARGER} images"
        yield count(GROUP, f"extrapolated: {what}", planted, [Estimate(*row) for row in ahead.to_numpy().tolist()])
        measured = [estimate(one, "noise_ratio") for one in found[name][LARGER]]
        yield count(GROUP, f"measured: {what}", planted, measured)


def _measure(size: int, generator: torch.Generator) -> dict[str, GradientErrors]:
    batches = [
        (SPREAD * torch.randn(size, ENTRIES, generator=generator), torch.zeros(size)) for _ in range(MINIBATCHES)
    ]

    def erring(mean: float, deviation: float, name: str) -> Planted:
        def change(parameter: str, gradient: Tensor) -> Tensor:
            return gradient + mean + deviation / math.sqrt(size) * torch.randn(gradient.shape, generator=generator)

        return Planted(change, name)

    strategies = [erring(*error, name) for name, error in ERRORS.items()]
    found = measure_gradients(Probe({"weight": SHAPE}), Stored(), strategies, batches, 0, loss=mean_output)
    return {name: comparison.gradients[0] for name, comparison in found.items()}


def _columns(errors: GradientErrors) -> dict[str, float]:
    return {name: value for name, value in asdict(errors).items() if name.startswith(("noise_", "bias_"))}
