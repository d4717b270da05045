"""K-bit fixed-point copies of activations, one scale and one zero a channel, with the sign exact.

The quantiser of Chakrabarti and Moseley, Backprop with approximate activations for memory-efficient network training:
activations of a channel with mean m and standard deviation s are coded in steps of D = 6 s / 2^K over about m - 3 s to
m + 3 s, and the range is moved so that a step ends at zero. So the sign of every value survives (which the backward
pass of a ReLU needs), values beyond the range are clipped, and the error inside it is at most D / 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Codes", "channel_moments", "decode", "encode", "pack_bits", "unpack_bits"]

#: The coded range in standard deviations: three on either side of the channel's mean.
RANGE = 6.0
SMALLEST_SCALE = 1e-8


@dataclass(frozen=True, eq=False)
class Codes:
    """A quantised tensor: `bits` bits for each of its values, and per channel (axis 1) `scale` (C,) and `zero` (C,)."""

    packed: Tensor
    zero: Tensor
    scale: Tensor
    bits: int
    shape: torch.Size
    dtype: torch.dtype


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased standard deviation of each channel of x: (N, C, ...), each (C,)."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x, dim=axes, correction=0)
    return mean, variance.sqrt()


def encode(x: Tensor, mean: Tensor, scale: Tensor, bits: int) -> Codes:
    """Quantise x: (N, C, ...) to `bits` bits, for channels of the given mean (C,) and standard deviation (C,).

    The largest code of a non-positive value is `zero` - 1 and the smallest of a positive one is `zero`; both exist
    whatever the mean is. (A positive value counts as zero when its quotient by the step underflows: below 1e-44.)
    """
    levels = 2**bits
    step = RANGE / levels
    scale = scale.detach().abs().clamp_min(SMALLEST_SCALE)
    zero = (levels // 2 - torch.floor(mean.detach() / scale / step)).clamp_(1, levels - 1)
    codes = x.detach() / _per_channel(scale * step, x)
    codes.ceil_().add_(_per_channel(zero - 1, x)).clamp_(0, levels - 1)
    return Codes(pack_bits(codes.to(torch.uint8), bits), zero, scale, bits, x.shape, x.dtype)


def decode(codes: Codes) -> Tensor:
    """Return the coded tensor in its own shape and dtype: the middle of each value's step."""
    values = unpack_bits(codes.packed, codes.bits, math.prod(codes.shape)).view(codes.shape).to(codes.dtype)
    step = codes.scale * (RANGE / 2**codes.bits)
    return values.sub_(_per_channel(codes.zero - 0.5, values)).mul_(_per_channel(step, values))


def _per_channel(value: Tensor, like: Tensor) -> Tensor:
    return value.to(like.dtype).view(1, -1, *[1] * (like.dim() - 2))


def _group(bits: int) -> tuple[int, int]:
    """Return how many codes fill how many whole bytes: 8 codes of 3 bits fill 3 bytes."""
    whole = math.lcm(bits, 8)
    return whole // bits, whole // 8


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack uint8 `codes` below 2^bits, of any shape, into a uint8 vector of ceil(numel * bits / 8) bytes or few more."""
    if bits == 8:
        return codes.flatten()
    count, size = _group(bits)
    flat = codes.flatten()
    # Codes that share a word lie far apart, so that each shift works on contiguous memory.
    rows = torch.nn.functional.pad(flat, (0, -flat.numel() % count)).view(count, -1)
    word = rows[0].to(torch.int32 if size > 1 else torch.uint8, copy=True)
    for i in range(1, count):
        word |= rows[i].to(word.dtype) << (bits * i)
    if size == 1:
        return word
    return torch.cat([((word >> (8 * i)) & 255).to(torch.uint8) for i in range(size)])


def unpack_bits(packed: Tensor, bits: int, numel: int) -> Tensor:
    """Return the first `numel` codes of `packed` as a uint8 vector: the inverse of `pack_bits`."""
    if bits == 8:
        return packed[:numel]
    count, size = _group(bits)
    if size == 1:
        word = packed
    else:
        parts = packed.view(size, -1).to(torch.int32)
        word = parts[0]
        for i in range(1, size):
            word = word | (parts[i] << (8 * i))
    mask = 2**bits - 1
    rows = torch.empty(count, word.numel(), dtype=torch.uint8, device=packed.device)
    for i in range(count):
        rows[i] = (word >> (bits * i)) & mask
    return rows.flatten()[:numel]
