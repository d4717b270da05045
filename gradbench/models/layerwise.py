"""The layer-wise invertible network of Hascoet et al., section 4.1: every layer is undone from its output."""

from __future__ import annotations

from gradbench.case.schema import Model
from gradbench.invertible import Chain
from gradbench.models.network import Network
from gradbench.models.stages import Stage

__all__ = ["Layerwise"]


class Layerwise(Network):
    """A stem and `depth` - 1 invertible layers (split convolution, norm, leaky ReLU), on a state of two groups."""

    @staticmethod
    def depths(settings: Model) -> list[int]:
        """Return the layers of each stage; the stem is the first of all."""
        first, *others = Network.depths(settings)
        return [first - 1, *others]

    @staticmethod
    def branch_layers(settings: Model) -> list[int]:
        """Return one for each stage: a layer is a block."""
        return [1] * (len(settings.pooling) + 1)

    def block(self, stage: Stage) -> Chain:
        """Return a layer."""
        return self.layers.invertible(stage.channels)

    @staticmethod
    def block_workspace(stage: Stage) -> float:
        """Return that of a split convolution: the value of one half."""
        return 1 / 2
