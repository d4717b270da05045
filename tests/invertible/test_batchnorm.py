"""The invertible batch norm against torch's own, against closed forms, and against the law of its noise."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from gradbench.invertible import Chain, InvertibleBatchNorm, LayerError
from tests.invertible.oracle import same_as_stored, state, worst_error


def norm(channels: int = 8, norm_inverse: Literal["affine", "renormalize"] = "affine") -> InvertibleBatchNorm:
    layer = InvertibleBatchNorm(channels, norm_inverse=norm_inverse).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    return layer


def snr(x: Tensor, rebuilt: Tensor) -> float:
    return float(x.square().sum() / (rebuilt - x).square().sum())


@pytest.mark.parametrize("training", [True, False])
def test_it_is_a_batch_norm_of_scale_gamma_plus_eps_i(training: bool) -> None:
    layer, plain = norm(), nn.BatchNorm2d(8).double()
    plain.weight.data = layer.weight.detach().abs() + 0.1
    plain.bias.data = layer.bias.detach()
    for module in (layer, plain):
        module.train(training)
    x = torch.randn(5, 8, 3, 3, dtype=torch.float64) * 3 + 1
    torch.testing.assert_close(torch.cat(layer(*x.split([2, 6], 1)), 1), plain(x), rtol=1e-13, atol=1e-13)
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(layer.get_buffer(name), buffer, rtol=1e-14, atol=0)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gradients_equal_autograds(training: bool, groups: int) -> None:
    layer = norm()
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    model = Chain(layer).train(training)
    x = tuple(tensor * 3 + 5 for tensor in state(4, 8 // groups, 3, 3, groups=groups))
    assert same_as_stored(model, tuple(tensor.detach().requires_grad_() for tensor in x), 1e-12)


def test_gamma_zero_gets_no_gradient_as_the_absolute_value_has_none_there() -> None:
    layer = norm()
    layer.weight.data[:4] = 0
    assert same_as_stored(Chain(layer), state(4, 4, 3, 3))
    assert not layer.weight.grad[:4].any()
    assert layer.weight.grad[4:].all()


def test_the_inverse_undoes_the_norm_and_knows_when_it_cannot() -> None:
    layer = norm()
    x = state(4, 4, 3, 3)
    with torch.no_grad():
        y, memo = layer.run(x)
        again = layer.rerun(x, memo)
        assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(again, y, strict=True))
        assert all(torch.allclose(a, b, rtol=1e-12) for a, b in zip(layer.invert(y, memo), x, strict=True))
        with pytest.raises(RuntimeError, match="needs the statistics of the forward pass"):
            layer.inverse(*y)


@pytest.mark.parametrize("fresh", [True, False])
def test_noise_grows_as_its_law_says(fresh: bool) -> None:
    """Alpha is [sum(m^2 + v) / sum(g^2 v / S^2 + beta^2)] [C / sum(S^2 / g^2)], S^2 = v + eps, g the scale."""
    channels, pixels = 16, (64, 16, 16, 16)
    layer = InvertibleBatchNorm(channels).double() if fresh else norm(channels)
    means, deviations = torch.randn(2, 1, channels, 1, 1, dtype=torch.float64)
    x = torch.randn(pixels, dtype=torch.float64) * (deviations.abs() + 0.2) + means
    with torch.no_grad():
        (y,), memo = layer.run((x,))
        noisy = y + 1e-4 * torch.randn_like(y)
        output_snr = snr(y, noisy)
        (rebuilt,) = layer.invert((noisy,), memo)
        v, m = torch.var_mean(x, (0, 2, 3), correction=0)
        g, beta = layer.weight.abs() + layer.eps_i, layer.bias
        s2 = v + layer.eps
        alpha = (m**2 + v).sum() / (g**2 * v / s2 + beta**2).sum() * channels / (s2 / g**2).sum()
    assert snr(x, rebuilt) / output_snr == pytest.approx(float(alpha), rel=0.05)


@pytest.mark.parametrize("shape", [(4, 4, 8, 8), (32, 4, 16, 16)])
def test_renormalizing_has_the_ceiling_of_the_unbiased_deviation(shape: tuple[int, ...]) -> None:
    """SNR <= (2 n)^2 (1 + m^2 / v), n = N H W: the deviation used is sqrt(n / (n - 1)) too large."""
    layer = norm(4, "renormalize")
    x = torch.randn(shape, dtype=torch.float64) + 0.7
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True, correction=0) + 0.7
    n = x.numel() // 4
    with torch.no_grad():
        y, memo = layer.run((x,))
        (rebuilt,) = layer.invert(y, memo)
    assert snr(x, rebuilt) == pytest.approx((2 * n) ** 2 * (1 + 0.7**2), rel=2 / n + 1e-4)


def test_renormalizing_gives_gradients_that_are_as_far_off_as_its_statistics() -> None:
    layer = norm(8, "renormalize")
    # One norm alone: xhat is right up to eps, so its own gradients are too.
    assert worst_error(Chain(layer), state(16, 4, 8, 8)) < 1e-4
    assert same_as_stored(Chain(norm(8, "renormalize")).eval(), state(4, 4, 3, 3))


def test_what_it_cannot_normalise_is_refused() -> None:
    with pytest.raises(LayerError, match=r"layer '0': 6 channels where the norm has 8"):
        Chain(norm())(*state(2, 3, 4, 4))
    with pytest.raises(LayerError, match="more than one value a channel"):
        norm()(*state(1, 4, 1, 1))
    with pytest.raises(ValueError, match="norm_inverse 'exact' is not allowed: affine, renormalize"):
        InvertibleBatchNorm(4, norm_inverse="exact")  # type: ignore[arg-type]
