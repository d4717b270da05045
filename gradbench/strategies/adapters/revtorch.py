"""RevTorch: a sequence of reversible blocks is one autograd node that keeps its output."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gradbench.strategies.adapters.couplings import CouplingAdapter

__all__ = ["RevTorch"]


class RevTorch(CouplingAdapter):
    """`ReversibleSequence` of `ReversibleBlock(f, g)`, with its default of not replaying random numbers.

    Source: https://github.com/RobinBruegger/RevTorch
    """

    package: ClassVar[str] = "revtorch"
    installed_as: ClassVar[str] = "revtorch"

    @property
    def name(self) -> str:
        return "revtorch"

    def sequence(self, branches: Sequence[tuple[nn.Module, nn.Module]]) -> Callable[[Tensor], Tensor]:
        from revtorch import ReversibleBlock, ReversibleSequence

        return ReversibleSequence(nn.ModuleList([ReversibleBlock(f, g) for f, g in branches]))
