"""The hybrid network of Hascoet et al., section 4.2: reversible blocks whose branches are invertible layers."""

from __future__ import annotations

from typing import ClassVar

from gradbench.invertible import AdditiveCoupling
from gradbench.models.network import Network
from gradbench.models.stages import Stage

__all__ = ["Hybrid"]


class Hybrid(Network):
    """A stem and `depth` reversible blocks on four groups: each branch is a chain of invertible layers on two."""

    groups: ClassVar[int] = 4

    def block(self, stage: Stage) -> AdditiveCoupling:
        """Return a block."""
        half = stage.channels // 2
        return AdditiveCoupling(
            self.layers.invertible(half, stage.branch_layers), self.layers.invertible(half, stage.branch_layers)
        )

    @staticmethod
    def block_workspace(stage: Stage) -> float:
        """Return the value of one branch, and that of one half of the split convolution inside it."""
        return 1 / 2 + 1 / 4
