"""What undoing a layer costs in theory: the closed form of alpha for white noise in the layer's output.

alpha is the SNR of the input that the inverse rebuilds over the SNR of the output that it rebuilds from. Small white
noise of variance 1 in the n values of the output becomes noise of power |A|^2 in the input, A the inverse's Jacobian
and |A|^2 the sum of its squares, so that

    alpha = (sum x^2 / sum y^2) (n / |A|^2).

An elementwise function f has |A|^2 = sum 1/f'(x)^2. That is p n + (1 - p) n / s^2 for a leaky ReLU of slope s, p the
share of positive values, which with their share q of sum x^2 gives 1 / [(q + (1 - q) s^2) (p + (1 - p) / s^2)]: Hascoet
et al., Reversible designs, equation 32, where p = q = 1/2. A batch norm of scale g, mean m and variance v gives
[sum (m^2 + v) / sum (g^2 v / (v + eps) + beta^2)] [c / sum ((v + eps) / g^2)] over its c channels: their equation 26d,
which has v in the place of v^2 and lacks two squares. A split convolution is linear: its |A|^2 is that of its weights.
"""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cache

import torch
from torch import Tensor, nn

from gradbench.invertible import (
    BatchPooling,
    ChannelPooling,
    InvertibleBatchNorm,
    InvertibleLeakyReLU,
    InvertibleSmoothLeakyReLU,
    SplitConvolution,
    State,
)

__all__ = ["alpha_theory"]


@torch.no_grad()
def alpha_theory(layer: nn.Module, x: State, y: State) -> float:
    """Return alpha of small white noise in `y`; NaN for layers without a closed form.

    A norm that is undone by `renormalize` has that of the affine inverse: what it errs by itself is no noise of `y`.

    Args:
        layer: as the forward pass left it, in the same mode.
        x: its input, groups (N, C_g, H, W).
        y: its output.
    """
    power = _noise_power(layer, [group.double() for group in x])
    signal_x, signal_y = (sum(float(group.double().square().sum()) for group in state) for state in (x, y))
    if not signal_y * power > 0:
        return float("nan")
    return signal_x / signal_y * sum(group.numel() for group in x) / power


def _noise_power(layer: nn.Module, x: list[Tensor]) -> float:
    """Return |A|^2, the power in the rebuilt input of white noise of variance 1 in the output."""
    # By the very type: what is derived from a layer may be undone in another way.
    values = sum(group.numel() for group in x)
    if type(layer) is InvertibleBatchNorm:
        return _of_norm(layer, x)
    if type(layer) is InvertibleLeakyReLU:
        positive = sum(int((group > 0).sum()) for group in x)
        return positive + (values - positive) / layer.negative_slope**2
    if type(layer) is InvertibleSmoothLeakyReLU:
        return sum(float(layer.slope(group).pow(-2).sum()) for group in x)
    if type(layer) is SplitConvolution and type(layer.f) is type(layer.g) is nn.Conv2d:
        return len(x[0]) * _of_convolution(layer.f.weight, layer.g.weight, *x[0].shape[2:])
    return values if type(layer) in (ChannelPooling, BatchPooling) else float("nan")


def _of_norm(layer: InvertibleBatchNorm, x: list[Tensor]) -> float:
    dims = [dim for dim in range(x[0].dim()) if dim != 1]
    of_batch = torch.cat([group.var(dims, correction=0) for group in x])
    variance = of_batch if layer.training else layer.running_var.double()
    values = x[0].numel() // x[0].shape[1]
    return values * float(((variance + layer.eps) / layer.scale().double().square()).sum())


def _of_convolution(f: Tensor, g: Tensor, height: int, width: int) -> float:
    """Return |A|^2 of two 3x3 convolutions' weights, for one image of (x1, x2) = ((I + F G) y1 - F y2, y2 - G y1).

    A column of A is what one value of the output becomes. Of it only the place near an edge matters, where padding cuts
    off a part, so that places with the same neighbours are counted together.
    """
    # What F and G make of a one: at each of 3x3 places around it, a matrix of outputs by inputs.
    of_f, of_g = (weight.double().flip(2, 3).permute(2, 3, 0, 1) for weight in (f, g))
    steps = list(itertools.product(range(3), range(3)))
    of_both = {(a, b): of_f[a, b] @ of_g for a, b in steps}

    @cache
    def powers(*near: tuple[bool, ...]) -> tuple[Tensor, Tensor]:
        """Return the powers of F and G, and of I + F G, at the places around one with these neighbours."""
        seen = torch.outer(*map(of_f.new_tensor, near))
        both = of_f.new_zeros(5, 5, *of_f.shape[2:])
        both[2, 2].fill_diagonal_(1)
        for a, b in steps:
            both[a : a + 3, b : b + 3] += of_both[a, b] * seen[..., None, None]
        single = (of_f.square().sum((2, 3)) + of_g.square().sum((2, 3))) * seen
        return single.sum(), both.square().sum((2, 3))

    total = float(of_f.shape[2] * height * width)  # of y2 in x2
    for (row, rows), (column, columns) in itertools.product(_neighbours(height).items(), _neighbours(width).items()):
        single, both = powers(row[1:4], column[1:4])
        inside = torch.outer(both.new_tensor(row), both.new_tensor(column))
        total += rows * columns * float(single + (both * inside).sum())
    return total


def _neighbours(size: int) -> Counter[tuple[bool, ...]]:
    """Return at how many places of an axis which of the places up to two before and behind are on it."""
    return Counter(tuple(0 <= place + step < size for step in range(-2, 3)) for place in range(size))
