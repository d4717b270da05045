"""The residual network that the others are compared with: nothing in it can be undone, so that autograd stores it all.

He et al., Deep residual learning; the ResNet-18 of Hascoet et al., Table 1, has max pooling instead of strides.
"""

from __future__ import annotations

from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import BatchPooling, ChannelPooling
from gradbench.models.head import Head
from gradbench.models.layers import LayerFactory, convolution
from gradbench.models.network import StagedNetwork

__all__ = ["ResNet", "ResidualBlock"]


class ResidualBlock(nn.Module):
    """Layers whose last activation follows the sum with the shortcut, which is 3x3 where the width changes."""

    def __init__(self, inputs: int, outputs: int, branch_layers: int, layers: LayerFactory) -> None:
        super().__init__()
        self.residual = layers.ordinary(inputs, outputs, branch_layers)[:-1]
        self.shortcut = nn.Sequential()
        if inputs != outputs:
            self.shortcut = nn.Sequential(convolution(inputs, outputs), layers.norm(outputs))
        self.activation = layers.activation()

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        return self.activation(self.shortcut(x) + self.residual(x))


class ResNet(StagedNetwork):
    """A stem and `depth` residual blocks."""

    def __init__(self, settings: Model, classes: int = 10) -> None:
        super().__init__(settings)
        layers = LayerFactory(settings)
        self.blocks = nn.Sequential()
        self.blocks.add_module("stem", layers.ordinary(3, settings.width))
        channels, blocks = settings.width, 0
        for number, stage in enumerate(self.stages):
            if stage.pooling == "max":
                self.blocks.add_module(f"pooling{number - 1}", nn.MaxPool2d(2))
            elif stage.pooling:
                channels *= 4 if stage.pooling == "channel" else 1
                pooling = ChannelPooling() if stage.pooling == "channel" else BatchPooling()
                self.blocks.add_module(f"pooling{number - 1}", pooling)
            for _ in range(stage.blocks):
                block = ResidualBlock(channels, stage.channels, stage.branch_layers, layers)
                self.blocks.add_module(f"block{blocks}", block)
                channels, blocks = stage.channels, blocks + 1
        self.head = Head(channels, classes, self.stages[-1].copies)

    @staticmethod
    def branch_layers(settings: Model) -> list[int]:
        """Return the same number for each stage."""
        return [settings.branch_layers] * (len(settings.pooling) + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.head(self.blocks(x))
