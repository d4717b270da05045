"""K-bit fixed-point copies of activations, one scale and one zero a channel.

The quantiser of Chakrabarti and Moseley, Backprop with approximate activations for memory-efficient network training:
activations of a channel with mean m and standard deviation s are coded in steps of D = 6 s / 2^K over about m - 3 s to
m + 3 s. Values beyond the range are clipped, and the error inside it is at most D / 2. Where a gate needs the sign of
the values, the range is moved so that a step ends at zero, and every sign survives; when the mean is further than 3 s
from zero, the steps are widened until the range holds both. Where nothing needs the sign, the range is centred at m.
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
    """A quantised tensor: `bits` bits for each of its values, and per channel (axis 1) two numbers.

    Attributes:
        packed: the codes, several to a byte.
        zero: the smallest code of a positive value, (1, C, 1, ...).
        step: the width of a code, (1, C, 1, ...).
        centre: what was subtracted first, (1, C, 1, ...), or None.
    """

    packed: Tensor
    zero: Tensor
    step: Tensor
    centre: Tensor | None
    bits: int
    shape: torch.Size


def channel_moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased standard deviation of each channel of x: (N, C, ...), each (C,)."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    variance, mean = torch.var_mean(x, dim=axes, correction=0)
    return mean, variance.sqrt()


def encode(x: Tensor, mean: Tensor, scale: Tensor, bits: int, keep_sign: bool = True) -> Codes:
    """Quantise x: (N, C, ...) to `bits` bits, for channels of the given mean (C,) and standard deviation (C,).

    With `keep_sign`, the largest code of a non-positive value is `zero` - 1 and the smallest of a positive one `zero`;
    both exist whatever the mean is. (A positive value counts as zero when its quotient by the step underflows, below
    1e-44.)
    """
    levels = 2**bits
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean = mean.detach().to(x.dtype).view(shape)
    scale = scale.detach().abs().to(x.dtype).clamp_min_(SMALLEST_SCALE).view(shape)
    step = scale * (RANGE / levels)
    x = x.detach()
    if keep_sign:
        # All codes but one on the far side of zero reach from there to beyond the mean.
        step = torch.maximum(step, (mean.abs() + RANGE / 2 * scale).div_(levels - 1))
        zero = (mean / step).floor_().neg_().add_(levels // 2).clamp_(1, levels - 1)
        codes, centre = x / step, None
    else:
        zero, centre = torch.full_like(step, levels // 2), mean
        codes = (x - mean).div_(step)
    codes.ceil_().add_(zero - 1).clamp_(0, levels - 1)
    return Codes(pack_bits(codes.to(torch.uint8), bits), zero, step, centre, bits, x.shape)


def decode(codes: Codes) -> Tensor:
    """Return the coded tensor in its own shape and dtype: the middle of each value's step."""
    values = unpack_bits(codes.packed, codes.bits, math.prod(codes.shape)).view(codes.shape).to(codes.step.dtype)
    values.sub_(codes.zero - 0.5).mul_(codes.step)
    return values if codes.centre is None else values.add_(codes.centre)


def _group(bits: int) -> tuple[int, int]:
    """Return how many codes fill how many whole bytes: 8 codes of 3 bits fill 3 bytes."""
    whole = math.lcm(bits, 8)
    return whole // bits, whole // 8


def pack_bits(codes: Tensor, bits: int) -> Tensor:
    """Pack uint8 `codes` below 2^bits, of any shape, into a uint8 vector of numel * bits / 8 bytes, or few more."""
    if bits == 8:
        return codes.flatten()
    count, size = _group(bits)
    flat = codes.flatten()
    if -flat.numel() % count:
        flat = torch.nn.functional.pad(flat, (0, -flat.numel() % count))
    # Codes that share a word lie far apart, so that each shift works on contiguous memory.
    rows = flat.view(count, -1).to(torch.int32 if size > 1 else torch.uint8)
    word = rows[-1] << (bits * (count - 1))
    for i in range(count - 1):
        word |= rows[i] << (bits * i) if i else rows[0]
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
    rows = torch.empty(count, word.numel(), dtype=torch.uint8, device=packed.device)
    for i in range(count):
        rows[i] = (word >> (bits * i) if i else word) & (2**bits - 1)
    return rows.flatten()[:numel]
