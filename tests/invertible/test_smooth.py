"""The smooth leaky ReLU against plain formulas in float64 and autograd, and its inverse to rounding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradbench.invertible import Chain, InvertibleSmoothLeakyReLU, storing


def plain(x: Tensor, slope: float, width: float) -> Tensor:
    """The definition, whose cancellation float64 affords."""
    return (1 + slope) / 2 * x + (1 - slope) / 2 * ((x * x + width * width).sqrt() - width)


@pytest.mark.parametrize("slope", [0.01, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("width", [0.1, 1.0])
def test_forward_and_gradient_are_the_definitions(slope: float, width: float) -> None:
    x = (4 * torch.randn(1000, dtype=torch.float64)).requires_grad_()
    layer = InvertibleSmoothLeakyReLU(slope, width)
    y = layer(x)
    torch.testing.assert_close(y, plain(x, slope, width), rtol=1e-12, atol=1e-14)
    dy = torch.randn_like(x)
    expected = torch.autograd.grad(plain(x, slope, width), x, dy)[0]
    torch.testing.assert_close(torch.autograd.grad(y, x, dy)[0], expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("slope", [0.01, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_is_right_to_a_few_roundings(slope: float, dtype: torch.dtype) -> None:
    size = 10.0 ** torch.linspace(-12, 4, 2000, dtype=torch.float64)
    x = torch.cat([size, -size]).to(dtype)
    back = InvertibleSmoothLeakyReLU(slope).inverse(InvertibleSmoothLeakyReLU(slope)(x))
    # A relative rounding of y moves x by at most 1/s of it where the slope is s, and by one otherwise.
    error = ((back - x) / x).abs().max()
    assert error < 8 / slope * torch.finfo(dtype).eps
    assert torch.equal(back.sign(), x.sign())


def test_a_chain_rebuilds_it_and_has_the_gradients_of_stored_training() -> None:
    chain = Chain(InvertibleSmoothLeakyReLU(0.2), InvertibleSmoothLeakyReLU(0.5, 0.3))
    x = torch.randn(4, 6, 3, 3, dtype=torch.float64, requires_grad=True)
    chain(x).square().sum().backward()
    rebuilt, x.grad = x.grad, None
    with storing(chain):
        chain(x).square().sum().backward()
    torch.testing.assert_close(rebuilt, x.grad, rtol=1e-12, atol=1e-12)


def test_a_slope_or_width_that_has_no_inverse_is_refused() -> None:
    with pytest.raises(ValueError, match="negative_slope 0 is not allowed"):
        InvertibleSmoothLeakyReLU(0)
    with pytest.raises(ValueError, match="width -1 is not allowed"):
        InvertibleSmoothLeakyReLU(0.1, -1)
