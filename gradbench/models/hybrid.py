"""The hybrid network of Hascoet et al., section 4.2: reversible blocks whose branches are invertible layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gradbench.case.schema import Model
from gradbench.invertible import AdditiveCoupling
from gradbench.models.network import LayerFactory, Network
from gradbench.models.stages import Pooling, check_image_size, stage_depths

__all__ = ["Hybrid", "hybrid_block"]


def hybrid_block(channels: int, branch_layers: int, layers: LayerFactory) -> AdditiveCoupling:
    """Return a block on four groups, `channels` in all: each branch is a chain of layers on two of the groups."""
    return AdditiveCoupling(layers.layers(channels // 2, branch_layers), layers.layers(channels // 2, branch_layers))


class Hybrid(Network):
    """A stem and `depth` reversible blocks, on a state of four groups.

    Args:
        depth: blocks in all, at least 1.
        width: channels of the first stage, a multiple of 4; channel pooling multiplies them by 4.
        negative_slope: of the leaky ReLU.
        eps_i: the norm's smallest scale.
        pooling: what stands between the stages; the blocks are spread over one stage more.
        branch_layers: layers (split convolution, norm, leaky ReLU) in each branch of a block.
        norm_inverse: how the norm is undone.
        classes: number of scores.
    """

    def __init__(
        self,
        depth: int,
        width: int = 32,
        negative_slope: float = 0.2,
        eps_i: float = 0.1,
        pooling: Sequence[Pooling] = ("channel", "channel"),
        branch_layers: int = 1,
        norm_inverse: Literal["affine", "renormalize"] = "affine",
        classes: int = 10,
    ) -> None:
        layers = LayerFactory(negative_slope, eps_i, norm_inverse)
        depths = stage_depths(depth, len(pooling) + 1)
        super().__init__(
            width, depths, pooling, 4, layers, lambda channels: hybrid_block(channels, branch_layers, layers), classes
        )

    @classmethod
    def from_settings(cls, settings: Model, classes: int, image_size: int) -> Hybrid:
        """Return the network of a case.

        Raises:
            UsageError: the poolings cannot divide the image.
        """
        check_image_size(image_size, settings.pooling)
        return cls(
            settings.depth,
            settings.width,
            settings.negative_slope,
            settings.eps_i,
            settings.pooling,
            settings.branch_layers,
            settings.norm_inverse,
            classes,
        )
