"""Small networks without anything invertible, each with one layer whose state a recomputation may spoil."""

from __future__ import annotations

from typing import Self

from torch import nn

from gradbench.case.schema import Model

__all__ = ["WithBatchNorm", "WithDropout", "WithRReLU"]


class _Blocks(nn.Sequential):
    """A stem, blocks, and a head; the layers of a block are what a subclass says."""

    def __init__(self, depth: int, width: int, classes: int) -> None:
        stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=2, padding=1), *self.layers(width))
        blocks = [nn.Sequential(nn.Conv2d(width, width, 3, padding=1), *self.layers(width)) for _ in range(depth)]
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
        super().__init__(stem, *blocks, head)

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Self:
        """Return the network of a case: `depth` blocks of `width` channels."""
        return cls(settings.depth, settings.width, classes)

    def layers(self, width: int) -> list[nn.Module]:
        """Return what follows a convolution."""
        raise NotImplementedError


class WithBatchNorm(_Blocks):
    """Running statistics, which a recomputation may move once more."""

    def layers(self, width: int) -> list[nn.Module]:
        """Return batch norm and ReLU."""
        return [nn.BatchNorm2d(width), nn.ReLU()]


class WithDropout(_Blocks):
    """Dropout masks, which a recomputation may draw anew."""

    def layers(self, width: int) -> list[nn.Module]:
        """Return ReLU and dropout."""
        return [nn.ReLU(), nn.Dropout(0.2)]


class WithRReLU(_Blocks):
    """Random slopes, which the last operation of a recomputed block writes into a tensor that is kept."""

    def layers(self, width: int) -> list[nn.Module]:
        """Return a randomized leaky ReLU."""
        return [nn.RReLU()]
