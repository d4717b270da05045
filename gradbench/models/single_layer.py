"""One invertible layer alone, between a stem and a head: the instrument for what undoing that layer costs."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from gradbench.case.schema import Model
from gradbench.invertible import Chain
from gradbench.invertible.state import as_state
from gradbench.models.head import Head
from gradbench.models.layers import LayerFactory, convolution

__all__ = ["SingleLayer"]


class SingleLayer(nn.Module):
    """Images (N, 3, H, W) to scores (N, classes); `layer_kind` says which layer stands in the middle.

    The layer's inputs are those of Hascoet et al., Figures 5 and 6, as far as images allow: every channel has mean 0
    and variance 1, and one half of the channels is the negative of the other, so that values are symmetric about 0.
    They are no Gaussians. The stem is stored.
    """

    def __init__(self, settings: Model, classes: int = 10) -> None:
        super().__init__()
        layers, half = LayerFactory(settings), settings.width // 2
        self.stem = nn.Sequential(convolution(3, half), nn.BatchNorm2d(half, affine=False))
        layer = layers.norm(settings.width) if settings.layer_kind == "norm" else layers.activation()
        self.chain = Chain({settings.layer_kind: layer})
        self.head = Head(settings.width, classes)

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Self:
        """Return the network of a case; it has no depth and no poolings."""
        return cls(settings, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        x = self.stem(x)
        return self.head(*as_state(self.chain(x, -x)))
