"""The quantiser against its definition, value by value in float64, and its packing against arithmetic."""

import math

import pytest
import torch

from gradbench.strategies.quantizer import Codes, channel_moments, decode, encode, pack_bits, unpack_bits

BITS = (2, 3, 4, 6, 8)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("numel", [1, 7, 8, 64, 1001])
def test_packing_keeps_every_code_in_k_bits(bits: int, numel: int) -> None:
    codes = torch.randint(0, 2**bits, (numel,), dtype=torch.uint8)
    packed = pack_bits(codes, bits)
    assert torch.equal(unpack_bits(packed, bits, numel), codes)
    assert packed.numel() <= math.ceil(numel / 8) * bits  # at most eight codes of slack


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("shift", [0.0, 1.3, -2.2, 9.0, -9.0])
def test_values_follow_the_definition(bits: int, shift: float) -> None:
    x = torch.randn(8, 3, 5, 5, dtype=torch.float64) * torch.tensor([0.1, 1.0, 20.0]).view(1, 3, 1, 1) + shift
    mean, scale = channel_moments(x)
    restored = decode(encode(x, mean, scale, bits))
    levels = 2**bits
    for n, c, i in [(0, 0, 0), (3, 1, 2), (7, 2, 4), (5, 0, 1)]:
        value, s, b = float(x[n, c, i, i]), float(scale[c]), float(mean[c] / scale[c])
        step = max(6 / levels, (abs(b) + 3) / (levels - 1))
        zero = min(max(levels // 2 - math.floor(b / step), 1), levels - 1)
        code = min(max(math.ceil(value / s / step) - 1 + zero, 0), levels - 1)
        assert float(restored[n, c, i, i]) == pytest.approx((code - zero + 0.5) * step * s, rel=1e-12)


@pytest.mark.parametrize("bits", BITS)
def test_the_sign_is_exact_even_far_from_zero_and_for_tiny_values(bits: int) -> None:
    x = torch.randn(16, 6, 9, 9) + torch.tensor([-8.0, -2.7, -0.1, 0.0, 2.7, 8.0]).view(1, 6, 1, 1)
    x.view(-1)[:4] = torch.tensor([0.0, -0.0, 1e-42, -1e-42])
    restored = decode(encode(x, *channel_moments(x), bits))
    assert torch.equal(restored > 0, x > 0)


@pytest.mark.parametrize("bits", BITS)
def test_the_error_inside_the_range_is_at_most_half_a_step(bits: int) -> None:
    x = torch.rand(32, 4, 6, 6, dtype=torch.float64) - 0.5
    mean, scale = channel_moments(x)  # uniform: the range of 3 standard deviations holds all values
    error = (decode(encode(x, mean, scale, bits)) - x).abs() / scale.view(1, -1, 1, 1)
    inside = (x.abs() / scale.view(1, -1, 1, 1)) < 3 - 6 / 2**bits
    assert float(error[inside].max()) <= 3 / 2**bits * (1 + 1e-9)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("mean", [-40.0, -3.5, 0.0, 2.0, 5.0, 40.0])
def test_the_range_holds_the_values_wherever_their_mean_is(bits: int, mean: float) -> None:
    """Uniform values lie within 1.8 standard deviations: with a step at most as wide as stated, none is clipped."""
    x = (torch.rand(32, 4, 6, 6, dtype=torch.float64) - 0.5) * 12**0.5 + mean
    moments = channel_moments(x)
    signed = (x - decode(encode(x, *moments, bits))).abs().max()
    # Half a step, and at the ends of the range what moving it to zero may have cut off: less than one more.
    assert signed <= 1.5 * max(6 / 2**bits, (abs(mean) + 3) / (2**bits - 1)) * 1.05
    centred = (x - decode(encode(x, *moments, bits, keep_sign=False))).abs().max()
    assert centred <= 3 / 2**bits * 1.05


def test_saved_bytes_are_k_bits_a_value() -> None:
    x = torch.randn(4, 8, 16, 16)
    for bits in BITS:
        codes: Codes = encode(x, *channel_moments(x), bits)
        assert codes.packed.untyped_storage().nbytes() == x.numel() * bits // 8
