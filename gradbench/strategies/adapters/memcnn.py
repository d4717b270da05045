"""memcnn: each coupling frees its input, and sets it again from its output in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from gradbench.strategies.adapters.couplings import CouplingAdapter

__all__ = ["MemCNN"]


class MemCNN(CouplingAdapter):
    """`InvertibleModuleWrapper(AdditiveCoupling(f, g))`, as memcnn's documents use them.

    Source: van de Leemput et al., MemCNN: A Python/PyTorch package for creating memory-efficient invertible networks.
    """

    package: ClassVar[str] = "memcnn"
    installed_as: ClassVar[str] = "memcnn"

    @property
    def name(self) -> str:
        return "memcnn"

    def sequence(self, branches: Sequence[tuple[nn.Module, nn.Module]]) -> Callable[[Tensor], Tensor]:
        from memcnn import AdditiveCoupling, InvertibleModuleWrapper

        # Its documents ask for implementation -1 inside the wrapper: its older functions would free memory as well.
        couplings = (AdditiveCoupling(f, g, implementation_fwd=-1, implementation_bwd=-1) for f, g in branches)
        return nn.Sequential(*(InvertibleModuleWrapper(coupling) for coupling in couplings))
