"""The invertible leaky ReLU against torch's own and against the law of its noise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gradbench.invertible import Chain, InvertibleLeakyReLU
from tests.invertible.oracle import same_as_stored, state


@pytest.mark.parametrize("slope", [0.01, 0.2, 1.0, 5.0])
def test_values_inverse_and_gradients(slope: float) -> None:
    layer, x = InvertibleLeakyReLU(slope), state(3, 4, 5, 5)
    y = layer(*x)
    assert torch.equal(y[1], F.leaky_relu(x[1], slope))
    assert all(torch.allclose(a, b, rtol=1e-15) for a, b in zip(layer.inverse(*y), x, strict=True))
    assert same_as_stored(Chain(layer, InvertibleLeakyReLU(0.5)), x, 1e-14)


def test_the_gradient_at_zero_is_torchs() -> None:
    x = torch.zeros(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    Chain(InvertibleLeakyReLU(0.3))(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.3))


@pytest.mark.parametrize("slope", [0.001, 0.05, 0.2, 0.5, 4.0])
@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_noise_grows_as_its_law_says(slope: float, shift: float) -> None:
    """Alpha is 1 / [(q + (1 - q) s^2) (p + (1 - p) / s^2)], p the share of entries > 0, q their share of the power."""
    layer = InvertibleLeakyReLU(slope)
    x = torch.randn(400_000, dtype=torch.float64) + shift
    p = (x > 0).double().mean()
    q = (x.square() * (x > 0)).sum() / x.square().sum()
    alpha = 1 / ((q + (1 - q) * slope**2) * (p + (1 - p) / slope**2))
    y = layer(x)
    noise = 1e-9 * torch.randn_like(y)
    error = layer.inverse(y + noise) - x
    measured = (x.square().sum() / error.square().sum()) / (y.square().sum() / noise.square().sum())
    assert float(measured) == pytest.approx(float(alpha), rel=0.02)
    if not shift:
        assert float(alpha) == pytest.approx(4 * slope**2 / (1 + slope**2) ** 2, rel=0.02)


@pytest.mark.parametrize("slope", [0.0, -0.1])
def test_a_slope_without_inverse_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="it must be positive to be invertible"):
        InvertibleLeakyReLU(slope)
