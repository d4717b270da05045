"""Errors of known size in gradients of known distribution: SNR, cosine, bias and noise ratio against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradbench.calibrate.count import Count, Estimate, count, estimate
from gradbench.calibrate.planted import Planted, Probe, mean_output
from gradbench.measure.errors import GradientErrors
from gradbench.measure.gradients import measure_gradients
from gradbench.strategies.stored import Stored

__all__ = ["calibrate_noise"]

GROUP = "gradient error"
MINIBATCHES = (4, 8, 16)
SHAPES = {"first": (6, 5), "second": (16, 20), "third": (10, 3)}
LAYER = "weights.second"
ENTRIES = 320
#: Every entry of a gradient is normal with this mean and standard deviation.
MEAN, SPREAD = 0.3, 1.0
SIGNAL = ENTRIES * (MEAN**2 + SPREAD**2)
#: How many draws the mean cosine, which has no closed form, is taken over.
DRAWS = 10_000


@dataclass(frozen=True)
class _Error:
    """An error to plant: h from g and standard normal numbers, E |e|^2 and |E e|^2 of one layer."""

    what: str
    change: Callable[[Tensor, Tensor], Tensor]
    power: float
    bias_power: float
    layers: tuple[str, ...] = ()

    def strategy(self, generator: torch.Generator) -> Planted:
        """Return the strategy that plants it, in all layers or in those that are named."""

        def change(name: str, g: Tensor) -> Tensor:
            drawn = torch.randn(g.shape, generator=generator)
            return self.change(g, drawn) if not self.layers or name in self.layers else g

        return Planted(change, self.what)

    def cosine(self, generator: torch.Generator) -> float:
        """Return the mean cosine of g and h over many independent draws."""
        g = MEAN + SPREAD * torch.randn(DRAWS, ENTRIES, generator=generator)
        h = self.change(g, torch.randn(g.shape, generator=generator))
        return float(torch.nn.functional.cosine_similarity(g.double(), h.double()).mean())


def _additive(snr_db: float, layers: tuple[str, ...] = ()) -> _Error:
    size = math.sqrt(SIGNAL / ENTRIES) * 10 ** (-snr_db / 20)
    where = "one layer" if layers else "all layers"
    what = f"additive, {snr_db:g} dB, {where}"
    return _Error(what, lambda g, z: g + size * z, ENTRIES * size**2, 0.0, layers)


def _multiplicative(snr_db: float) -> _Error:
    size = 10 ** (-snr_db / 20)
    return _Error(f"multiplicative, {snr_db:g} dB, all layers", lambda g, z: g * (1 + size * z), SIGNAL * size**2, 0.0)


def _biased(offset: float, size: float) -> _Error:
    bias_power = ENTRIES * offset**2
    power = bias_power + ENTRIES * size**2
    what = f"biased, {10 * math.log10(SIGNAL / power):.1f} dB, all layers"
    return _Error(what, lambda g, z: g + offset + size * z, power, bias_power)


def calibrate_noise(repetitions: int, seed: int) -> Iterator[Count]:
    """Plant errors and yield a count for each number, error and number of minibatches M."""
    generator = torch.Generator().manual_seed(seed)
    errors = (_additive(6), _additive(40), _additive(20, (LAYER,)), _multiplicative(20), _biased(0.2, 0.4))
    cosines = {error.what: error.cosine(generator) for error in errors}
    for minibatches in MINIBATCHES:
        found: dict[str, list[GradientErrors]] = {error.what: [] for error in errors}
        others_exact = 0
        for _ in range(repetitions):
            for name, gradients in _measure(errors, minibatches, generator).items():
                found[name] += [one for one in gradients if one.parameter == LAYER]
                others_exact += name == errors[2].what and sum(one.identical for one in gradients) == 2
        variance = [estimate(one, "sgd_variance") for one in found[errors[0].what]]
        yield count(GROUP, f"sgd_variance: M = {minibatches}", ENTRIES * SPREAD**2, variance, unbiased=True)
        for error in errors:
            yield from _counts(error, cosines[error.what], minibatches, found[error.what])
        exact = [Estimate(1.0, 1.0, 1.0)] * others_exact + [Estimate(0.0, 0.0, 0.0)] * (repetitions - others_exact)
        yield count(GROUP, f"the other layers are exact: {errors[2].what}, M = {minibatches}", 1.0, exact)


def _measure(
    errors: tuple[_Error, ...], minibatches: int, generator: torch.Generator
) -> dict[str, list[GradientErrors]]:
    entries = sum(math.prod(shape) for shape in SHAPES.values())
    batches = [
        (MEAN + SPREAD * torch.randn(1, entries, generator=generator), torch.zeros(1)) for _ in range(minibatches)
    ]
    strategies = [error.strategy(generator) for error in errors]
    found = measure_gradients(Probe(SHAPES), Stored(), strategies, batches, 0, loss=mean_output)
    return {name: comparison.gradients for name, comparison in found.items()}


def _counts(error: _Error, cosine: float, minibatches: int, found: list[GradientErrors]) -> Iterator[Count]:
    variance = ENTRIES * SPREAD**2
    truths = {
        "rel_error": math.sqrt(error.power / SIGNAL),
        "cosine": cosine,
        "noise_ratio": error.power / variance,
        "bias_ratio": minibatches * error.bias_power / variance,
    }
    for column, planted in truths.items():
        estimates = [estimate(one, column) for one in found]
        yield count(GROUP, f"{column}: {error.what}, M = {minibatches}", planted, estimates)
        if column == "rel_error":
            yield count(GROUP, f"snr_db: {error.what}, M = {minibatches}", _decibel(planted), map(_snr, estimates))


def _decibel(rel_error: float) -> float:
    return float(-20 * np.log10(rel_error)) if rel_error else math.inf


def _snr(rel_error: Estimate) -> Estimate:
    """The interval of the SNR is that of the relative error, turned over."""
    return Estimate(_decibel(rel_error.value), _decibel(rel_error.high), _decibel(rel_error.low))
