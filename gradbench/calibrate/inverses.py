"""What inverting a layer costs: alpha of batch norm and leaky ReLU against their formulas.

White noise of any size is added to a layer's output, and alpha is the SNR of the input that the inverse rebuilds over
the SNR of that output. The noise of value i comes back as noise_i / f'(x_i), hence
alpha = (sum x^2 / sum y^2) (n / sum 1/f'(x_i)^2). For a batch norm of scale g_c, mean m_c and deviation S_c that is
[sum (m^2 + v) / sum (g^2 v / S^2 + beta^2)] [channels / sum (S^2 / g^2)] over the channels, and for a leaky ReLU of
slope s 1 / [(q + (1 - q) s^2) (p + (1 - p) / s^2)], p the share of positive values and q their share of sum x^2. (In
Hascoet et al., equations 25 to 32 say the same of centred and symmetric inputs; their 25g and 26d lack squares.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import stdtrit
from torch import Tensor, nn

from gradbench.calibrate.count import Count, Estimate, count
from gradbench.invertible import Chain, Invertible, InvertibleBatchNorm, InvertibleLeakyReLU
from gradbench.measure.activations import measure_activations
from gradbench.strategies.reconstruct import Reconstruct
from gradbench.strategies.stored import Stored

__all__ = ["calibrate_inverses"]

GROUP = "alpha of an inverse"
IMAGES, CHANNELS, SIZE = 16, 10, 8
NOISE = 1e-6
#: One estimate is the mean of so many measurements of log alpha, with Student's interval.
MEASUREMENTS = 4
SLOPES = (0.05, 0.2, 0.5)
RHOS = (1.0, 3.0, 10.0)

Array = NDArray[np.float64]


class _Noisy(nn.Module):
    """The identity, whose inverse adds white noise."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator
        self.weight = nn.Parameter(torch.ones(()))  # a backward pass needs something to differentiate

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    def inverse(self, y: Tensor) -> Tensor:
        return y + NOISE * torch.randn(y.shape, dtype=y.dtype, generator=self.generator)


def calibrate_inverses(repetitions: int, seed: int) -> Iterator[Count]:
    """Yield a count of alpha for each layer."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(IMAGES, CHANNELS, SIZE, SIZE, dtype=torch.float64, generator=generator)
    shifted = 0.5 + x
    for slope in SLOPES:
        for inputs, where in ((x, "centred"), (shifted, "shifted by half a deviation")):
            layer = InvertibleLeakyReLU(slope)
            what = f"leaky ReLU, slope {slope:g}, inputs {where}"
            yield _count(what, layer, inputs, _alpha_of_leaky(inputs.numpy(), slope), repetitions, generator)
    for rho in RHOS:
        gamma = torch.where(torch.arange(CHANNELS) < CHANNELS // 5, 1 / rho, 1.0).double()
        what = f"batch norm, one channel in five scaled by 1/{rho:g}"
        yield _norm(what, gamma, torch.zeros(CHANNELS).double(), x, repetitions, generator)
    gamma = 0.1 + torch.rand(CHANNELS, generator=generator).double()
    beta = torch.randn(CHANNELS, generator=generator).double()
    scaled = x * (1 + torch.arange(CHANNELS).view(1, -1, 1, 1)) + beta.flip(0).view(1, -1, 1, 1)
    yield _norm("batch norm, random gamma, beta, mean and variance", gamma, beta, scaled, repetitions, generator)


def _norm(what: str, gamma: Tensor, beta: Tensor, x: Tensor, repetitions: int, generator: torch.Generator) -> Count:
    layer = InvertibleBatchNorm(CHANNELS, eps_i=0.0).double()
    with torch.no_grad():
        layer.weight.copy_(gamma)
        layer.bias.copy_(beta)
    planted = _alpha_of_norm(x.numpy(), gamma.numpy(), beta.numpy(), layer.eps)
    return _count(what, layer, x, planted, repetitions, generator)


def _count(
    what: str, layer: Invertible, x: Tensor, planted: float, repetitions: int, generator: torch.Generator
) -> Count:
    model = nn.Sequential(Chain(layer, _Noisy(generator)), nn.Flatten(), nn.Linear(CHANNELS * SIZE * SIZE, 2)).double()
    labels = torch.zeros(IMAGES, dtype=torch.long)
    estimates = []
    for _ in range(repetitions):
        logs = np.array([math.log(_alpha(model, x, labels)) for _ in range(MEASUREMENTS)])
        reach = stdtrit(MEASUREMENTS - 1, 0.975) * logs.std(ddof=1) / math.sqrt(MEASUREMENTS)
        estimates.append(Estimate(*(math.exp(logs.mean() + shift) for shift in (0, -reach, reach))))
    return count(GROUP, f"alpha: {what}", planted, estimates)


def _alpha(model: nn.Module, x: Tensor, labels: Tensor) -> float:
    return measure_activations(model, Stored(), Reconstruct(), (x, labels))[0].alpha


def _alpha_of_leaky(x: Array, slope: float) -> float:
    p = (x > 0).mean()
    q = (x[x > 0] ** 2).sum() / (x**2).sum()
    return float(1 / ((q + (1 - q) * slope**2) * (p + (1 - p) / slope**2)))


def _alpha_of_norm(x: Array, gamma: Array, beta: Array, eps: float) -> float:
    mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    deviation2 = variance + eps
    power = (mean**2 + variance).sum() / (gamma**2 * variance / deviation2 + beta**2).sum()
    return float(power * len(gamma) / (deviation2 / gamma**2).sum())
