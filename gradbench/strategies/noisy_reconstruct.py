"""Reconstruction from outputs with noise of a known size: the instrument for how much of it a gradient bears."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from gradbench.invertible import State, rebuilding
from gradbench.invertible.state import Owned
from gradbench.registry import shortest
from gradbench.strategies.base import own_seed
from gradbench.strategies.reconstruct import Reconstruct

__all__ = ["NoisyReconstruct"]


class NoisyReconstruct(Reconstruct):
    """`reconstruct`, with white Gaussian noise on each chain's output before the backward pass rebuilds its input.

    The forward pass is exact. A network that stores what stands between two chains gets noise at each of them; the
    chains inside a coupling's branches, which are run again, get none of their own. Draws follow from torch's seed and
    the number of chains that this object has run: the model's random numbers are those of stored training, no two steps
    have the same noise, and two backward passes through one forward pass have.

    Source: Hascoet et al., Reversible designs for extreme memory cost reduction of CNN training, Figures 5 and 6, whose
    noise it is.

    Args:
        deviation: standard deviation of the noise, in the units of the output; 0 is `reconstruct` itself.
    """

    random = True

    def __init__(self, deviation: float) -> None:
        self.deviation = deviation
        self.calls = 0

    @property
    def name(self) -> str:
        return f"noisy-reconstruct:{shortest(self.deviation)}"

    def applied_to(self, model: nn.Module) -> AbstractContextManager[None]:
        return rebuilding(model, self._disturbed)

    def _disturbed(self) -> Callable[[State], State]:
        """Return what adds the noise of one forward pass of one chain."""
        seed = own_seed(self.calls)
        self.calls += 1

        def noisy(y: State) -> State:
            generator = torch.Generator(y[0].device).manual_seed(seed)
            return Owned(self._noisy(group, generator, isinstance(y, Owned)) for group in y)

        return noisy

    def _noisy(self, y: Tensor, generator: torch.Generator, owned: bool) -> Tensor:
        """Return y with noise, drawn and added in float32 at least; over y where it is owned."""
        noise = torch.empty_like(y, dtype=torch.promote_types(y.dtype, torch.float32))
        noise.normal_(0, self.deviation, generator=generator)
        return y.add_(noise) if owned else noise.add_(y).to(y.dtype)
