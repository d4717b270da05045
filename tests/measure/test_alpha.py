"""Closed forms of alpha against layers that are undone from outputs with noise, and against dense inverses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import (
    AdditiveCoupling,
    BatchPooling,
    Chain,
    ChannelPooling,
    Invertible,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    InvertibleSmoothLeakyReLU,
    SplitConvolution,
)
from gradbench.measure.activations import measure_activations
from gradbench.measure.alpha import alpha_theory
from gradbench.strategies.noisy_reconstruct import NoisyReconstruct
from gradbench.strategies.stored import Stored


class Net(nn.Module):
    """A chain of one layer on two groups, and something to differentiate."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.chain = Chain(layer)
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, *x: Tensor) -> Tensor:
        y = self.chain(*(self.weight * group for group in x))
        return sum(group.square().sum() for group in (y if isinstance(y, tuple) else (y,)))


def measured(layer: nn.Module, x: tuple[Tensor, ...], deviation: float = 1e-6) -> tuple[float, float]:
    """Return alpha of white noise in the layer's output, and its closed form, both as the table has them."""
    model = Net(layer).double()
    found = measure_activations(model, Stored(), NoisyReconstruct(deviation), (x, None), loss=lambda y, target: y)[0]
    assert found.alpha_ratio == pytest.approx(found.alpha / found.alpha_theory, nan_ok=True)
    return found.alpha, found.alpha_theory


def groups(*channels: int, shift: float = 0.0, size: int = 12) -> tuple[Tensor, ...]:
    return tuple(shift + torch.randn(24, count, size, size, dtype=torch.float64) for count in channels)


def norm(channels: int, **settings: object) -> InvertibleBatchNorm:
    layer = InvertibleBatchNorm(channels, **settings)
    nn.init.normal_(layer.weight, 0, 1)
    layer.weight.data += 0.2 * layer.weight.data.sign()
    nn.init.normal_(layer.bias)
    return layer


@pytest.mark.parametrize("layer", [InvertibleLeakyReLU, InvertibleSmoothLeakyReLU])
@pytest.mark.parametrize("slope", [0.03, 0.5, 20.0])
@pytest.mark.parametrize("shift", [0.0, -0.7])
def test_of_activations(layer: type[Invertible], slope: float, shift: float) -> None:
    alpha, theory = measured(layer(slope), groups(4, 8, shift=shift))
    assert alpha == pytest.approx(theory, rel=0.05)


@pytest.mark.parametrize("settings", [{"eps_i": 0.0}, {"eps_i": 0.3}, {"eps_i": 0.0, "eps": 0.5}])
def test_of_norms(settings: dict[str, float]) -> None:
    x = tuple(group * (1 + torch.arange(group.shape[1]).view(1, -1, 1, 1)) for group in groups(4, 6, shift=0.4))
    alpha, theory = measured(norm(10, **settings), x)
    assert alpha == pytest.approx(theory, rel=0.05)


def test_of_a_norm_in_evaluation_the_running_statistics_count() -> None:
    layer = norm(4).eval()
    layer.running_var.uniform_(0.1, 3)
    layer.running_mean.normal_()
    alpha, theory = measured(layer, groups(4))
    assert alpha == pytest.approx(theory, rel=0.05)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_of_split_convolutions(size: int) -> None:
    layer = SplitConvolution(6).double()
    for weight in layer.parameters():
        nn.init.normal_(weight, 0.1, 0.4)
    shape = (3, size, size + 1)
    ones = torch.eye(6 * size * (size + 1), dtype=torch.float64).view(-1, 2, *shape)
    with torch.no_grad():
        columns = torch.cat([half.flatten(1) for half in layer.inverse(*ones.unbind(1))], 1)
        x = tuple(torch.randn(5, *shape, dtype=torch.float64) for _ in range(2))
        y = layer(*x)
    signal = sum(t.square().sum() for t in x) / sum(t.square().sum() for t in y)
    assert alpha_theory(layer, x, y) == pytest.approx(float(signal * len(columns) / columns.square().sum()), rel=1e-9)


def test_of_split_convolutions_by_measurement() -> None:
    alpha, theory = measured(SplitConvolution(8), groups(4, 4))
    assert alpha == pytest.approx(theory, rel=0.05)
    assert theory < 0.7


def test_rearrangements_cost_nothing() -> None:
    for layer in (ChannelPooling(), BatchPooling()):
        alpha, theory = measured(layer, groups(4, 4))
        assert theory == pytest.approx(1, rel=1e-12)
        assert alpha == pytest.approx(1, rel=1e-3)


def test_symmetric_inputs_and_two_channels_are_the_sources_formulas() -> None:
    """Equations 32 and 23c of Hascoet et al."""
    half = torch.randn(8, 2, 8, 8, dtype=torch.float64)
    for slope in (1e-3, 0.1, 0.2, 1.0, 5.0, 1e3):
        layer = InvertibleLeakyReLU(slope)
        theory = alpha_theory(layer, (half, -half), (layer(half), layer(-half)))
        assert theory == pytest.approx(4 * slope**2 / (1 + slope**2) ** 2, rel=1e-9)
    x = nn.BatchNorm2d(2, eps=1e-12, affine=False, dtype=torch.float64)(half)
    for rho in (1.0, 3.0, 100.0):
        layer = InvertibleBatchNorm(2, eps=1e-12, eps_i=0).double()
        layer.weight.data[1] = rho
        assert alpha_theory(layer, (x,), (layer(x),)) == pytest.approx(4 / ((1 + rho**2) * (1 + rho**-2)), rel=1e-9)


def test_the_corrected_equation_26d_channel_by_channel() -> None:
    """In NumPy, from the channels' means and variances."""
    (x,) = groups(5, shift=0.3)
    layer = norm(5, eps_i=0.1, eps=1e-3).double()
    y = layer(x).detach()
    with torch.no_grad():
        g, beta = (np.asarray(v.double()) for v in (layer.weight.abs() + 0.1, layer.bias))
    m, v = (np.asarray(x).mean((0, 2, 3)), np.asarray(x).var((0, 2, 3)))
    deviation2 = v + 1e-3
    expected = (m**2 + v).sum() / (g**2 * v / deviation2 + beta**2).sum() * 5 / (deviation2 / g**2).sum()
    assert alpha_theory(layer, (x,), (y,)) == pytest.approx(expected, rel=1e-9)


def test_large_noise_flips_gates_and_leaves_the_theory() -> None:
    alpha, theory = measured(InvertibleLeakyReLU(0.1), groups(8), deviation=1.0)
    assert not 0.9 < alpha / theory < 1.1


def test_what_has_no_closed_form_has_none() -> None:
    class Own(Invertible):
        def forward(self, x: Tensor) -> Tensor:
            return x.sinh()

        def inverse(self, y: Tensor) -> Tensor:
            return y.asinh()

    class Derived(InvertibleLeakyReLU):
        """Might be undone in another way."""

    x = groups(4, 4)
    assert math.isnan(measured(Own(), x[:1])[1])
    assert math.isnan(measured(Derived(0.5), x)[1])
    replaced = SplitConvolution(8)
    replaced.f = nn.Sequential(replaced.f, nn.Dropout(0.0))
    assert math.isnan(measured(replaced, x)[1])
    assert math.isnan(measured(AdditiveCoupling(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)), x)[1])


def test_of_nothing_there_is_no_ratio() -> None:
    zeros = (torch.zeros(2, 2, 3, 3),)
    assert math.isnan(alpha_theory(InvertibleLeakyReLU(0.5), zeros, zeros))
