"""RevLib: couplings hand the rebuilt activations on through the gradients of two further tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gradbench.strategies.adapters.couplings import CouplingAdapter

__all__ = ["RevLib"]


class RevLib(CouplingAdapter):
    """`ReversibleSequential(f, g, f, g, ...)` in its default memory mode, `autograd_function`.

    Source: https://github.com/HomebrewML/revlib
    """

    package: ClassVar[str] = "revlib"
    installed_as: ClassVar[str] = "revlib"

    @property
    def name(self) -> str:
        return "revlib"

    def sequence(self, branches: Sequence[tuple[nn.Module, nn.Module]]) -> Callable[[Tensor], Tensor]:
        from revlib import ReversibleSequential

        return ReversibleSequential(*(branch for pair in branches for branch in pair))
