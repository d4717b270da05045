"""RevNet and i-RevNet: reversible blocks whose branches are ordinary layers, recomputed in the backward pass.

Gomez et al., The reversible residual network; Jacobsen et al., i-RevNet. As in Table 1 of Hascoet et al., both have two
branches in a block, with the convolution before norm and activation: they differ in their pooling alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gradbench.invertible import AdditiveCoupling
from gradbench.models.network import Network
from gradbench.models.stages import Stage

__all__ = ["RevNet"]


class RevNet(Network):
    """A stem and `depth` reversible blocks on a state of two groups. With max pooling: 40, 80, 256, 320 channels."""

    growth: ClassVar[Sequence[float]] = (2, 3.2, 1.25)

    def block(self, stage: Stage) -> AdditiveCoupling:
        """Return a block."""
        half = stage.channels // 2
        return AdditiveCoupling(
            self.layers.ordinary(half, half, stage.branch_layers), self.layers.ordinary(half, half, stage.branch_layers)
        )

    @staticmethod
    def block_workspace(stage: Stage) -> float:
        """Return the inputs of all convolutions and norms of both branches but the first two, which are the state."""
        return 2 * stage.branch_layers - 1
