"""Saved activations in K bits, rounded up or down at random so that the mean of many draws is the exact value."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from gradbench.invertible import InvertibleLeakyReLU
from gradbench.strategies.base import Strategy, own_seed
from gradbench.strategies.quantizer import pack_bits, unpack_bits
from gradbench.strategies.saved import Restore, saved_otherwise

__all__ = ["GROUP", "Stochastic", "round_at_random"]

#: Elements, one after the other in memory order, that share a smallest value and a step.
GROUP = 256
_GATES = (nn.ReLU, nn.LeakyReLU, InvertibleLeakyReLU)


class Stochastic(Strategy):
    """Unbiased K-bit copies, so that an error of the gradient is variance where the gradient is linear in them.

    Of each group of 256 elements the smallest and the largest are kept, and 2^K - 1 steps between them. The forward
    pass is exact. (Leaky) ReLU modules keep one bit an element, the sign, which is exact. Parameters, buffers, the
    model's input, integers, and tensors of one axis, which hold statistics, stay as they are, and so does a group with
    a value that is not finite: fused attention pads the logarithms that it saves with infinity.

    Draws come from generators of its own, seeded by torch's seed and the number of times that this object was applied:
    the model's random numbers are those of stored training, and no two steps round alike.

    Source: Chen et al., ActNN: reducing training memory footprint via 2-bit activation compressed training.

    Args:
        bits: K, the bits of a kept element.
    """

    random = True

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.applied = 0

    @property
    def name(self) -> str:
        return f"stochastic:{self.bits}"

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        seed = own_seed(self.applied)
        self.applied += 1
        generators: dict[torch.device, torch.Generator] = {}

        def keep(x: Tensor) -> Restore | None:
            if x.dim() < 2 or not x.is_floating_point():
                return None
            if x.device not in generators:
                generators[x.device] = torch.Generator(x.device).manual_seed(seed)
            return round_at_random(x, self.bits, generators[x.device])

        with ExitStack() as replaced:
            replaced.enter_context(saved_otherwise(model, keep))
            for module in model.modules():
                if isinstance(module, _GATES) and module is not model:
                    replaced.enter_context(saved_otherwise(module, _keep_sign))
            yield


def round_at_random(x: Tensor, bits: int, generator: torch.Generator) -> Restore:
    """Return how to make x, of any shape, from `bits` bits an element and two numbers for each group.

    Arithmetic is in float32, or float64 where x is. A group that has no finite step between its values stays as it is.
    """
    shape, dtype, numel = x.shape, x.dtype, x.numel()
    flat = x.flatten().to(torch.promote_types(dtype, torch.float32))
    groups = torch.cat([flat, flat[-1:].expand(-numel % GROUP)]).view(-1, GROUP)
    low, high = groups.aminmax(dim=1, keepdim=True)
    step = (high - low) / (2**bits - 1)
    finite = step.isfinite().flatten()
    kept = None if finite.all() else groups[~finite]
    step = step.where(step > 0, 1)
    draws = torch.rand(groups.shape, generator=generator, dtype=flat.dtype, device=x.device)
    codes = groups.sub(low).div_(step).add_(draws).floor_().clamp_(0, 2**bits - 1)
    packed = pack_bits(codes.to(torch.uint8), bits)

    def restore() -> Tensor:
        codes = unpack_bits(packed, bits, low.numel() * GROUP).view(-1, GROUP)
        values = codes.to(low.dtype).mul_(step).add_(low)
        if kept is not None:
            values[~finite] = kept
        return values.flatten()[:numel].view(shape).to(dtype)

    return restore


def _keep_sign(x: Tensor) -> Restore:
    """Keep which elements are positive: all that the backward pass of a (leaky) ReLU asks of what it saved."""
    packed, shape, dtype = pack_bits((x > 0).to(torch.uint8), 1), x.shape, x.dtype
    return lambda: unpack_bits(packed, 1, shape.numel()).view(shape).to(dtype).mul_(2).sub_(1)
