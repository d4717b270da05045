"""Approximate and naive quantisation against a slow truth written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradbench.strategies.approximate import Approximate
from gradbench.strategies.naive_quantize import NaiveQuantize
from gradbench.strategies.quantizer import channel_moments, decode, encode


class Unit(nn.Module):
    """conv - norm - leaky ReLU - conv, in float64: a unit of Chakrabarti and Moseley and the next convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.LeakyReLU(0.2)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.double()
        nn.init.uniform_(self.norm.weight, 0.5, 2.0)
        nn.init.normal_(self.norm.bias)
        with torch.no_grad():
            self.norm.weight[1] *= -1

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.act(self.norm(self.first(x))))


def by_hand(unit: Unit, x: Tensor, g: Tensor, bits: int, naive: bool) -> dict[str, Tensor]:
    """Return the output and all gradients, each from its own formula; g: gradient of the output."""
    per_channel = (1, -1, 1, 1)
    gamma, beta = unit.norm.weight.detach(), unit.norm.bias.detach()
    z = F.conv2d(x, unit.first.weight.detach(), padding=1)
    mean, std = channel_moments(z)
    sigma = (std**2 + unit.norm.eps).sqrt()
    y = (z - mean.view(per_channel)) / sigma.view(per_channel) * gamma.view(per_channel) + beta.view(per_channel)
    kept = decode(encode(y, beta, gamma, bits))
    seen = kept if naive else y
    output = F.conv2d(F.leaky_relu(seen, 0.2), unit.second.weight.detach(), padding=1)
    d_second = torch.nn.grad.conv2d_weight(F.leaky_relu(kept, 0.2), unit.second.weight.shape, g, padding=1)
    d_a = torch.nn.grad.conv2d_input(y.shape, unit.second.weight.detach(), g, padding=1)
    d_y = torch.where(y > 0, d_a, 0.2 * d_a)
    xhat = (kept - beta.view(per_channel)) / gamma.view(per_channel)
    d_gamma, d_beta = (d_y * xhat).sum((0, 2, 3)), d_y.sum((0, 2, 3))
    count = d_y.numel() / d_y.shape[1]
    centred = d_y - d_beta.view(per_channel) / count - xhat * d_gamma.view(per_channel) / count
    d_z = centred * (gamma / sigma).view(per_channel)
    d_first = torch.nn.grad.conv2d_weight(x, unit.first.weight.shape, d_z, padding=1)
    return {
        "output": output,
        "first.weight": d_first,
        "norm.weight": d_gamma,
        "norm.bias": d_beta,
        "second.weight": d_second,
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("naive", [False, True])
def test_gradients_are_those_of_the_formulas(bits: int, naive: bool) -> None:
    unit, x = Unit(), torch.randn(5, 3, 8, 8, dtype=torch.float64)
    g = torch.randn(5, 5, 8, 8, dtype=torch.float64)
    expected = by_hand(unit, x, g, bits, naive)
    strategy = NaiveQuantize(bits) if naive else Approximate(bits)
    with strategy.applied_to(unit):
        output = unit(x)
        output.backward(g)
    torch.testing.assert_close(output, expected.pop("output"), rtol=1e-10, atol=1e-10)
    for name, gradient in expected.items():
        torch.testing.assert_close(unit.get_parameter(name).grad, gradient, rtol=1e-9, atol=1e-9)


def test_gates_are_exact_whatever_the_bits() -> None:
    """Without a norm the gradient of the input needs weights and gates only, so it is exact at 2 bits."""
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LeakyReLU(0.1), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3))
    x = torch.randn(4, 3, 12, 12, requires_grad=True)
    weights = torch.randn_like(net(x))
    (stored,) = torch.autograd.grad(net(x), x, weights)
    with Approximate(2).applied_to(net):
        (found,) = torch.autograd.grad(net(x), x, weights)
    assert torch.equal(found, stored)
